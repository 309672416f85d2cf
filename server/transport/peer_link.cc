#include "server/transport/peer_link.h"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cairn::server {
namespace {

// Between two lines about a peer that cannot be reached, when the reasons alternate.
constexpr absl::Duration kLogInterval = absl::Seconds(10);

// A larger frame's memory is given back once it has been decoded.
constexpr size_t kKeepBelowBytes = 1 << 20;

}  // namespace

PeerLink::PeerLink(const TransportContext& context, ClusterMember peer, NetEvents* events)
    : context_(context), peer_(std::move(peer)), events_(events), resolver_(context.loop.io()) {}

void PeerLink::Start() { Dial(); }

void PeerLink::Stop() {
  stopped_ = true;
  up_ = false;
  CloseBoth();
}

bool PeerLink::Send(const PeerBatch& batch) {
  if (!up_ || outgoing_->queued_bytes() >= context_.options.max_queued_bytes) return false;
  if (!encoder_.Append(batch, outgoing_->outgoing())) {
    context_.log.Error("batch for a peer is too large for one frame",
                       {{"peer", peer_.name}, {"limit", kMaxFrameBytes}});
    return false;
  }
  outgoing_->Flush();
  return true;
}

void PeerLink::TakeIncoming(std::shared_ptr<PeerConnection> connection) {
  // The peer has closed the one before, or lost it: it calls only when it has none.
  if (incoming_ != nullptr) Break("the peer has connected anew");
  if (stopped_) return connection->Close();
  incoming_ = std::move(connection);
  incoming_->AllowBatches();
  incoming_->SetCallbacks([this](const Frame& frame) { OnIncomingFrame(frame); },
                          [this](const std::string& reason) { Break(reason); });
  if (!up_ && !dialling_) {
    failures_ = 0;
    Dial();
  }
}

void PeerLink::Dial() {
  const uint64_t attempt = ++attempt_;
  dialling_ = true;
  const Url& url = peer_.peer_urls[next_url_++ % peer_.peer_urls.size()];
  timer_ = context_.loop.After(context_.options.handshake_timeout, [this, url] {
    DialFailed(absl::StrCat(url.ToString(), ": no answer within ",
                            absl::FormatDuration(context_.options.handshake_timeout)));
  });
  boost::system::error_code not_an_address;
  const auto address = boost::asio::ip::make_address(url.host, not_an_address);
  if (!not_an_address) return Connect(attempt, {Tcp::endpoint(address, url.port)}, url);
  resolver_.async_resolve(
      url.host, std::to_string(url.port), boost::asio::ip::resolver_base::numeric_service,
      [self = shared_from_this(), attempt, url](const boost::system::error_code& error,
                                                const Tcp::resolver::results_type& results) {
        if (attempt != self->attempt_) return;
        if (error) return self->DialFailed(absl::StrCat("cannot look up ", url.host, ": ", error.message()));
        std::vector<Tcp::endpoint> endpoints;
        for (const auto& result : results) endpoints.push_back(result.endpoint());
        self->Connect(attempt, endpoints, url);
      });
}

void PeerLink::Connect(uint64_t attempt, const std::vector<Tcp::endpoint>& endpoints, const Url& url) {
  connecting_ = std::make_shared<Tcp::socket>(context_.loop.io());
  boost::asio::async_connect(*connecting_, endpoints,
                             [self = shared_from_this(), socket = connecting_, attempt, url](
                                 const boost::system::error_code& error, const Tcp::endpoint&) {
                               if (attempt != self->attempt_) return;
                               if (error)
                                 return self->DialFailed(absl::StrCat(url.ToString(), ": ", error.message()));
                               self->connecting_.reset();
                               self->SayHello(attempt, std::move(*socket));
                             });
}

void PeerLink::SayHello(uint64_t attempt, Tcp::socket socket) {
  outgoing_ = std::make_shared<PeerConnection>(std::move(socket), context_.options.unanswered_limit);
  AppendHello(context_.handshake.HelloTo(peer_.id), outgoing_->outgoing());
  outgoing_->Start([this](const Frame& frame) { OnAnswer(frame); },
                   [this, attempt](const std::string& reason) {
                     if (attempt == attempt_) DialFailed(reason);
                   });
  outgoing_->Flush();
}

void PeerLink::OnAnswer(const Frame& frame) {
  internal::Hello hello;
  if (frame.type != FrameType::kHello ||
      !hello.ParseFromArray(frame.body.data(), static_cast<int>(frame.body.size()))) {
    return DialFailed("no hello in the answer: not a cairn member");
  }
  const absl::Status checked = context_.handshake.CheckAnswer(hello, peer_.id);
  if (!checked.ok()) return DialFailed(std::string(checked.message()));
  timer_.reset();
  dialling_ = false;
  failures_ = 0;
  last_failure_.clear();
  up_ = true;
  outgoing_->SetCallbacks([this](const Frame&) { Break("unexpected frame on the connection dialled here"); },
                          [this](const std::string& reason) { Break(reason); });
  context_.log.Info(
      "peer connected",
      {{"peer", peer_.name}, {"id", FormatId(peer_.id.value())}, {"remote", outgoing_->remote()}});
  events_->OnPeerUp(peer_.id);
}

void PeerLink::DialFailed(const std::string& reason) {
  ++attempt_;
  ++failures_;
  dialling_ = false;
  if (connecting_ != nullptr) {
    boost::system::error_code ignored;
    connecting_->close(ignored);
    connecting_.reset();
  }
  if (outgoing_ != nullptr) outgoing_->Close();
  outgoing_.reset();
  if (stopped_) return;
  const absl::Duration now = context_.loop.Now();
  if (reason != last_failure_ && (last_failure_.empty() || now - failure_logged_at_ >= kLogInterval)) {
    last_failure_ = reason;
    failure_logged_at_ = now;
    context_.log.Warn("cannot reach peer, trying on",
                      {{"peer", peer_.name}, {"id", FormatId(peer_.id.value())}, {"reason", reason}});
  }
  DialLater();
}

void PeerLink::DialLater() {
  const TransportOptions& options = context_.options;
  const int doublings = std::min(failures_, 20);
  const absl::Duration longest = std::min(options.min_redial * (int64_t{1} << doublings), options.max_redial);
  // Half to all of it, so that members do not knock in step.
  const double share = 0.5 + 0.5 * static_cast<double>(context_.random.Next() >> 11) * 0x1p-53;
  timer_ = context_.loop.After(longest * share, [this] { Dial(); });
}

void PeerLink::OnIncomingFrame(const Frame& frame) {
  if (frame.type != FrameType::kBatch) return Break("a second hello");
  absl::StatusOr<PeerBatch> batch = DecodeBatch(frame.body, peer_.id, context_.options.self, &decoded_);
  if (!batch.ok()) return Break(std::string(batch.status().message()));
  if (frame.body.size() > kKeepBelowBytes) decoded_ = internal::PeerFrame();
  events_->OnPeerBatch(peer_.id, *std::move(batch));
}

void PeerLink::Break(const std::string& reason) {
  const bool was_up = up_;
  const bool was_dialling = dialling_;
  up_ = false;
  if (was_dialling) {
    // The call under way is a new one and stands on its own.
    if (incoming_ != nullptr) incoming_->Close();
    incoming_.reset();
    return;
  }
  CloseBoth();
  if (stopped_) return;
  DialLater();
  if (!was_up) return;
  context_.log.Warn("peer lost",
                    {{"peer", peer_.name}, {"id", FormatId(peer_.id.value())}, {"reason", reason}});
  events_->OnPeerDown(peer_.id);
}

void PeerLink::CloseBoth() {
  ++attempt_;
  dialling_ = false;
  timer_.reset();
  resolver_.cancel();
  if (connecting_ != nullptr) {
    boost::system::error_code ignored;
    connecting_->close(ignored);
    connecting_.reset();
  }
  if (outgoing_ != nullptr) outgoing_->Close();
  if (incoming_ != nullptr) incoming_->Close();
  outgoing_.reset();
  incoming_.reset();
}

}  // namespace cairn::server
