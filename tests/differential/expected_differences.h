// Every difference between etcd 3.4.23 and cairn that is meant to be, in one place. Nothing else may differ.
//
// Set aside in answers (this file's functions):
//   1. Identities and terms: cluster_id, member_id, raft_term, Status.leader, raftIndex, raftTerm,
//      raftAppliedIndex, dbSize, version. That they are set, or not, is compared. dbSizeInUse: cairn counts
//      what keys and values take, which is nothing while no key lives; etcd counts pages.
//   2. Where clients run side by side the store's revision in a header depends on the others: set or not is
//   compared.
//   3. HashKV.hash: the value is each server's own. Likewise hash_revision and the StatusResponse fields that
//      came with etcd 3.5 and 3.6 (storageVersion, dbSizeQuota): 3.4 does not fill them.
//   4. MemberList: one member against three. The shape of each member is compared.
//   5. LeaseLeases: etcd sorts by the time left, which only its leader knows; LeaseTimeToLive.keys: etcd's
//      order is random. Both are compared as sets; TTL, a remainder that runs, to two seconds.
//   6. Sorted ranges: etcd's sort is not stable, so keys of equal sort key are compared as a set, and of such
//      a group that `limit` cuts, the number.
//   7. The text of RESOURCE_EXHAUSTED for a message above the transport's limit.
//   8. The revision in the header of a watch response with events: it depends on how events fall into
//      responses. It must be at least the last event's.
//   9. How many events come in one response, and where a fragmented one is cut.
//  10. Events of the moment in which a client cancels a watch may come or not.
//
// Not sent at all, because etcd 3.4.23 answers with a crash or a known fault (the tests of cairn alone cover
// them):
//  11. A sort target or order outside the enumeration: etcd crashes, or takes it for no order.
//  12. A transaction that deletes, and puts with ignore_value or ignore_lease: etcd crashes.
//  13. A compaction at a revision that deletes a key, then a watch from there: etcd loses the event
//  (etcd#19179).
//  14. A watch id used again after the compaction ended its watch: etcd frees it at a time of its own.
//  15. An alarm action outside the enumeration: etcd crashes.
//  16. A progress request while a watch of the stream waits for a future revision: etcd answers at once,
//      which tells that watch of a revision before its start (etcd#20221, mended in 3.6.2); cairn when that
//      revision has come.
#ifndef CAIRN_TESTS_DIFFERENTIAL_EXPECTED_DIFFERENCES_H_
#define CAIRN_TESTS_DIFFERENTIAL_EXPECTED_DIFFERENCES_H_

#include "tests/differential/call.h"

namespace cairn::differential {

// Takes the differences 1 to 5 and 7 out of one system's outcome.
void SetAsideExpected(bool keep_header_revision, Outcome* outcome);

// The part of 5 that needs both answers: remainders within the tolerance become equal.
void SetAsideRunningTime(Message* etcd, Message* cairn);

// Takes the difference 6 out of the answer to `request`: puts ties in key order, and blanks those at the cut.
void SetAsideTies(const Message& request, Message* response);

}  // namespace cairn::differential

#endif  // CAIRN_TESTS_DIFFERENTIAL_EXPECTED_DIFFERENCES_H_
