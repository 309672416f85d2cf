// etcdserverpb.Lease: grant, revoke, keep-alive, time to live, list.
#ifndef CAIRN_SERVER_ETCD_LEASE_SERVICE_H_
#define CAIRN_SERVER_ETCD_LEASE_SERVICE_H_

#include "server/etcd/door_context.h"
#include "server/rpc/server.h"

namespace cairn::server {

void RegisterLeaseService(rpc::Server& server, const DoorContextPtr& door);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ETCD_LEASE_SERVICE_H_
