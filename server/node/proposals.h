// Commands on their way: those that wait to be sent, and the callers that wait for the result.
//
// A command is serialized once, when it comes in. TakeBatch() strings queued ones together as one
// CommandBatch, which is both an entry's payload and what a follower forwards.
//
// Thread safety: none; belongs to the core loop.
// Invariants:    every `done` is called exactly once. A command that was answered before it was sent is never
//                sent. Time limits run out in the order of arrival.
#ifndef CAIRN_SERVER_NODE_PROPOSALS_H_
#define CAIRN_SERVER_NODE_PROPOSALS_H_

#include <cstdint>
#include <deque>
#include <string>

#include "absl/time/time.h"
#include "proto/errors.h"
#include "proto/internal/command.pb.h"
#include "raft/types.h"
#include "server/kernel/kernel.h"

namespace cairn::server {

class Proposals {
 public:
  struct Limits {
    size_t max_waiting = 50'000;            // callers at once
    size_t max_queued_bytes = 64 << 20;     // of commands not sent yet
    size_t max_batch_bytes = 256 << 10;     // of one entry; a single command may be larger
    size_t max_batch_commands = 1000;       // so that applying one entry takes a few milliseconds at most
    size_t max_command_bytes = 1536 << 10;  // etcd's --max-request-bytes
    absl::Duration time_limit = absl::Seconds(7);
  };

  // `first_request_id`: random, so that a command of an earlier life of this process wakes nobody.
  Proposals(raft::NodeId self, uint64_t first_request_id, const Limits& limits);

  // Queues a command; fills in its origin and request id. At a limit `done` is called at once with the error.
  void Add(internal::Command& command, Kernel::Done done, absl::Duration now);

  bool has_queued() const { return !queued_.empty(); }

  // The oldest queued commands as one CommandBatch, marked as sent in `term`; `forwarded` = to another
  // member. nullptr when nothing is left that anybody waits for.
  raft::Payload TakeBatch(raft::Term term, bool forwarded);

  // The command was applied, or refused before anything happened.
  void Complete(uint64_t request_id, storage::Result result);

  // Commands sent in an earlier term than `term`, of which an entry has been applied: they can no longer
  // commit, because no entry of a term follows one of a later term.
  void FailSentBefore(raft::Term term);

  // The connection they were forwarded on broke: their outcome is unknown.
  void FailForwarded(ClientError error);

  // Past their time limit.
  void Expire(absl::Duration now, bool leader_known);

  void FailAll(ClientError error);

  size_t waiting() const { return waiting_; }

 private:
  enum class State : uint8_t { kQueued, kAppended, kForwarded, kAnswered };
  struct Waiter {
    State state = State::kQueued;
    raft::Term term;  // in which it was sent
    absl::Duration deadline;
    Kernel::Done done;
  };
  struct Queued {
    uint64_t request_id;
    std::string bytes;  // serialized Command
  };

  Waiter* Find(uint64_t request_id);
  void PopQueued();
  // Answers and forgets; `waiter` may dangle afterwards.
  void Answer(Waiter* waiter, storage::Result result);
  void DropAnswered();
  template <typename Predicate>
  void FailIf(Predicate predicate, ClientError error);

  const raft::NodeId self_;
  const Limits limits_;

  uint64_t first_id_;           // of waiters_.front()
  std::deque<Waiter> waiters_;  // by request id; answered ones go when they reach the front
  size_t waiting_ = 0;

  std::deque<Queued> queued_;
  size_t queued_bytes_ = 0;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_NODE_PROPOSALS_H_
