#include "server/transport/peer_connection.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cairn::server {
namespace {

constexpr size_t kKeepBufferBytes = 1 << 20;

std::string RemoteAddress(const PeerConnection::Socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return "unknown";
  const std::string address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? absl::StrCat("[", address, "]:", endpoint.port())
                                    : absl::StrCat(address, ":", endpoint.port());
}

void SetOption(int fd, int level, int option, int value) {
  // Tuning only: a connection works without it, so a refusal is not an error.
  (void)setsockopt(fd, level, option, &value, sizeof(value));
}

void Tune(int fd, absl::Duration unanswered_limit) {
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // A peer whose machine is gone sends no reset: unanswered data (heartbeats) and probes find it out.
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(absl::ToInt64Milliseconds(unanswered_limit)));
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 2);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

}  // namespace

PeerConnection::PeerConnection(Socket socket, absl::Duration unanswered_limit)
    : socket_(std::move(socket)), remote_(RemoteAddress(socket_)), reader_(kMaxHelloBytes) {
  Tune(socket_.native_handle(), unanswered_limit);
}

void PeerConnection::Start(OnFrame on_frame, OnBroken on_broken) {
  SetCallbacks(std::move(on_frame), std::move(on_broken));
  Read();
}

void PeerConnection::SetCallbacks(OnFrame on_frame, OnBroken on_broken) {
  on_frame_ = std::move(on_frame);
  on_broken_ = std::move(on_broken);
}

void PeerConnection::Flush() {
  if (closed_ || !writing_.empty() || waiting_.empty()) return;
  writing_.swap(waiting_);
  boost::asio::async_write(socket_, boost::asio::buffer(writing_),
                           [self = shared_from_this()](const boost::system::error_code& error, size_t) {
                             if (self->closed_) return;
                             if (error) return self->Break(error.message());
                             if (self->writing_.capacity() > kKeepBufferBytes) {
                               std::string().swap(self->writing_);
                             } else {
                               self->writing_.clear();
                             }
                             self->Flush();
                           });
}

void PeerConnection::Close() {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
  // The callbacks may own what owns us, and may be running now.
  boost::asio::post(socket_.get_executor(),
                    [on_frame = std::move(on_frame_), on_broken = std::move(on_broken_)] {});
  on_frame_ = nullptr;
  on_broken_ = nullptr;
}

void PeerConnection::Read() {
  const std::span<char> space = reader_.Space();
  socket_.async_read_some(boost::asio::buffer(space.data(), space.size()),
                          [self = shared_from_this()](const boost::system::error_code& error, size_t bytes) {
                            if (self->closed_) return;
                            if (error == boost::asio::error::eof)
                              return self->Break("closed by the other side");
                            if (error) return self->Break(error.message());
                            self->Received(bytes);
                          });
}

void PeerConnection::Received(size_t bytes) {
  reader_.Commit(bytes);
  while (!closed_) {
    absl::StatusOr<std::optional<Frame>> frame = reader_.Next();
    if (!frame.ok()) return Break(std::string(frame.status().message()));
    if (!frame->has_value()) break;
    // Held here while it runs: it may set another one, or close the connection.
    OnFrame on_frame = std::exchange(on_frame_, nullptr);
    on_frame(**frame);
    if (!closed_ && on_frame_ == nullptr) on_frame_ = std::move(on_frame);
  }
  if (!closed_) Read();
}

void PeerConnection::Break(const std::string& reason) {
  const OnBroken on_broken = std::move(on_broken_);
  on_broken_ = nullptr;
  Close();
  if (on_broken) on_broken(reason);
}

}  // namespace cairn::server
