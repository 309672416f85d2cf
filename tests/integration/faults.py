#!/usr/bin/python3
"""Real members under load are killed, paused, stopped and restarted; the history of what clients saw is checked.

    faults.py [--members 3] [--seconds 60 | --minutes 30] [--seed N] [--faults all|kill|pause] [--server PROGRAM]

Prints the seed, the faults with the longest time without an acknowledged write, and counts. The seed fixes the order of
faults and what each client does; processes and threads keep their own timing, so a run is alike, not the same.
Exit code 1 when a rule of history.py is broken, when the cluster does not recover, or when the members differ at the end.
"""

import argparse
import contextlib
import os
import pathlib
import random
import re
import sys
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1])]

import grpc  # noqa: E402

from harness import Cluster, find_server, wait_until  # noqa: E402
from history import History, Read  # noqa: E402
from workload import ALL, Actor, LeaseHolder, Progress, Watcher, Worker, key_state  # noqa: E402

RECOVERY_SECONDS = 30
LEASE_TTL_SECONDS = 3
COMPACT_EVERY_SECONDS = 2.0
KEPT_REVISIONS = 200


class Compactor(Actor):
    """Compacts behind the watches of everything, which need all revisions."""

    def __init__(self, cluster, history, seed, watchers):
        super().__init__("compactor", cluster, history, seed)
        self.watchers = watchers
        self.compacted = 0

    def step(self):
        self.stopping.wait(COMPACT_EVERY_SECONDS)
        revision = min(watcher.next_revision for watcher in self.watchers) - KEPT_REVISIONS
        if revision < 2:
            return
        request = self.api.CompactionRequest(revision=revision, physical=self.dice.random() < 0.2)
        try:
            self.client.KV.Compact(request, timeout=5)
            self.compacted += 1
        except grpc.RpcError:
            self.move_on()


class Faults:
    """What happens to the members. Each fault holds for a moment under load, then is healed."""

    def __init__(self, cluster, dice, progress):
        self.cluster = cluster
        self.dice = dice
        self.progress = progress
        self.index_of = {}  # member id -> number
        self.gaps = {}  # fault -> seconds without an acknowledged write
        for index, client in self._clients(range(len(cluster.members))):
            status = client.Maintenance.Status(cluster.api.StatusRequest(), timeout=5)
            self.index_of[status.header.member_id] = index

    def _clients(self, indexes):
        for index in indexes:
            with self.cluster.connect(index) as client:
                yield index, client

    def leader(self):
        """The member that most of those that answer call their leader."""

        def ask():
            votes = {}
            for _, client in self._clients(range(len(self.cluster.members))):
                with contextlib.suppress(grpc.RpcError):
                    status = client.Maintenance.Status(self.cluster.api.StatusRequest(), timeout=1)
                    votes[status.leader] = votes.get(status.leader, 0) + 1
            votes.pop(0, None)
            return (max(votes, key=votes.get),) if votes else None

        return self.index_of[wait_until(ask, RECOVERY_SECONDS, "a member that knows its leader")[0]]

    def pick(self, whom):
        count = len(self.cluster.members)
        if whom == "all":
            return list(range(count))
        leader = self.leader()
        others = [index for index in range(count) if index != leader]
        self.dice.shuffle(others)
        return {"leader": [leader], "follower": others[:1], "leader-and-follower": [leader, *others[:1]],
                "two-followers": others[:2]}[whom]

    def strike(self, how, whom):
        """One fault from its begin to the recovery."""
        members = [self.cluster.members[index] for index in self.pick(whom)]
        self.progress.take_longest()
        hold = threading.Event().wait
        if how == "kill":
            for member in members:
                member.process.kill()
            for member in members:
                member.kill()
            hold(self.dice.choice([0, self.dice.uniform(0, 1.5)]))
            self.restart(members)
        elif how == "pause":
            for member in members:
                member.pause()
            # Longer than the election timeout of a second, so that others lead when it goes on.
            hold(self.dice.uniform(1.3, 3.0))
            for member in members:
                member.resume()
        else:
            for member in members:
                code = member.terminate()
                assert code == 0, f"{member.name} ended with {code} on SIGTERM"
            hold(self.dice.uniform(0, 0.5))
            self.restart(members)
        assert self.progress.wait_for_more(RECOVERY_SECONDS), f"no write after {how} {whom}"
        gap = self.progress.take_longest()
        self.gaps.setdefault(f"{how} {whom}", []).append(gap)
        for member in self.cluster.members:
            assert member.running, f"{member.name} ended by itself after {how} {whom}"
        # Some calm, so that clients and watches are not always in recovery.
        hold(self.dice.uniform(0, 0.8))

    def restart(self, members):
        self.dice.shuffle(members)
        for member in members:
            member.start()


def plan(kind, members):
    kill = [("kill", "leader"), ("kill", "follower"), ("kill", "all")]
    pause = [("pause", "leader"), ("pause", "follower"), ("pause", "all")]
    if members == 1:
        kill, pause = [("kill", "leader")], [("pause", "leader")]
    if members >= 5:
        kill += [("kill", "leader-and-follower"), ("kill", "two-followers")]
        pause += [("pause", "leader-and-follower")]
    if kind == "kill":
        return kill
    if kind == "pause":
        return pause[:1]
    return kill + pause + [("terminate", "leader"), ("terminate", "follower")][: members]


def settle(cluster, faults, history, watchers):
    """Leases run out, every member shows the same, every watch is at the head."""
    api = cluster.api
    cluster.wait_until_ready(timeout=RECOVERY_SECONDS)
    with cluster.connect(0) as client:
        request = api.RangeRequest(key=b"lease-", range_end=b"lease.", count_only=True)
        wait_until(lambda: client.KV.Range(request, timeout=10).count == 0, LEASE_TTL_SECONDS + RECOVERY_SECONDS,
                   "leases that nobody keeps alive to run out")
    hashes = {}
    for index, client in faults._clients(range(len(cluster.members))):
        answer = client.KV.Range(api.RangeRequest(key=ALL, range_end=ALL), timeout=10)
        history.saw(answer.header.revision)
        history.add(Read(ALL, ALL, revision=answer.header.revision, floor=history.seen,
                         result={kv.key: key_state(kv) for kv in answer.kvs}))
        state = client.Maintenance.HashKV(api.HashKVRequest(revision=answer.header.revision), timeout=30)
        hashes[cluster.members[index].name] = (answer.header.revision, state.hash, state.compact_revision)
    assert len(set(hashes.values())) == 1, f"the members differ: {hashes}"

    def at_the_head():
        behind = [watcher for watcher in watchers if watcher.next_revision <= history.seen and watcher.is_alive()]
        for watcher in behind:
            watcher.ask_progress()
        return not behind

    wait_until(at_the_head, RECOVERY_SECONDS, "watches to reach the head", every=0.1)


def run(arguments, cluster):
    seconds = arguments.minutes * 60 if arguments.minutes else arguments.seconds
    history, progress = History(), Progress()
    seed = arguments.seed
    watchers = [Watcher(f"whole{i}", cluster, history, seed) for i in range(3)]
    watchers += [Watcher("low", cluster, history, seed, b"k00", b"k06"), Watcher("one", cluster, history, seed, b"k07", b"")]
    workers = [Worker(f"w{i}", cluster, history, seed, progress, rate=100) for i in range(10)]
    holders = [LeaseHolder(f"h{i}", cluster, history, seed, LEASE_TTL_SECONDS) for i in range(2)]
    compactor = Compactor(cluster, history, seed, watchers[:3])
    actors = [*watchers, *workers, *holders, compactor]
    dice = random.Random(seed)
    faults = Faults(cluster, dice, progress)
    for actor in actors:
        actor.start()
    assert progress.wait_for_more(RECOVERY_SECONDS), "no write at all"
    deadline = time.monotonic() + seconds
    todo = []
    while time.monotonic() < deadline:
        if not todo:
            todo = plan(arguments.faults, len(cluster.members))
            dice.shuffle(todo)
        try:
            faults.strike(*todo.pop())
        finally:
            check_actors(actors)
    for actor in [*workers, *holders, compactor]:
        actor.stopping.set()
    for actor in [*workers, *holders, compactor]:
        actor.join(60)
    settle(cluster, faults, history, watchers)
    for watcher in watchers:
        watcher.stop()
    for watcher in watchers:
        watcher.join(30)
    check_actors(actors)
    report(faults, history, workers, holders, watchers, compactor)
    broken = history.check()
    assert broken is None, broken
    counts = history.counts()
    assert counts["writes acknowledged"] > 5 * seconds, "too few writes for a test"
    assert counts["leases gone"] > 0 and sum(holder.kept_alive for holder in holders) > seconds, "too few keep-alives"
    assert all(watcher.resumed > 0 for watcher in watchers), "a watch was never resumed"


def check_actors(actors):
    for actor in actors:
        if actor.failure is not None:
            raise AssertionError(f"client {actor.name} failed: {actor.failure!r}") from actor.failure


def report(faults, history, workers, holders, watchers, compactor):
    print("fault, how often, longest time without an acknowledged write (what the fault itself holds included), median [s]")
    for name, gaps in sorted(faults.gaps.items()):
        print(f"  {name:28} {len(gaps):4} {max(gaps):8.2f} {sorted(gaps)[len(gaps) // 2]:8.2f}")
    for name, count in history.counts().items():
        print(f"  {name:28} {count}")
    print(f"  {'keep-alives acknowledged':28} {sum(holder.kept_alive for holder in holders)}")
    print(f"  {'watches resumed':28} {sum(watcher.resumed for watcher in watchers)}")
    print(f"  {'compactions':28} {compactor.compacted}")
    errors = {}
    for worker in workers:
        for text, count in worker.codes.items():
            text = re.sub(r"127\.0\.0\.1:\d+", "MEMBER", text)[:110]
            errors[text] = errors.get(text, 0) + count
    for text, count in sorted(errors.items(), key=lambda item: -item[1])[:12]:
        print(f"  {count:6} x {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--faults", choices=["all", "kill", "pause"], default="all")
    parser.add_argument("--server")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with Cluster(find_server(arguments.server), members=arguments.members) as cluster:
        try:
            run(arguments, cluster)
        except BaseException as error:
            print(f"{cluster.logs()}\nFAILED with seed {arguments.seed}: {error!r}", flush=True)
            raise
    print("no rule broken")


if __name__ == "__main__":
    main()
