"""A cluster as its operator sees it: start from files, log lines, orderly stop, fail-over."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest
import yaml

from harness import Client, Cluster, wait_until
from harness.api import SOURCE_ROOT

LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (debug|info |warn |error) [a-z].*$")


def line_with(member, *parts):
    """The first line of the member's log that has all parts, or None."""
    for line in member.log(1 << 20).splitlines():
        if all(part in line for part in parts):
            return line
    return None


def wait_for_line(member, *parts, timeout=10):
    return wait_until(lambda: line_with(member, *parts), timeout, f"{parts} in the log of {member.name}")


class Writer(threading.Thread):
    """Puts one after the other over all members; knows when each was acknowledged."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.times = [time.monotonic()]
        self.values = set()
        self.stopping = threading.Event()

    def run(self):
        clients = [Client(self.cluster.api, endpoint) for endpoint in self.cluster.endpoints]
        number = at = 0
        while not self.stopping.is_set():
            number += 1
            key = b"gap-%d" % number
            try:
                clients[at].KV.Put(self.cluster.api.PutRequest(key=key, value=key), timeout=2)
                self.times.append(time.monotonic())
                self.values.add(key)
            except grpc.RpcError:
                at = (at + 1) % len(clients)
                self.stopping.wait(0.005)
        for client in clients:
            client.close()

    def wait_for_writes(self, count=20):
        begin = len(self.times)
        wait_until(lambda: len(self.times) >= begin + count, 20, "writes to be acknowledged")

    def longest_gap(self, since):
        times = [moment for moment in self.times if moment >= since]
        return max(after - before for before, after in zip([since, *times], times))

    def __enter__(self):
        self.start()
        self.wait_for_writes()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(10)


def all_there(cluster, writer, member=0):
    with cluster.connect(member) as client:
        request = cluster.api.RangeRequest(key=b"gap-", range_end=b"gap.")
        found = {kv.key for kv in client.KV.Range(request, timeout=10).kvs}
    assert writer.values <= found, f"lost: {sorted(writer.values - found)[:5]}"


# --- Stop and fail-over ---


def test_sigterm_hands_leadership_over_and_ends_with_0(cluster):
    gaps = []
    with Writer(cluster) as writer:
        for _ in range(3):
            leader = cluster.leader()
            begun = time.monotonic()
            assert cluster.members[leader].terminate() == 0
            writer.wait_for_writes()
            gaps.append(writer.longest_gap(begun))
            assert line_with(cluster.members[leader], "stopping") and line_with(cluster.members[leader], "stopped")
            cluster.members[leader].start()
            cluster.wait_until_ready()
    print("longest time without a write around the SIGTERM of a leader [s]:", *(f"{gap:.3f}" for gap in gaps))
    all_there(cluster, writer)


def test_kill_of_the_leader_is_followed_by_another(cluster):
    gaps = []
    with Writer(cluster) as writer:
        for _ in range(5):
            leader = cluster.leader()
            begun = time.monotonic()
            cluster.members[leader].kill()
            writer.wait_for_writes()
            gaps.append(writer.longest_gap(begun))
            cluster.members[leader].start()
            cluster.wait_until_ready()
    print("longest time without a write around the kill -9 of a leader [s]:", *(f"{gap:.3f}" for gap in gaps))
    assert max(gaps) < 5, gaps
    all_there(cluster, writer)


def test_sigterm_of_all_at_once_ends_all_with_0(cluster):
    for member in cluster.members:
        member.process.terminate()
    assert [member.process.wait(30) for member in cluster.members] == [0, 0, 0]


def test_sigterm_of_a_member_without_quorum_ends_it_with_0(cluster):
    cluster.members[0].kill()
    cluster.members[1].kill()
    assert cluster.members[2].terminate() == 0


def test_sigterm_with_calls_and_streams_open_ends_with_0(cluster):
    with cluster.connect(0) as client:
        watch = client.Watch.Watch(iter([cluster.api.WatchRequest(create_request={"key": b"a"})]))
        assert next(watch).created
        assert cluster.members[0].terminate() == 0
        with pytest.raises(grpc.RpcError) as ended:
            for _ in watch:
                pass
        # clientv3 goes on elsewhere after this code only.
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE


# --- Logs ---


def test_log_tells_the_story_of_a_cluster(cluster):
    """Part by part: started and ready, elected, peer lost and back, slow request; one line a fact."""
    leader = cluster.leader()
    followers = [index for index in range(3) if index != leader]
    for member in cluster.members:
        assert line_with(member, " info  starting ", f"name={member.name}", "version=", "data_dir=")
        wait_for_line(member, " info  ready to serve client requests ", f"client_urls=http://{member.endpoint}")
    wait_for_line(cluster.members[leader], " info  elected leader ", "term=")
    for index in followers:
        wait_for_line(cluster.members[index], " info  following leader ", f"leader=m{leader}", "term=")
    gone = followers[0]
    cluster.members[gone].kill()
    wait_for_line(cluster.members[leader], " warn  peer lost ", f"peer=m{gone}", "reason=")
    # Nobody to agree with for a moment: the put takes its time.
    cluster.members[followers[1]].pause()
    with cluster.connect(leader) as client:
        put = client.KV.Put.future(cluster.api.PutRequest(key=b"slow"), timeout=10)
        threading.Event().wait(0.6)  # longer than what counts as slow
        cluster.members[followers[1]].resume()
        with contextlib.suppress(grpc.RpcError):
            put.result()
    wait_for_line(cluster.members[leader], " warn  slow request ", "method=/etcdserverpb.KV/Put", "took=")
    cluster.members[gone].start()
    cluster.wait_until_ready()
    wait_for_line(cluster.members[leader], " info  peer connected ", f"peer=m{gone}")
    for member in cluster.members:
        for line in member.log(1 << 20).splitlines():
            assert LINE.match(line), f"no line of a log: {line!r}"


def test_log_in_json_is_an_object_a_line(server):
    with Cluster(server, members=1, flags=["--log-format=json"]) as cluster:
        assert cluster.members[0].terminate() == 0
        lines = [json.loads(line) for line in cluster.members[0].log(1 << 20).splitlines()]
        assert all({"ts", "level", "msg"} <= set(line) for line in lines)
        assert [line["name"] for line in lines if line["msg"] == "ready to serve client requests"] == ["m0"]


def test_log_level_leaves_out_what_is_below(server):
    with Cluster(server, members=1, flags=["--log-level=error"]) as cluster:
        assert cluster.members[0].log() == ""


def test_reader_of_the_log_that_stands_still_stops_nothing(server):
    """E24: a log sink that blocks must not hold up reads and writes."""
    with Cluster(server, members=1, flags=["--log-level=debug"], start=False) as cluster:
        member = cluster.members[0]
        read_end, write_end = os.pipe()
        member.process = subprocess.Popen(member.command, stdin=subprocess.DEVNULL, stdout=write_end, stderr=write_end)
        os.close(write_end)
        try:
            cluster.wait_until_ready()
            # Each stranger at the peer port is worth a line; a pipe holds 64 KiB of them.
            peer = next(flag for flag in member.command if flag.startswith("--listen-peer-urls=")).rsplit(":", 1)[1]
            with cluster.connect(0) as client:
                for number in range(3000):
                    with socket.create_connection(("127.0.0.1", int(peer))) as stranger:
                        stranger.sendall(b"x" * 32)
                    if number % 100 == 0:
                        client.KV.Put(cluster.api.PutRequest(key=b"a"), timeout=2)
                        client.KV.Range(cluster.api.RangeRequest(key=b"a"), timeout=2)
        finally:
            member.kill()
            os.close(read_end)


# --- Files of deploy/ ---


def ports_in_use(ports):
    used = []
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                used.append(port)
    return used


@pytest.mark.parametrize("folder", ["three-members", "five-members"])
def test_cluster_starts_from_its_yaml_as_it_is(server, api, tmp_path, folder):
    files = sorted((SOURCE_ROOT / "deploy" / folder).glob("*.yaml"))
    settings = [yaml.safe_load(file.read_text()) for file in files]
    addresses = [re.search(r"127\.0\.0\.1:(\d+)", text).group(0) for each in settings
                 for text in (each["listen-client-urls"], each["listen-peer-urls"])]
    used = ports_in_use(int(address.split(":")[1]) for address in addresses)
    if used:
        pytest.skip(f"ports of deploy/{folder} are in use: {used}")
    processes = [subprocess.Popen(["setpriv", "--pdeathsig", "KILL", server, f"--config-file={file}"], cwd=tmp_path,
                                  stderr=subprocess.DEVNULL) for file in files]
    try:
        for endpoint in addresses[::2]:
            with Client(api, endpoint) as client:
                wait_until(lambda: client.KV.Put(api.PutRequest(key=b"yaml"), timeout=1), 30, f"a put to {endpoint}")
                members = client.Cluster.MemberList(api.MemberListRequest(), timeout=5).members
                assert len(members) == len(files)
        assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [file.stem for file in files]
    finally:
        for process in processes:
            process.terminate()
        assert [process.wait(30) for process in processes] == [0] * len(processes)


@pytest.mark.parametrize("members", [1, 3])
def test_local_cluster_script_starts_and_stops(cli, server, tmp_path, members):
    used = ports_in_use([2379, 2380, 22379, 22380, 32379, 32380])
    if used:
        pytest.skip(f"ports of deploy/local-cluster.sh are in use: {used}")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "build").mkdir()
    shutil.copy(SOURCE_ROOT / "deploy" / "local-cluster.sh", tmp_path / "deploy")
    (tmp_path / "build" / "cairnd").symlink_to(pathlib.Path(server).resolve())
    (tmp_path / "build" / "cairn").symlink_to(pathlib.Path(cli).resolve())
    command = [str(tmp_path / "deploy" / "local-cluster.sh"), "--members", str(members)]
    for expected in (3, 4):  # the second run finds the data of the first
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as script:
            try:
                for line in script.stdout:
                    if "build/cairn put greeting hello" in line:
                        break
                put = subprocess.run([cli, "put", "greeting", "hello"], capture_output=True, text=True, timeout=10)
                assert put.returncode == 0, put
                got = subprocess.run([cli, "-o", "json", "get", "greeting"], capture_output=True, text=True, timeout=10)
                assert json.loads(got.stdout)["kvs"][0]["version"] == expected - 2, got.stdout
            finally:
                script.send_signal(signal.SIGINT)
                rest = script.stdout.read()
            assert script.wait(30) == 0 and "stopping the cluster" in rest
    assert not ports_in_use([2379, 2380]), "something still runs"


def test_run_refuses_what_it_does_not_know():
    for arguments in (["--no-such"], ["--members", "2"], ["--members"]):
        ended = subprocess.run([SOURCE_ROOT / "run", *arguments], capture_output=True, text=True, timeout=10)
        assert ended.returncode == 2 and "./run: " in ended.stderr, ended
    help_text = subprocess.run([SOURCE_ROOT / "run", "--help"], capture_output=True, text=True, timeout=10)
    assert help_text.returncode == 0
    for option in ("--members", "--clean", "--build-only"):
        assert option in help_text.stdout
