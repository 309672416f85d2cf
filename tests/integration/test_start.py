"""What cairnd refuses to start with: a clear text and exit code 2 for its options, 1 for what it finds on the machine."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import Cluster
from harness.cluster import free_port

USAGE, FAILED = 2, 1


def run(server, *flags, environment=(), timeout=30, **options):
    """A start that is expected to end by itself."""
    return subprocess.run([server, *flags], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                          env={**os.environ, **dict(environment)}, **options)


def member_flags(data_dir, name="m0", client=None, peer=None, token="t"):
    client, peer = client or free_port(), peer or free_port()
    return [f"--name={name}", f"--data-dir={data_dir}", f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster={name}=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster-token={token}"]


@pytest.fixture
def alone(server):
    """A cluster of one member that has written something, and is stopped."""
    with Cluster(server, members=1) as cluster:
        with cluster.connect(0) as client:
            client.KV.Put(cluster.api.PutRequest(key=b"a", value=b"1"), timeout=5)
        assert cluster.members[0].terminate() == 0
        yield cluster


def start_again(cluster, replace=()):
    """Starts the stopped member with some flags replaced, and waits for its end."""
    changes = dict(replace)
    command = [f"{flag.split('=')[0]}={changes[flag.split('=')[0]]}" if flag.split("=")[0] in changes else flag
               for flag in cluster.members[0].command]
    return run(command[0], *command[1:])


def data_dir(cluster):
    return cluster.directory / "m0"


# --- Options ---


@pytest.mark.parametrize("flags, text", [
    (["--no-such-flag"], "no-such-flag"),
    (["stray"], "stray"),
    (["--cert-file=a.pem"], "TLS does not work yet"),
    (["--client-cert-auth"], "TLS does not work yet"),
    (["--peer-trusted-ca-file=a.pem"], "TLS does not work yet"),
    (["--auto-tls"], "TLS does not work yet"),
    (["--auth-token=jwt"], "authentication does not work yet"),
    (["--quota-backend-bytes=1"], "quota"),
    (["--snapshot-count=1"], "snapshots"),
    (["--listen-client-urls=https://127.0.0.1:2379"], "https"),
    (["--listen-peer-urls=https://127.0.0.1:2380"], "https"),
    (["--listen-client-urls=ftp://127.0.0.1:2379"], "ftp"),
    (["--listen-client-urls=http://127.0.0.1:99999"], "99999"),
    (["--listen-client-urls=http://0.0.0.0:2379"], "--insecure-listen"),
    (["--listen-peer-urls=http://10.0.0.1:2380"], "--insecure-listen"),
    (["--heartbeat-interval=0"], "heartbeat-interval"),
    (["--heartbeat-interval=soon"], "soon"),
    (["--heartbeat-interval=500", "--election-timeout=1000"], "election-timeout"),
    (["--initial-cluster=other=http://127.0.0.1:2380"], "initial-cluster"),
    (["--initial-cluster-state=existing"], "initial-cluster-state"),
    (["--log-level=loud"], "loud"),
    (["--max-request-bytes=-1"], "max-request-bytes"),
    (["--config-file=/no/such/file.yaml"], "/no/such/file.yaml"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_wrong_options_are_refused_with_a_reason(server, tmp_path, flags, text):
    ended = run(server, f"--data-dir={tmp_path}/data", *flags)
    assert ended.returncode == USAGE, ended
    assert text in ended.stderr and ended.stderr.startswith("cairnd: "), ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text, names", [
    ("cert-file: a.pem\n", "cert-file"),
    ("no-such-setting: 1\n", "no-such-setting"),
    ("name: [not, a, name]\n", "name"),
    ("{\n", "config.yaml"),
])
def test_wrong_files_are_refused_with_their_name(server, tmp_path, text, names):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    ended = run(server, f"--config-file={path}")
    assert ended.returncode == USAGE, ended
    assert names in ended.stderr and "config.yaml" in ended.stderr, ended.stderr


@pytest.mark.parametrize("name", ["CAIRN_CERT_FILE", "ETCD_CERT_FILE"])
def test_wrong_environment_is_refused_with_its_name(server, name):
    ended = run(server, environment={name: "a.pem"})
    assert ended.returncode == USAGE and name in ended.stderr and "TLS" in ended.stderr, ended


def test_help_and_version_end_well(server):
    assert "--initial-cluster" in run(server, "--help").stdout
    version = run(server, "--version")
    assert version.returncode == 0 and re.search(r"\d+\.\d+\.\d+", version.stdout)


def test_listening_to_the_world_is_a_warning_when_asked_for(server):
    with Cluster(server, members=1, start=False) as cluster:
        member = cluster.members[0]
        port = member.endpoint.split(":")[1]
        member.command = [flag.replace(f"--listen-client-urls=http://127.0.0.1:{port}",
                                       f"--listen-client-urls=http://0.0.0.0:{port}") for flag in member.command]
        member.command.append("--insecure-listen")
        cluster.start()
        assert " warn  other machines can reach this member" in member.log()


# --- The machine ---


def refused(ended, *texts):
    assert ended.returncode == FAILED, ended
    line = ended.stderr.strip().splitlines()[-1]
    assert " error cannot start reason=" in line, line
    for text in texts:
        assert text in line, line


@pytest.mark.parametrize("which", ["client", "peer"])
def test_port_in_use_is_refused_with_the_address(server, tmp_path, which):
    with Cluster(server, members=1) as cluster:
        taken = int(cluster.members[0].endpoint.split(":")[1])
        ended = run(server, *member_flags(tmp_path / "data", **{which: taken}))
        refused(ended, f"127.0.0.1:{taken}", "use")


def test_data_directory_in_use_is_refused_with_the_pid(server):
    with Cluster(server, members=1) as cluster:
        flags = member_flags(cluster.directory / "m0")
        refused(run(server, *flags), "in use", str(cluster.members[0].pid))
        with cluster.connect(0) as client:  # the one that runs is none the worse
            client.KV.Put(cluster.api.PutRequest(key=b"a"), timeout=5)


def test_data_of_another_cluster_is_refused(alone):
    refused(start_again(alone, {"--initial-cluster-token": "another"}), "holds data of cluster", "--data-dir")


def test_data_of_another_member_is_refused(server):
    with Cluster(server, members=3) as cluster:
        for member in cluster.members:
            assert member.terminate() == 0
        own = data_dir(cluster)
        shutil.rmtree(own)
        (cluster.directory / "m1").rename(own)
        refused(start_again(cluster), "holds data of member", "--name")


def test_newer_format_is_refused_and_left_alone(alone):
    stamp = data_dir(alone) / "identity"
    newer = stamp.read_text().replace("format: 1\n", "format: 2\n")
    stamp.write_text(newer)
    refused(start_again(alone), "format 2", "newer")
    assert stamp.read_text() == newer


def test_damaged_identity_is_refused(alone):
    stamp = data_dir(alone) / "identity"
    stamp.write_text(stamp.read_text().replace("member_id: ", "member_id: 0"))
    refused(start_again(alone), "damaged")


@pytest.mark.parametrize("part", ["raft", "state.1", "identity"])
def test_missing_part_is_refused(alone, part):
    """Starting afresh would forget votes and writes."""
    path = data_dir(alone) / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(start_again(alone), part)


def test_unwritable_directory_is_refused(server, tmp_path):
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    command = [server, *member_flags(closed / "data")]
    if os.geteuid() == 0:  # whom permissions do not stop
        program = pathlib.Path(tmp_path / "cairnd")
        shutil.copy(server, program)
        for parent in tmp_path.parents:
            if parent.stat().st_uid == 0 and parent.name.startswith("pytest-"):
                parent.chmod(0o755)
        command[0] = str(program)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    else:
        closed.chmod(0o555)
    refused(run(command[0], *command[1:]), str(closed / "data"), "ermission denied")


def test_file_in_place_of_the_directory_is_refused(server, tmp_path):
    path = tmp_path / "data"
    path.write_text("not a directory")
    refused(run(server, *member_flags(path)), str(path))
    assert path.read_text() == "not a directory"


def test_right_start_after_refusals_has_the_data(alone):
    start_again(alone, {"--initial-cluster-token": "another"})
    alone.members[0].start()
    alone.wait_until_ready()
    with alone.connect(0) as client:
        assert client.KV.Range(alone.api.RangeRequest(key=b"a"), timeout=5).kvs[0].value == b"1"
