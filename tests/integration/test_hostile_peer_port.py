"""What arrives at the peer port and is not a member, or is one that lies: refused with a reason, and no harm done."""

import contextlib
import ctypes
import random
import re
import socket
import struct

import pytest

from guard import Guard
from harness import wait_until
from harness.api import load_messages

HELLO, BATCH = 1, 2
HANDSHAKE_SECONDS = 3  # server/transport/transport_options.h
SEED = 20263

_xxhash = ctypes.CDLL("libxxhash.so.0")
_xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
_xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def frame(kind, body, length=None, checksum=None):
    """docs/formats.md: length, type, checksum seeded with both, body."""
    if checksum is None:
        checksum = _xxhash.XXH3_64bits_withSeed(body, len(body), (kind << 32) + len(body))
    return struct.pack("<IIQ", len(body) if length is None else length, kind, checksum) + body


@pytest.fixture(scope="module")
def messages():
    return load_messages("proto/internal/peer.proto")


@pytest.fixture(scope="module")
def guard(shared_cluster):
    return Guard(shared_cluster)


@pytest.fixture(autouse=True)
def harmless(guard, request):
    yield
    guard.check(request.node.name)


@pytest.fixture(scope="module")
def port(shared_cluster):
    """Of member 0."""
    command = " ".join(shared_cluster.members[0].command)
    return int(re.search(r"--listen-peer-urls=http://127\.0\.0\.1:(\d+)", command).group(1))


@pytest.fixture(scope="module")
def identities(shared_cluster):
    """(cluster id, member id, incarnation) of each member, from its data directory."""

    def read(member):
        text = (shared_cluster.directory / member.name / "identity").read_text()
        return tuple(int(re.search(rf"{name}: ([0-9a-f]+)", text).group(1), 16)
                     for name in ("cluster_id", "member_id", "incarnation_id"))

    return [read(member) for member in shared_cluster.members]


@pytest.fixture
def hello(messages, identities):
    """A right hello from member 1 to member 0, with changes."""

    def make(**changes):
        cluster, member, incarnation = identities[1]
        fields = dict(protocol_version=1, cluster_id=cluster, member_id=member, to_member_id=identities[0][1],
                      incarnation_id=incarnation)
        return messages.Hello(**{**fields, **changes}).SerializeToString()

    return make


@contextlib.contextmanager
def connection(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as opened:
        yield opened


def send(opened, data):
    with contextlib.suppress(ConnectionError):
        opened.sendall(data)


def rest_of(opened, timeout=HANDSHAKE_SECONDS + 5):
    """All that comes until the other side closes."""
    opened.settimeout(timeout)
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := opened.recv(1 << 16):
            received += data
    return received


def answer_to(messages, port, data):
    """The hello that comes back, or None when there was nothing but the end."""
    with connection(port) as opened:
        send(opened, data)
        received = rest_of(opened)
    if not received:
        return None
    size = struct.unpack("<I", received[:4])[0]
    return messages.Hello.FromString(received[16 : 16 + size])


def test_random_bytes_are_cut_off(port):
    dice = random.Random(SEED)
    for _ in range(100):
        with connection(port) as opened:
            send(opened, dice.randbytes(dice.randrange(16, 4096)))
            assert rest_of(opened) == b""


def test_silence_and_half_a_hello_are_cut_off_in_time(port, hello, guard):
    whole = frame(HELLO, hello())
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connection(port)) for _ in range(40)]
        for index, each in enumerate(opened):
            send(each, whole[: index % len(whole)])
        guard.serves()
        for each in opened:
            rest_of(each)


def test_a_thousand_strangers_do_not_keep_members_out(port, shared_cluster, guard):
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(connection(port))
        follower = next(index for index in (1, 2) if index != shared_cluster.leader())
        shared_cluster.members[follower].kill()
        shared_cluster.members[follower].start()
        shared_cluster.wait_until_ready(timeout=20)
        guard.pids[follower] = shared_cluster.members[follower].pid
        guard.serves()


@pytest.mark.parametrize("changes, reason", [
    ({"cluster_id": 4711}, "cluster"),
    ({"protocol_version": 99}, "version"),
    ({"member_id": 4711}, "member"),
    ({"to_member_id": 4711}, "member"),
    ({"incarnation_id": 4711}, "data directory"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else None)
def test_wrong_hello_is_refused_with_a_reason(messages, port, hello, changes, reason):
    answer = answer_to(messages, port, frame(HELLO, hello(**changes)))
    assert answer is not None and reason in answer.refused, answer


def test_hello_of_the_member_itself_is_refused(messages, port, identities):
    cluster, member, incarnation = identities[0]
    own = messages.Hello(protocol_version=1, cluster_id=cluster, member_id=member, to_member_id=member,
                         incarnation_id=incarnation)
    answer = answer_to(messages, port, frame(HELLO, own.SerializeToString()))
    assert answer is not None and answer.refused


@pytest.mark.parametrize("data", [
    pytest.param(frame(HELLO, b"", length=0xFFFFFFFF), id="huge-length"),
    pytest.param(frame(HELLO, bytes(5000)), id="hello-too-long"),
    pytest.param(frame(HELLO, b"\xff\xff\xff"), id="hello-that-does-not-parse"),
    pytest.param(frame(HELLO, b"abc", checksum=1), id="wrong-checksum"),
    pytest.param(frame(77, b"abc"), id="unknown-type"),
    pytest.param(frame(BATCH, b""), id="batch-before-hello"),
    pytest.param(frame(HELLO, b""), id="empty-hello"),
])
def test_wrong_first_frame_ends_the_connection(messages, port, data):
    answer = answer_to(messages, port, data)
    assert answer is None or answer.refused


def lies(messages, me, to):
    """Frames of a member that has gone mad."""
    huge = (1 << 64) - 1
    yield "no protobuf", frame(BATCH, b"\xff\xff\xff")
    yield "a second hello", frame(HELLO, b"")
    yield "huge length", frame(BATCH, b"", length=0xFFFFFFFF)
    yield "64 MiB announced, little sent", frame(BATCH, b"abc", length=64 << 20)
    yield "wrong checksum", frame(BATCH, b"abc", checksum=7)
    yield "in another's name", frame(BATCH, messages.PeerFrame(
        raft=[dict(type=1, **{"from": 4711}, to=to, term=1)]).SerializeToString())
    for kind in (0, 99, (1 << 32) - 1):
        yield f"raft message of type {kind}", frame(BATCH, messages.PeerFrame(
            raft=[dict(type=kind, **{"from": me}, to=to, term=1)]).SerializeToString())
    yield "commands that do not parse", frame(BATCH, messages.PeerFrame(
        forward=[b"\xff\xff\xff"], forward_term=huge).SerializeToString())
    yield "refusals of nothing", frame(BATCH, messages.PeerFrame(
        refused=[dict(request_id=huge, error=255), dict(request_id=0, error=(1 << 32) - 1)]).SerializeToString())
    yield "lease calls", frame(BATCH, messages.PeerFrame(
        lease_calls=[dict(call_id=huge, lease_id=-(1 << 63), keep_alive=True)] * 1000,
        lease_answers=[dict(call_id=huge)] * 1000).SerializeToString())


def test_lies_of_a_known_member_do_no_harm(messages, port, hello, identities, guard):
    """With the right hello, then nonsense: the connection ends, the true member comes back, nothing is lost."""
    for name, data in lies(messages, identities[1][1], identities[0][1]):
        with connection(port) as opened:
            send(opened, frame(HELLO, hello()))
            send(opened, data)
            with contextlib.suppress(TimeoutError):  # some nonsense is no reason to hang up
                rest_of(opened, 1)
        wait_until(lambda: guard.serves(5.0) or True, 20, f"the cluster to serve after: {name}")


def test_flood_of_hellos_is_survived(messages, port, hello, guard):
    """Each replaces the connection of the true member, which has to come back."""
    for _ in range(200):
        with connection(port) as opened:
            send(opened, frame(HELLO, hello()))
    wait_until(lambda: guard.serves() or True, 20, "the cluster to serve again")
