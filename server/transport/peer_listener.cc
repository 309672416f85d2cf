#include "server/transport/peer_listener.h"

#include <boost/asio/ip/v6_only.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cairn::server {
namespace {

using boost::asio::ip::tcp;

constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

}  // namespace

absl::StatusOr<uint16_t> PeerListener::Listen(const Url& url) {
  boost::system::error_code error;
  const std::string host = url.host == "localhost" ? "127.0.0.1" : url.host;
  const auto address = boost::asio::ip::make_address(host, error);
  if (error)
    return absl::InvalidArgumentError(absl::StrCat("cannot listen on ", url.ToString(), ": not an address"));
  return ListenOn(tcp::endpoint(address, url.port), url);
}

absl::StatusOr<uint16_t> PeerListener::ListenOn(const tcp::endpoint& endpoint, const Url& url) {
  auto acceptor = std::make_shared<Acceptor>(context_.loop.io());
  boost::system::error_code error;
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(Acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) acceptor->set_option(boost::asio::ip::v6_only(true), error);
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(boost::asio::socket_base::max_listen_connections, error);
  if (error == boost::asio::error::address_in_use) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen for peers on ", url.ToString(),
                     ": the address is in use, perhaps by another cairnd or etcd: stop that one, or choose "
                     "another --listen-peer-urls"));
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen for peers on ", url.ToString(), ": ", error.message(),
                     ": check --listen-peer-urls against the addresses of this machine"));
  }
  acceptors_.push_back(acceptor);
  return acceptor->local_endpoint().port();
}

void PeerListener::Start(OnMember on_member) {
  on_member_ = std::move(on_member);
  for (const auto& acceptor : acceptors_) Accept(acceptor);
}

void PeerListener::Stop() {
  stopped_ = true;
  boost::system::error_code ignored;
  for (const auto& acceptor : acceptors_) acceptor->close(ignored);
  for (Stranger& stranger : strangers_) stranger.connection->Close();
  strangers_.clear();
  accept_pauses_.clear();
}

void PeerListener::Accept(std::shared_ptr<Acceptor> acceptor) {
  acceptor->async_accept(
      [self = shared_from_this(), acceptor](const boost::system::error_code& error, tcp::socket socket) {
        if (self->stopped_) return;
        if (!error) {
          self->Welcome(std::move(socket));
          return self->Accept(acceptor);
        }
        // Out of file descriptors, most often: trying again at once would spin.
        self->context_.log.Warn("cannot accept a peer connection, pausing", {{"reason", error.message()}});
        self->accept_pauses_.clear();
        self->accept_pauses_.push_back(self->context_.loop.After(
            kAcceptPause, [listener = self.get(), acceptor] { listener->Accept(acceptor); }));
      });
}

void PeerListener::Welcome(tcp::socket socket) {
  if (strangers_.size() >= context_.options.max_strangers) {
    Drop(strangers_.begin(), "too many connections that have not said hello; this one is the oldest");
  }
  const auto stranger = strangers_.insert(strangers_.end(), Stranger{});
  stranger->connection =
      std::make_shared<PeerConnection>(std::move(socket), context_.options.unanswered_limit);
  stranger->time_limit = context_.loop.After(context_.options.handshake_timeout,
                                             [this, stranger] { Drop(stranger, "no hello in time"); });
  stranger->connection->Start([this, stranger](const Frame& frame) { OnHello(stranger, frame); },
                              [this, stranger](const std::string& reason) { Drop(stranger, reason); });
}

void PeerListener::OnHello(StrangerList::iterator stranger, const Frame& frame) {
  internal::Hello hello;
  if (stranger->answered || frame.type != FrameType::kHello ||
      !hello.ParseFromArray(frame.body.data(), static_cast<int>(frame.body.size()))) {
    return Drop(stranger, "something else than a hello");
  }
  const raft::NodeId member(hello.member_id());
  PeerConnection& connection = *stranger->connection;
  const absl::Status checked = context_.handshake.Check(hello);
  if (!checked.ok()) {
    LogRefusal(connection.remote(), std::string(checked.message()));
    AppendHello(context_.handshake.Refusal(member, checked), connection.outgoing());
    connection.Flush();
    stranger->answered = true;
    return;
  }
  AppendHello(context_.handshake.HelloTo(member), connection.outgoing());
  connection.Flush();
  std::shared_ptr<PeerConnection> accepted = std::move(stranger->connection);
  strangers_.erase(stranger);
  on_member_(member, std::move(accepted));
}

void PeerListener::Drop(StrangerList::iterator stranger, const std::string& reason) {
  if (!stranger->answered) LogRefusal(stranger->connection->remote(), reason);
  stranger->connection->Close();
  strangers_.erase(stranger);
}

void PeerListener::LogRefusal(const std::string& remote, const std::string& reason) {
  if (!log_limiter_.Allow(context_.loop.Now())) return;
  context_.log.Warn("peer connection refused",
                    {{"remote", remote}, {"reason", reason}, {"not_logged", log_limiter_.TakeSuppressed()}});
}

}  // namespace cairn::server
