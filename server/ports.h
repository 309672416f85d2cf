// The ports of the deterministic core: time and turns, the network between members, chance. (The fourth, the
// disk, is storage/'s LogStore, StateEngine and BlobStore.) Production plugs in the real ones, the simulator
// fakes.
//
// Thread safety: all on the core loop's thread, but Loop::Post, which any thread may call.
#ifndef CAIRN_SERVER_PORTS_H_
#define CAIRN_SERVER_PORTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "proto/errors.h"
#include "raft/types.h"

namespace cairn::server {

// Cancels its timer when destroyed.
class Timer {
 public:
  virtual ~Timer() = default;
};

// Time and turns: the core loop as its inhabitants see it.
class Loop {
 public:
  virtual ~Loop() = default;

  // Monotonic time since an arbitrary origin; does not move within a turn by more than its work takes.
  virtual absl::Duration Now() const = 0;

  // Calls `fn` once after `delay`, unless the timer is destroyed before.
  [[nodiscard]] virtual std::unique_ptr<Timer> After(absl::Duration delay, absl::AnyInvocable<void()> fn) = 0;

  // Calls `fn` in a later turn, in the order of posting. From any thread.
  virtual void Post(absl::AnyInvocable<void()> fn) = 0;

  // Runs `work` where blocking is allowed, then `done` on the loop.
  virtual void Offload(absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) = 0;
};

struct ForwardRefused {
  uint64_t request_id = 0;
  ClientError error = ClientError::kOk;
};

struct LeaseCall {
  uint64_t call_id = 0;
  int64_t lease_id = 0;
  bool keep_alive = false;  // false: asks for the remaining time
};

struct LeaseAnswer {
  uint64_t call_id = 0;
  int64_t ttl_s = 0;  // 0 or less: no such lease
  int64_t granted_ttl_s = 0;
  ClientError error = ClientError::kOk;
};

// All that goes to one member in one turn of the loop; one frame on the wire (proto/internal/peer.proto).
struct PeerBatch {
  std::vector<raft::Message> raft;
  // Commands for the leader of `forward_term`, and of no other term: a serialized cairn.internal.CommandBatch
  // each.
  std::vector<raft::Payload> forward;
  raft::Term forward_term;
  std::vector<ForwardRefused> refused;
  std::vector<LeaseCall> lease_calls;
  std::vector<LeaseAnswer> lease_answers;

  bool empty() const {
    return raft.empty() && forward.empty() && refused.empty() && lease_calls.empty() && lease_answers.empty();
  }
};

// What the network tells the core.
class NetEvents {
 public:
  virtual ~NetEvents() = default;
  virtual void OnPeerBatch(raft::NodeId from, PeerBatch batch) = 0;
  // A connection to `peer` stands (again).
  virtual void OnPeerUp(raft::NodeId peer) = 0;
  // It broke or was closed: what was sent and not answered may or may not have arrived.
  virtual void OnPeerDown(raft::NodeId peer) = 0;
};

// The network between members. Delivers in order or not at all while a connection stands.
class Net {
 public:
  virtual ~Net() = default;
  // False: not sent and never will be (no connection, or too many bytes wait already).
  virtual bool Send(raft::NodeId to, PeerBatch batch) = 0;
};

// Chance, from a seed in the simulator.
class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next() = 0;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_PORTS_H_
