"""A leader that stands still for longer than an election takes, and goes on: its past must not be served as the present.

The scenarios that broke others: a read answered from before the pause, a lease expired by one who no longer leads, a
keep-alive acknowledged by one who no longer leads.
"""

import threading
import time

import grpc

from harness import wait_until

ROUNDS = 5
READS = 40
TTL_SECONDS = 4


def change_of_leader(cluster, paused):
    """Another leader than the paused member, as the others see it."""
    api = cluster.api
    index = (paused + 1) % 3
    with cluster.connect(index) as client:
        old = member_id(cluster, client, f"m{paused}")

        def other():
            leader = client.Maintenance.Status(api.StatusRequest(), timeout=2).leader
            return leader not in (0, old)

        wait_until(other, 20, "another leader")


def member_id(cluster, client, name):
    listed = client.Cluster.MemberList(cluster.api.MemberListRequest(), timeout=5).members
    return next(member.ID for member in listed if member.name == name)


def read_all(cluster, client, count=READS):
    return [client.KV.Range.future(cluster.api.RangeRequest(key=b"now"), timeout=15) for _ in range(count)]


def check_reads(calls, value, revision):
    """Each is an error or shows the value; the number of answers."""
    answered = 0
    for call in calls:
        if call.exception() is None:
            answer = call.result()
            assert answer.header.revision >= revision, f"stale: {answer.header.revision} after {revision}"
            assert int(answer.kvs[0].value) >= value, f"stale value {answer.kvs[0].value} after {value}"
            answered += 1
        else:
            assert call.code() == grpc.StatusCode.UNAVAILABLE, call.details()
    return answered


def test_reads_that_reach_a_paused_leader_are_not_answered_from_the_past(cluster):
    api = cluster.api
    answered = 0
    for number in range(ROUNDS):
        leader = cluster.leader()
        with cluster.connect(leader) as old, cluster.connect((leader + 1) % 3) as other:
            before = other.KV.Put(api.PutRequest(key=b"now", value=b"%d" % (2 * number)), timeout=5).header.revision
            assert old.KV.Range(api.RangeRequest(key=b"now"), timeout=5).header.revision >= before
            under_way = read_all(cluster, old)  # some may be half through a confirmation when it stops
            cluster.members[leader].pause()
            early = read_all(cluster, old)
            change_of_leader(cluster, leader)
            put = other.KV.Put(api.PutRequest(key=b"now", value=b"%d" % (2 * number + 1)), timeout=5)
            late = read_all(cluster, old)  # these begin after the write has ended
            cluster.members[leader].resume()
            after = read_all(cluster, old)
            check_reads(under_way + early, 2 * number, before)
            answered += check_reads(late + after, 2 * number + 1, put.header.revision)
        cluster.wait_until_ready()
    print(f"{answered} of {2 * ROUNDS * READS} reads sent to deposed leaders were answered, none with the past")
    assert answered > 0


def test_leases_survive_the_pause_of_their_leader(cluster):
    """Kept alive at the others meanwhile, they must not be expired by the one who comes back."""
    api = cluster.api
    for number in range(2):
        leader = cluster.leader()
        with cluster.connect((leader + 1) % 3) as other:
            ids = [other.Lease.LeaseGrant(api.LeaseGrantRequest(TTL=TTL_SECONDS), timeout=5).ID for _ in range(20)]
            for lease in ids:
                other.KV.Put(api.PutRequest(key=b"held-%d" % lease, value=b"v", lease=lease), timeout=5)
            stopping = threading.Event()
            lost = []

            def keep_alive():
                while not stopping.wait(0.5):
                    for lease in ids:
                        call = other.Lease.LeaseKeepAlive(iter([api.LeaseKeepAliveRequest(ID=lease)]), timeout=2)
                        try:
                            if next(call).TTL <= 0:
                                lost.append(lease)
                        except (grpc.RpcError, StopIteration):
                            pass  # between two leaders; the next try is soon
                        finally:
                            call.cancel()

            keeper = threading.Thread(target=keep_alive, daemon=True)
            keeper.start()
            cluster.members[leader].pause()
            # The leases are past their first TTL when the old leader goes on, by its own count overdue.
            paused_at = time.monotonic()
            change_of_leader(cluster, leader)
            wait_until(lambda: time.monotonic() > paused_at + TTL_SECONDS + 1.5, 30, "the first TTL to pass")
            cluster.members[leader].resume()
            cluster.wait_until_ready()
            resumed_at = time.monotonic()
            wait_until(lambda: time.monotonic() > resumed_at + 1.5, 30, "the old leader to do harm")
            stopping.set()
            keeper.join(10)
            assert not lost, f"leases gone although kept alive: {lost}"
            request = api.RangeRequest(key=b"held-", range_end=b"held.", count_only=True)
            assert other.KV.Range(request, timeout=5).count == len(ids)
            for lease in ids:
                other.Lease.LeaseRevoke(api.LeaseRevokeRequest(ID=lease), timeout=5)


def test_keep_alive_at_a_deposed_leader_is_not_acknowledged_for_a_revoked_lease(cluster):
    api = cluster.api
    for _ in range(3):
        leader = cluster.leader()
        with cluster.connect(leader) as old, cluster.connect((leader + 1) % 3) as other:
            lease = other.Lease.LeaseGrant(api.LeaseGrantRequest(TTL=60), timeout=5).ID
            assert next(old.Lease.LeaseKeepAlive(iter([api.LeaseKeepAliveRequest(ID=lease)]), timeout=5)).TTL == 60
            cluster.members[leader].pause()
            change_of_leader(cluster, leader)
            other.Lease.LeaseRevoke(api.LeaseRevokeRequest(ID=lease), timeout=5)
            calls = [old.Lease.LeaseKeepAlive(iter([api.LeaseKeepAliveRequest(ID=lease)]), timeout=15) for _ in range(10)]
            cluster.members[leader].resume()
            for call in calls:
                try:
                    assert next(call).TTL <= 0, "a revoked lease was renewed"
                except (grpc.RpcError, StopIteration):
                    pass
        cluster.wait_until_ready()
