"""npm etcd3: node/client.js against three members. Its packages are installed into the build directory."""

import pathlib
import shutil
import subprocess

import pytest

from harness import Conversation

SOURCES = pathlib.Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def program(build_directory):
    directory = build_directory / "node"
    directory.mkdir(exist_ok=True)
    lock = (SOURCES / "package-lock.json").read_bytes()
    installed = directory / "installed-lock.json"
    for name in ("package.json", "package-lock.json", "client.js"):
        shutil.copy(SOURCES / name, directory)
    if not installed.exists() or installed.read_bytes() != lock:
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=directory, capture_output=True, text=True
        )
        assert done.returncode == 0, f"npm ci failed: is the package registry reachable?\n{done.stdout}{done.stderr}"
        installed.write_bytes(lock)
    return directory / "client.js"


def test_everything_a_user_of_npm_etcd3_does(cluster, program):
    print(Conversation(cluster).run(["node", program, ",".join(cluster.endpoints)]))
