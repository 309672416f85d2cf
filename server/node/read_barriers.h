// Linearizable reads before they may run: each waits for a confirmation round that began after it arrived
// (ReadIndex, thesis §6.4), then until this member has applied that far. All that arrive while one round is
// under way share the next.
//
// Thread safety: none; belongs to the core loop.
// Invariants:    one round under way at most; a round that failed or got lost is begun anew under a new id;
//                every `done` is called exactly once.
#ifndef CAIRN_SERVER_NODE_READ_BARRIERS_H_
#define CAIRN_SERVER_NODE_READ_BARRIERS_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "proto/errors.h"
#include "raft/types.h"
#include "server/kernel/kernel.h"

namespace cairn::server {

class ReadBarriers {
 public:
  struct Limits {
    size_t max_waiting = 50'000;
    absl::Duration time_limit = absl::Seconds(7);
  };

  explicit ReadBarriers(const Limits& limits) : limits_(limits) {}

  // At the limit `done` is called at once with kTooManyRequests.
  void Add(Kernel::ErrorDone done, absl::Duration now);

  // Somebody waits and no round is under way.
  bool wants_round() const { return !arrived_.empty() && round_id_ == 0; }

  // Begins a round for all that have arrived; the id is to be given to Raft::ReadIndex.
  uint64_t BeginRound(absl::Duration now);

  // When the round under way began, if `id` is still that round.
  std::optional<absl::Duration> RoundBegan(uint64_t id) const;

  // Confirmed: its reads may run once `index` is applied.
  void Confirmed(uint64_t id, raft::LogIndex index);

  // Refused or lost: its reads wait for the next round.
  void RoundFailed(uint64_t id);

  // A round begun before `before` and still without an answer counts as lost.
  void GiveUpRoundBegunBefore(absl::Duration before);

  void Applied(raft::LogIndex index);

  void Expire(absl::Duration now);
  void FailAll(ClientError error);

  size_t waiting() const { return waiting_; }

 private:
  struct Waiter {
    Kernel::ErrorDone done;
    absl::Duration deadline;
  };
  struct Confirmation {
    raft::LogIndex index;
    std::vector<Waiter> waiters;
  };

  static void ExpireIn(std::vector<Waiter>& waiters, absl::Duration now,
                       std::vector<Kernel::ErrorDone>* late);
  void Call(std::vector<Kernel::ErrorDone> all, ClientError error);

  const Limits limits_;
  size_t waiting_ = 0;

  std::vector<Waiter> arrived_;  // wait for a round to begin
  std::vector<Waiter> in_round_;
  uint64_t round_id_ = 0;  // 0 = none under way
  uint64_t last_round_id_ = 0;
  absl::Duration round_began_;
  std::deque<Confirmation> confirmed_;  // by index: wait for apply
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_NODE_READ_BARRIERS_H_
