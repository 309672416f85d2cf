// The kAppend messages sent to one follower and not yet acknowledged: the sliding window that bounds what may
// wait in the network and in the follower's queues.
//
// Thread safety: none; belongs to the Raft core.
// Invariants:    last indexes never decrease from the oldest message to the newest.
#ifndef CAIRN_RAFT_INFLIGHTS_H_
#define CAIRN_RAFT_INFLIGHTS_H_

#include <cstddef>
#include <deque>

#include "raft/types.h"

namespace cairn::raft {

class Inflights {
 public:
  Inflights(int max_count, size_t max_bytes);

  // Full once one of the limits is reached; so the last message may exceed the bytes.
  bool Full() const;

  // A message whose last entry is `last` was sent. Not when Full().
  void Add(LogIndex last, size_t bytes);

  // Everything up to `index` arrived.
  void FreeTo(LogIndex index);

  // Makes room for one probe in a window whose acknowledgements may all be lost.
  void FreeOldest();

  void Clear();

  int count() const { return static_cast<int>(window_.size()); }
  size_t bytes() const { return bytes_; }

 private:
  struct Sent {
    LogIndex last;
    size_t bytes;
  };

  int max_count_;
  size_t max_bytes_;
  std::deque<Sent> window_;
  size_t bytes_ = 0;
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_INFLIGHTS_H_
