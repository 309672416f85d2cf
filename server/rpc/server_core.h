// What a server's listeners, connections and calls share. Internal to server/rpc.
//
// Thread safety: none; the loop's thread.
// Lifetime:      shared by the server and whatever Asio still holds; `closed` once the server is gone.
#ifndef CAIRN_SERVER_RPC_SERVER_CORE_H_
#define CAIRN_SERVER_RPC_SERVER_CORE_H_

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "server/rpc/nghttp2.h"
#include "server/rpc/output_queue.h"
#include "server/rpc/router.h"
#include "server/rpc/server.h"
#include "server/rpc/timer_queue.h"

namespace cairn::rpc {

class Connection;
class Stream;

// Streams given back, for use again. Lives until the server and the last handle of any call are gone.
struct StreamPool {
  std::vector<Stream*> free;
  size_t handed_out = 0;
  bool server_gone = false;
};

class ServerCore : public std::enable_shared_from_this<ServerCore> {
 public:
  ServerCore(boost::asio::io_context& loop, const ServerOptions& options);
  ~ServerCore();
  ServerCore(const ServerCore&) = delete;
  ServerCore& operator=(const ServerCore&) = delete;

  absl::StatusOr<uint16_t> Listen(const std::string& address, uint16_t port);
  void Shutdown(absl::Duration grace, absl::AnyInvocable<void()> done);
  // Ends everything at once: no callback of this server runs afterwards, but those of calls being cancelled
  // in here.
  void Close();

  // Has the connection's output written at the end of this turn.
  void FlushSoon(const std::shared_ptr<Connection>& connection);
  void OnConnectionClosed(Connection& connection);

  boost::asio::io_context& loop;
  const ServerOptions options;
  const std::shared_ptr<TimerQueue> timers;
  const Http2Settings http2;
  Router router;
  Server::Http1Handler http1_handler;
  OutputPool output_pool;
  StreamPool* const streams;
  ServerStats stats;
  bool closed = false;
  bool stopping = false;

  // Scratch space, valid within one function: a connection at rest holds no buffers of its own.
  std::string read_buffer;
  std::string write_buffer;
  std::string message_buffer;  // a decompressed message

 private:
  struct Listener;

  void Accept(const std::shared_ptr<Listener>& listener);
  void Admit(boost::asio::ip::tcp::socket socket);
  void FlushAll();
  void FinishShutdownIfDone();

  std::vector<std::shared_ptr<Listener>> listeners_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> dirty_;  // have output; flushed once a turn
  std::vector<std::shared_ptr<Connection>> flushing_;
  absl::AnyInvocable<void()> shutdown_done_;
  struct GraceTimer final : TimerEntry {
    explicit GraceTimer(ServerCore& core) : core(core) {}
    void OnTimer() override;
    ServerCore& core;
  };
  GraceTimer grace_timer_{*this};
};

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_SERVER_CORE_H_
