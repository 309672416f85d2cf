// A gRPC server on nghttp2 and Boost.Asio: listens, finds the handler of each call, keeps the limits.
//
// Handlers see messages, not HTTP/2. Answers of one turn of the loop leave in one send per connection:
// whatever handlers send is written by a flush that is posted once per turn, behind everything that already
// waits on the loop.
//
// Thread safety: none; constructed, used, called back and destroyed on the thread that runs the io_context
//                (or while nothing runs it).
// Lifetime:      handlers and call handles may outlive the server; their calls are cancelled when it is
//                destroyed. The io_context outlives the server.
#ifndef CAIRN_SERVER_RPC_SERVER_H_
#define CAIRN_SERVER_RPC_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "google/protobuf/message.h"
#include "server/rpc/call.h"

namespace cairn::rpc {

class ServerCore;

struct ServerOptions {
  // --- Messages ---
  size_t max_receive_message_bytes = 2 << 20;  // etcd's: 1.5 MiB of request and 512 KiB of overhead
  size_t max_header_list_bytes = 32 << 10;     // names + values + 32 a field, as HTTP/2 counts

  // --- Connections and streams ---
  size_t max_connections = 20'000;           // more are closed on arrival
  uint32_t max_concurrent_streams = 10'000;  // a connection; more are refused by HTTP/2 itself
  // Streams that a client may reset: so many at once, and so many a second on average; then the connection is
  // closed. nghttp2's own 1,000 and 33 cut honest clients that cancel often; a reset costs this server a few
  // microseconds.
  uint64_t stream_reset_burst = 20'000;
  uint64_t stream_resets_per_second = 2'000;

  // --- Request bytes held for messages that are not complete or not wanted yet ---
  uint32_t stream_window_bytes = 256 << 10;
  uint32_t connection_window_bytes = 1 << 20;
  size_t max_connection_received_bytes = 16 << 20;  // then the call that wants more fails
  size_t max_total_received_bytes = 128 << 20;

  // --- Answer bytes that wait for a client to read ---
  size_t stream_high_water_bytes = 256 << 10;    // above it a call is not writable()
  size_t connection_high_water_bytes = 4 << 20;  // above it none of the connection's calls is
  size_t max_stream_queued_bytes = 64 << 20;     // a further message fails the call with RESOURCE_EXHAUSTED;
  size_t max_connection_queued_bytes = 256 << 20;  // one single message may be larger
  size_t max_total_queued_bytes = size_t{1} << 30;

  // --- Keep-alive (etcd's defaults) ---
  absl::Duration handshake_timeout = absl::Seconds(10);  // from accept to the client's SETTINGS
  absl::Duration min_client_ping_interval = absl::Seconds(5);
  bool permit_pings_without_calls =
      true;  // etcd does not; clients that ping an idle connection every 10 s shall live
  absl::Duration ping_after_idle = absl::Hours(2);
  absl::Duration ping_timeout = absl::Seconds(20);
};

struct ServerStats {
  size_t connections = 0;
  size_t calls = 0;           // under way
  size_t queued_bytes = 0;    // answers waiting for clients
  size_t received_bytes = 0;  // parts of requests held
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;
  uint64_t calls_started = 0;
  uint64_t messages_received = 0;
  uint64_t messages_sent = 0;
};

class Server {
 public:
  // Takes over a connection that does not open with the HTTP/2 preface, together with what was read of it.
  using Http1Handler = std::function<void(boost::asio::ip::tcp::socket socket, std::string read_so_far)>;

  Server(boost::asio::io_context& loop, const ServerOptions& options);
  ~Server();

  // --- Set up, before Listen. A path is "/package.Service/Method"; it is registered once. ---
  void AddUnary(std::string_view path, UnaryHandler handler);
  // Parses into one message, used again for the next call (take what you keep by move or Swap). What does not
  // parse is answered with INTERNAL, as grpc-go does. The path must name a unary method that takes a Request
  // in the linked-in descriptors.
  template <typename Request>
  void AddUnary(std::string_view path, std::function<void(CallPtr call, Request& request)> handler);
  void AddStream(std::string_view path, StreamFactory factory);
  void SetHttp1Handler(Http1Handler handler);
  // Names of the services that have a method, sorted.
  std::vector<std::string> ServiceNames() const;

  // --- Running ---
  // Returns the port (of use when `port` is 0). May be called for several addresses.
  absl::StatusOr<uint16_t> Listen(const std::string& address, uint16_t port);
  // Stops listening, tells clients with GOAWAY to go elsewhere and lets calls finish. Those that still run
  // after `grace` are ended with UNAVAILABLE. Then `done` is called, once, with all connections closed.
  void Shutdown(absl::Duration grace, absl::AnyInvocable<void()> done);

  ServerStats stats() const;

 private:
  // CHECKs that the descriptors know `path` as a unary method taking `request`.
  static void CheckUnaryMethod(std::string_view path, const google::protobuf::Descriptor* request);
  static void RefuseUnparsable(Call& call, const google::protobuf::Descriptor* request);

  std::shared_ptr<ServerCore> core_;  // shared with the handlers that Asio still holds
};

template <typename Request>
void Server::AddUnary(std::string_view path, std::function<void(CallPtr call, Request& request)> handler) {
  CheckUnaryMethod(path, Request::descriptor());
  // A message that was large once keeps its memory; above this it is replaced.
  constexpr size_t kKeepBelowBytes = 64 << 10;
  AddUnary(path, [handler = std::move(handler), message = std::make_shared<Request>()](
                     CallPtr call, std::string_view bytes) mutable {
    if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return RefuseUnparsable(*call, Request::descriptor());
    }
    handler(std::move(call), *message);
    if (bytes.size() > kKeepBelowBytes) message = std::make_shared<Request>();
  });
}

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_SERVER_H_
