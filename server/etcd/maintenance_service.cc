#include "server/etcd/maintenance_service.h"

#include <utility>

#include "proto/etcd/rpc.pb.h"

namespace cairn::server {
namespace {

using etcdserverpb::AlarmRequest;
using etcdserverpb::AlarmResponse;
using etcdserverpb::HashKVRequest;
using etcdserverpb::MoveLeaderRequest;
using etcdserverpb::MoveLeaderResponse;
using etcdserverpb::StatusRequest;
using etcdserverpb::StatusResponse;

bool IsLearner(const Kernel& kernel) {
  for (const MemberInfo& member : kernel.Members()) {
    if (member.id == kernel.self()) return member.is_learner;
  }
  return false;
}

void Status(DoorContext& door, UnaryCall call, StatusRequest&) {
  Kernel& kernel = door.kernel();
  const KernelStatus status = kernel.GetStatus();
  StatusResponse response;
  response.set_version(door.options().api_version);
  response.set_dbsize(static_cast<int64_t>(status.disk_bytes));
  response.set_dbsizeinuse(static_cast<int64_t>(status.live_bytes));
  response.set_leader(status.leader.value());
  response.set_raftindex(status.committed_index.value());
  response.set_raftterm(status.term.value());
  response.set_raftappliedindex(status.applied_index.value());
  response.set_islearner(IsLearner(kernel));
  for (const std::string& problem : status.problems) response.add_errors(problem);
  call.Answer(kernel.store().revision(), response.SerializeAsString());
}

void HashKv(DoorContext& door, UnaryCall call, HashKVRequest& request) {
  door.kernel().HashKv(
      storage::Revision(request.revision()),
      [call = std::move(call)](storage::Result&& result) mutable { call.Answer(std::move(result)); });
}

// Its answer has no header.
void MoveLeader(DoorContext& door, UnaryCall call, MoveLeaderRequest& request) {
  door.kernel().MoveLeader(raft::NodeId(request.targetid()),
                           [call = std::move(call)](ClientError error) mutable {
                             if (error != ClientError::kOk) return call.Fail(error);
                             call.AnswerWhole(MoveLeaderResponse());
                           });
}

// Nothing raises an alarm yet, so the list is empty; but it is read like the state it will be, since health
// checks ask for it to learn whether the cluster answers. The answer has no header.
void Alarm(DoorContext& door, UnaryCall call, AlarmRequest& request) {
  switch (request.action()) {
    case AlarmRequest::GET:
      return door.kernel().LinearizableBarrier([call = std::move(call)](ClientError error) mutable {
        if (error != ClientError::kOk) return call.Fail(error);
        call.AnswerWhole(AlarmResponse());
      });
    case AlarmRequest::ACTIVATE:
    case AlarmRequest::DEACTIVATE:
      return call.Fail(GrpcCode::kUnimplemented, "cairn: alarms cannot be raised or cleared yet");
    default:  // a number outside the enumeration
      return call.Fail(GrpcCode::kInvalidArgument,
                       "cairn: unknown alarm action: use GET, ACTIVATE or DEACTIVATE");
  }
}

}  // namespace

void RegisterMaintenanceService(rpc::Server& server, const DoorContextPtr& door) {
  door->AddUnary<StatusRequest>(server, "/etcdserverpb.Maintenance/Status", Status);
  door->AddUnary<HashKVRequest>(server, "/etcdserverpb.Maintenance/HashKV", HashKv);
  door->AddUnary<MoveLeaderRequest>(server, "/etcdserverpb.Maintenance/MoveLeader", MoveLeader);
  door->AddUnary<AlarmRequest>(server, "/etcdserverpb.Maintenance/Alarm", Alarm);
}

}  // namespace cairn::server
