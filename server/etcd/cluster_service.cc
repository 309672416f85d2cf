#include "server/etcd/cluster_service.h"

#include <utility>

#include "proto/etcd/rpc.pb.h"

namespace cairn::server {
namespace {

using etcdserverpb::MemberListRequest;
using etcdserverpb::MemberListResponse;

void AnswerMembers(UnaryCall& call) {
  MemberListResponse response;
  for (const MemberInfo& member : call.door().kernel().Members()) {
    etcdserverpb::Member& out = *response.add_members();
    out.set_id(member.id.value());
    out.set_name(member.name);
    for (const std::string& url : member.peer_urls) out.add_peerurls(url);
    for (const std::string& url : member.client_urls) out.add_clienturls(url);
    out.set_islearner(member.is_learner);
  }
  call.Answer(storage::Revision(0), response.SerializeAsString());
}

void MemberList(DoorContext& door, UnaryCall call, MemberListRequest& request) {
  if (!request.linearizable()) return AnswerMembers(call);
  door.kernel().LinearizableBarrier([call = std::move(call)](ClientError error) mutable {
    if (error != ClientError::kOk) return call.Fail(error);
    AnswerMembers(call);
  });
}

}  // namespace

void RegisterClusterService(rpc::Server& server, const DoorContextPtr& door) {
  door->AddUnary<MemberListRequest>(server, "/etcdserverpb.Cluster/MemberList", MemberList);
}

}  // namespace cairn::server
