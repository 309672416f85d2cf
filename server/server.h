// One member, put together: data directory, store, node, peers, doors.
//
// Thread safety: none; everything on the thread that runs the loop.
// Lifetime:      the loop, random source and log outlive it. It must be destroyed after the loop has stopped.
#ifndef CAIRN_SERVER_SERVER_H_
#define CAIRN_SERVER_SERVER_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/asio_loop.h"
#include "server/etcd/watch_service.h"
#include "server/identity.h"
#include "server/log.h"
#include "server/log_limiter.h"
#include "server/memory_trimmer.h"
#include "server/node/node.h"
#include "server/options.h"
#include "server/rpc/health.h"
#include "server/rpc/server.h"
#include "server/transport/transport.h"
#include "storage/data_dir.h"
#include "storage/mvcc/store.h"

namespace cairn::server {

struct SlowRequest;

class Server final : private NodeObserver {
 public:
  struct Dependencies {  // all outlive the server
    AsioLoop& loop;
    Random& random;
    Logger& log;
  };
  // The member has ended: OK after Stop(), else why it cannot go on. Called once, on the loop.
  using OnEnd = absl::AnyInvocable<void(const absl::Status&)>;

  Server(Options options, const Dependencies& dependencies);
  ~Server() override;

  // Opens the data, binds the addresses and joins the cluster as soon as the loop runs. Blocks while it
  // loads.
  absl::Status Start(OnEnd on_end);

  // Orderly: hands leadership over, sends clients to other members, answers what waits, closes.
  void Stop();

 private:
  absl::Status OpenStorage();
  absl::Status OpenStore();
  absl::Status ListenForPeers();
  void MakeNode();
  absl::Status OpenDoors();
  void CloseDoors();
  void End(const absl::Status& status);

  // NodeObserver
  void OnLeader(raft::NodeId leader, raft::Term term) override;
  void OnPublished() override;
  void OnFatal(const absl::Status& reason) override;
  void OnApplyStalled(const absl::Status& reason) override;
  void OnApplyResumed(absl::Duration after) override;

  void OnSlowRequest(const SlowRequest& request);
  std::string NameOf(raft::NodeId member) const;

  const Options options_;
  AsioLoop& loop_;
  Random& random_;
  Logger& log_;
  OnEnd on_end_;
  ClusterIdentity identity_;
  LogLimiter slow_requests_;
  std::unique_ptr<MemoryTrimmer> memory_trimmer_;
  bool stopping_ = false;

  // In the order of their making; each uses those before it.
  storage::Storage storage_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<rpc::Server> rpc_;
  std::unique_ptr<rpc::HealthService> health_;
  std::shared_ptr<WatchService> watch_service_;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_SERVER_H_
