// A client of a cairn cluster (or of etcd: it is the same API).
//
//   auto client = Client::Create({.endpoints = {"127.0.0.1:2379", "127.0.0.1:2380"}});
//   if (!client.ok()) return client.status();
//   etcdserverpb::PutRequest put;
//   put.set_key("greeting");
//   put.set_value("hello");
//   absl::StatusOr<etcdserverpb::PutResponse> answer = (*client)->Put(put);
//
// Calls block until they are answered or their time is up. When a member fails, the next one of the list is
// asked: reads are repeated; a write is sent again only when it was surely not carried out. A write whose
// fate is not known fails, and OutcomeUnknown(status) of client/error.h is true of it.
//
// Thread safety: all methods from any thread.
// Lifetime:      Watcher and LeaseKeeper borrow the client; it must outlive them.
#ifndef CAIRN_CLIENT_CLIENT_H_
#define CAIRN_CLIENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/endpoint_pool.h"
#include "client/error.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::client {

struct ClientOptions {
  std::vector<std::string> endpoints;         // as client/endpoint.h reads them; none = 127.0.0.1:2379
  absl::Duration timeout = absl::Seconds(5);  // of a call with all its attempts
  absl::Duration connect_timeout = absl::Seconds(2);  // of one member, while there are others to ask
};

class Client {
 public:
  // Does not connect yet: INVALID_ARGUMENT for bad options is the only error.
  static absl::StatusOr<std::unique_ptr<Client>> Create(const ClientOptions& options);

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // --- Keys ---
  absl::StatusOr<etcdserverpb::RangeResponse> Range(const etcdserverpb::RangeRequest& request);
  absl::StatusOr<etcdserverpb::PutResponse> Put(const etcdserverpb::PutRequest& request);
  absl::StatusOr<etcdserverpb::DeleteRangeResponse> DeleteRange(
      const etcdserverpb::DeleteRangeRequest& request);
  // Repeated like a read when neither branch can change anything.
  absl::StatusOr<etcdserverpb::TxnResponse> Txn(const etcdserverpb::TxnRequest& request);
  absl::StatusOr<etcdserverpb::CompactionResponse> Compact(const etcdserverpb::CompactionRequest& request);

  // --- Leases (to keep one alive in the background: client/lease_keeper.h) ---
  absl::StatusOr<etcdserverpb::LeaseGrantResponse> LeaseGrant(const etcdserverpb::LeaseGrantRequest& request);
  absl::StatusOr<etcdserverpb::LeaseRevokeResponse> LeaseRevoke(int64_t id);
  // NOT_FOUND when the lease is gone.
  absl::StatusOr<etcdserverpb::LeaseKeepAliveResponse> LeaseKeepAlive(int64_t id);
  // TTL -1 when there is no such lease.
  absl::StatusOr<etcdserverpb::LeaseTimeToLiveResponse> LeaseTimeToLive(int64_t id, bool with_keys);
  absl::StatusOr<etcdserverpb::LeaseLeasesResponse> LeaseLeases();

  // --- The cluster ---
  absl::StatusOr<etcdserverpb::MemberListResponse> MemberList();
  // Of the member that answers: give the client one endpoint to ask a certain one.
  absl::StatusOr<etcdserverpb::StatusResponse> Status();
  absl::StatusOr<etcdserverpb::AlarmResponse> Alarms();
  absl::StatusOr<etcdserverpb::HashKVResponse> HashKv(int64_t revision);
  // The leader has to be among the endpoints.
  absl::Status MoveLeader(uint64_t target);

  const ClientOptions& options() const { return options_; }
  EndpointPool& endpoints() { return endpoints_; }

 private:
  using Attempt = std::function<grpc::Status(grpc::ClientContext&, const Endpoint&)>;

  explicit Client(const ClientOptions& options) : options_(options), endpoints_(options.endpoints) {}

  // Attempts on one member after another, by the rules of client/error.h, until the time is up.
  absl::Status Run(CallKind kind, const Attempt& attempt);
  template <typename Response>
  absl::StatusOr<Response> Call(
      CallKind kind,
      const std::function<grpc::Status(grpc::ClientContext&, const Endpoint&, Response*)>& attempt);

  const ClientOptions options_;
  EndpointPool endpoints_;
};

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLIENT_H_
