// etcdserverpb.KV: Range, Put, DeleteRange, Txn, Compact.
#ifndef CAIRN_SERVER_ETCD_KV_SERVICE_H_
#define CAIRN_SERVER_ETCD_KV_SERVICE_H_

#include "server/etcd/door_context.h"
#include "server/rpc/server.h"

namespace cairn::server {

void RegisterKvService(rpc::Server& server, const DoorContextPtr& door);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ETCD_KV_SERVICE_H_
