#include "server/rpc/server_core.h"

#include <algorithm>
#include <utility>

#include "boost/asio/error.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/steady_timer.hpp"
#include "server/rpc/connection.h"
#include "server/rpc/stream.h"

namespace cairn::rpc {
namespace {

using boost::asio::ip::tcp;

constexpr size_t kReadBufferBytes = 64 << 10;
// After an accept failed for want of descriptors or memory: trying again at once would only spin.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

absl::Status ListenError(const std::string& address, uint16_t port, const boost::system::error_code& error) {
  return absl::UnavailableError("cannot listen on " + address + ":" + std::to_string(port) + ": " +
                                error.message());
}

}  // namespace

struct ServerCore::Listener {
  explicit Listener(boost::asio::io_context& loop) : acceptor(loop), pause(loop) {}
  tcp::acceptor acceptor;
  boost::asio::steady_timer pause;
};

ServerCore::ServerCore(boost::asio::io_context& loop, const ServerOptions& options)
    : loop(loop),
      options(options),
      timers(std::make_shared<TimerQueue>(loop)),
      http2(options),
      streams(new StreamPool),
      read_buffer(kReadBufferBytes, '\0') {}

ServerCore::~ServerCore() {
  for (Stream* stream : streams->free) delete stream;
  streams->free.clear();
  if (streams->handed_out == 0) {
    delete streams;
  } else {
    streams->server_gone = true;  // the last handle deletes it
  }
}

absl::StatusOr<uint16_t> ServerCore::Listen(const std::string& address, uint16_t port) {
  boost::system::error_code error;
  tcp::resolver resolver(loop);
  const auto found = resolver.resolve(address, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) return ListenError(address, port, error);
  const tcp::endpoint endpoint = found.begin()->endpoint();
  auto listener = std::make_shared<Listener>(loop);
  listener->acceptor.open(endpoint.protocol(), error);
  if (!error) listener->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) listener->acceptor.bind(endpoint, error);
  if (!error) listener->acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) return ListenError(address, port, error);
  listeners_.push_back(listener);
  Accept(listener);
  return listener->acceptor.local_endpoint().port();
}

void ServerCore::Accept(const std::shared_ptr<Listener>& listener) {
  listener->acceptor.async_accept(
      [self = shared_from_this(), listener](const boost::system::error_code& error, tcp::socket socket) {
        if (self->closed || self->stopping) return;
        if (!error) {
          self->Admit(std::move(socket));
          return self->Accept(listener);
        }
        if (error == boost::asio::error::connection_aborted) return self->Accept(listener);
        listener->pause.expires_after(kAcceptPause);
        listener->pause.async_wait([self, listener](const boost::system::error_code& cancelled) {
          if (!cancelled && !self->closed && !self->stopping) self->Accept(listener);
        });
      });
}

void ServerCore::Admit(tcp::socket socket) {
  if (connections_.size() >= options.max_connections) {
    ++stats.connections_refused;
    return;  // the socket closes with its object
  }
  ++stats.connections_accepted;
  auto connection = std::make_shared<Connection>(shared_from_this(), std::move(socket));
  connections_.insert(connection);
  stats.connections = connections_.size();
  connection->Start();
}

void ServerCore::OnConnectionClosed(Connection& connection) {
  connections_.erase(connection.shared_from_this());
  stats.connections = connections_.size();
  FinishShutdownIfDone();
}

void ServerCore::FlushSoon(const std::shared_ptr<Connection>& connection) {
  dirty_.push_back(connection);
  if (dirty_.size() > 1) return;
  boost::asio::post(loop, [self = shared_from_this()] { self->FlushAll(); });
}

void ServerCore::FlushAll() {
  // Handlers told of writability may dirty connections again: those go into the next round.
  flushing_.swap(dirty_);
  for (const std::shared_ptr<Connection>& connection : flushing_) connection->Flush();
  flushing_.clear();
}

void ServerCore::Shutdown(absl::Duration grace, absl::AnyInvocable<void()> done) {
  if (stopping) return;
  stopping = true;
  shutdown_done_ = std::move(done);
  for (const std::shared_ptr<Listener>& listener : listeners_) {
    boost::system::error_code ignored;
    listener->acceptor.close(ignored);
    listener->pause.cancel();
  }
  listeners_.clear();
  timers->Set(grace_timer_, std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(grace));
  const std::vector<std::shared_ptr<Connection>> connections(connections_.begin(), connections_.end());
  for (const std::shared_ptr<Connection>& connection : connections) connection->Drain();
  FinishShutdownIfDone();
}

void ServerCore::GraceTimer::OnTimer() {
  const std::vector<std::shared_ptr<Connection>> connections(core.connections_.begin(),
                                                             core.connections_.end());
  for (const std::shared_ptr<Connection>& connection : connections) connection->Cut();
}

void ServerCore::FinishShutdownIfDone() {
  if (!stopping || closed || !connections_.empty() || !shutdown_done_) return;
  timers->Stop();
  // Not from within whatever closed the last connection.
  boost::asio::post(loop, [done = std::exchange(shutdown_done_, nullptr)]() mutable { done(); });
}

void ServerCore::Close() {
  closed = true;
  for (const std::shared_ptr<Listener>& listener : listeners_) {
    boost::system::error_code ignored;
    listener->acceptor.close(ignored);
    listener->pause.cancel();
  }
  listeners_.clear();
  const std::vector<std::shared_ptr<Connection>> connections(connections_.begin(), connections_.end());
  for (const std::shared_ptr<Connection>& connection : connections)
    connection->Close(CancelReason::kShutdown);
  dirty_.clear();
  timers->Stop();
}

}  // namespace cairn::rpc
