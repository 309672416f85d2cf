// What a Raft instance is told at its start. All limits of the core stand here.
#ifndef CAIRN_RAFT_OPTIONS_H_
#define CAIRN_RAFT_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "raft/types.h"

namespace cairn::raft {

struct Options {
  NodeId self;

  // A follower that heard no leader for election_ticks..2*election_ticks (drawn anew each time) campaigns.
  // A leader that did not hear a quorum for election_ticks steps down.
  int election_ticks = 10;
  int heartbeat_ticks = 1;

  size_t max_append_bytes = 1 << 20;        // payload bytes in one kAppend; one entry always fits
  int max_inflight_appends = 256;           // unanswered kAppend messages per follower …
  size_t max_inflight_bytes = 16 << 20;     // … and their payload bytes
  size_t max_uncommitted_bytes = 64 << 20;  // payload bytes proposed here, not yet handed out for applying
  size_t max_apply_bytes = 4 << 20;         // payload bytes handed out in Ready.committed, not yet Applied
  size_t max_pending_reads = 16384;         // ReadIndex requests waiting, own and forwarded ones

  // For the election timeouts and for the ids of forwarded reads. Must differ from start to start of the same
  // member: an answer to a read of its former life must not fit a read of this one.
  uint64_t seed = 0;
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_OPTIONS_H_
