// etcdserverpb.Maintenance: Status, HashKV, MoveLeader, Alarm.
#ifndef CAIRN_SERVER_ETCD_MAINTENANCE_SERVICE_H_
#define CAIRN_SERVER_ETCD_MAINTENANCE_SERVICE_H_

#include "server/etcd/door_context.h"
#include "server/rpc/server.h"

namespace cairn::server {

void RegisterMaintenanceService(rpc::Server& server, const DoorContextPtr& door);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ETCD_MAINTENANCE_SERVICE_H_
