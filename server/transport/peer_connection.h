// One TCP connection that carries frames (peer_codec.h): reads them, writes what is queued, tells when it
// ends.
//
// Thread safety: none; belongs to the core loop.
// Ownership:     shared with the operations that Asio holds; the callbacks are dropped when it ends.
// Callbacks run from the loop, never from within a call of their owner's; none after Close().
#ifndef CAIRN_SERVER_TRANSPORT_PEER_CONNECTION_H_
#define CAIRN_SERVER_TRANSPORT_PEER_CONNECTION_H_

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "server/transport/peer_codec.h"

namespace cairn::server {

class PeerConnection : public std::enable_shared_from_this<PeerConnection> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using OnFrame = std::function<void(const Frame& frame)>;
  using OnBroken = std::function<void(const std::string& reason)>;

  // `socket` is connected. Takes frames of at most kMaxHelloBytes until AllowBatches(). Bytes sent and not
  // acknowledged for `unanswered_limit` end the connection.
  PeerConnection(Socket socket, absl::Duration unanswered_limit);
  PeerConnection(const PeerConnection&) = delete;
  PeerConnection& operator=(const PeerConnection&) = delete;

  void Start(OnFrame on_frame, OnBroken on_broken);
  // From now on somebody else listens.
  void SetCallbacks(OnFrame on_frame, OnBroken on_broken);
  void AllowBatches() { reader_.set_max_body_bytes(kMaxFrameBytes); }

  // Append frames here, then Flush. What is appended while a write is under way leaves with the next one.
  std::string* outgoing() { return &waiting_; }
  void Flush();
  size_t queued_bytes() const { return waiting_.size() + writing_.size(); }

  void Close();

  const std::string& remote() const { return remote_; }  // "127.0.0.1:40312"

 private:
  void Read();
  void Received(size_t bytes);
  void Break(const std::string& reason);

  Socket socket_;
  const std::string remote_;
  FrameReader reader_;
  OnFrame on_frame_;
  OnBroken on_broken_;
  std::string waiting_;
  std::string writing_;  // not empty: a write is under way
  bool closed_ = false;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_TRANSPORT_PEER_CONNECTION_H_
