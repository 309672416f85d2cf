"""Members without a majority, members that are not the leader, and more load than there is room for."""

import contextlib
import time

import grpc
import pytest

from guard import resident_bytes
from harness import Client, Cluster, wait_until

NO_QUORUM_TEXTS = {
    "etcdserver: no leader",
    "etcdserver: request timed out",
    "etcdserver: leader changed",
    "etcdserver: request timed out, possibly due to previous leader failure",
    "etcdserver: request timed out, possibly due to connection lost",
    "etcdserver: request timed out, waiting for the applied index took too long",
}
SERVER_LIMIT_SECONDS = 7  # of a proposal or a confirmation, as etcd's
MIB = 1 << 20


def failure(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as failed:
        call(*arguments, **options)
    return failed.value.code(), failed.value.details()


# --- Any member serves ---


def test_every_member_takes_every_call(shared_cluster):
    """Followers forward: a write through one is read through the next at once."""
    api = shared_cluster.api
    count = len(shared_cluster.members)
    for index in range(count):
        with shared_cluster.connect(index) as here, shared_cluster.connect((index + 1) % count) as there:
            key, value = b"forward-%d" % index, b"value-%d" % index
            lease = here.Lease.LeaseGrant(api.LeaseGrantRequest(TTL=60), timeout=5)
            watch = there.Watch.Watch(iter([api.WatchRequest(create_request={"key": key})]), timeout=10)
            assert next(watch).created
            put = here.KV.Put(api.PutRequest(key=key, value=value, lease=lease.ID), timeout=5)
            got = there.KV.Range(api.RangeRequest(key=key), timeout=5)
            assert got.kvs[0].value == value and got.header.revision >= put.header.revision
            event = next(watch).events[0]
            assert event.kv.mod_revision == put.header.revision and event.kv.lease == lease.ID
            alive = next(there.Lease.LeaseKeepAlive(iter([api.LeaseKeepAliveRequest(ID=lease.ID)]), timeout=5))
            assert alive.TTL == 60
            assert there.Lease.LeaseTimeToLive(api.LeaseTimeToLiveRequest(ID=lease.ID, keys=True), timeout=5).keys == [key]
            there.Lease.LeaseRevoke(api.LeaseRevokeRequest(ID=lease.ID), timeout=5)
            assert next(watch).events[0].type == 1
            assert not here.KV.Range(api.RangeRequest(key=key), timeout=5).kvs
            watch.cancel()


def test_leadership_moves_on_request(shared_cluster):
    api = shared_cluster.api
    leader = shared_cluster.leader()
    target = (leader + 1) % 3
    with shared_cluster.connect(target) as client:
        target_id = client.Maintenance.Status(api.StatusRequest(), timeout=5).header.member_id
        code, text = failure(client.Maintenance.MoveLeader, api.MoveLeaderRequest(targetID=target_id), timeout=5)
        assert (code, text) == (grpc.StatusCode.FAILED_PRECONDITION, "etcdserver: not leader")
    with shared_cluster.connect(leader) as client:
        client.Maintenance.MoveLeader(api.MoveLeaderRequest(targetID=target_id), timeout=10)
    assert shared_cluster.leader() == target


# --- No quorum ---


def test_without_a_quorum_calls_fail_with_the_right_words_and_recover(cluster):
    api = cluster.api
    with cluster.connect(0) as client:
        before = client.KV.Put(api.PutRequest(key=b"before", value=b"1"), timeout=5)
        watch = client.Watch.Watch(iter([api.WatchRequest(create_request={"key": b"after"})]), timeout=120)
        assert next(watch).created
        for member in cluster.members[1:]:
            member.kill()
        begun = time.monotonic()
        for call, request in [
            (client.KV.Put, api.PutRequest(key=b"lost")),
            (client.KV.Range, api.RangeRequest(key=b"before")),
            (client.Lease.LeaseGrant, api.LeaseGrantRequest(TTL=10)),
            (client.KV.Txn, api.TxnRequest(success=[{"request_put": {"key": b"lost"}}])),
        ]:
            code, text = failure(call, request, timeout=SERVER_LIMIT_SECONDS + 5)
            assert code == grpc.StatusCode.UNAVAILABLE and text in NO_QUORUM_TEXTS, (code, text)
        print(f"four calls without a quorum failed within {time.monotonic() - begun:.1f} s")
        # The caller's own limit wins when it is shorter.
        code, _ = failure(client.KV.Put, api.PutRequest(key=b"lost"), timeout=0.5)
        assert code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
        local = client.KV.Range(api.RangeRequest(key=b"before", serializable=True), timeout=2)
        assert local.kvs[0].mod_revision == before.header.revision
        assert client.Maintenance.Status(api.StatusRequest(), timeout=2).leader == 0

        code, text = failure(client.KV.Put, api.PutRequest(key=b"lost"), timeout=5, metadata=[("hasleader", "true")])
        assert (code, text) == (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")

        cluster.members[1].start()
        cluster.wait_until_ready()
        after = client.KV.Put(api.PutRequest(key=b"after", value=b"2"), timeout=5)
        assert next(watch).events[0].kv.mod_revision == after.header.revision


def test_watch_that_requires_a_leader_is_cut_without_one(cluster):
    api = cluster.api
    with cluster.connect(0) as client:
        watch = client.Watch.Watch(iter([api.WatchRequest(create_request={"key": b"a"})]), timeout=60,
                                   metadata=[("hasleader", "true")])
        assert next(watch).created
        for member in cluster.members[1:]:
            member.kill()
        assert failure(next, watch) == (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")


def test_health_service_says_when_there_is_no_leader(cluster):
    def health(client):
        check = client.channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes,
                                           response_deserializer=bytes)
        return check(b"", timeout=2)

    serving, not_serving = b"\x08\x01", b"\x08\x02"
    with cluster.connect(0) as client:
        wait_until(lambda: health(client) == serving, 5, "a member to be healthy")
        for member in cluster.members[1:]:
            member.kill()
        wait_until(lambda: health(client) == not_serving, 10, "a member to notice")
        cluster.members[2].start()
        wait_until(lambda: health(client) == serving, 20, "a member to recover")


# --- Too much ---


def test_overload_is_refused_in_words_and_nothing_is_lost(cluster):
    """Nothing commits while the followers stand still: puts of a mebibyte fill every queue."""
    api = cluster.api
    leader = cluster.leader()
    member = cluster.members[leader]
    rest = resident_bytes(member.pid)
    for index, other in enumerate(cluster.members):
        if index != leader:
            other.pause()
    outcomes = {}
    clients = [Client(api, member.endpoint) for _ in range(4)]
    try:
        calls = {}
        for number in range(240):
            key = b"flood-%d" % number
            calls[key] = clients[number % 4].KV.Put.future(api.PutRequest(key=key, value=bytes(MIB)), timeout=20)
        peak = 0
        for key, call in calls.items():
            try:
                call.result()
                outcomes[key] = "OK"
            except grpc.RpcError as error:
                outcomes[key] = f"{error.code().name} {error.details()}"
            peak = max(peak, resident_bytes(member.pid))
    finally:
        for client in clients:
            client.close()
        for index, other in enumerate(cluster.members):
            if index != leader:
                other.resume()
    counts = {text: list(outcomes.values()).count(text) for text in set(outcomes.values())}
    print(f"{counts}\nmember: {rest // MIB} MiB at rest, {peak // MIB} MiB at the peak")
    refusal = "RESOURCE_EXHAUSTED etcdserver: too many requests"
    assert counts.get(refusal, 0) > 0, counts
    # The transport's own limit, of what one connection may have under way.
    unread = "RESOURCE_EXHAUSTED too many bytes of unfinished requests: send fewer large requests at once"
    allowed = {refusal, unread, "OK"} | {f"UNAVAILABLE {text}" for text in NO_QUORUM_TEXTS}
    assert set(counts) <= allowed, counts
    assert peak - rest < 512 * MIB
    cluster.wait_until_ready()
    assert member.running
    with cluster.connect(leader) as client:
        request = api.RangeRequest(key=b"flood-", range_end=b"flood.", keys_only=True)
        there = {kv.key for kv in client.KV.Range(request, timeout=20).kvs}
        client.KV.Put(api.PutRequest(key=b"after"), timeout=5)
    assert {key for key, text in outcomes.items() if text == "OK"} <= there
    nothing_happened = {refusal, unread, "UNAVAILABLE etcdserver: no leader"}
    assert not there & {key for key, text in outcomes.items() if text in nothing_happened}, "refused, yet written"


def test_many_small_requests_at_once_are_answered(server):
    """20,000 puts that wait at the same time: each is acknowledged or refused, and the member lives."""
    with Cluster(server, members=1) as cluster:
        api = cluster.api
        request = api.PutRequest(key=b"many", value=b"v")
        counts = {}
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(cluster.connect(0)) for _ in range(8)]
            calls = [clients[number % 8].KV.Put.future(request, timeout=60) for number in range(20_000)]
            for call in calls:
                text = "OK" if call.exception() is None else f"{call.code().name} {call.details()}"
                counts[text] = counts.get(text, 0) + 1
        print(counts)
        assert set(counts) <= {"OK", "RESOURCE_EXHAUSTED etcdserver: too many requests"}, counts
        with cluster.connect(0) as client:
            assert client.KV.Range(api.RangeRequest(key=b"many"), timeout=5).kvs[0].version == counts["OK"]
