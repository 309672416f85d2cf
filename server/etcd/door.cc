#include "server/etcd/door.h"

#include "raft/check.h"
#include "server/etcd/cluster_service.h"
#include "server/etcd/door_context.h"
#include "server/etcd/kv_service.h"
#include "server/etcd/lease_service.h"
#include "server/etcd/maintenance_service.h"
#include "server/etcd/watch_service.h"

namespace cairn::server {

std::shared_ptr<WatchService> RegisterEtcdServices(rpc::Server& server, Kernel& kernel,
                                                   const EtcdDoorOptions& options) {
  CAIRN_CHECK(options.random != nullptr) << "the etcd door needs a source of lease ids";
  const DoorContextPtr door(new DoorContext(kernel, options));
  RegisterKvService(server, door);
  RegisterLeaseService(server, door);
  RegisterClusterService(server, door);
  RegisterMaintenanceService(server, door);
  return std::make_shared<WatchService>(server, door);
}

}  // namespace cairn::server
