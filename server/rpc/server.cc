#include "server/rpc/server.h"

#include <algorithm>

#include "google/protobuf/descriptor.h"
#include "raft/check.h"
#include "server/rpc/server_core.h"

namespace cairn::rpc {

Server::Server(boost::asio::io_context& loop, const ServerOptions& options)
    : core_(std::make_shared<ServerCore>(loop, options)) {}

Server::~Server() { core_->Close(); }

void Server::AddUnary(std::string_view path, UnaryHandler handler) {
  core_->router.Add({std::string(path), std::move(handler), nullptr});
}

void Server::AddStream(std::string_view path, StreamFactory factory) {
  core_->router.Add({std::string(path), nullptr, std::move(factory)});
}

void Server::SetHttp1Handler(Http1Handler handler) { core_->http1_handler = std::move(handler); }

std::vector<std::string> Server::ServiceNames() const { return core_->router.ServiceNames(); }

absl::StatusOr<uint16_t> Server::Listen(const std::string& address, uint16_t port) {
  return core_->Listen(address, port);
}

void Server::Shutdown(absl::Duration grace, absl::AnyInvocable<void()> done) {
  core_->Shutdown(grace, std::move(done));
}

ServerStats Server::stats() const { return core_->stats; }

void Server::CheckUnaryMethod(std::string_view path, const google::protobuf::Descriptor* request) {
  std::string name(path.substr(std::min<size_t>(1, path.size())));
  std::replace(name.begin(), name.end(), '/', '.');
  const auto* method = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  CAIRN_CHECK(method != nullptr) << "no proto file linked in has a method " << path;
  CAIRN_CHECK(!method->client_streaming() && !method->server_streaming()) << path << " is a streaming method";
  CAIRN_CHECK(method->input_type() == request)
      << path << " takes " << method->input_type()->full_name() << ", not " << request->full_name();
}

void Server::RefuseUnparsable(Call& call, const google::protobuf::Descriptor* request) {
  call.Finish(GrpcCode::kInternal,
              "grpc: error unmarshalling request: the bytes are no valid " + request->full_name());
}

}  // namespace cairn::rpc
