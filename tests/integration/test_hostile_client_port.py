"""What arrives at the client port and is not a proper HTTP/2 client: each case gets an answer, and harms nobody else."""

import contextlib
import gzip
import os
import random
import resource
import struct
import time

import pytest

from guard import Guard, open_files
from harness import wait_until
from http2 import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, Connection, call_headers, frame, header_block, message)

HANDSHAKE_SECONDS = 10  # server/rpc/server.h
CUT_OFF_SECONDS = 10  # to take note of a flood, say so, and close
SEED = 20261


@pytest.fixture(scope="module")
def guard(shared_cluster):
    return Guard(shared_cluster)


@pytest.fixture(autouse=True)
def harmless(guard, request):
    yield
    guard.check(request.node.name)


@pytest.fixture
def endpoint(shared_cluster):
    return shared_cluster.endpoints[0]


@contextlib.contextmanager
def many(make, count):
    connections = []
    try:
        for _ in range(count):
            connections.append(make())
        yield connections
    finally:
        for connection in connections:
            connection.close()


def wait_all_closed(connections, timeout):
    wait_until(lambda: all(connection.is_closed() for connection in connections), timeout, "all to be closed", 0.1)


def test_random_bytes_are_cut_off(endpoint):
    dice = random.Random(SEED)
    with many(lambda: Connection(endpoint, preface=False), 100) as connections:
        for connection in connections:
            connection.send(dice.randbytes(dice.randrange(1, 4096)))
        wait_all_closed(connections, HANDSHAKE_SECONDS + 5)


def test_random_frames_after_a_proper_begin_are_cut_off(endpoint, guard):
    dice = random.Random(SEED)
    for _ in range(100):
        with Connection(endpoint) as connection:
            for _ in range(20):
                connection.send(frame(dice.randrange(12), dice.randrange(256), dice.randrange(1 << 31),
                                      dice.randbytes(dice.randrange(64))))
            connection.send(frame(DATA, 0, 0, b"on stream 0"))  # never right
            connection.wait_closed(5)
    guard.serves()


def test_http_1_request_gets_an_answer_or_the_door(endpoint):
    with Connection(endpoint, preface=False) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.socket.settimeout(5)
        answer = connection.socket.recv(1 << 16)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 ", b"\0\0")), answer


def test_silent_and_half_begun_connections_are_closed_in_time(endpoint, guard):
    begins = [b"", PREFACE[:5], PREFACE[:-1], PREFACE, PREFACE + frame(SETTINGS)[:4]]
    with many(lambda: Connection(endpoint, preface=False), 50) as connections:
        for index, connection in enumerate(connections):
            connection.send(begins[index % len(begins)])
        guard.serves()
        wait_all_closed(connections, HANDSHAKE_SECONDS + 5)


def test_frame_larger_than_agreed_ends_the_connection(endpoint):
    with Connection(endpoint) as connection:
        connection.send(struct.pack(">I", (1 << 24) - 1)[1:] + struct.pack(">BBI", HEADERS, END_HEADERS, 1))
        assert connection.wait_closed(5) == 6  # FRAME_SIZE_ERROR


def test_endless_header_block_ends_the_connection(endpoint, guard):
    """A header block in ever more CONTINUATION frames."""
    with Connection(endpoint) as connection:
        connection.send(frame(HEADERS, 0, 1, call_headers()))
        piece = frame(CONTINUATION, 0, 1, header_block([(b"x-flood", b"y" * 16000)]))
        deadline = time.monotonic() + CUT_OFF_SECONDS
        while connection.send(piece):
            assert time.monotonic() < deadline, "nobody stops a flood of headers"
        guard.serves()


def test_empty_continuation_flood_ends_the_connection(endpoint):
    with Connection(endpoint) as connection:
        connection.send(frame(HEADERS, 0, 1))
        piece = frame(CONTINUATION, 0, 1) * 1000
        deadline = time.monotonic() + CUT_OFF_SECONDS
        while connection.send(piece):
            assert time.monotonic() < deadline, "nobody stops a flood of empty frames"


def test_too_many_headers_are_refused_and_the_connection_goes_on(endpoint):
    fields = [(b"x-%d" % index, b"v" * 100) for index in range(110)]
    with Connection(endpoint) as connection:
        block = call_headers(extra=fields * 4)
        connection.send(frame(HEADERS, END_STREAM, 1, block[:16000]))
        connection.send(frame(CONTINUATION, 0, 1, block[16000:32000]) + frame(CONTINUATION, END_HEADERS, 1, block[32000:]))
        kinds = []
        with contextlib.suppress(TimeoutError):
            for kind, _, stream, _ in connection.frames(2):
                if stream == 1 or kind == GOAWAY:
                    kinds.append(kind)
                    break
        assert kinds, "no answer to 440 headers"


def test_rapid_resets_are_stopped(endpoint, guard):
    """CVE-2023-44487: streams opened and reset at once, without end."""
    block = call_headers()
    with Connection(endpoint) as connection:
        stream, sent = 1, 0
        while sent < 400_000:
            batch = b"".join(
                frame(HEADERS, END_HEADERS, s, block) + frame(RST_STREAM, 0, s, struct.pack(">I", 8))
                for s in range(stream, stream + 1000, 2))
            stream += 1000
            sent += 500
            if not connection.send(batch) or connection.is_closed():
                break
        assert sent < 400_000, "400,000 resets on one connection were taken"
        guard.serves()


@pytest.mark.parametrize("piece", [
    pytest.param(frame(PING, 0, 0, b"12345678"), id="ping"),
    pytest.param(frame(SETTINGS), id="settings"),
    pytest.param(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0) * 100), id="long-settings"),
])
def test_flood_that_asks_for_answers_nobody_reads_is_bounded(endpoint, guard, piece):
    with Connection(endpoint, receive_buffer=4096) as connection:
        connection.socket.settimeout(2)
        sent = 0
        with contextlib.suppress(TimeoutError):  # it takes no more: that is a bound as well
            while sent < (64 << 20) and connection.send(piece * 500):
                sent += 500 * len(piece)
        guard.serves()


def test_window_overflow_ends_stream_or_connection(endpoint):
    with Connection(endpoint) as connection:
        for _ in range(3):
            connection.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF)))
        assert connection.wait_closed(5) == 3  # FLOW_CONTROL_ERROR


def test_ten_thousand_calls_that_never_send_their_message(endpoint, guard):
    with Connection(endpoint) as connection:
        block = call_headers(b"/etcdserverpb.KV/Put")
        for first in range(1, 20_000, 200):
            pieces = b"".join(
                frame(HEADERS, END_HEADERS, s, block) + frame(DATA, 0, s, message(b"x" * 100)[:20])
                for s in range(first, first + 200, 2))
            if not connection.send(pieces):
                break
            connection.is_closed()  # takes what has come
        guard.serves()


def test_slow_connections_do_not_hold_up_others(endpoint, guard):
    """A byte now and then, on 300 connections at once."""
    request = PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, call_headers()) + frame(
        DATA, END_STREAM, 1, message(b"\x0a\x01a"))
    with many(lambda: Connection(endpoint, preface=False), 300) as connections:
        for position in range(len(request) - 1):
            for connection in connections:
                connection.send(request[position : position + 1])
            if position % 40 == 0:
                guard.serves()
        for connection in connections[:10]:
            connection.send(request[-1:])
            assert connection.wait_for(HEADERS, 5), "a slow client that keeps its word is served"


def test_client_that_reads_nothing_is_bounded(shared_cluster, endpoint, guard):
    """Asks for a mebibyte 2,000 times and takes no byte of it."""
    with shared_cluster.connect(0) as client:
        client.KV.Put(shared_cluster.api.PutRequest(key=b"large", value=os.urandom(1 << 20)), timeout=5)
    wide = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x7FFFFFFF))
    with Connection(endpoint, preface=False, receive_buffer=4096) as connection:
        connection.send(PREFACE + wide + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFF0000)))
        for stream in range(1, 4000, 2):
            connection.send(frame(HEADERS, END_HEADERS, stream, call_headers())
                            + frame(DATA, END_STREAM, stream, message(b"\x0a\x05large")))
        guard.serves()
    with shared_cluster.connect(0) as client:
        client.KV.DeleteRange(shared_cluster.api.DeleteRangeRequest(key=b"large"), timeout=5)


def test_watch_that_reads_nothing_does_not_hold_up_puts(shared_cluster, endpoint, guard):
    with Connection(endpoint, receive_buffer=4096) as connection, shared_cluster.connect(0) as client:
        # create_request {key: "flood"}
        connection.send(frame(HEADERS, END_HEADERS, 1, call_headers(b"/etcdserverpb.Watch/Watch"))
                        + frame(DATA, 0, 1, message(b"\x0a\x07\x0a\x05flood")))
        assert connection.wait_for(HEADERS, 5)
        for _ in range(60):
            client.KV.Put(shared_cluster.api.PutRequest(key=b"flood", value=bytes(100_000)), timeout=2)
        guard.serves()


def test_message_that_unpacks_to_too_much_is_refused_early(endpoint):
    """A gigabyte of zeros in a megabyte of gzip."""
    bomb = gzip.compress(bytes(64 << 20), 9) * 16  # members of one stream
    with Connection(endpoint) as connection:
        extra = [(b"grpc-encoding", b"gzip")]
        connection.send(frame(HEADERS, END_HEADERS, 1, call_headers(b"/etcdserverpb.KV/Put", extra)))
        packed = b"\1" + struct.pack(">I", len(bomb)) + bomb
        begun = time.monotonic()
        for start in range(0, len(packed), 16384):
            last = END_STREAM if start + 16384 >= len(packed) else 0
            connection.send(frame(DATA, last, 1, packed[start : start + 16384]))
        answer = next(found for found in connection.frames(10) if found[0] in (HEADERS, RST_STREAM) and found[2] == 1)
        assert answer[0] == HEADERS
        assert time.monotonic() - begun < 2, "unpacked for long"


def test_message_length_beyond_the_limit_is_refused_before_it_arrives(endpoint):
    with Connection(endpoint) as connection:
        connection.send(frame(HEADERS, END_HEADERS, 1, call_headers())
                        + frame(DATA, 0, 1, b"\0" + struct.pack(">I", 0xFFFFFFFF)))
        assert next(found for found in connection.frames(5) if found[0] in (HEADERS, RST_STREAM) and found[2] == 1)


def test_ten_thousand_idle_connections(shared_cluster, endpoint, guard):
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    spare = 200
    count = min(wanted, hard - spare) if hard != resource.RLIM_INFINITY else wanted
    if count < wanted:
        print(f"only {count} connections: the hard limit of open files is {hard}")
    member = shared_cluster.members[0]
    files = open_files(member.pid)
    try:
        with many(lambda: Connection(endpoint), count) as connections:
            for connection in connections:
                connection.send(frame(SETTINGS, ACK))
            wait_until(lambda: open_files(member.pid) >= files + count, 30, "all to be accepted", 0.1)
            guard.serves()
            assert not any(connection.is_closed() for connection in connections[:: count // 100])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: open_files(member.pid) <= files + 10, 30, "the member to close them", 0.1)
