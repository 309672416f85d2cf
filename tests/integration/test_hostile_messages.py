"""Well-framed calls with bad contents: every answer is one the API knows, and no member ends or goes astray."""

import concurrent.futures
import random
import re

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor as Field

from guard import Guard
from workload import ERRORS

SEED = 20262
# The transport's own words, beside the texts of proto/errors.def.
TRANSPORT_TEXTS = ("context deadline exceeded", "Deadline Exceeded")
INT64 = [0, 1, -1, 2, 1 << 31, (1 << 63) - 1, -(1 << 63), 9_000_000_001]
UINT64 = [0, 1, 1 << 63, (1 << 64) - 1]
ENUM = [0, 1, 5, 6, 99, -1, (1 << 31) - 1, -(1 << 31)]
BYTES = [b"", b"\0", b"a", b"\xff" * 300, bytes(70_000)]


@pytest.fixture(scope="module")
def guard(shared_cluster):
    return Guard(shared_cluster)


@pytest.fixture(autouse=True)
def harmless(guard, request, shared_cluster):
    yield
    guard.check(request.node.name)
    assert len(hashes(shared_cluster)) == 1, f"the members differ: {hashes(shared_cluster)}"


@pytest.fixture(scope="module")
def client(shared_cluster):
    with shared_cluster.connect(0) as connected:
        yield connected


def hashes(cluster):
    """(revision, hash) of each member, at a revision that all have."""
    api = cluster.api
    found, revision = set(), 0
    for index in range(len(cluster.members)):
        with cluster.connect(index) as client:
            head = client.KV.Range(api.RangeRequest(key=b"x"), timeout=5).header.revision  # linearizable: applied so far
            revision = revision or head
            answer = client.Maintenance.HashKV(api.HashKVRequest(revision=revision), timeout=10)
            found.add((revision, answer.hash, answer.compact_revision))
    return found


def known_texts():
    return set(re.findall(r'^CAIRN_ERROR\(\w+, \w+, "([^"]*)"', ERRORS.read_text(), re.MULTILINE)) | set(TRANSPORT_TEXTS)


def is_known(code, text, known):
    """One of the API's texts, or our own where the API has none."""
    own = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)
    return text in known or (text.startswith("cairn: ") and code in own)


def raw_call(client, method, streaming=False):
    kind = client.channel.stream_stream if streaming else client.channel.unary_unary
    return kind(method, request_serializer=lambda data: data, response_deserializer=lambda data: data)


def methods(api):
    """(path, request type, answered by a stream) of every method of the API."""
    for service in api.services.values():
        for method in service.methods:
            streaming = service.name == "Watch" or method.name == "LeaseKeepAlive"
            yield f"/{service.full_name}/{method.name}", api.type_of(method.input_type), streaming


def outcome(client, path, data, streaming):
    """(code, text) of one call; of a stream the first answer counts as OK."""
    try:
        if streaming:
            call = raw_call(client, path, True)(iter([data]), timeout=0.3)
            try:
                next(call, None)
            finally:
                call.cancel()
        else:
            raw_call(client, path)(data, timeout=5)
        return grpc.StatusCode.OK, ""
    except grpc.RpcError as error:
        return error.code(), error.details()


def values_for(field):
    if field.type == Field.TYPE_ENUM:
        return ENUM
    if field.type in (Field.TYPE_INT64, Field.TYPE_INT32):
        return INT64
    if field.type in (Field.TYPE_UINT64, Field.TYPE_UINT32):
        return UINT64
    if field.type == Field.TYPE_BOOL:
        return [False, True]
    if field.type == Field.TYPE_BYTES:
        return BYTES
    return ["", "x" * 1000]


def variants(api, message_type, base, depth=0):
    """The message with one field after the other set to each extreme value, nested messages too."""
    for field in message_type.DESCRIPTOR.fields:
        if field.type == Field.TYPE_MESSAGE:
            if depth >= 2:
                continue
            inner_type = api.type_of(field.message_type)
            for inner in variants(api, inner_type, inner_type(), depth + 1):
                message = message_type()
                message.CopyFrom(base)
                if field.label == Field.LABEL_REPEATED:
                    getattr(message, field.name).append(inner)
                else:
                    getattr(message, field.name).CopyFrom(inner)
                yield message
            continue
        for value in values_for(field):
            message = message_type()
            message.CopyFrom(base)
            if field.label == Field.LABEL_REPEATED:
                getattr(message, field.name).extend([value] * 3)
            else:
                setattr(message, field.name, value)
            yield message


def bases(api, message_type):
    """An empty message, and one that would be right."""
    yield message_type()
    full = message_type()
    names = {field.name for field in message_type.DESCRIPTOR.fields}
    if "key" in names:
        full.key = b"hostile"
    if message_type.DESCRIPTOR.name == "TxnRequest":
        full.success.add(request_put=api.PutRequest(key=b"hostile", value=b"v"))
    if message_type.DESCRIPTOR.name == "WatchRequest":
        full.create_request.key = b"hostile"
    if full != message_type():
        yield full


def test_every_field_of_every_request_at_its_extremes(shared_cluster, client):
    """Unknown enum values, negative and huge numbers, empty and long keys. Each is answered with a known text."""
    api, known = shared_cluster.api, known_texts()
    jobs = [
        (path, message, streaming)
        for path, message_type, streaming in methods(api)
        for base in bases(api, message_type)
        for message in variants(api, message_type, base)
    ]
    assert len(jobs) > 1000, "the generator makes too little"

    def one(job):
        path, message, streaming = job
        code, text = outcome(client, path, message.SerializeToString(), streaming)
        good = code == grpc.StatusCode.OK or is_known(code, text, known)
        return None if good else f"{path} {str(message)[:200]!r}: {code.name} {text!r}"

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        strange = [answer for answer in pool.map(one, jobs) if answer]
    assert not strange, "\n".join(strange[:20])
    print(f"{len(jobs)} requests")


def test_bytes_that_are_no_protobuf_are_refused(shared_cluster, client):
    for path, message_type, streaming in methods(shared_cluster.api):
        for data in (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0f", bytes([0x0A, 5, 1])):
            code, _ = outcome(client, path, data, streaming)
            assert code == grpc.StatusCode.INTERNAL, f"{path} {data}: {code}"
        assert message_type().SerializeToString() == b""


def test_mutated_requests_are_answered(shared_cluster, client):
    """Bytes of right requests, turned, cut and doubled."""
    api, dice = shared_cluster.api, random.Random(SEED)
    seeds = []
    for path, message_type, streaming in methods(api):
        if not streaming:
            for base in bases(api, message_type):
                seeds += [(path, message.SerializeToString()) for message in variants(api, message_type, base)]
    known = known_texts()

    def mutate(data):
        data = bytearray(data[:500])
        for _ in range(dice.randrange(1, 4)):
            position = dice.randrange(len(data) + 1)
            kind = dice.randrange(4)
            if kind == 0 and data:
                data[position % len(data)] ^= 1 << dice.randrange(8)
            elif kind == 1:
                data[position:position] = dice.randbytes(dice.randrange(1, 5))
            elif kind == 2:
                del data[position : position + dice.randrange(1, 5)]
            else:
                data += data[:position]
        return bytes(data)

    jobs = [(path, mutate(data)) for path, data in dice.choices(seeds, k=4000)]

    def one(job):
        code, text = outcome(client, *job, False)
        good = code in (grpc.StatusCode.OK, grpc.StatusCode.INTERNAL) or is_known(code, text, known)
        return None if good else f"{job}: {code.name} {text!r}"

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        strange = [answer for answer in pool.map(one, jobs) if answer]
    assert not strange, "\n".join(strange[:20])


@pytest.mark.parametrize("path", [
    "/etcdserverpb.KV/Nothing", "/etcdserverpb.Nothing/Range", "/etcdserverpb.KV/", "/", "/a/b/c", "/etcdserverpb.KV/range",
    pytest.param("/" + "x" * 8000, id="long"),
])
def test_unknown_method_is_unimplemented(client, path):
    code, _ = outcome(client, path, b"", False)
    assert code == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("megabytes, code, text", [
    pytest.param(1.6, grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large", id="1.6MiB"),
    pytest.param(3, grpc.StatusCode.RESOURCE_EXHAUSTED, None, id="3MiB"),
    pytest.param(64, grpc.StatusCode.RESOURCE_EXHAUSTED, None, id="64MiB"),
])
def test_oversized_message_is_refused(shared_cluster, client, megabytes, code, text):
    request = shared_cluster.api.PutRequest(key=b"big", value=bytes(int(megabytes * (1 << 20))))
    for _ in range(5):
        found, details = outcome(client, "/etcdserverpb.KV/Put", request.SerializeToString(), False)
        assert found == code and (text is None or details == text), (found, details)


def test_message_that_unpacks_to_too_much_is_refused(shared_cluster, client):
    request = shared_cluster.api.PutRequest(key=b"big", value=bytes(256 << 20))
    with pytest.raises(grpc.RpcError) as refused:
        client.KV.Put(request, timeout=20, compression=grpc.Compression.Gzip)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_deep_nesting_is_refused_and_some_is_not(shared_cluster, client):
    api = shared_cluster.api

    def nested(depth):
        data = api.TxnRequest(success=[{"request_put": api.PutRequest(key=b"deep", value=b"v")}]).SerializeToString()
        for _ in range(depth):
            operation = wrap(4, data)  # RequestOp.request_txn
            data = wrap(2, operation)  # TxnRequest.success
        return data

    assert outcome(client, "/etcdserverpb.KV/Txn", nested(5), False)[0] == grpc.StatusCode.OK
    assert outcome(client, "/etcdserverpb.KV/Txn", nested(10_000), False)[0] == grpc.StatusCode.INTERNAL


def wrap(field, data):
    out, size = bytearray([field << 3 | 2]), len(data)
    while size >= 128:
        out.append(size % 128 + 128)
        size //= 128
    return bytes(out + bytes([size])) + data


def test_alarm_requests_that_ended_etcd(shared_cluster, client):
    """An action or alarm outside the enumeration is an answer or an error, not the end."""
    api = shared_cluster.api
    for action in ENUM:
        for alarm in ENUM:
            for member in (0, 1, (1 << 64) - 1):
                message = api.AlarmRequest(action=action, alarm=alarm, memberID=member)
                outcome(client, "/etcdserverpb.Maintenance/Alarm", message.SerializeToString(), False)
    assert not client.Maintenance.Alarm(api.AlarmRequest(), timeout=5).alarms


def test_watch_ids_and_streams_at_their_extremes(shared_cluster, client):
    """Thousands of creates, cancels of what is not there and progress requests on one stream."""
    api, dice = shared_cluster.api, random.Random(SEED)

    def requests():
        for number in range(3000):
            kind = number % 3
            if kind == 0:
                yield api.WatchRequest(create_request=api.WatchCreateRequest(
                    key=dice.choice(BYTES[:4]), range_end=dice.choice(BYTES[:4]), watch_id=dice.choice(INT64),
                    start_revision=dice.choice(INT64), filters=dice.choices(ENUM, k=3), fragment=True, prev_kv=True))
            elif kind == 1:
                yield api.WatchRequest(cancel_request=api.WatchCancelRequest(watch_id=dice.choice(INT64)))
            else:
                yield api.WatchRequest(progress_request=api.WatchProgressRequest())
        yield api.WatchRequest(create_request=api.WatchCreateRequest(key=b"the-last", watch_id=4711))

    call = client.Watch.Watch(requests(), timeout=30)
    for response in call:
        if response.watch_id == 4711 and response.created:
            break
    else:
        pytest.fail("the stream ended before the last create was answered")
    call.cancel()
