"""HTTP/2 frames by hand, for what no proper client sends."""

import contextlib
import select
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _length(value):
    """An HPACK string length: a prefix of seven bits, no Huffman code."""
    if value < 127:
        return bytes([value])
    out, value = bytearray([127]), value - 127
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + bytes([value]))


def header_block(fields):
    """Each field as a literal that is not put into the table."""
    return b"".join(b"\0" + _length(len(name)) + name + _length(len(value)) + value for name, value in fields)


def call_headers(path=b"/etcdserverpb.KV/Range", extra=()):
    return header_block([
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"), (b"te", b"trailers"),
        (b"content-type", b"application/grpc"), *extra])


def message(body):
    return b"\0" + struct.pack(">I", len(body)) + body


class Connection:
    """A socket to `endpoint`. Sends what it is told; reads frames."""

    def __init__(self, endpoint, preface=True, receive_buffer=None):
        host, port = endpoint.split(":")
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        if preface:
            self.send(PREFACE + frame(SETTINGS))

    def send(self, data):
        """False when the other side has closed."""
        try:
            self.socket.sendall(data)
            return True
        except (ConnectionError, BrokenPipeError):
            return False

    def frames(self, timeout):
        """Frames as they come; ends when the other side closes. TimeoutError when it does not in time."""
        deadline = time.monotonic() + timeout
        while True:
            while len(self.received) >= 9:
                size = int.from_bytes(self.received[:3], "big")
                if len(self.received) < 9 + size:
                    break
                head, payload = self.received[:9], self.received[9 : 9 + size]
                self.received = self.received[9 + size :]
                yield head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError:
                return
            if not data:
                return
            self.received += data

    def wait_for(self, kind, timeout=10):
        """The first frame of that kind, or None when the connection was closed without one."""
        for found in self.frames(timeout):
            if found[0] == kind:
                return found
        return None

    def wait_closed(self, timeout):
        """The error code of the last GOAWAY (None without one), when the other side has closed."""
        code = None
        with contextlib.suppress(ConnectionError):
            for kind, _, _, payload in self.frames(timeout):
                if kind == GOAWAY:
                    code = int.from_bytes(payload[4:8], "big")
        return code

    def is_closed(self):
        """Has the other side closed? Takes what has arrived."""
        poll = select.poll()  # select() knows no more than 1,024 files
        poll.register(self.socket, select.POLLIN)
        while poll.poll(0):
            try:
                if not self.socket.recv(1 << 16):
                    return True
            except ConnectionError:
                return True
        return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
