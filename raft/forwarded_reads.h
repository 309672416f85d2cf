// A follower's reads that wait for the leader's answer. Each goes out under an id of its own that starts at a
// random place in every life of the member, so that an answer meant for a former life fits none of them.
//
// Thread safety: none; belongs to the Raft core.
// Invariants:    each read is answered once; all are dropped when the leader or the term changes.
#ifndef CAIRN_RAFT_FORWARDED_READS_H_
#define CAIRN_RAFT_FORWARDED_READS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace cairn::raft {

class ForwardedReads {
 public:
  explicit ForwardedReads(uint64_t first_id) : next_id_(first_id) {}

  // Remembers the read and answers the id to send it under.
  uint64_t Add(uint64_t context, uint64_t now) {
    reads_.push_back({next_id_, context, now});
    return next_id_++;
  }

  // The context of the read sent under `id`, which is forgotten; nullopt: nobody waits for it.
  std::optional<uint64_t> Take(uint64_t id) {
    for (auto it = reads_.begin(); it != reads_.end(); ++it) {
      if (it->id != id) continue;
      const uint64_t context = it->context;
      reads_.erase(it);
      return context;
    }
    return std::nullopt;
  }

  // Forgets the reads begun before tick `before`; answers their contexts.
  std::vector<uint64_t> DropBefore(uint64_t before) {
    std::vector<uint64_t> dropped;
    while (!reads_.empty() && reads_.front().begun < before) {
      dropped.push_back(reads_.front().context);
      reads_.pop_front();
    }
    return dropped;
  }

  std::vector<uint64_t> Drop() { return DropBefore(UINT64_MAX); }

  size_t size() const { return reads_.size(); }

 private:
  struct Read {
    uint64_t id;
    uint64_t context;
    uint64_t begun;  // tick
  };

  uint64_t next_id_;
  std::deque<Read> reads_;
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_FORWARDED_READS_H_
