// The health service (grpc.health.v1): Check and Watch of the server as a whole and of named services.
//
// Thread safety: none; the server's loop thread.
// Lifetime:      registers its methods with a server that has not begun to listen; may go away before or
// after it.
#ifndef CAIRN_SERVER_RPC_HEALTH_H_
#define CAIRN_SERVER_RPC_HEALTH_H_

#include <memory>
#include <string_view>

namespace cairn::rpc {

class Server;

class HealthService {
 public:
  // The server as a whole ("") is SERVING from the start.
  explicit HealthService(Server& server);
  ~HealthService();

  // Tells watchers when that is a change.
  void SetServing(std::string_view service, bool serving);

 private:
  struct State;
  class WatchHandler;

  std::shared_ptr<State> state_;  // shared with the registered handlers
};

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_HEALTH_H_
