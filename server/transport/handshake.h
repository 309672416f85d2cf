// Who may talk to whom: what this member says of itself, and what it accepts from others.
//
// Thread safety: none; belongs to the core loop.
// Invariants:    a member that has shown one data directory (incarnation) is refused with any other as long
//                as this process lives: one whose disk was wiped has forgotten its votes, and letting it vote
//                again could lose acknowledged writes.
#ifndef CAIRN_SERVER_TRANSPORT_HANDSHAKE_H_
#define CAIRN_SERVER_TRANSPORT_HANDSHAKE_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "proto/internal/peer.pb.h"
#include "raft/types.h"

namespace cairn::server {

class Handshake {
 public:
  Handshake(uint64_t cluster_id, raft::NodeId self, uint64_t incarnation_id)
      : cluster_id_(cluster_id), self_(self), incarnation_id_(incarnation_id) {}

  void AddMember(raft::NodeId id, std::string name) { members_[id].name = std::move(name); }

  internal::Hello HelloTo(raft::NodeId to) const;
  // Closes a connection with a reason that the other side can log.
  internal::Hello Refusal(raft::NodeId to, const absl::Status& reason) const;

  // Accepts what the other side says, and remembers its incarnation; else why not, with values and next step.
  absl::Status Check(const internal::Hello& hello);
  // The same for the answer of a member that we called.
  absl::Status CheckAnswer(const internal::Hello& hello, raft::NodeId called);

 private:
  struct Member {
    std::string name;
    uint64_t incarnation_id = 0;  // 0 = not seen yet
  };

  const uint64_t cluster_id_;
  const raft::NodeId self_;
  const uint64_t incarnation_id_;
  std::map<raft::NodeId, Member> members_;  // without this one
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_TRANSPORT_HANDSHAKE_H_
