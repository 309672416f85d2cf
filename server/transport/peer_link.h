// The two connections between this member and one other: the outgoing one, dialled here, carries what is
// sent; the incoming one, dialled by the peer, what is received. When either breaks both are closed, so that
// each side sees one clean break: what was under way in both directions is in doubt.
//
//   down ──dial──► calling ──hello both ways──► up ──any break──► down (dial again after a back-off)
//
// Dialling starts over at once, whatever the back-off, when the peer calls: it is there again.
//
// Thread safety: none; belongs to the core loop.
// Ownership:     shared with the operations that Asio holds; everything it refers to outlives Stop().
#ifndef CAIRN_SERVER_TRANSPORT_PEER_LINK_H_
#define CAIRN_SERVER_TRANSPORT_PEER_LINK_H_

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <vector>

#include "server/asio_loop.h"
#include "server/identity.h"
#include "server/log.h"
#include "server/ports.h"
#include "server/transport/handshake.h"
#include "server/transport/peer_connection.h"
#include "server/transport/transport_options.h"

namespace cairn::server {

struct TransportContext {
  AsioLoop& loop;
  Random& random;
  Logger& log;
  Handshake& handshake;
  const TransportOptions& options;
};

class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  PeerLink(const TransportContext& context, ClusterMember peer, NetEvents* events);

  void Start();
  void Stop();  // no event after this

  bool Send(const PeerBatch& batch);

  // The peer has called and shaken hands.
  void TakeIncoming(std::shared_ptr<PeerConnection> connection);

 private:
  using Tcp = boost::asio::ip::tcp;

  void Dial();
  void Connect(uint64_t attempt, const std::vector<Tcp::endpoint>& endpoints, const Url& url);
  void SayHello(uint64_t attempt, Tcp::socket socket);
  void OnAnswer(const Frame& frame);
  void DialFailed(const std::string& reason);
  void DialLater();

  void OnIncomingFrame(const Frame& frame);
  void Break(const std::string& reason);
  void CloseBoth();

  const TransportContext context_;
  const ClusterMember peer_;
  NetEvents* const events_;

  std::shared_ptr<PeerConnection> outgoing_;  // calling or up
  std::shared_ptr<PeerConnection> incoming_;
  bool up_ = false;
  bool stopped_ = false;

  // Of dialling. `attempt_` makes completions of earlier attempts void.
  uint64_t attempt_ = 0;
  bool dialling_ = false;
  int failures_ = 0;  // in a row
  size_t next_url_ = 0;
  Tcp::resolver resolver_;
  std::shared_ptr<Tcp::socket> connecting_;
  std::unique_ptr<Timer> timer_;  // the time limit of this attempt, or the wait for the next
  std::string last_failure_;      // logged once, not once an attempt
  absl::Duration failure_logged_at_;

  BatchEncoder encoder_;
  internal::PeerFrame decoded_;  // kept for its memory
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_TRANSPORT_PEER_LINK_H_
