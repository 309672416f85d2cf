// Which sets of members decide. While a configuration is joint, a decision needs a majority of the old voters
// and a majority of the new ones (Raft paper §6; thesis §4.3). Learners never count.
//
// Thread safety: a value type.
// Invariants:    a configuration without voters decides nothing.
#ifndef CAIRN_RAFT_QUORUM_H_
#define CAIRN_RAFT_QUORUM_H_

#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "raft/types.h"

namespace cairn::raft {

enum class VoteResult : uint8_t { kPending, kWon, kLost };

class Quorum {
 public:
  Quorum() = default;
  explicit Quorum(const Configuration& configuration);

  bool IsVoter(NodeId id) const;

  // Do the members for which `yes` holds form a quorum?
  bool Has(absl::FunctionRef<bool(NodeId)> yes) const;

  // The highest index that a quorum has, given each voter's own.
  LogIndex Highest(absl::FunctionRef<LogIndex(NodeId)> index_of) const;

  // kWon: a quorum said yes. kLost: no quorum can be reached any more. nullopt: no answer yet.
  VoteResult Tally(absl::FunctionRef<std::optional<bool>(NodeId)> vote_of) const;

 private:
  std::vector<NodeId> voters_;
  std::vector<NodeId> outgoing_;  // empty unless joint
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_QUORUM_H_
