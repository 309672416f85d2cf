#include "raft/quorum.h"

#include <algorithm>
#include <array>
#include <functional>

namespace cairn::raft {
namespace {

size_t Majority(const std::vector<NodeId>& voters) { return voters.size() / 2 + 1; }

bool MajorityHas(const std::vector<NodeId>& voters, absl::FunctionRef<bool(NodeId)> yes) {
  size_t count = 0;
  for (NodeId id : voters) count += yes(id) ? 1 : 0;
  return count >= Majority(voters);
}

LogIndex MajorityHighest(const std::vector<NodeId>& voters, absl::FunctionRef<LogIndex(NodeId)> index_of) {
  // Called for every acknowledgement: no allocation for clusters of usual size.
  std::array<LogIndex, 9> few;
  std::vector<LogIndex> many;
  LogIndex* indexes = few.data();
  if (voters.size() > few.size()) {
    many.resize(voters.size());
    indexes = many.data();
  }
  for (size_t i = 0; i < voters.size(); ++i) indexes[i] = index_of(voters[i]);
  LogIndex* decisive = indexes + (Majority(voters) - 1);
  std::nth_element(indexes, decisive, indexes + voters.size(), std::greater<>());
  return *decisive;
}

VoteResult MajorityTally(const std::vector<NodeId>& voters,
                         absl::FunctionRef<std::optional<bool>(NodeId)> vote_of) {
  size_t yes = 0;
  size_t open = 0;
  for (NodeId id : voters) {
    const std::optional<bool> vote = vote_of(id);
    if (!vote.has_value()) {
      ++open;
    } else if (*vote) {
      ++yes;
    }
  }
  if (yes >= Majority(voters)) return VoteResult::kWon;
  return yes + open >= Majority(voters) ? VoteResult::kPending : VoteResult::kLost;
}

std::vector<NodeId> SortedUnique(std::vector<NodeId> ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace

Quorum::Quorum(const Configuration& configuration)
    : voters_(SortedUnique(configuration.voters)), outgoing_(SortedUnique(configuration.voters_outgoing)) {}

bool Quorum::IsVoter(NodeId id) const {
  return std::binary_search(voters_.begin(), voters_.end(), id) ||
         std::binary_search(outgoing_.begin(), outgoing_.end(), id);
}

bool Quorum::Has(absl::FunctionRef<bool(NodeId)> yes) const {
  return MajorityHas(voters_, yes) && (outgoing_.empty() || MajorityHas(outgoing_, yes));
}

LogIndex Quorum::Highest(absl::FunctionRef<LogIndex(NodeId)> index_of) const {
  if (voters_.empty()) return LogIndex(0);
  const LogIndex incoming = MajorityHighest(voters_, index_of);
  return outgoing_.empty() ? incoming : std::min(incoming, MajorityHighest(outgoing_, index_of));
}

VoteResult Quorum::Tally(absl::FunctionRef<std::optional<bool>(NodeId)> vote_of) const {
  const VoteResult incoming = MajorityTally(voters_, vote_of);
  if (outgoing_.empty()) return incoming;
  const VoteResult outgoing = MajorityTally(outgoing_, vote_of);
  if (incoming == outgoing) return incoming;
  if (incoming == VoteResult::kLost || outgoing == VoteResult::kLost) return VoteResult::kLost;
  return VoteResult::kPending;
}

}  // namespace cairn::raft
