"""Go's go.etcd.io/etcd/client/v3: go/main.go against three members. Built into the build directory."""

import os
import pathlib
import subprocess

import pytest

from harness import Conversation

SOURCES = pathlib.Path(__file__).parent / "go"


@pytest.fixture(scope="module")
def program(build_directory):
    binary = build_directory / "go_client"
    done = subprocess.run(
        ["go", "build", "-mod=readonly", "-o", binary, "."],
        cwd=SOURCES,
        capture_output=True,
        text=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    assert done.returncode == 0, f"go build failed: is the module proxy reachable?\n{done.stdout}{done.stderr}"
    return binary


def test_everything_a_user_of_go_clientv3_does(cluster, program):
    print(Conversation(cluster).run([program, ",".join(cluster.endpoints)]))
