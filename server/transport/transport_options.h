// The limits of the connections between members, in one place.
#ifndef CAIRN_SERVER_TRANSPORT_TRANSPORT_OPTIONS_H_
#define CAIRN_SERVER_TRANSPORT_TRANSPORT_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "raft/types.h"

namespace cairn::server {

struct TransportOptions {
  uint64_t cluster_id = 0;
  raft::NodeId self;
  uint64_t incarnation_id = 0;  // of this member's data directory

  // Bytes waiting for one peer; above it Send refuses.
  size_t max_queued_bytes = 64 << 20;

  // From connect or accept to the end of the handshake.
  absl::Duration handshake_timeout = absl::Seconds(3);
  // Connections that have not said who they are; one more closes the oldest of them.
  size_t max_strangers = 64;

  // Between two attempts to reach a peer, doubled from one to the next; the real wait is half to all of it.
  absl::Duration min_redial = absl::Milliseconds(10);
  absl::Duration max_redial = absl::Seconds(1);

  // Bytes sent and not acknowledged for so long mean that the peer or the way to it is gone.
  absl::Duration unanswered_limit = absl::Seconds(5);
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_TRANSPORT_TRANSPORT_OPTIONS_H_
