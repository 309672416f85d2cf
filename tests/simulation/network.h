// The simulated network between members: delays with a heavy tail, silent loss, cut links (also in one
// direction), connections that break with what was under way.
#ifndef CAIRN_TESTS_SIMULATION_NETWORK_H_
#define CAIRN_TESTS_SIMULATION_NETWORK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "server/ports.h"
#include "tests/simulation/scheduler.h"

namespace cairn::sim {

class SimLoop;

struct NetworkFaults {
  double loss = 0;     // of a batch, without anybody being told
  double slow = 0.01;  // share of batches that take long
  absl::Duration delay = absl::Microseconds(500);
  absl::Duration slow_delay = absl::Milliseconds(200);
  double clogged = 0.0001;  // share of batches that hold up their connection for very long
  absl::Duration clogged_delay = absl::Seconds(6);
};

class Network {
 public:
  Network(Scheduler& scheduler, Dice& dice) : scheduler_(scheduler), dice_(dice) {}

  void SetFaults(const NetworkFaults& faults) { faults_ = faults; }

  // A member's process begins to listen and to dial. Both must stay valid until Detach.
  void Attach(raft::NodeId member, server::NetEvents* events, SimLoop* loop);
  // It is gone. The others notice at once (the kernel closes its sockets) or, after a power cut, only later.
  void Detach(raft::NodeId member, bool silent);

  // What `from` sends to `to` vanishes; nobody is told.
  void Cut(raft::NodeId from, raft::NodeId to) { cut_[{from, to}] = true; }
  void HealAll();
  // Breaks the connection between two members that both live; it comes back after a moment.
  void Break(raft::NodeId a, raft::NodeId b);
  // The same to connections that what is under way holds up for long.
  void BreakClogged();

  bool Send(raft::NodeId from, raft::NodeId to, server::PeerBatch batch);

  uint64_t delivered() const { return delivered_; }

 private:
  using Pair = std::pair<raft::NodeId, raft::NodeId>;
  struct Endpoint {
    server::NetEvents* events = nullptr;
    SimLoop* loop = nullptr;
    uint64_t life = 0;
  };
  struct Connection {
    bool up = false;
    uint64_t epoch = 0;               // rises when it breaks: what is under way is lost
    absl::Duration last_delivery[2];  // by direction, keeps order
  };

  static Pair Key(raft::NodeId a, raft::NodeId b) { return a < b ? Pair(a, b) : Pair(b, a); }
  bool IsCut(raft::NodeId from, raft::NodeId to) const {
    auto it = cut_.find({from, to});
    return it != cut_.end() && it->second;
  }
  void Dial(raft::NodeId a, raft::NodeId b, absl::Duration after);
  void TellDown(raft::NodeId whom, raft::NodeId about, absl::Duration after);

  Scheduler& scheduler_;
  Dice& dice_;
  NetworkFaults faults_;
  std::map<raft::NodeId, Endpoint> endpoints_;
  std::map<Pair, Connection> connections_;
  std::map<Pair, bool> cut_;
  uint64_t lives_ = 0;
  uint64_t delivered_ = 0;
};

// One member's view of the network.
class SimNet final : public server::Net {
 public:
  SimNet(Network& network, raft::NodeId self) : network_(network), self_(self) {}
  bool Send(raft::NodeId to, server::PeerBatch batch) override {
    return network_.Send(self_, to, std::move(batch));
  }

 private:
  Network& network_;
  const raft::NodeId self_;
};

}  // namespace cairn::sim

#endif  // CAIRN_TESTS_SIMULATION_NETWORK_H_
