"""Clients of a cluster under faults: each a thread with a seed of its own, all reporting to one History.

A client talks to one member at a time and moves on when that one fails. Nothing is sent twice: what has no answer is
recorded as unknown.
"""

import pathlib
import queue
import random
import re
import threading
import time

import grpc

from harness import Client
from history import OK, REFUSED, UNKNOWN, Change, KeyState, Read, WatchLog, Write

PATIENCE_SECONDS = 3.0
ALL = b"\0"
KEYS = [b"k%02d" % i for i in range(12)]
ERRORS = pathlib.Path(__file__).resolve().parents[2] / "proto" / "errors.def"


def texts_that_promise_nothing_happened():
    """Error texts after which the same request may be sent again (kSafe) or never succeeds (kNever)."""
    lines = re.findall(r'^CAIRN_ERROR\(\w+, \w+, "([^"]*)", (kSafe|kNever|kUnknown),', ERRORS.read_text(), re.MULTILINE)
    assert len(lines) > 20, f"{ERRORS} has another form than this expects"
    return {text for text, retry in lines if retry != "kUnknown"}


def key_state(kv):
    return KeyState(kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


class Actor(threading.Thread):
    """A thread with a connection to each member and a loop of steps until it is told to stop."""

    def __init__(self, name, cluster, history, seed):
        super().__init__(name=name, daemon=True)
        self.cluster = cluster
        self.api = cluster.api
        self.history = history
        self.dice = random.Random(f"{seed} {name}")
        self.clients = [Client(cluster.api, endpoint) for endpoint in cluster.endpoints]
        self.at = self.dice.randrange(len(self.clients))
        self.stopping = threading.Event()
        self.failure = None

    @property
    def client(self):
        return self.clients[self.at]

    def move_on(self):
        """To another member, not before this client has drawn breath: refused connections must not spin."""
        self.at = self.dice.randrange(len(self.clients))
        self.stopping.wait(0.02)

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
            self.finish()
        except BaseException as error:  # shown by the test; a client that dies quietly checks nothing
            self.failure = error
        finally:
            for client in self.clients:
                client.close()

    def step(self):
        raise NotImplementedError

    def finish(self):
        pass


class Worker(Actor):
    """Puts, deletes, transactions and reads on a few keys that all workers share."""

    def __init__(self, name, cluster, history, seed, progress, rate):
        super().__init__(name, cluster, history, seed)
        self.progress = progress
        self.pause = 1.0 / rate
        self.number = 0
        self.known = {}  # key -> mod revision last seen
        self.nothing_happened = texts_that_promise_nothing_happened()
        self.codes = {}
        self.last_error = ""

    def step(self):
        action = self.dice.choices(
            [self.put, self.delete, self.compare_and_put, self.transaction, self.read, self.read_history],
            [30, 8, 14, 6, 36, 6],
        )[0]
        action()
        # Thinking time, so that many clients share the machine with the members.
        self.stopping.wait(self.dice.uniform(0, 2 * self.pause))

    def value(self):
        self.number += 1
        return b"%s-%d" % (self.name.encode(), self.number)

    def call(self, method, request):
        """(answer, outcome) of one try."""
        try:
            answer = method(request, timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            text = f"{error.code().name}: {error.details()}"
            self.codes[text] = self.codes.get(text, 0) + 1
            self.last_error = text
            self.move_on()
            return None, REFUSED if error.details() in self.nothing_happened else UNKNOWN
        return answer, OK

    def put(self):
        api = self.api
        write = Write(puts=((self.dice.choice(KEYS), self.value()),), floor=self.history.seen)
        key, value = write.puts[0]
        answer, write.outcome = self.call(self.client.KV.Put, api.PutRequest(key=key, value=value))
        if answer:
            self.known[key] = answer.header.revision
        self.done(write, answer)

    def delete(self):
        key = self.dice.choice(KEYS)
        write = Write(deletes=(key,), floor=self.history.seen)
        answer, write.outcome = self.call(self.client.KV.DeleteRange, self.api.DeleteRangeRequest(key=key))
        if answer:
            write.deleted = answer.deleted
            self.known[key] = 0
        self.done(write, answer)

    def compare_and_put(self):
        key = self.dice.choice(KEYS)
        self.txn(Write(puts=((key, self.value()),), compare=(key, self.known.get(key, 0))))

    def transaction(self):
        """Two puts and a delete that must be one revision."""
        first, second, third = self.dice.sample(KEYS, 3)
        self.txn(Write(puts=((first, self.value()), (second, self.value())), deletes=(third,),
                       compare=(first, self.known.get(first, 0))))

    def txn(self, write):
        api = self.api
        write.floor = self.history.seen
        key, revision = write.compare
        request = api.TxnRequest()
        request.compare.add(key=key, target=api.Compare.MOD, result=api.Compare.EQUAL, mod_revision=revision)
        for put_key, value in write.puts:
            request.success.add(request_put=api.PutRequest(key=put_key, value=value))
        for delete_key in write.deletes:
            request.success.add(request_delete_range=api.DeleteRangeRequest(key=delete_key))
        request.failure.add(request_range=api.RangeRequest(key=key))
        answer, write.outcome = self.call(self.client.KV.Txn, request)
        if answer:
            write.succeeded = answer.succeeded
            if answer.succeeded:
                write.deleted = sum(part.response_delete_range.deleted for part in answer.responses)
                self.known[key] = answer.header.revision
            else:
                kvs = answer.responses[0].response_range.kvs
                self.known[key] = kvs[0].mod_revision if kvs else 0
        self.done(write, answer)

    def done(self, write, answer):
        if answer:
            write.revision = answer.header.revision
            self.history.saw(write.revision)
            self.progress.note()
        self.history.add(write)

    def read(self, at_revision=0):
        read = Read(self.dice.choice(KEYS), linearizable=self.dice.random() < 0.7, at_revision=at_revision)
        if self.dice.random() < 0.3:
            read.key, read.range_end = b"k", b"l"
        read.floor = self.history.seen
        request = self.api.RangeRequest(key=read.key, range_end=read.range_end, serializable=not read.linearizable,
                                        revision=at_revision)
        answer, _ = self.call(self.client.KV.Range, request)
        if not answer:
            if read.linearizable and self.last_error.endswith("required revision is a future revision"):
                # The member had less than what had been seen before: as stale as an answer from then.
                read.revision, read.at_revision = at_revision - 1, 0
                self.history.add(read)
            return
        read.revision = answer.header.revision
        read.result = {kv.key: key_state(kv) for kv in answer.kvs}
        if not at_revision:
            self.known.update((kv.key, kv.mod_revision) for kv in answer.kvs)
        self.history.saw(read.revision)
        self.history.add(read)

    def read_history(self):
        self.read(at_revision=max(1, self.history.seen - self.dice.randrange(40)))


class LeaseHolder(Actor):
    """Grants leases, keeps them alive over all members, and in the end lets them go: by revoking or by waiting."""

    def __init__(self, name, cluster, history, seed, ttl_seconds):
        super().__init__(name, cluster, history, seed)
        self.ttl = ttl_seconds
        self.leases = []  # (id, key)
        self.kept_alive = 0
        self.number = 0

    def step(self):
        if len(self.leases) < 4:
            self.grant()
        elif self.dice.random() < 0.03:
            self.revoke()
        elif self.dice.random() < 0.03:
            self.leases.pop(self.dice.randrange(len(self.leases)))  # forgotten: it expires by itself
        else:
            self.keep_alive()
        self.stopping.wait(0.05)

    def grant(self):
        begun = time.monotonic()
        self.number += 1
        key = b"lease-%s-%d" % (self.name.encode(), self.number)
        write = Write(puts=((key, key),))
        try:
            lease = self.client.Lease.LeaseGrant(self.api.LeaseGrantRequest(TTL=self.ttl), timeout=PATIENCE_SECONDS)
            write.floor = self.history.seen
            answer = self.client.KV.Put(self.api.PutRequest(key=key, value=key, lease=lease.ID), timeout=PATIENCE_SECONDS)
        except grpc.RpcError:
            self.history.add(write)  # unknown
            self.move_on()
            return
        write.outcome, write.revision = OK, answer.header.revision
        self.history.saw(write.revision)
        self.history.add(write)
        self.history.lease_alive(key, begun + lease.TTL)
        self.leases.append((lease.ID, key))

    def keep_alive(self):
        lease, key = self.dice.choice(self.leases)
        begun = time.monotonic()
        call = self.client.Lease.LeaseKeepAlive(
            iter([self.api.LeaseKeepAliveRequest(ID=lease)]), timeout=PATIENCE_SECONDS)
        try:
            answer = next(call)
        except (grpc.RpcError, StopIteration):
            self.move_on()
            return
        finally:
            call.cancel()
        if answer.TTL > 0:
            self.history.lease_alive(key, begun + answer.TTL)
            self.kept_alive += 1
        else:
            self.leases.remove((lease, key))

    def revoke(self):
        lease, key = self.leases.pop(self.dice.randrange(len(self.leases)))
        self.history.lease_revoked(key)
        try:
            self.client.Lease.LeaseRevoke(self.api.LeaseRevokeRequest(ID=lease), timeout=PATIENCE_SECONDS)
        except grpc.RpcError:
            self.move_on()


class Watcher(Actor):
    """One watch, resumed by revision on any member whenever its stream breaks."""

    def __init__(self, name, cluster, history, seed, key=ALL, range_end=ALL):
        super().__init__(name, cluster, history, seed)
        self.whole = key == ALL and range_end == ALL
        self.wish = (key, range_end)
        self.log = WatchLog(key, range_end, start=2)
        self.next_revision = 2
        self.resumed = 0
        self.requests = None
        self.stream = None
        self._lock = threading.Lock()

    def step(self):
        api = self.api
        key, range_end = self.wish
        requests = queue.SimpleQueue()
        requests.put(api.WatchRequest(create_request=api.WatchCreateRequest(
            key=key, range_end=range_end, start_revision=self.next_revision)))
        with self._lock:
            if self.stopping.is_set():
                return
            self.requests = requests
            self.stream = self.client.Watch.Watch(iter(requests.get, None))
        try:
            for response in self.stream:
                self.take(response)
                if response.canceled:
                    break
        except grpc.RpcError:
            pass
        finally:
            requests.put(None)
            self.stream.cancel()
        self.resumed += 1
        self.move_on()

    def take(self, response):
        if response.canceled:
            # Compacted meanwhile: a wish of its own begins where history does.
            assert response.compact_revision and not self.whole, f"{self.name} was cancelled: {response}"
            self.history.add(self.log)
            self.next_revision = max(self.next_revision, response.compact_revision)
            self.log = WatchLog(*self.wish, start=self.next_revision)
            return
        if response.created:
            return
        if not response.events:
            self.log.promised = max(self.log.promised, response.header.revision)
            self.next_revision = max(self.next_revision, response.header.revision + 1)
            return
        now = time.monotonic()
        revisions = {}
        for event in response.events:
            kv = event.kv
            change = Change(kv.key) if event.type else Change(
                kv.key, kv.value, kv.create_revision, kv.version, kv.lease)
            if kv.mod_revision in revisions and kv.mod_revision != next(reversed(revisions)):
                raise AssertionError(f"{self.name}: events of revision {kv.mod_revision} are not together: {response}")
            revisions.setdefault(kv.mod_revision, []).append(change)
        for revision, changes in revisions.items():
            self.log.delivered.append((revision, changes))
            if self.whole:
                self.history.on_events(revision, changes, now)
            self.next_revision = max(self.next_revision, revision + 1)

    def ask_progress(self):
        requests = self.requests
        if requests is not None:
            requests.put(self.api.WatchRequest(progress_request=self.api.WatchProgressRequest()))

    def stop(self):
        with self._lock:
            self.stopping.set()
            if self.stream is not None:
                self.stream.cancel()

    def finish(self):
        self.history.add(self.log)


class Progress:
    """When writes were acknowledged: the longest time without one."""

    def __init__(self):
        self._changed = threading.Condition()
        self._last = time.monotonic()
        self._count = 0
        self.longest = 0.0

    def note(self):
        with self._changed:
            now = time.monotonic()
            self.longest = max(self.longest, now - self._last)
            self._last = now
            self._count += 1
            self._changed.notify_all()

    def take_longest(self):
        """The longest gap since this was last asked."""
        with self._changed:
            longest, self.longest = max(self.longest, time.monotonic() - self._last), 0.0
            return longest

    def wait_for_more(self, timeout):
        """False when nothing is acknowledged in that time."""
        with self._changed:
            before = self._count
            return self._changed.wait_for(lambda: self._count > before, timeout)
