#include "server/etcd/lease_service.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "proto/etcd/rpc.pb.h"
#include "proto/internal/command.pb.h"
#include "server/etcd/keep_alive_stream.h"

namespace cairn::server {
namespace {

using etcdserverpb::LeaseGrantRequest;
using etcdserverpb::LeaseLeasesRequest;
using etcdserverpb::LeaseLeasesResponse;
using etcdserverpb::LeaseRevokeRequest;
using etcdserverpb::LeaseTimeToLiveRequest;
using etcdserverpb::LeaseTimeToLiveResponse;

constexpr int64_t kMaxTtlSeconds = 9'000'000'000;

int64_t MinTtlSeconds(absl::Duration election_timeout) {
  return absl::ToInt64Seconds(absl::Ceil(election_timeout * 1.5, absl::Seconds(1)));
}

int64_t PickLeaseId(Random& random) {
  constexpr uint64_t kPositive = std::numeric_limits<int64_t>::max();
  uint64_t id = 0;
  while (id == 0) id = random.Next() & kPositive;
  return static_cast<int64_t>(id);
}

void Grant(DoorContext& door, UnaryCall call, LeaseGrantRequest& request) {
  if (request.ttl() > kMaxTtlSeconds) return call.Fail(ClientError::kLeaseTtlTooLarge);
  internal::Command command;
  internal::LeaseGrant& grant = *command.mutable_lease_grant();
  grant.set_id(request.id() != 0 ? request.id() : PickLeaseId(*door.options().random));
  grant.set_ttl_s(std::max(request.ttl(), MinTtlSeconds(door.options().election_timeout)));
  door.kernel().Propose(std::move(command), [call = std::move(call)](storage::Result&& result) mutable {
    call.Answer(std::move(result));
  });
}

void Revoke(DoorContext& door, UnaryCall call, LeaseRevokeRequest& request) {
  internal::Command command;
  command.mutable_lease_revoke()->set_id(request.id());
  door.kernel().Propose(std::move(command), [call = std::move(call)](storage::Result&& result) mutable {
    call.Answer(std::move(result));
  });
}

void AnswerTimeToLive(UnaryCall& call, storage::LeaseId id, const LeaseTime& time, bool with_keys) {
  if (time.error != ClientError::kOk) return call.Fail(time.error);
  storage::Store& store = call.door().kernel().store();
  LeaseTimeToLiveResponse response;
  response.set_id(id.value());
  response.set_ttl(time.ttl_s);
  if (time.ttl_s >= 0) {
    response.set_grantedttl(time.granted_ttl_s);
    if (with_keys) {
      for (std::string& key : store.KeysOfLease(id)) response.add_keys(std::move(key));
    }
  }
  call.Answer(store.revision(), response.SerializeAsString());
}

void AskTimeToLive(UnaryCall call, storage::LeaseId id, bool with_keys) {
  Kernel& kernel = call.door().kernel();
  kernel.LeaseTimeToLive(id, [call = std::move(call), id, with_keys](LeaseTime time) mutable {
    AnswerTimeToLive(call, id, time, with_keys);
  });
}

// The time comes from the leader, the keys from this member's own state: so it must have applied, first,
// whatever was acknowledged before the call.
void TimeToLive(DoorContext& door, UnaryCall call, LeaseTimeToLiveRequest& request) {
  const storage::LeaseId id(request.id());
  if (!request.keys()) return AskTimeToLive(std::move(call), id, false);
  door.kernel().LinearizableBarrier([call = std::move(call), id](ClientError error) mutable {
    if (error != ClientError::kOk) return call.Fail(error);
    AskTimeToLive(std::move(call), id, true);
  });
}

void Leases(DoorContext& door, UnaryCall call, LeaseLeasesRequest&) {
  door.kernel().LinearizableBarrier([call = std::move(call)](ClientError error) mutable {
    if (error != ClientError::kOk) return call.Fail(error);
    storage::Store& store = call.door().kernel().store();
    LeaseLeasesResponse response;
    for (const storage::LeaseInfo& lease : store.Leases()) response.add_leases()->set_id(lease.id.value());
    call.Answer(store.revision(), response.SerializeAsString());
  });
}

}  // namespace

void RegisterLeaseService(rpc::Server& server, const DoorContextPtr& door) {
  door->AddUnary<LeaseGrantRequest>(server, "/etcdserverpb.Lease/LeaseGrant", Grant);
  door->AddUnary<LeaseRevokeRequest>(server, "/etcdserverpb.Lease/LeaseRevoke", Revoke);
  door->AddUnary<LeaseTimeToLiveRequest>(server, "/etcdserverpb.Lease/LeaseTimeToLive", TimeToLive);
  door->AddUnary<LeaseLeasesRequest>(server, "/etcdserverpb.Lease/LeaseLeases", Leases);
  server.AddStream("/etcdserverpb.Lease/LeaseKeepAlive",
                   [door](rpc::CallPtr call) { return OpenKeepAliveStream(door, std::move(call)); });
}

}  // namespace cairn::server
