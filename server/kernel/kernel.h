// What the doors know of the server: propose a change, read, watch, leases, members. Nothing else.
//
// Thread safety: all calls and all callbacks on the core loop's thread.
// Every callback is called exactly once, also when the member stops (kStopped) or the time limit passes.
#ifndef CAIRN_SERVER_KERNEL_KERNEL_H_
#define CAIRN_SERVER_KERNEL_KERNEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "proto/errors.h"
#include "proto/etcd/rpc.pb.h"
#include "proto/internal/command.pb.h"
#include "raft/types.h"
#include "storage/mvcc/store.h"
#include "storage/types.h"

namespace cairn::server {

class Loop;
class WatchHub;

struct MemberInfo {
  raft::NodeId id;
  std::string name;  // empty until the member has said so through the log
  std::vector<std::string> peer_urls;
  std::vector<std::string> client_urls;
  bool is_learner = false;
};

struct KernelStatus {
  raft::NodeId leader;  // 0 = none known
  raft::Term term;
  raft::LogIndex last_index;
  raft::LogIndex committed_index;
  raft::LogIndex applied_index;
  uint64_t disk_bytes = 0;
  uint64_t live_bytes = 0;
  std::vector<std::string> problems;  // for Status.errors, etcd's texts: "etcdserver: no leader", …
};

struct LeaseTime {
  ClientError error = ClientError::kOk;
  int64_t ttl_s = 0;  // keep-alive: 0 = no such lease; time to live: -1 = no such lease
  int64_t granted_ttl_s = 0;
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  using Done = absl::AnyInvocable<void(storage::Result&&)>;
  using LeaseDone = absl::AnyInvocable<void(LeaseTime)>;
  using ErrorDone = absl::AnyInvocable<void(ClientError)>;

  // --- Identity (constant) ---
  virtual uint64_t cluster_id() const = 0;
  virtual raft::NodeId self() const = 0;
  virtual Loop& loop() = 0;

  // --- Writing ---
  // Replicates and applies `command` (origin and request_id are filled in here), then answers from this
  // member's own apply. State-independent checks are the caller's (store().Check). kTooManyRequests,
  // kNoLeader, kRequestTooLarge: nothing happened; the timeouts and kLeaderChanged: unknown.
  virtual void Propose(internal::Command command, Done done) = 0;

  // --- Reading ---
  // Linearizable unless request.serializable.
  virtual void Range(etcdserverpb::RangeRequest request, Done done) = 0;
  // A transaction without writes and without nested transactions; local when every operation is serializable.
  virtual void ReadTxn(etcdserverpb::TxnRequest request, Done done) = 0;
  // Calls back when this member has applied everything that was committed when the call came (ReadIndex).
  virtual void LinearizableBarrier(ErrorDone done) = 0;
  virtual void HashKv(storage::Revision at, Done done) = 0;

  // --- Leases (grants and revokes are proposals) ---
  virtual void LeaseKeepAlive(storage::LeaseId id, LeaseDone done) = 0;
  virtual void LeaseTimeToLive(storage::LeaseId id, LeaseDone done) = 0;

  // --- Watching ---
  virtual WatchHub& watches() = 0;

  // --- The cluster ---
  virtual std::vector<MemberInfo> Members() const = 0;  // by id
  virtual KernelStatus GetStatus() const = 0;
  virtual raft::Term term() const = 0;
  virtual raft::NodeId leader() const = 0;  // 0 = none known
  // kNotLeader, kBadLeaderTransferee, kTimeout.
  virtual void MoveLeader(raft::NodeId to, ErrorDone done) = 0;
  // Time since this member last knew of a leader; 0 while it does. For calls with metadata `hasleader`.
  virtual absl::Duration TimeWithoutLeader() const = 0;

  // --- The store, for reading positions, leases and checks ---
  virtual storage::Store& store() = 0;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_KERNEL_KERNEL_H_
