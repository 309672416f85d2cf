"""Options and fixtures of the tests with third-party clients."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import Cluster, find_build_directory, find_server  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--server", help="program under test, a path or a name; default build/cairnd")


@pytest.fixture(scope="session")
def build_directory():
    directory = find_build_directory() / "conformance"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture(scope="module")
def cluster(request):
    """Three members that stay for all tests of a file."""
    with Cluster(find_server(request.config.getoption("--server"))) as running:
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the members' logs with a failure."""
    outcome = yield
    report = outcome.get_result()
    running = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and running is not None:
        report.sections.append(("logs of the members", running.logs()))
