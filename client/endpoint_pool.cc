#include "client/endpoint_pool.h"

#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace cairn::client {
namespace {

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // a range may be large; the server limits requests
  arguments.SetMaxSendMessageSize(-1);
  // A member that came back is found again soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // A member that stands still ends its calls. Servers take a ping every 5 s at most.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Each client has connections of its own, also beside another one in this process.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

}  // namespace

Endpoint::Endpoint(const std::string& address)
    : address_(address),
      channel_(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), Arguments())),
      kv_(etcdserverpb::KV::NewStub(channel_)),
      watch_(etcdserverpb::Watch::NewStub(channel_)),
      lease_(etcdserverpb::Lease::NewStub(channel_)),
      cluster_(etcdserverpb::Cluster::NewStub(channel_)),
      maintenance_(etcdserverpb::Maintenance::NewStub(channel_)) {}

bool Endpoint::Connect(Deadline deadline) const {
  for (;;) {
    const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return true;
    // The channel goes on trying by itself; who has other members to ask does not wait for that.
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) return false;
    if (!channel_->WaitForStateChange(state, deadline)) return false;
  }
}

EndpointPool::EndpointPool(const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses) endpoints_.push_back(std::make_unique<Endpoint>(address));
}

void EndpointPool::MoveOnFrom(const Endpoint& failed) {
  size_t seen = current_.load();
  if (endpoints_[seen % endpoints_.size()].get() == &failed) current_.compare_exchange_strong(seen, seen + 1);
}

}  // namespace cairn::client
