"""Real processes and raw API calls for tests written in Python.

    from harness import Api, Cluster

    with Cluster("build/cairnd", members=3) as cluster:       # ready when this line is reached
        with cluster.connect(0) as client:                    # any etcd message, straight from proto/
            client.KV.Put(cluster.api.PutRequest(key=b"a", value=b"1"), timeout=5)
        cluster.members[0].kill()                             # also: pause, resume, terminate
        cluster.members[0].start()
        cluster.wait_until_ready()

The server is a parameter everywhere: cairnd, or Debian's etcd to see how a test fares on the original. Needs
Debian's python3-grpcio, python3-protobuf and protobuf-compiler, and util-linux.
"""

import os

# A forked child only calls exec: gRPC need not prepare for more.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Threads whose calls fail at once do not wait for the network: gRPC itself must look often whether a connection has come
# about, not every five seconds.
os.environ.setdefault("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "20")

from .api import Api, Client  # noqa: E402
from .cluster import Cluster, Member  # noqa: E402
from .program import Conversation, find_build_directory, find_server  # noqa: E402
from .waiting import wait_until  # noqa: E402

__all__ = ["Api", "Client", "Cluster", "Conversation", "Member", "find_build_directory", "find_server", "wait_until"]
