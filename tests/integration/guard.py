"""What must hold after every hostile case: the same processes live, serve, and have given the memory back."""

import pathlib
import re
import time

from harness import wait_until

MAX_GROWTH_BYTES = 64 << 20
SETTLE_SECONDS = 20


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) << 10


def open_files(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


class Guard:
    """Knows the members at rest: made once, after a warm-up and before the first hostile case."""

    def __init__(self, cluster):
        self.cluster = cluster
        for index in range(len(cluster.members)):
            with cluster.connect(index) as client:
                for number in range(200):
                    client.KV.Put(cluster.api.PutRequest(key=b"warm-up", value=b"%d" % number), timeout=5)
                # Caches of recent values, events and log entries fill in any use.
                for number in range(20):
                    client.KV.Put(cluster.api.PutRequest(key=b"warm-up-%d" % number, value=bytes(400_000)), timeout=5)
        self.pids = [member.pid for member in cluster.members]
        self.rest = [resident_bytes(pid) for pid in self.pids]

    def serves(self, within=1.0):
        """A put and a linearizable read on a connection of their own through each member, each in that time."""
        for index, member in enumerate(self.cluster.members):
            with self.cluster.connect(index) as client:
                begun = time.monotonic()
                client.KV.Put(self.cluster.api.PutRequest(key=b"guard"), timeout=within, wait_for_ready=True)
                client.KV.Range(self.cluster.api.RangeRequest(key=b"guard"), timeout=within)
                assert time.monotonic() - begun < 2 * within, f"{member.name} is slow"

    def check(self, name):
        for member, pid in zip(self.cluster.members, self.pids):
            assert member.running and member.pid == pid, f"{member.name} ended: {name}"
        # What the case left under way may still be in front.
        self.serves(within=5.0)

        def grown():
            return [resident_bytes(pid) - rest for pid, rest in zip(self.pids, self.rest)]

        try:
            wait_until(lambda: max(grown()) <= MAX_GROWTH_BYTES, SETTLE_SECONDS, f"memory to come back after {name}", 0.1)
        finally:
            shown = ", ".join(f"{growth / (1 << 20):+.1f}" for growth in grown())
            print(f"{name}: memory against rest [MiB]: {shown}")
