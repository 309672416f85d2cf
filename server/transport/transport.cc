#include "server/transport/transport.h"

#include <utility>

#include "server/transport/peer_link.h"
#include "server/transport/peer_listener.h"

namespace cairn::server {

Transport::Transport(const TransportOptions& options, AsioLoop& loop, Random& random, Logger& log)
    : options_(options),
      handshake_(options.cluster_id, options.self, options.incarnation_id),
      context_(new TransportContext{loop, random, log, handshake_, options_}),
      listener_(std::make_shared<PeerListener>(*context_)) {}

Transport::~Transport() { Stop(); }

absl::StatusOr<uint16_t> Transport::Listen(const Url& url) { return listener_->Listen(url); }

void Transport::Start(const std::vector<ClusterMember>& members, NetEvents* events) {
  for (const ClusterMember& member : members) {
    if (member.id == options_.self) continue;
    handshake_.AddMember(member.id, member.name);
    links_.emplace(member.id, std::make_shared<PeerLink>(*context_, member, events));
  }
  listener_->Start([this](raft::NodeId member, std::shared_ptr<PeerConnection> connection) {
    // The handshake has made sure that it is one of them.
    links_.at(member)->TakeIncoming(std::move(connection));
  });
  for (const auto& [id, link] : links_) link->Start();
}

void Transport::Stop() {
  listener_->Stop();
  for (const auto& [id, link] : links_) link->Stop();
}

bool Transport::Send(raft::NodeId to, PeerBatch batch) {
  const auto link = links_.find(to);
  return link != links_.end() && link->second->Send(batch);
}

}  // namespace cairn::server
