// A leader's linearizable reads that wait for proof that it still leads (thesis §6.4, with heartbeats in
// place of a log entry).
//
// Requests gather while a round is under way and share the next one. A round is one heartbeat to all, named
// by an id that is never used again; it is confirmed once a quorum has answered that id. So an answer to a
// heartbeat sent before the request arrived proves nothing for it.
//
// Thread safety: none; belongs to the Raft core.
// Invariants:    at most one round under way; no request is confirmed twice; all are dropped with the term.
#ifndef CAIRN_RAFT_READ_INDEX_QUEUE_H_
#define CAIRN_RAFT_READ_INDEX_QUEUE_H_

#include <cstdint>
#include <vector>

#include "raft/quorum.h"
#include "raft/types.h"

namespace cairn::raft {

class ReadIndexQueue {
 public:
  struct Request {
    NodeId from;  // the member that asks
    uint64_t context = 0;
  };
  struct Confirmed {
    LogIndex index;
    std::vector<Request> requests;
  };

  void Add(Request request) { waiting_.push_back(request); }

  bool MayStartRound() const { return round_ == 0 && !waiting_.empty(); }

  // Begins a round for all waiting requests; they may be served at `commit`, the leader's now. Answers its
  // id.
  uint64_t StartRound(LogIndex commit);

  // Id of the round under way, to be carried by heartbeats; 0: none.
  uint64_t round() const { return round_; }

  // `from` answered a heartbeat that carried `round`.
  void Acknowledge(NodeId from, uint64_t round);

  // If those who answered and `self` are a quorum, ends the round and answers its requests; else empty.
  Confirmed TakeConfirmed(const Quorum& quorum, NodeId self);

  // Ends everything: the term is over. Answers all requests that waited.
  std::vector<Request> Drop();

  size_t size() const { return waiting_.size() + in_round_.size(); }

 private:
  uint64_t last_round_ = 0;  // never starts again, so no id is used twice
  uint64_t round_ = 0;
  LogIndex round_index_;
  std::vector<NodeId> acknowledged_;
  std::vector<Request> in_round_;
  std::vector<Request> waiting_;
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_READ_INDEX_QUEUE_H_
