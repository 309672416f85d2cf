"""Options and fixtures of the tests with real processes."""

import os
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1])]

from harness import Api, Cluster, find_build_directory, find_server  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--server", help="program under test, a path or a name; default build/cairnd")


@pytest.fixture(scope="session")
def api():
    return Api()


@pytest.fixture(scope="session")
def server(request):
    return find_server(request.config.getoption("--server"))


@pytest.fixture(scope="session")
def cli():
    """The command-line program."""
    path = pathlib.Path(os.environ.get("CAIRN_CLI", find_build_directory() / "cairn"))
    assert path.is_file(), f"no {path}: build cairn"
    return str(path)


@pytest.fixture(scope="module")
def shared_cluster(server):
    """Three members that stay for all tests of a file."""
    with Cluster(server) as running:
        yield running


@pytest.fixture
def cluster(server):
    """Three members for one test."""
    with Cluster(server) as running:
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the members' logs with a failure."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for value in getattr(item, "funcargs", {}).values():
        if isinstance(value, Cluster):
            report.sections.append(("logs of the members", value.logs()))
