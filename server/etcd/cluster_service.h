// etcdserverpb.Cluster: MemberList. Answers carry a header without a revision.
#ifndef CAIRN_SERVER_ETCD_CLUSTER_SERVICE_H_
#define CAIRN_SERVER_ETCD_CLUSTER_SERVICE_H_

#include "server/etcd/door_context.h"
#include "server/rpc/server.h"

namespace cairn::server {

void RegisterClusterService(rpc::Server& server, const DoorContextPtr& door);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ETCD_CLUSTER_SERVICE_H_
