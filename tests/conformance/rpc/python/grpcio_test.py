"""grpcio against the gRPC server, item by item: grpcio_test.py ECHO_SERVER GENERATED_DIR"""

import signal
import subprocess
import sys
import threading
import time
import unittest

ECHO_SERVER, GENERATED = sys.argv[1], sys.argv[2]
sys.path.insert(0, GENERATED)

import grpc  # noqa: E402
from proto.grpc import health_pb2, reflection_v1_pb2, reflection_v1alpha_pb2  # noqa: E402
from tests.conformance.rpc import echo_pb2  # noqa: E402

TIMEOUT_S = 20


class EchoServer:
    def __init__(self):
        self.process = subprocess.Popen([ECHO_SERVER], stdout=subprocess.PIPE, text=True)
        self.address = "127.0.0.1:" + self.process.stdout.readline().split()[1]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stdout.close()
        return self.process.wait(TIMEOUT_S)


class Stub:
    """The methods of the echo, health and reflection services on one channel."""

    def __init__(self, address, options=(), compression=None):
        options = [("grpc.use_local_subchannel_pool", 1), *options]
        self.channel = grpc.insecure_channel(address, options=options, compression=compression)
        echo = "/cairn.test.Echo/"
        request, reply = echo_pb2.EchoRequest.SerializeToString, echo_pb2.EchoReply.FromString
        self.unary = self.channel.unary_unary(echo + "Unary", request, reply)
        self.unknown = self.channel.unary_unary(echo + "Nothing", request, reply)
        self.raw_unary = self.channel.unary_unary(echo + "Unary", lambda data: data, reply)
        self.server_stream = self.channel.unary_stream(
            echo + "ServerStream", echo_pb2.StreamRequest.SerializeToString, reply)
        self.client_stream = self.channel.stream_unary(echo + "ClientStream", request, reply)
        self.bidi = self.channel.stream_stream(echo + "Bidi", request, reply)
        self.observe_call = self.channel.unary_unary(
            echo + "Observe", echo_pb2.ObserveRequest.SerializeToString, echo_pb2.Observation.FromString)
        health = "/grpc.health.v1.Health/"
        check, answer = health_pb2.HealthCheckRequest.SerializeToString, health_pb2.HealthCheckResponse.FromString
        self.check = self.channel.unary_unary(health + "Check", check, answer)
        self.watch = self.channel.unary_stream(health + "Watch", check, answer)

    def observe(self):
        return self.observe_call(echo_pb2.ObserveRequest(), timeout=TIMEOUT_S)

    def observe_until(self, wanted):
        until = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until:
            seen = self.observe()
            if wanted(seen):
                return seen
        raise AssertionError("the server never saw it: " + str(seen))


class GrpcioTest(unittest.TestCase):
    def setUp(self):
        self.server = EchoServer()
        self.stub = Stub(self.server.address)

    def tearDown(self):
        self.stub.channel.close()
        if self.server.process.poll() is None:
            self.assertEqual(self.server.stop(), 0)

    def expect_error(self, code, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), code)
        return caught.exception.details()

    def test_unary_of_many_sizes(self):
        for size in (0, 1, 100, 16384, 65536, 2000000):
            payload = b"p" * size
            reply = self.stub.unary(echo_pb2.EchoRequest(payload=payload), timeout=TIMEOUT_S)
            self.assertEqual(reply.payload, payload)

    def test_status_code_and_utf8_message(self):
        text = "grün 100% 日本\nline"
        request = echo_pb2.EchoRequest(error_code=9, error_message=text)
        details = self.expect_error(grpc.StatusCode.FAILED_PRECONDITION, lambda: self.stub.unary(request))
        self.assertEqual(details, text)

    def test_unknown_method_and_bad_protobuf(self):
        details = self.expect_error(
            grpc.StatusCode.UNIMPLEMENTED, lambda: self.stub.unknown(echo_pb2.EchoRequest()))
        self.assertEqual(details, "unknown method Nothing for service cairn.test.Echo")
        details = self.expect_error(grpc.StatusCode.INTERNAL, lambda: self.stub.raw_unary(b"\xff\xff\xff"))
        self.assertIn("grpc: error unmarshalling request", details)

    def test_metadata_also_binary(self):
        raw = bytes(range(256))
        request = echo_pb2.EchoRequest(echo_metadata=True)
        _, call = self.stub.unary.with_call(request, metadata=(("token", "t.1"), ("raw-bin", raw)))
        headers, trailers = dict(call.initial_metadata()), dict(call.trailing_metadata())
        self.assertEqual(headers["echo-h-token"], "t.1")
        self.assertEqual(headers["echo-h-raw-bin"], raw)
        self.assertEqual(trailers["echo-t-raw-bin"], raw)

    def test_gzip_and_unknown_compression(self):
        payload = b"z" * 300000
        stub = Stub(self.server.address, compression=grpc.Compression.Gzip)
        self.assertEqual(stub.unary(echo_pb2.EchoRequest(payload=payload)).payload, payload)
        stub.channel.close()
        stub = Stub(self.server.address, compression=grpc.Compression.Deflate)
        details = self.expect_error(
            grpc.StatusCode.UNIMPLEMENTED, lambda: stub.unary(echo_pb2.EchoRequest(payload=payload)))
        self.assertIn("deflate", details)
        stub.channel.close()

    def test_message_too_large(self):
        request = echo_pb2.EchoRequest(payload=b"l" * (3 << 20))
        details = self.expect_error(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: self.stub.unary(request))
        self.assertIn("grpc: received message larger than max (", details)

    def test_large_headers_are_refused(self):
        metadata = (("k", "v" * 40000),)
        self.expect_error(
            grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: self.stub.unary(echo_pb2.EchoRequest(), metadata=metadata))

    def test_deadline(self):
        request = echo_pb2.EchoRequest(delay_ms=-1)
        self.expect_error(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: self.stub.unary(request, timeout=0.1))
        self.stub.observe_until(lambda seen: seen.cancelled_calls + seen.expired_calls == 1)

    def test_cancel(self):
        future = self.stub.unary.future(echo_pb2.EchoRequest(delay_ms=-1))
        self.stub.observe_until(lambda seen: seen.calls_under_way == 2)
        future.cancel()
        seen = self.stub.observe_until(lambda seen: seen.cancelled_calls == 1)
        self.assertEqual(seen.calls_under_way, 1)

    def test_streams_half_close(self):
        requests = (echo_pb2.EchoRequest(payload=b"ab") for _ in range(1000))
        self.assertEqual(len(self.stub.client_stream(requests, timeout=TIMEOUT_S).payload), 2000)
        requests = (echo_pb2.EchoRequest(payload=str(i).encode()) for i in range(100))
        replies = [reply.payload for reply in self.stub.bidi(requests, timeout=TIMEOUT_S)]
        self.assertEqual(replies, [str(i).encode() for i in range(100)])

    def test_big_answer_and_slow_reader(self):
        stub = Stub(self.server.address, options=[("grpc.max_receive_message_length", -1)])
        reply = stub.unary(echo_pb2.EchoRequest(answer_bytes=20 << 20), timeout=TIMEOUT_S)
        self.assertEqual(len(reply.payload), 20 << 20)
        stub.channel.close()
        # grpcio reads ahead by itself, so only that all of it comes is looked at, and that it was not all queued at once.
        request = echo_pb2.StreamRequest(count=1000, message_bytes=64 << 10)
        self.assertEqual(sum(1 for _ in self.stub.server_stream(request, timeout=TIMEOUT_S)), 1000)
        self.assertLess(self.stub.observe().most_queued_bytes, 512 << 10)

    def test_pings_too_often_end_the_connection(self):
        options = [("grpc.keepalive_time_ms", 100), ("grpc.keepalive_permit_without_calls", 1),
                   ("grpc.http2.max_pings_without_data", 0)]
        stub = Stub(self.server.address, options=options)
        request = echo_pb2.EchoRequest(delay_ms=-1)
        self.expect_error(grpc.StatusCode.UNAVAILABLE, lambda: stub.unary(request, timeout=TIMEOUT_S))
        stub.channel.close()

    def test_health(self):
        def ask(name):
            return health_pb2.HealthCheckRequest(service=name)
        self.assertEqual(self.stub.check(ask("")).status, health_pb2.HealthCheckResponse.SERVING)
        self.expect_error(grpc.StatusCode.NOT_FOUND, lambda: self.stub.check(ask("nobody")))
        watch = self.stub.watch(ask("nobody"))
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        watch.cancel()
        watch = self.stub.watch(ask("blinking"))
        self.assertNotEqual(next(watch).status, next(watch).status)
        watch.cancel()

    def test_reflection_in_both_versions(self):
        for version, module in (("v1", reflection_v1_pb2), ("v1alpha", reflection_v1alpha_pb2)):
            request = module.ServerReflectionRequest
            info = self.stub.channel.stream_stream(
                "/grpc.reflection.%s.ServerReflection/ServerReflectionInfo" % version,
                request.SerializeToString, module.ServerReflectionResponse.FromString)
            listed, file, missing = info(iter([
                request(list_services=""), request(file_containing_symbol="cairn.test.Echo.Unary"),
                request(file_by_filename="none.proto")]), timeout=TIMEOUT_S)
            names = [service.name for service in listed.list_services_response.service]
            self.assertIn("cairn.test.Echo", names)
            self.assertIn("grpc.reflection.%s.ServerReflection" % version, names)
            self.assertEqual(len(file.file_descriptor_response.file_descriptor_proto), 1)
            self.assertEqual(missing.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])

    def test_stop_lets_calls_finish(self):
        stream = self.stub.server_stream(echo_pb2.StreamRequest(count=1, hold_open=True))
        next(stream)
        slow = self.stub.unary.future(echo_pb2.EchoRequest(payload=b"slow", delay_ms=700))
        self.stub.observe_until(lambda seen: seen.calls_under_way == 3)
        codes = []
        stopper = threading.Thread(target=lambda: codes.append(self.server.stop()))
        stopper.start()
        self.assertEqual(slow.result(TIMEOUT_S).payload, b"slow")
        self.assertEqual(self.expect_error(grpc.StatusCode.UNAVAILABLE, lambda: next(stream)), "server is shutting down")
        stopper.join()
        self.assertEqual(codes, [0])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
