"""What is measured. Each measure runs against a cluster of one system and returns numbers by name."""

import statistics
import subprocess
import time

from .cluster import Load

KIB = 1024
MIB = 1024 * 1024


class Plan:
    """How long and how often: the quick form finds large changes, the full one gives figures to publish."""

    operations = 0  # not 0: so many instead of `seconds`

    def __init__(self, quick):
        self.rounds = 1 if quick else 3
        self.seconds = 2 if quick else 5
        self.settle_seconds = 2 if quick else 5
        self.rest_seconds = 10 if quick else 30
        self.failovers = 3 if quick else 7
        self.many_keys = 100_000 if quick else 1_000_000
        self.idle_watches = 6_000 if quick else 30_000
        self.sync_puts = 5_000 if quick else 20_000
        self.keys = 100_000

    def length(self):
        return {"operations": self.operations} if self.operations else {"seconds": self.seconds}


class SmokePlan(Plan):
    """Just enough to see that every operation of every workload succeeds."""

    operations = 500

    def __init__(self):
        super().__init__(quick=True)
        self.settle_seconds = 0
        self.failovers = 1
        self.keys = 2_000
        self.many_keys = 2_000
        self.idle_watches = 300


# Loads of some seconds on one cluster, in this order: reads first, for etcd 3.4 reads slower after writes.
LOADS = {
    "get-serializable": ("get-serializable", {}),
    "get-linearizable": ("get-linearizable", {}),
    "put-64": ("put", {}),
    "put-1000": ("put", {"connections": 100, "outstanding": 1000}),
    "put-1": ("put", {"connections": 3, "outstanding": 1}),
    "txn": ("txn", {}),
    "lease-grant": ("lease-grant", {}),
    "keep-alive": ("keep-alive", {}),
    "watch-10-streams": ("watch", {"connections": 10, "streams": 10, "watchers": 1000, "rate": 100}),
    "watch-1000-connections": ("watch", {"connections": 1000, "streams": 1000, "watchers": 1000, "rate": 100}),
    "watch-full-speed": ("watch", {"connections": 10, "streams": 10, "watchers": 1000, "rate": 0}),
}
LOADS_OF_FIVE = {"five-put-64": LOADS["put-64"], "five-get-linearizable": LOADS["get-linearizable"]}


def loads(cluster, plan, names):
    """Short loads, one after the other."""
    results = {}
    cluster.load.run("fill", keys=plan.keys)
    time.sleep(plan.settle_seconds)
    for name in names:
        workload, options = (LOADS | LOADS_OF_FIVE)[name]
        results[name] = cluster.load.run(workload, keys=plan.keys, **plan.length(), **options)
        results[name]["resident_mib"] = max(cluster.resident_bytes()) / MIB
        time.sleep(plan.settle_seconds / 5)
    return results


def rest(cluster, plan):
    """Nothing happens but heartbeats, on a cluster just started."""
    time.sleep(plan.settle_seconds)
    before = cluster.cpu_seconds()
    time.sleep(plan.rest_seconds)
    used = cluster.cpu_seconds() - before
    return {
        "cpu_percent": 100 * used / plan.rest_seconds,
        "resident_mib": sum(cluster.resident_bytes()) / MIB,
    }


def idle_watches(cluster, plan):
    """Memory of watches on keys that never change, each on a stream of its own, many streams on a connection."""
    before = sum(cluster.resident_bytes())
    command = cluster.load.command(
        "watch", rate=-1, connections=30, streams=plan.idle_watches, watchers=plan.idle_watches
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        line = holder.stdout.readline()
        time.sleep(plan.settle_seconds)
        after = sum(cluster.resident_bytes())
        holder.stdin.close()
        holder.wait()
    if line.strip() != "ready" or holder.returncode != 0:
        raise RuntimeError("the watches could not be held")
    return {"kib_per_watch": (after - before) / plan.idle_watches / KIB}


def failover(cluster, plan):
    """kill -9 of the leader to the next acknowledged put, several times; the killed member comes back in between."""
    times = []
    for _ in range(plan.failovers):
        leader = cluster.leader()
        pid = cluster.pid(leader)
        times.append(Load(cluster.endpoints).run("failover", kill_pid=pid)["failover_ms"])
        cluster.processes[leader].wait()
        cluster.start(leader)
        cluster.wait_ready()
        time.sleep(plan.settle_seconds / 2)
    return {"median_ms": statistics.median(times), "worst_ms": max(times)}


def many_keys(cluster, plan):
    """A large store: memory, counting, the first page, and a restart after kill -9."""
    keys = {"keys": plan.many_keys, "key_bytes": 64}
    cluster.load.run("fill", connections=6, outstanding=12, value_bytes=256, **keys)
    time.sleep(2 * plan.settle_seconds)
    results = {"resident_mib": max(cluster.resident_bytes()) / MIB}
    one_at_a_time = {"connections": 3, "outstanding": 1, **plan.length()}
    results["count_ms"] = cluster.load.run("count", **one_at_a_time, **keys)["p50_us"] / 1000
    results["page_ms"] = cluster.load.run("page", **one_at_a_time, **keys)["p50_us"] / 1000
    restarts = []
    for _ in range(1 if plan.rounds == 1 else 3):
        member = (cluster.leader() + 1) % len(cluster.processes)
        cluster.kill(member)
        began = time.monotonic()
        cluster.start(member)
        got = Load([cluster.endpoints[member]]).run("first-get")
        restarts.append(got["monotonic_s"] - began)
        cluster.wait_ready()
        time.sleep(plan.settle_seconds)
    results["restart_s"] = statistics.median(restarts)
    results["resident_after_restart_mib"] = cluster.resident_bytes()[member] / MIB
    return results


def syncs(cluster, plan):
    """Calls of fsync and its kin for each put, all members together."""
    results = {}
    for name, options in {
        "per_put_1": {"connections": 3, "outstanding": 1, "operations": plan.sync_puts // 10},
        "per_put_64": {"operations": plan.sync_puts},
        "per_put_1000": {"connections": 100, "outstanding": 1000, "operations": plan.sync_puts},
    }.items():
        before = cluster.syncs()
        Load(cluster.endpoints).run("put", **options)
        time.sleep(0.5)
        results[name] = (cluster.syncs() - before) / options["operations"]
    return results
