// The peer port: accepts connections, lets strangers say who they are, hands members on.
//
// Thread safety: none; belongs to the core loop.
// Limits:        a stranger costs a socket and kMaxHelloBytes at most; there are so many of them, for so
//                long, as TransportOptions say. When one more comes the oldest is closed: a member says hello
//                within a round trip, so a flood of idle connections does not lock it out.
#ifndef CAIRN_SERVER_TRANSPORT_PEER_LISTENER_H_
#define CAIRN_SERVER_TRANSPORT_PEER_LISTENER_H_

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/log_limiter.h"
#include "server/transport/peer_link.h"
#include "server/url.h"

namespace cairn::server {

class PeerListener : public std::enable_shared_from_this<PeerListener> {
 public:
  using OnMember = std::function<void(raft::NodeId member, std::shared_ptr<PeerConnection> connection)>;

  explicit PeerListener(const TransportContext& context) : context_(context) {}

  // Binds; connections wait in the kernel until Start. Returns the port, of use when `url.port` is 0.
  absl::StatusOr<uint16_t> Listen(const Url& url);
  void Start(OnMember on_member);
  void Stop();

 private:
  using Acceptor = boost::asio::ip::tcp::acceptor;

  struct Stranger {
    std::shared_ptr<PeerConnection> connection;
    std::unique_ptr<Timer> time_limit;
    bool answered = false;  // refused; it reads why and closes
  };
  using StrangerList = std::list<Stranger>;  // oldest first

  absl::StatusOr<uint16_t> ListenOn(const boost::asio::ip::tcp::endpoint& endpoint, const Url& url);
  void Accept(std::shared_ptr<Acceptor> acceptor);
  void Welcome(boost::asio::ip::tcp::socket socket);
  void OnHello(StrangerList::iterator stranger, const Frame& frame);
  void Drop(StrangerList::iterator stranger, const std::string& reason);
  void LogRefusal(const std::string& remote, const std::string& reason);

  const TransportContext context_;
  OnMember on_member_;
  std::vector<std::shared_ptr<Acceptor>> acceptors_;
  StrangerList strangers_;
  std::vector<std::unique_ptr<Timer>> accept_pauses_;
  bool stopped_ = false;

  LogLimiter log_limiter_;  // whoever knocks decides how often there is something to log
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_TRANSPORT_PEER_LISTENER_H_
