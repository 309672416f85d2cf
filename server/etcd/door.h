// The door of etcd's v3 API: KV, Watch, Lease, Cluster and Maintenance. A service
// decodes, checks what does not depend on the state, picks ids, asks the kernel and encodes the answer; it
// holds no state of its own but the calls under way.
//
// Thread safety: the core loop's thread, where the server's connections live too.
// Lifetime:      the kernel must outlive the server's handlers and every call under way.
#ifndef CAIRN_SERVER_ETCD_DOOR_H_
#define CAIRN_SERVER_ETCD_DOOR_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "server/kernel/kernel.h"
#include "server/ports.h"
#include "server/rpc/server.h"

namespace cairn::server {

class WatchService;

// A call that took long from its arrival to its answer.
struct SlowRequest {
  std::string_view path;  // "/etcdserverpb.KV/Put"
  std::string_view peer;
  absl::Duration took;
  GrpcCode code = GrpcCode::kOk;
};

struct EtcdDoorOptions {
  // Picks the ids of leases. Must be set and outlive the server's handlers.
  Random* random = nullptr;

  // etcd's limit: the size of the request as its log entry would carry it.
  size_t max_request_bytes = 1536 << 10;

  // TTLs below one and a half of it (in whole seconds, rounded up) are raised to that.
  absl::Duration election_timeout = absl::Seconds(1);

  // What Maintenance.Status reports as `version`: the release of etcd whose API this is. Clients compare it
  // to learn what they may use; some refuse anything below 3.2 and use progress requests from 3.5.13 on.
  std::string api_version = "3.6.0";

  // Keep-alives of one stream that may wait for the leader at a time; beyond it the stream is not read.
  size_t max_pending_keep_alives = 1024;

  // Called for each unary call that took longer; not at all when unset.
  absl::Duration slow_request_threshold = absl::Milliseconds(300);
  std::function<void(const SlowRequest&)> on_slow_request;
};

// The answer (watch_service.h) can end the watch streams when the server is about to stop.
std::shared_ptr<WatchService> RegisterEtcdServices(rpc::Server& server, Kernel& kernel,
                                                   const EtcdDoorOptions& options);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ETCD_DOOR_H_
