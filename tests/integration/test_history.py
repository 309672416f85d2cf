"""The history check finds what it must: one planted bad history a rule, and none in a good one.

Each case changes one thing of a history that is right; a checker that looks away fails here.
"""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from history import OK, REFUSED, UNKNOWN, Change, History, KeyState, Read, WatchLog, Write  # noqa: E402

ALL = (b"\0", b"\0")


def good_run():
    """The parts of a history without fault, to be spoilt by a case and then told."""
    log = {
        2: [Change(b"a", b"1", 2, 1)],
        3: [Change(b"b", b"2", 3, 1)],
        4: [Change(b"a", b"3", 2, 2)],
        5: [Change(b"c", b"4", 5, 1), Change(b"b")],
        6: [Change(b"lease", b"5", 6, 1, 7)],
        7: [Change(b"lease")],
        8: [Change(b"a", b"6", 2, 3)],
    }
    writes = {
        "first": Write(puts=((b"a", b"1"),), outcome=OK, revision=2, floor=1),
        "second": Write(puts=((b"b", b"2"),), outcome=OK, revision=3, floor=2),
        "unanswered": Write(puts=((b"a", b"3"),), outcome=UNKNOWN, floor=3),
        "lost": Write(puts=((b"a", b"never"),), outcome=UNKNOWN, floor=3),
        "refused": Write(puts=((b"a", b"no"),), outcome=REFUSED, floor=3),
        "txn": Write(puts=((b"c", b"4"),), deletes=(b"b", b"x"), compare=(b"c", 0), outcome=OK, deleted=1, revision=5,
                     floor=4),
        "failed": Write(puts=((b"c", b"none"),), compare=(b"c", 3), outcome=OK, succeeded=False, revision=5, floor=5),
        "nothing": Write(deletes=(b"x",), outcome=OK, deleted=0, revision=5, floor=5),
        "leased": Write(puts=((b"lease", b"5"),), outcome=OK, revision=6, floor=5),
        "last": Write(puts=((b"a", b"6"),), outcome=OK, revision=8, floor=7),
    }
    reads = {
        "linearizable": Read(b"a", revision=4, floor=3, result={b"a": KeyState(b"3", 2, 4, 2)}),
        "serializable": Read(b"a", linearizable=False, revision=2, floor=4, result={b"a": KeyState(b"1", 2, 2, 1)}),
        "past": Read(b"a", b"c", at_revision=3, revision=5, floor=5,
                     result={b"a": KeyState(b"1", 2, 2, 1), b"b": KeyState(b"2", 3, 3, 1)}),
    }
    watches = {
        "whole": WatchLog(*ALL, start=2, delivered=[(revision, list(changes)) for revision, changes in log.items()]),
        "part": WatchLog(b"b", b"d", start=3,
                         delivered=[(3, [Change(b"b", b"2", 3, 1)]), (5, [Change(b"b"), Change(b"c", b"4", 5, 1)])],
                         promised=7),
    }
    # (what, key, time): the lease was confirmed until 10, its key went at 11.
    leases = {"promised": 10.0, "gone": 11.0}
    return log, writes, reads, watches, leases


def verdict(parts, told_again=None):
    log, writes, reads, watches, leases = parts
    history = History()
    history.lease_alive(b"lease", leases["promised"])
    for revision, changes in log.items():
        history.on_events(revision, changes, leases["gone"])
    for revision, changes in (told_again or {}).items():
        history.on_events(revision, changes, leases["gone"])
    if "late" in leases:
        history.lease_alive(b"lease", leases["late"])
    for part in (writes, reads, watches):
        for item in part.values():
            history.add(item)
    history.saw(leases.get("saw", 1))
    return history.check()


def test_good_history_passes():
    assert verdict(good_run()) is None


def test_same_revision_told_twice_alike_passes():
    assert verdict(good_run(), told_again={5: [Change(b"b"), Change(b"c", b"4", 5, 1)]}) is None


def test_revoked_lease_may_go_early():
    history = History()
    history.on_events(2, [Change(b"lease", b"v", 2, 1, 7)], 0.0)
    history.lease_alive(b"lease", 10.0)
    history.lease_revoked(b"lease")
    history.on_events(3, [Change(b"lease")], 1.0)
    assert history.check() is None


CASES = {}


def bad(expected):
    """A case: changes the good run; the verdict must contain `expected`."""
    return lambda spoil: CASES.setdefault(spoil.__name__, (expected, spoil))


@bad("was delivered by nobody")
def revision_that_nobody_delivered(log, writes, reads, watches, leases):
    del log[3]


@bad("the log ends at 8")
def answer_newer_than_the_log(log, writes, reads, watches, leases):
    leases["saw"] = 9


@bad("does not follow from what was before")
def version_that_jumps(log, writes, reads, watches, leases):
    log[4] = [Change(b"a", b"3", 2, 3)]


@bad("does not follow from what was before")
def deleted_key_that_comes_back_with_its_past(log, writes, reads, watches, leases):
    log[8] = [Change(b"lease", b"6", 6, 2)]


@bad("which is not there")
def delete_of_an_absent_key(log, writes, reads, watches, leases):
    log[7].append(Change(b"x"))


@bad("changes a key twice")
def key_changed_twice_in_a_revision(log, writes, reads, watches, leases):
    log[5].append(Change(b"c", b"4", 5, 1))


@bad("acknowledged, but the log has")
def acknowledged_write_lost(log, writes, reads, watches, leases):
    log[3] = [Change(b"b", b"other", 3, 1)]


@bad("acknowledged, but the log has")
def acknowledged_at_another_revision(log, writes, reads, watches, leases):
    writes["second"].revision = 4


@bad("acknowledged, but the log has")
def acknowledged_transaction_without_its_delete(log, writes, reads, watches, leases):
    log[5] = [Change(b"c", b"4", 5, 1)]


@bad("refused, yet written")
def refused_write_in_the_log(log, writes, reads, watches, leases):
    writes["refused"].puts = ((b"a", b"3"),)


@bad("refused, yet written")
def failed_compare_that_wrote(log, writes, reads, watches, leases):
    writes["failed"].puts = ((b"a", b"3"),)


@bad("written twice")
def unanswered_write_applied_twice(log, writes, reads, watches, leases):
    log[8] = [Change(b"a", b"3", 2, 3)]


@bad("written in parts")
def transaction_split_over_revisions(log, writes, reads, watches, leases):
    writes["lost"].puts = ((b"a", b"3"), (b"c", b"4"))


@bad("written in parts")
def half_of_a_transaction(log, writes, reads, watches, leases):
    writes["lost"].puts = ((b"a", b"3"), (b"d", b"missing"))


@bad("had been seen before it began")
def write_ordered_before_one_that_had_ended(log, writes, reads, watches, leases):
    writes["second"].floor = 3


@bad("had been seen before it began")
def failed_compare_from_the_past(log, writes, reads, watches, leases):
    writes["failed"].floor = 6


@bad("stale: a linearizable read")
def stale_linearizable_read(log, writes, reads, watches, leases):
    reads["linearizable"].floor = 5


@bad("shows another state")
def read_of_a_value_that_was_not_there_yet(log, writes, reads, watches, leases):
    reads["serializable"].result = {b"a": KeyState(b"3", 2, 4, 2)}


@bad("shows another state")
def read_of_history_without_a_key(log, writes, reads, watches, leases):
    del reads["past"].result[b"b"]


@bad("shows another state")
def read_that_forgets_the_lease_of_a_key(log, writes, reads, watches, leases):
    reads["leased"] = Read(b"lease", revision=6, floor=6, result={b"lease": KeyState(b"5", 6, 6, 1, 0)})


@bad("took the wrong branch")
def compare_that_should_have_failed(log, writes, reads, watches, leases):
    writes["txn"].compare = (b"c", 3)


@bad("took the wrong branch")
def compare_that_should_have_succeeded(log, writes, reads, watches, leases):
    writes["failed"].compare = (b"c", 5)


@bad("says it deleted 0 keys")
def delete_that_overlooks_a_key(log, writes, reads, watches, leases):
    writes["nothing"].deletes = (b"a",)


@bad("missed or changed")
def watch_with_a_gap(log, writes, reads, watches, leases):
    del watches["whole"].delivered[3]


@bad("never delivered")
def watch_that_lost_an_event_below_its_progress_mark(log, writes, reads, watches, leases):
    watches["part"].delivered.pop()


@bad("delivered 4 after 4")
def watch_that_doubles_a_revision(log, writes, reads, watches, leases):
    watches["whole"].delivered.insert(3, watches["whole"].delivered[2])


@bad("delivered 2 after 3")
def watch_that_goes_back_in_time(log, writes, reads, watches, leases):
    delivered = watches["whole"].delivered
    delivered[0], delivered[1] = delivered[1], delivered[0]


@bad("delivered 2 after 2")
def watch_from_the_future_that_delivers_the_past(log, writes, reads, watches, leases):
    watches["part"].start = 3
    watches["part"].delivered.insert(0, (2, [Change(b"b", b"old", 2, 1)]))


@bad("missed or changed")
def watch_that_splits_a_transaction(log, writes, reads, watches, leases):
    watches["whole"].delivered[3] = (5, [Change(b"c", b"4", 5, 1)])


@bad("missed or changed")
def watch_that_delivers_what_is_not_in_its_range(log, writes, reads, watches, leases):
    watches["part"].delivered.insert(1, (4, [Change(b"a", b"3", 2, 2)]))


@bad("went with its lease 1.000 s before")
def lease_expired_before_it_was_promised(log, writes, reads, watches, leases):
    leases["promised"] = 12.0


@bad("went with its lease 9.000 s before")
def keep_alive_acknowledged_after_the_lease_was_gone(log, writes, reads, watches, leases):
    leases["late"] = 20.0


@pytest.mark.parametrize("case", CASES)
def test_planted_bad_history_is_found(case):
    expected, spoil = CASES[case]
    parts = good_run()
    spoil(*parts)
    found = verdict(parts)
    assert found is not None and expected in found


def test_members_that_deliver_different_changes_are_found():
    found = verdict(good_run(), told_again={4: [Change(b"a", b"other", 2, 2)]})
    assert found is not None and "different changes at revision 4" in found


def test_at_least_ten_histories_are_planted():
    assert len(CASES) >= 10
