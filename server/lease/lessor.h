// Counts the time of leases. Which leases exist is replicated state (storage::Store); how much of their time
// has passed is counted here, by the leader alone, and only while a quorum goes on confirming it.
//
//   counted time   stands still      runs               stands still        runs
//                  ───────────┬──────●─────●─────●──────────────────●───────●──▶ loop time
//                       BecomeLeader  confirmations ●   a gap (pause, partition)
//
// A lease's deadline is a point on the *counted* time: granted or renewed at T, it is due at T + TTL. A
// confirmation says "still leader of this term at the moment the round began", so between two of them nobody
// else led; where they are further apart than an election timeout (this member was paused or cut off, and its
// clients could not reach it), the gap counts for nothing. Expiry is thus proposed only after a confirmation
// that began past the deadline: a deposed or paused leader can neither renew nor expire.
//
// What is left of a lease survives a change of leader by checkpoints through the log: the log holds the full
// TTL of a lease that is renewed in time, and a remainder of one that is not. A remainder in the log never
// promises less than any client was told: it is rounded up, and a renewal of a lease with a shorter remainder
// in the log (or on its way there) is answered only after an entry has cleared it (Renewal::needs_clear).
//
// Thread safety: core loop only. Deterministic: same calls, same answers; Loop is used for Now() alone.
// Survives a crash: nothing; a new leader starts from the store's leases.
#ifndef CAIRN_SERVER_LEASE_LESSOR_H_
#define CAIRN_SERVER_LEASE_LESSOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "raft/types.h"
#include "storage/mvcc/store.h"
#include "storage/types.h"

namespace cairn::server {

class Loop;

class Lessor {
 public:
  struct Options {
    // Confirmations further apart than this leave the time between them uncounted.
    absl::Duration election_timeout = absl::Seconds(1);
    // The remainder of a lease that goes unrenewed is written to the log first after 2/5 of its TTL (clients
    // renew after a third), then again and again after a quarter of what is left; each step is kept within
    // these two.
    absl::Duration min_checkpoint_step = absl::Seconds(2);
    absl::Duration max_checkpoint_step = absl::Seconds(60);
    // Most leases in one LeaseExpire or LeaseCheckpoint.
    size_t max_leases_per_command = 1000;
  };

  struct Renewal {
    int64_t ttl_s = 0;         // the granted TTL; 0 = no such lease, or its expiry has been proposed
    bool needs_clear = false;  // answer only after LeaseCheckpoint{id, 0} has been applied
  };

  struct Time {
    int64_t ttl_s = -1;  // whole seconds left, rounded down; -1 = no such lease
    int64_t granted_ttl_s = 0;
  };

  struct Remaining {
    storage::LeaseId id;
    int64_t remaining_ttl_s = 0;  // at least 1
  };

  Lessor(Loop& loop, const Options& options);

  Lessor(const Lessor&) = delete;
  Lessor& operator=(const Lessor&) = delete;

  // --- What happens to this member ---

  // After each apply, leader or not.
  void OnLeaseChanges(std::span<const storage::LeaseChange> changes);

  // This member leads and its term's first entry has been applied: count on from what the log says of each
  // lease.
  void BecomeLeader(raft::Term term, std::span<const storage::LeaseInfo> leases);

  // Forgets everything, marks of proposed expiries included.
  void StepDown();

  // A quorum has confirmed this leader in a round that began at `at` (Loop::Now() then). Rounds follow each
  // other: the next begins only when this one is over.
  void QuorumConfirmed(absl::Duration at);

  bool leading() const { return leading_; }
  raft::Term term() const { return term_; }  // of BecomeLeader; 0 while not leading

  // --- What the leader does; only while leading() ---

  // Leases that are due and not yet given out, at most max_leases_per_command: call again while there are
  // any. They are marked: no longer renewed, and given out once. They go when LeaseExpire{term()} is applied.
  std::vector<storage::LeaseId> TakeExpired();
  // The proposal of `ids` was refused at once (a full queue): they are due again.
  void ExpiryRefused(std::span<const storage::LeaseId> ids);

  // Remainders to be written with LeaseCheckpoint{term()}, at most max_leases_per_command: call again while
  // there are any.
  std::vector<Remaining> TakeCheckpoints();
  // The proposal was refused at once: they are tried again a step later.
  void CheckpointRefused(std::span<const Remaining> leases);

  // When TakeExpired or TakeCheckpoints may have something: call them after the first confirmation whose
  // round began at or after this time. A time in the past waits for such a confirmation, no timer helps.
  // nullopt: nothing to wait for.
  std::optional<absl::Duration> NextDeadline() const;

  // To be called after a quorum confirmation begun when the keep-alive had arrived.
  Renewal Renew(storage::LeaseId id);

  Time TimeToLive(storage::LeaseId id) const;

  size_t lease_count() const { return leases_.size(); }

 private:
  // A point on the counted time; the origin is BecomeLeader.
  using Point = absl::Duration;
  using Schedule = absl::btree_set<std::pair<Point, storage::LeaseId>>;

  struct Lease {
    int64_t granted_ttl_s = 0;
    Point deadline;
    Point checkpoint_due;
    // Where it stands in the schedules: never after the points above. A renewal moves the points only; the
    // place is mended when its turn comes, so that a renewal costs no more than a look-up.
    Point expiry_place;
    Point checkpoint_place;
    bool expiring = false;             // given out by TakeExpired
    bool shorter_in_log = false;       // the last checkpoint applied left less than the full TTL
    uint32_t checkpoints_pending = 0;  // remainders given out and not applied yet
  };

  // The counted time if this moment were confirmed: no later confirmation makes the present an earlier point.
  Point Present() const;
  void Add(storage::LeaseId id, int64_t granted_ttl_s, int64_t remaining_ttl_s);
  void Remove(storage::LeaseId id);
  // `unit` kept within the two limits of the options.
  absl::Duration CheckpointStep(absl::Duration unit) const;

  Loop& loop_;
  const Options options_;

  bool leading_ = false;
  raft::Term term_;
  Point counted_;          // confirmed so far
  absl::Duration anchor_;  // the loop time at which counted_ was reached
  absl::flat_hash_map<storage::LeaseId, Lease> leases_;
  Schedule by_expiry_;      // every lease that is not expiring
  Schedule by_checkpoint_;  // every lease that is not expiring
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_LEASE_LESSOR_H_
