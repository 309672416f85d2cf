// The answers to one campaign.
//
// Thread safety: none; belongs to the Raft core.
// Invariants:    the first answer of a member stands; later ones change nothing.
#ifndef CAIRN_RAFT_VOTES_H_
#define CAIRN_RAFT_VOTES_H_

#include <optional>
#include <utility>
#include <vector>

#include "raft/quorum.h"
#include "raft/types.h"

namespace cairn::raft {

class Votes {
 public:
  void Clear() { answers_.clear(); }

  void Record(NodeId id, bool granted) {
    if (!Of(id).has_value()) answers_.emplace_back(id, granted);
  }

  std::optional<bool> Of(NodeId id) const {
    for (const auto& [member, granted] : answers_) {
      if (member == id) return granted;
    }
    return std::nullopt;
  }

  VoteResult Result(const Quorum& quorum) const {
    return quorum.Tally([this](NodeId id) { return Of(id); });
  }

 private:
  std::vector<std::pair<NodeId, bool>> answers_;
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_VOTES_H_
