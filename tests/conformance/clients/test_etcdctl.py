"""Debian's etcdctl (3.4) as an operator uses it. Where its output is fixed, the whole of it is compared."""

import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import threading

import pytest

ETCDCTL = shutil.which("etcdctl")
WAIT_SECONDS = 30


@pytest.fixture
def ctl(cluster):
    cluster.wait_until_ready()
    return Etcdctl(cluster.endpoints)


class Etcdctl:
    def __init__(self, endpoints):
        self.endpoints = endpoints

    def command(self, *arguments):
        return [ETCDCTL, f"--endpoints={','.join(self.endpoints)}", *arguments]

    def run(self, *arguments, stdin="", code=0):
        """stdout of a command that ends with `code`; for a failing one stderr."""
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            env={**os.environ, "ETCDCTL_API": "3"},
        )
        assert done.returncode == code, f"{arguments} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "-w", "json"))

    def put_once(self, key, value):
        """Puts through an election: asked again, it changes nothing where an earlier try went through after all."""
        txn = f'value("{key}") = "{value}"\n\n\nput {key} {value}\n\n'
        for _ in range(20):
            done = subprocess.run(self.command("txn"), input=txn, capture_output=True, text=True, timeout=60)
            if done.returncode == 0:
                return
        raise AssertionError(f"no leader took the put: {done.stderr}")

    def lease(self, ttl):
        line = self.run("lease", "grant", str(ttl))
        return re.fullmatch(r"lease ([0-9a-f]{16}) granted with TTL\(\d+s\)\n", line).group(1)

    @contextlib.contextmanager
    def background(self, *arguments):
        """A command that goes on, as a queue of the lines it writes."""
        process = subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "ETCDCTL_API": "3"},
        )
        output = Output(process)
        try:
            yield output
        finally:
            process.kill()
            process.wait()
            output.reader.join()
            process.stdin.close()
            process.stdout.close()


class Output:
    def __init__(self, process):
        self.process = process
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def next(self, count):
        return [self.lines.get(timeout=WAIT_SECONDS) for _ in range(count)]

    def until(self, wanted):
        while wanted not in (line := self.lines.get(timeout=WAIT_SECONDS)):
            pass
        return line


def test_put_get_del_in_every_form(ctl):
    assert ctl.run("put", "k/a", "1") == "OK\n"
    assert ctl.run("put", "k/b", stdin="from stdin") == "OK\n"
    assert ctl.run("put", "k/c", "3") == "OK\n"
    assert ctl.run("put", "--prev-kv", "k/a", "2") == "OK\nk/a\n1\n"
    assert ctl.run("get", "k/a") == "k/a\n2\n"
    assert ctl.run("get", "k/nothing") == ""
    assert ctl.run("get", "--print-value-only", "k/b") == "from stdin\n"
    assert ctl.run("get", "--prefix", "--keys-only", "k/") == "k/a\n\nk/b\n\nk/c\n\n"
    assert ctl.run("get", "--prefix", "--keys-only", "--limit=2", "k/") == "k/a\n\nk/b\n\n"
    assert ctl.run("get", "--from-key", "--keys-only", "--limit=1", "k/b") == "k/b\n\n"
    assert ctl.run("get", "k/a", "k/c") == "k/a\n2\nk/b\nfrom stdin\n"
    for target in ("CREATE", "KEY", "MODIFY", "VALUE", "VERSION"):
        assert len(ctl.run("get", "--prefix", "--keys-only", f"--sort-by={target}", "k/").split()) == 3
    assert ctl.run("get", "--prefix", "--keys-only", "--order=DESCEND", "k/").split() == ["k/c", "k/b", "k/a"]
    assert ctl.run("get", "--prefix", "--keys-only", "--sort-by=MODIFY", "--order=DESCEND", "k/").split()[0] == "k/a"
    assert ctl.run("get", "--consistency=s", "--prefix", "--keys-only", "k/").split() == ["k/a", "k/b", "k/c"]
    before = ctl.json("get", "k/a")["kvs"][0]["create_revision"]
    assert ctl.run("get", f"--rev={before}", "k/a") == "k/a\n1\n"
    assert ctl.run("del", "--prev-kv", "k/a") == "1\nk/a\n2\n"
    assert ctl.run("del", "k/a") == "0\n"
    assert ctl.run("del", "--prefix", "k/") == "2\n"
    ctl.run("put", "zz/1", "x")
    ctl.run("put", "zz/2", "x")
    assert ctl.run("del", "--from-key", "zz/") == "2\n"


def test_output_formats(ctl):
    ctl.run("put", "format", "v")
    kv = ctl.json("get", "format")["kvs"][0]
    assert (kv["key"], kv["value"], kv["version"]) == ("Zm9ybWF0", "dg==", 1)
    assert '"Key" : "format"' in ctl.run("get", "format", "-w", "fields")
    assert "format" in ctl.run("get", "format", "-w", "protobuf")
    assert ctl.run("get", "format", "--hex") == "\\x66\\x6f\\x72\\x6d\\x61\\x74\n\\x76\n"
    header = ctl.json("put", "format", "w")["header"]
    assert header["cluster_id"] and header["member_id"] and header["revision"] and header["raft_term"]


def test_put_that_keeps_value_or_lease(ctl):
    lease = ctl.lease(600)
    ctl.run("put", f"--lease={lease}", "keep", "v")
    ctl.run("put", "--ignore-lease", "keep", "w")
    assert ctl.json("get", "keep")["kvs"][0]["lease"] == int(lease, 16)
    ctl.run("put", "--ignore-value", "keep")
    kv = ctl.json("get", "keep")["kvs"][0]
    assert kv["value"] == "dw==" and "lease" not in kv
    assert "etcdserver: key not found" in ctl.run("put", "--ignore-value", "keep/none", code=1)
    assert "etcdserver: requested lease not found" in ctl.run("put", "--lease=1234", "keep", "v", code=1)
    ctl.run("lease", "revoke", lease)


def test_txn_from_stdin(ctl):
    ctl.run("put", "t/a", "1")
    txn = 'value("t/a") = "1"\nversion("t/none") = "0"\n\nput t/b 2\nget t/a\n\nput t/c 3\n\n'
    assert ctl.run("txn", stdin=txn) == "SUCCESS\n\nOK\n\nt/a\n1\n"
    assert ctl.run("txn", stdin='mod("t/a") > "1000000"\n\nget t/a\n\ndel t/a\nget t/b\n\n') == "FAILURE\n\n1\n\nt/b\n2\n"
    # No lease("…"): etcdctl 3.4 itself crashes on it.
    for compare in ('c("t/b") > "0"', 'create("t/b") < "100000"', 'val("t/b") != "3"'):
        assert ctl.run("txn", stdin=f"{compare}\n\nget t/b\n\n\n") == "SUCCESS\n\nt/b\n2\n"
    assert "duplicate key given in txn request" in ctl.run("txn", stdin="\nput t/x 1\nput t/x 2\n\n\n", code=1)


def test_watch_with_its_options(ctl):
    with ctl.background("watch", "--prefix", "--prev-kv", "w/") as watch:
        ctl.run("put", "w/before", "x")
        # The watch may have begun after the first put, so another tells that it stands.
        while True:
            ctl.run("put", "w/begin", "x")
            with contextlib.suppress(queue.Empty):
                watch.lines.get(timeout=0.5)
                break
        ctl.run("put", "w/a", "1")
        watch.until("w/a")
        assert watch.next(1) == ["1"]
        ctl.run("put", "w/a", "2")
        assert watch.next(5) == ["PUT", "w/a", "1", "w/a", "2"]
        ctl.run("del", "w/a")
        assert watch.next(4) == ["DELETE", "w/a", "2", "w/a"]


def test_watch_from_an_old_revision(ctl):
    first = ctl.json("put", "old", "1")["header"]["revision"]
    ctl.run("put", "old", "2")
    ctl.run("del", "old")
    with ctl.background("watch", f"--rev={first}", "old") as watch:
        assert watch.next(9) == ["PUT", "old", "1", "PUT", "old", "2", "DELETE", "old", ""]


def test_watch_interactively(ctl):
    with ctl.background("watch", "-i") as watch:
        first = ctl.json("put", "i", "1")["header"]["revision"]
        watch.process.stdin.write(f"watch i --rev={first}\n")
        watch.process.stdin.flush()
        assert watch.next(3) == ["PUT", "i", "1"]
        watch.process.stdin.write("progress\n")
        watch.process.stdin.flush()
        assert watch.next(1)[0].startswith("progress notify: ")


def test_leases(ctl):
    lease = ctl.lease(500)
    ctl.run("put", f"--lease={lease}", "leased", "x")
    remaining = rf"lease {lease} granted with TTL\(500s\), remaining\((500|4\d\d)s\)"
    assert re.fullmatch(remaining + "\n", ctl.run("lease", "timetolive", lease))
    assert re.fullmatch(remaining + r", attached keys\(\[leased\]\)\n", ctl.run("lease", "timetolive", "--keys", lease))
    assert lease in ctl.run("lease", "list")
    assert ctl.run("lease", "keep-alive", "--once", lease) == f"lease {lease} keepalived with TTL(500)\n"
    assert ctl.run("lease", "revoke", lease) == f"lease {lease} revoked\n"
    assert ctl.run("get", "leased") == ""
    assert ctl.run("lease", "timetolive", lease) == f"lease {lease} already expired\n"
    assert "requested lease not found" in ctl.run("lease", "revoke", lease, code=1)


def test_compaction(ctl):
    old = ctl.json("put", "compact", "1")["header"]["revision"]
    new = ctl.json("put", "compact", "2")["header"]["revision"]
    assert ctl.run("compaction", str(new)) == f"compacted revision {new}\n"
    assert "required revision has been compacted" in ctl.run("get", f"--rev={old}", "compact", code=1)
    assert "required revision has been compacted" in ctl.run("compaction", str(new), code=1)
    assert "required revision is a future revision" in ctl.run("compaction", str(new + 1000), code=1)
    newer = ctl.json("put", "compact", "3")["header"]["revision"]
    assert ctl.run("compaction", "--physical", str(newer)) == f"compacted revision {newer}\n"
    with ctl.background("watch", f"--rev={old}", "compact") as watch:
        assert watch.process.wait(WAIT_SECONDS) != 0


def test_members_and_endpoints(ctl, cluster):
    rows = [line.split(", ") for line in ctl.run("member", "list").splitlines()]
    assert sorted(row[2] for row in rows) == ["m0", "m1", "m2"]
    assert all(row[1] == "started" and row[5] == "false" for row in rows)
    assert sorted(row[4] for row in rows) == sorted(f"http://{endpoint}" for endpoint in cluster.endpoints)
    assert "m1" in ctl.run("member", "list", "-w", "table")
    status = ctl.json("endpoint", "status")
    assert [row["Endpoint"] for row in status] == cluster.endpoints
    assert len({row["Status"]["leader"] for row in status}) == 1
    assert all(row["Status"]["version"].startswith("3.") and row["Status"]["dbSize"] > 0 for row in status)
    assert len(ctl.run("endpoint", "status", "--cluster").splitlines()) == 3
    health = ctl.json("endpoint", "health")
    assert len(health) == 3 and all(row["health"] for row in health)
    ctl.run("alarm", "list")


def test_hashes_are_equal_on_all_members(ctl, cluster):
    revision = ctl.json("put", "hash", "1")["header"]["revision"]
    for endpoint in cluster.endpoints:  # a linearizable read: each has applied the put
        Etcdctl([endpoint]).run("get", "hash")
    rows = ctl.json("endpoint", "hashkv")
    assert len({row["HashKV"]["hash"] for row in rows}) == 1 and len(rows) == 3
    at = ctl.json("endpoint", "hashkv", f"--rev={revision}")
    assert len({row["HashKV"]["hash"] for row in at}) == 1


def test_move_leader(ctl, cluster):
    status = ctl.json("endpoint", "status")
    leader = status[0]["Status"]["leader"]
    target = next(row["Status"]["header"]["member_id"] for row in status if row["Status"]["header"]["member_id"] != leader)
    assert ctl.run("move-leader", f"{target:x}") == f"Leadership transferred from {leader:x} to {target:x}\n"
    assert {row["Status"]["leader"] for row in ctl.json("endpoint", "status")} == {target}
    followers = [e for e, row in zip(cluster.endpoints, status) if row["Status"]["header"]["member_id"] != target]
    assert "no leader endpoint given" in Etcdctl(followers).run("move-leader", f"{leader:x}", code=128)


def test_lock_runs_a_command_and_hands_over(ctl):
    with ctl.background("lock", "mutex") as holder:
        key = holder.next(1)[0]
        assert re.fullmatch(r"mutex/[0-9a-f]+", key)
        with ctl.background("lock", "mutex") as waiter:
            while len(ctl.run("get", "--prefix", "--keys-only", "mutex/").split()) < 2:
                pass  # the second is queued
            assert waiter.lines.empty()
            holder.process.terminate()
            assert waiter.next(1)[0] != key
    assert ctl.run("lock", "other", "--", "echo", "held") == "held\n"


def test_elect_and_observe(ctl):
    with ctl.background("elect", "election", "first") as first:
        key, value = first.next(2)
        assert key.startswith("election/") and value == "first"
        with ctl.background("elect", "--listen", "election") as observer:
            assert observer.next(2) == [key, "first"]
            with ctl.background("elect", "election", "second") as second:
                while len(ctl.run("get", "--prefix", "--keys-only", "election/").split()) < 2:
                    pass  # the second stands for election
                first.process.terminate()
                assert second.next(2)[1] == "second"
                assert observer.next(2)[1] == "second"


def test_make_mirror_copies_what_is_and_what_comes(ctl, cluster):
    ctl.run("put", "mirror/a", "1")
    destination = cluster.endpoints[1]
    with ctl.background("make-mirror", "--prefix=mirror/", "--dest-prefix=copy/", destination):
        with ctl.background("watch", "--prefix", "copy/") as copied:
            while not ctl.run("get", "copy/a"):
                pass
            while True:
                ctl.run("put", "mirror/b", "2")
                with contextlib.suppress(queue.Empty):
                    copied.lines.get(timeout=0.5)
                    break
            ctl.run("del", "mirror/a")
            copied.until("DELETE")
            assert copied.until("copy/") == "copy/a"
    assert ctl.run("get", "copy/b") == "copy/b\n2\n"


def test_watch_resumes_and_lease_lives_across_kill_9_of_every_member(ctl, cluster):
    lease = ctl.lease(10)
    ctl.run("put", f"--lease={lease}", "alive", "yes")
    first = ctl.json("put", "event", "0")["header"]["revision"]
    expected = ["PUT", "event", "0"]
    with ctl.background("lease", "keep-alive", lease) as keep_alive:
        with ctl.background("watch", f"--rev={first}", "event") as watch:
            assert watch.next(3) == expected
            keep_alive.next(1)
            for index, member in enumerate(cluster.members):  # one of them is the one each talks to
                member.kill()
                Etcdctl([e for i, e in enumerate(cluster.endpoints) if i != index]).put_once("event", str(index + 1))
                assert watch.next(3) == ["PUT", "event", str(index + 1)]
                while not keep_alive.lines.empty():
                    keep_alive.lines.get()
                assert keep_alive.next(2) == [f"lease {lease} keepalived with TTL(10)"] * 2
                member.start()
                cluster.wait_until_ready()
    assert ctl.run("get", "alive") == "alive\nyes\n"
    assert watch.lines.empty(), "an event came twice"
