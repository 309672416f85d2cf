// The network between members in production: TCP on the core loop.
//
// Delivery: in order or not at all while a connection stands; what waits when it breaks is lost, and
//           OnPeerDown says so at once (a killed process's connections break with it, which is what makes
//           fail-over fast).
// Thread safety: none; everything on the core loop's thread.
// Lifetime: the destructor stops; the loop, log and random source outlive it, and the loop runs no handler of
//           it that does anything afterwards.
#ifndef CAIRN_SERVER_TRANSPORT_TRANSPORT_H_
#define CAIRN_SERVER_TRANSPORT_TRANSPORT_H_

#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/asio_loop.h"
#include "server/identity.h"
#include "server/log.h"
#include "server/ports.h"
#include "server/transport/handshake.h"
#include "server/transport/transport_options.h"
#include "server/url.h"

namespace cairn::server {

class PeerLink;
class PeerListener;
struct TransportContext;

class Transport final : public Net {
 public:
  Transport(const TransportOptions& options, AsioLoop& loop, Random& random, Logger& log);
  ~Transport() override;

  // Binds an address for peers. Nobody is answered before Start.
  absl::StatusOr<uint16_t> Listen(const Url& url);

  // Begins to answer and to call `members`; this member itself may be among them. `events` outlives Stop().
  void Start(const std::vector<ClusterMember>& members, NetEvents* events);

  // Closes everything; no event after this.
  void Stop();

  bool Send(raft::NodeId to, PeerBatch batch) override;

 private:
  const TransportOptions options_;
  Handshake handshake_;
  std::unique_ptr<TransportContext> context_;
  std::shared_ptr<PeerListener> listener_;
  std::map<raft::NodeId, std::shared_ptr<PeerLink>> links_;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_TRANSPORT_TRANSPORT_H_
