#include "raft/read_index_queue.h"

#include <algorithm>
#include <utility>

#include "raft/check.h"

namespace cairn::raft {

uint64_t ReadIndexQueue::StartRound(LogIndex commit) {
  CAIRN_CHECK(MayStartRound()) << "round " << round_ << " is under way";
  round_ = ++last_round_;
  round_index_ = commit;
  acknowledged_.clear();
  in_round_ = std::exchange(waiting_, {});
  return round_;
}

void ReadIndexQueue::Acknowledge(NodeId from, uint64_t round) {
  if (round_ == 0 || round != round_) return;
  if (std::find(acknowledged_.begin(), acknowledged_.end(), from) == acknowledged_.end()) {
    acknowledged_.push_back(from);
  }
}

ReadIndexQueue::Confirmed ReadIndexQueue::TakeConfirmed(const Quorum& quorum, NodeId self) {
  if (round_ == 0) return {};
  const bool confirmed = quorum.Has([&](NodeId id) {
    return id == self || std::find(acknowledged_.begin(), acknowledged_.end(), id) != acknowledged_.end();
  });
  if (!confirmed) return {};
  round_ = 0;
  return {round_index_, std::exchange(in_round_, {})};
}

std::vector<ReadIndexQueue::Request> ReadIndexQueue::Drop() {
  round_ = 0;
  std::vector<Request> dropped = std::exchange(in_round_, {});
  dropped.insert(dropped.end(), waiting_.begin(), waiting_.end());
  waiting_.clear();
  return dropped;
}

}  // namespace cairn::raft
