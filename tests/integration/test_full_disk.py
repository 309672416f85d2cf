"""A disk without space: the member says so and ends or waits; nothing acknowledged is lost when there is space again."""

import shutil
import subprocess

import grpc
import pytest

from harness import Cluster, wait_until

SMALL, LARGE = "size=24m", "size=400m"
VALUE = bytes(20_000)


@pytest.fixture
def mounted(request):
    """mount(cluster, member): a small file system for the member's data, or a part of it."""
    paths = []

    def mount(cluster, index, below=""):
        path = cluster.directory / f"m{index}" / below
        path.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL, "cairn-test", str(path)], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
        paths.append(path)
        return path

    yield mount
    for path in paths:
        subprocess.run(["umount", "-l", str(path)], check=False, capture_output=True)


def remount_larger(path):
    subprocess.run(["mount", "-o", f"remount,{LARGE}", str(path)], check=True)


def fill(cluster, client, most):
    """Puts until one fails or `most`; the keys acknowledged, and the error."""
    acknowledged = []
    for number in range(most):
        key = b"full-%05d" % number
        try:
            client.KV.Put(cluster.api.PutRequest(key=key, value=VALUE), timeout=10)
        except grpc.RpcError as error:
            return acknowledged, error
        acknowledged.append(key)
    return acknowledged, None


def lead_from(cluster, target):
    leader = cluster.leader()
    if leader == target:
        return
    with cluster.connect(target) as client:
        target_id = client.Maintenance.Status(cluster.api.StatusRequest(), timeout=5).header.member_id
    with cluster.connect(leader) as client:
        client.Maintenance.MoveLeader(cluster.api.MoveLeaderRequest(targetID=target_id), timeout=10)
    assert cluster.leader() == target


def all_there(cluster, client, keys):
    request = cluster.api.RangeRequest(key=b"full-", range_end=b"full.", keys_only=True)
    found = {kv.key for kv in client.KV.Range(request, timeout=30).kvs}
    assert set(keys) <= found, f"lost: {sorted(set(keys) - found)[:5]} of {len(keys)}"


def test_single_member_says_why_and_keeps_what_it_acknowledged(server, mounted):
    with Cluster(server, members=1, start=False) as cluster:
        path = mounted(cluster, 0)
        cluster.start()
        member = cluster.members[0]
        with cluster.connect(0) as client:
            acknowledged, error = fill(cluster, client, 3000)
            assert error is not None, "the disk never filled up"
            print(f"{len(acknowledged)} puts, then {error.code().name} {error.details()!r}")
            assert len(acknowledged) > 100
            wait_until(lambda: not member.running or "make room on the disk" in member.log(), 20, "the reason in the log")
            if member.running:
                assert client.KV.Range(cluster.api.RangeRequest(key=b"full-00000", serializable=True), timeout=5).count == 1
        print(f"member {'lives' if member.running else 'has ended'}; last line: {member.log().strip().splitlines()[-1]}")
        if not member.running:
            assert member.process.returncode == 1, "it must end in order, not by a signal"
            assert "No space left" in member.log(), member.log()
        lives = member.running
        remount_larger(path)
        if not lives:
            member.start()
        cluster.wait_until_ready()
        with cluster.connect(0) as client:
            all_there(cluster, client, acknowledged)
            wait_until(lambda: client.KV.Put(cluster.api.PutRequest(key=b"again"), timeout=10), 30, "a put with room")
        assert member.running, "there was room, and it ended"
        member.kill()
        member.start()
        cluster.wait_until_ready()
        with cluster.connect(0) as client:
            all_there(cluster, client, acknowledged)


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_full_disk_of_one_of_three_stops_nobody_else(server, mounted, role):
    with Cluster(server, members=3, start=False) as cluster:
        path = mounted(cluster, 2)
        cluster.start()
        full = cluster.members[2]
        lead_from(cluster, 2 if role == "leader" else 0)
        acknowledged = []
        with cluster.connect(0) as client:
            for number in range(2000):
                key = b"full-%05d" % number

                def put():
                    client.KV.Put(cluster.api.PutRequest(key=key, value=VALUE), timeout=10)
                    return True

                wait_until(put, 20, "a put that two of three can acknowledge")
                acknowledged.append(key)
                if not full.running and number > 1500:
                    break
        print(f"the member with the full disk {'lives' if full.running else 'ended'}; "
              f"last line of its log: {full.log().strip().splitlines()[-1]}")
        remount_larger(path)
        if not full.running:
            assert full.process.returncode == 1
            full.start()
        cluster.wait_until_ready(timeout=60)
        with cluster.connect(2) as client:
            all_there(cluster, client, acknowledged)


def test_leader_whose_state_has_no_room_lets_another_lead(server, mounted):
    """Its log has room: without a hand-over it would go on leading, and answer nobody."""
    with Cluster(server, members=3) as cluster:
        full = cluster.members[2]
        assert full.terminate() == 0
        state = cluster.directory / "m2" / "state.1"
        aside = cluster.directory / "aside"
        state.rename(aside)
        mounted(cluster, 2, "state.1")
        shutil.copytree(aside, state, dirs_exist_ok=True)
        full.start()
        cluster.wait_until_ready()
        lead_from(cluster, 2)
        acknowledged = []
        with cluster.connect(0) as client:
            for number in range(3000):
                key = b"full-%05d" % number
                try:
                    client.KV.Put(cluster.api.PutRequest(key=key, value=VALUE), timeout=10)
                    acknowledged.append(key)
                except grpc.RpcError as error:
                    print(f"put {number}: {error.code().name} {error.details()}")
        print(f"{len(acknowledged)} puts; {full.log().strip().splitlines()[-1]}")
        wait_until(lambda: "make room on the disk" in full.log(1 << 20), 10, "the member to say that its disk is full")
        assert cluster.leader() != 2 and len(acknowledged) > 2950
        remount_larger(state)
        cluster.wait_until_ready(timeout=60)
        with cluster.connect(2) as client:
            all_there(cluster, client, acknowledged)
