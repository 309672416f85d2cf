"""What clients saw, and whether a correct store could have shown it.

Revisions give the order: every answer names one, so the check is linear, not a search. The log of events, delivered by
watches of the whole key space, is the reference; everything else is compared with it. The same rules as in
tests/simulation/history.h, for real processes:

  - one log: whoever delivers revision r delivers the same changes, none is missing, and each follows from those before
    it (versions count up from 1, creation revisions stand still, only what exists is deleted);
  - an acknowledged write stands in the log at its revision, with its content and nothing more; a write that was refused
    as "nothing happened" stands nowhere, one without an answer at most once;
  - an operation that begins after another has ended sees a later (write) or no earlier (linearizable read) revision;
  - a read shows exactly the state at its revision; a transaction took the branch that the state before it asks for;
  - a watch delivers every event of its range from its start on, in order, none twice, no revision in parts; a progress
    mark at r comes after all events up to r;
  - a lease whose keep-alive was acknowledged is not gone before the TTL counted from the begin of that keep-alive.

Thread safe: clients report from threads of their own; check() is called when they have ended.
"""

import dataclasses
import threading
from typing import Optional

OK = "ok"
REFUSED = "refused"  # surely nothing happened
UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, order=True)
class Change:
    """One change of one key as a watch shows it. `value` None: deleted, and the other fields are 0."""

    key: bytes
    value: Optional[bytes] = None
    create_revision: int = 0
    version: int = 0
    lease: int = 0


@dataclasses.dataclass(frozen=True)
class KeyState:
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


@dataclasses.dataclass
class Write:
    """A put, a delete, or a transaction of both. Values are unique in a run."""

    puts: tuple = ()  # (key, value) pairs
    deletes: tuple = ()  # keys
    # (key, mod revision): writes only if the key is at that revision (0: absent).
    compare: Optional[tuple] = None
    outcome: str = UNKNOWN
    succeeded: bool = True  # of the compare
    deleted: int = 0  # keys, as the answers count them
    revision: int = 0
    floor: int = 0  # highest revision that any client had seen when it began

    @property
    def applied(self):
        return self.outcome == OK and self.succeeded


@dataclasses.dataclass
class Read:
    key: bytes
    range_end: bytes = b""
    linearizable: bool = True
    at_revision: int = 0  # asked for; 0: now
    revision: int = 0  # of the answer's header
    floor: int = 0
    result: dict = dataclasses.field(default_factory=dict)  # key -> KeyState


@dataclasses.dataclass
class WatchLog:
    """One unbroken wish: from `start` on, over as many streams and members as it took."""

    key: bytes
    range_end: bytes
    start: int
    delivered: list = dataclasses.field(default_factory=list)  # (revision, [Change]) as they came
    promised: int = 0  # highest progress mark


def in_range(key, begin, end):
    """etcd's convention: no end is one key, a zero byte is everything from the key on."""
    if not end:
        return key == begin
    return begin <= key and (end == b"\0" or key < end)


class Broken(Exception):
    """A rule that the history breaks."""


class History:
    def __init__(self):
        self._lock = threading.Lock()
        self._log = {}  # revision -> sorted changes
        self._violation = None  # the first one found while the run went on
        self._seen = 1
        self._writes = []
        self._reads = []
        self._watches = []
        self._lease_until = {}  # key -> time promised
        self._lease_gone_at = {}
        self._lease_revoked = set()

    # --- What happens ---

    def on_events(self, revision, changes, now):
        """A revision as a watch of the whole key space delivered it."""
        changes = sorted(changes)
        with self._lock:
            self._seen = max(self._seen, revision)
            known = self._log.setdefault(revision, changes)
            if known is not changes:
                if known != changes:
                    self._violate(f"two watches deliver different changes at revision {revision}: {known}, {changes}")
                return
            for change in changes:
                if change.value is None and change.key in self._lease_until:
                    self._lease_gone_at.setdefault(change.key, now)
                    self._check_lease(change.key)

    def lease_alive(self, key, until):
        """The key's lease was confirmed: the key, which no client deletes, must live until then."""
        with self._lock:
            self._lease_until[key] = max(until, self._lease_until.get(key, until))
            self._check_lease(key)

    def lease_revoked(self, key):
        """Said before the request is sent: from here on the key may go at any time."""
        with self._lock:
            self._lease_revoked.add(key)

    def add(self, item):
        with self._lock:
            if isinstance(item, Write):
                self._writes.append(item)
            elif isinstance(item, Read):
                self._reads.append(item)
            else:
                self._watches.append(item)

    def saw(self, revision):
        with self._lock:
            self._seen = max(self._seen, revision)

    @property
    def seen(self):
        with self._lock:
            return self._seen

    def counts(self):
        with self._lock:
            return {
                "writes acknowledged": sum(write.outcome == OK for write in self._writes),
                "refused": sum(write.outcome == REFUSED for write in self._writes),
                "unknown": sum(write.outcome == UNKNOWN for write in self._writes),
                "linearizable reads": sum(read.linearizable for read in self._reads),
                "serializable reads": sum(not read.linearizable for read in self._reads),
                "watches": len(self._watches),
                "events": sum(len(watch.delivered) for watch in self._watches),
                "leases promised": len(self._lease_until),
                "leases gone": len(self._lease_gone_at),
                "revisions": len(self._log),
            }

    # --- The verdict ---

    def check(self):
        """The first broken rule, or None."""
        if self._violation:
            return self._violation
        try:
            self._check_log()
            self._check_writes()
            self._check_answers()
            self._check_watches()
        except Broken as broken:
            return str(broken)
        return None

    def _violate(self, text):
        self._violation = self._violation or text

    def _check_lease(self, key):
        gone_at = self._lease_gone_at.get(key)
        if gone_at is not None and key not in self._lease_revoked and gone_at < self._lease_until[key]:
            early = self._lease_until[key] - gone_at
            self._violate(f"{key} went with its lease {early:.3f} s before the time a keep-alive had promised")

    def _check_log(self):
        last = max(self._log, default=1)
        for revision in range(2, last + 1):
            if revision not in self._log:
                raise Broken(f"revision {revision} was delivered by nobody")
        if self._seen > last:
            raise Broken(f"a client saw revision {self._seen}, but the log ends at {last}")
        state = {}
        for revision in range(2, last + 1):
            keys = [change.key for change in self._log[revision]]
            if len(set(keys)) != len(keys):
                raise Broken(f"revision {revision} changes a key twice: {self._log[revision]}")
            for change in self._log[revision]:
                before = state.get(change.key)
                if change.value is None:
                    if before is None:
                        raise Broken(f"revision {revision} deletes {change.key}, which is not there")
                else:
                    expected = (before.create_revision, before.version + 1) if before else (revision, 1)
                    if (change.create_revision, change.version) != expected:
                        raise Broken(f"revision {revision} does not follow from what was before: {change}")
            apply(state, revision, self._log[revision])

    def _check_writes(self):
        revisions_of = {}  # value -> revisions it was written at
        for revision, changes in self._log.items():
            for change in changes:
                if change.value is not None:
                    revisions_of.setdefault(change.value, []).append(revision)
        for write in self._writes:
            found = [tuple(revisions_of.get(value, ())) for _, value in write.puts]
            if any(len(revisions) > 1 for revisions in found):
                raise Broken(f"written twice: {write}")
            if len(set(found)) > 1:
                raise Broken(f"written in parts: {write}")
            if write.outcome == REFUSED or (write.outcome == OK and not write.succeeded):
                if any(found):
                    raise Broken(f"refused, yet written: {write}")
            if write.applied:
                self._check_applied(write)
            if write.outcome == OK:
                changed = write.applied and (write.puts or write.deleted)
                if write.revision < write.floor or (changed and write.revision == write.floor):
                    raise Broken(f"its revision had been seen before it began: {write}")

    def _check_applied(self, write):
        if not write.puts and not write.deleted:
            return  # a delete that found nothing; whether that is so is asked of the state
        changes = self._log.get(write.revision, ())
        if not changes:
            raise Broken(f"acknowledged and not in the log: {write}")
        puts = {change.key: change.value for change in changes if change.value is not None}
        deletes = {change.key for change in changes if change.value is None}
        if puts != dict(write.puts) or not deletes <= set(write.deletes) or len(deletes) != write.deleted:
            raise Broken(f"acknowledged, but the log has {changes} at its revision: {write}")

    def _check_answers(self):
        """Everything that speaks of the state at a revision, in order of revision; the log is replayed once."""
        questions = []
        for read in self._reads:
            if read.linearizable and read.at_revision == 0 and read.revision < read.floor:
                raise Broken(f"stale: a linearizable read after {read.floor} had been seen: {read}")
            questions.append((read.at_revision or read.revision, read))
        for write in self._writes:
            if write.outcome == OK and (write.compare or write.deletes):
                changed = write.succeeded and (write.puts or write.deleted)
                # Who changed something saw the revision before its own; else its own.
                questions.append((write.revision - 1 if changed else write.revision, write))
        questions.sort(key=lambda question: question[0])
        state = {}
        applied = 1
        for revision, asked in questions:
            while applied < revision:
                applied += 1
                apply(state, applied, self._log.get(applied, ()))
            if isinstance(asked, Read):
                check_read(asked, state)
            else:
                check_branch(asked, state)

    def _check_watches(self):
        revisions = sorted(self._log)
        for watch in self._watches:
            name = f"watch of {watch.key}..{watch.range_end} from {watch.start}"
            last = watch.start - 1
            for revision, _ in watch.delivered:
                if revision <= last:
                    raise Broken(f"{name} delivered {revision} after {last}")
                last = revision
            until = max(last, watch.promised)
            expected = []
            for revision in revisions:
                if watch.start <= revision <= until:
                    changes = [c for c in self._log[revision] if in_range(c.key, watch.key, watch.range_end)]
                    if changes:
                        expected.append((revision, changes))
            delivered = [(revision, sorted(changes)) for revision, changes in watch.delivered]
            if delivered != expected:
                wrong = first_difference(delivered, expected)
                raise Broken(f"{name}, promised up to {watch.promised}, missed or changed something: {wrong}")


def apply(state, revision, changes):
    for change in changes:
        if change.value is None:
            state.pop(change.key, None)
        else:
            state[change.key] = KeyState(change.value, change.create_revision, revision, change.version, change.lease)


def check_read(read, state):
    if read.range_end:
        expected = {key: value for key, value in state.items() if in_range(key, read.key, read.range_end)}
    else:
        expected = {read.key: state[read.key]} if read.key in state else {}
    if read.result != expected:
        keys = sorted(key for key in set(expected) | set(read.result) if expected.get(key) != read.result.get(key))
        shown = [(key, read.result.get(key), expected.get(key)) for key in keys[:3]]
        raise Broken(f"a read at revision {read.at_revision or read.revision} of {read.key} shows another state "
                     f"(key, shown, true): {shown}")


def check_branch(write, state):
    if write.compare:
        key, expected = write.compare
        actual = state[key].mod_revision if key in state else 0
        if (actual == expected) != write.succeeded:
            raise Broken(f"took the wrong branch, the key was at revision {actual}: {write}")
    if write.succeeded:
        there = sum(key in state for key in write.deletes)
        if there != write.deleted:
            raise Broken(f"says it deleted {write.deleted} keys, {there} were there: {write}")


def first_difference(delivered, expected):
    for got, wanted in zip(delivered, expected):
        if got != wanted:
            return f"delivered {got}, the log has {wanted}"
    longer = delivered if len(delivered) > len(expected) else expected
    return f"{'delivered' if longer is delivered else 'never delivered'} {longer[min(len(delivered), len(expected))]}"
