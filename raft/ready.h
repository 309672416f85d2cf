// What the Raft core hands to the loop that drives it.
#ifndef CAIRN_RAFT_READY_H_
#define CAIRN_RAFT_READY_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "raft/types.h"

namespace cairn::raft {

// The answer to ReadIndex(context).
struct ReadState {
  uint64_t context = 0;
  LogIndex index;  // the read may be served once this is applied; valid if ok
  bool ok =
      false;  // false: nobody vouches for an index (leader or term changed, no answer in time): ask again
};

// One batch of work. Writes of successive Readys must become durable in the order in which they were taken;
// any number of them may be on their way at once.
struct Ready {
  // To write. Without must_persist only the commit index moved: it may wait for the next write or be dropped.
  std::optional<HardState> hard_state;
  // To append. Contiguous; entries from the first one's index on that the log already has are replaced.
  std::vector<Entry> entries;
  // hard_state and entries must be made durable, and messages_after_persist wait for that. When false, the
  // latter may go at once.
  bool must_persist = false;

  std::vector<Message> messages;  // may go now, before any disk has answered (thesis §10.2.1)
  // May go once the write of this Ready is durable. One addressed to this member is given to Step() then.
  std::vector<Message> messages_after_persist;

  // To apply, in order, each handed out exactly once; all durable here already, so that the state never runs
  // ahead of the log that has to repeat it. Each batch is answered with Applied(last index), soon or late.
  std::vector<Entry> committed;

  std::vector<ReadState> reads;
  bool leadership_changed = false;  // role, leader or term is not what it was at the Ready before
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_READY_H_
