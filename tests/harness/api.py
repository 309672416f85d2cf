"""The etcd messages and services of proto/, made from the .proto files when a test starts.

The types live in a descriptor pool of their own: client libraries such as python3-etcd3 bring messages of the same
names, and one process may hold both.
"""

import pathlib
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SOURCE_ROOT = pathlib.Path(__file__).resolve().parents[2]
RPC_PROTO = "proto/etcd/rpc.proto"

# A member that restarts is found again at once, not after gRPC's backoff of up to two minutes.
CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    # Also the time a connection may take to come about.
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]


def _load(proto):
    """A descriptor pool of its own with that file and what it imports."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "descriptors"
        subprocess.run(
            ["protoc", "-I", SOURCE_ROOT, "--include_imports", f"--descriptor_set_out={out}", proto],
            check=True,
            cwd=SOURCE_ROOT,
        )
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def load_messages(proto):
    """The messages of one .proto file as attributes of an object, whether they belong to the API or not."""
    pool = _load(proto)
    factory = message_factory.MessageFactory(pool)
    types = pool.FindFileByName(proto).message_types_by_name
    return type("Messages", (), {name: factory.GetPrototype(message) for name, message in types.items()})


class Api:
    """Every message of rpc.proto and kv.proto as an attribute: api.PutRequest(key=b"a")."""

    def __init__(self):
        pool = _load(RPC_PROTO)
        factory = message_factory.MessageFactory(pool)
        self.services = pool.FindFileByName(RPC_PROTO).services_by_name
        self._type_of = factory.GetPrototype
        for name in (RPC_PROTO, "proto/etcd/kv.proto"):
            for message in pool.FindFileByName(name).message_types_by_name.values():
                setattr(self, message.name, factory.GetPrototype(message))

    def type_of(self, descriptor):
        return self._type_of(descriptor)


class _Service:
    """The calls of one service: client.KV.Range(request, timeout=5)."""

    def __init__(self, api, channel, service):
        for method in service.methods:
            proto = descriptor_pb2.MethodDescriptorProto()
            method.CopyToProto(proto)
            kind = ("stream" if proto.client_streaming else "unary") + "_" + (
                "stream" if proto.server_streaming else "unary"
            )
            call = getattr(channel, kind)(
                f"/{service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=api.type_of(method.output_type).FromString,
            )
            setattr(self, method.name, call)


class Client:
    """A channel to one endpoint, with every service as an attribute. Close it, or use it as a context manager."""

    def __init__(self, api, endpoint, options=()):
        self.channel = grpc.insecure_channel(endpoint, options=CHANNEL_OPTIONS + list(options))
        for name, service in api.services.items():
            setattr(self, name, _Service(api, self.channel, service))

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
