#include "tests/simulation/network.h"

#include <algorithm>

#include "tests/simulation/sim_loop.h"

namespace cairn::sim {

void Network::Attach(raft::NodeId member, server::NetEvents* events, SimLoop* loop) {
  endpoints_[member] = {events, loop, ++lives_};
  for (auto& [other, endpoint] : endpoints_) {
    if (other != member && endpoint.events != nullptr) {
      Dial(member, other, dice_.Between(absl::Milliseconds(1), absl::Milliseconds(30)));
    }
  }
}

void Network::Detach(raft::NodeId member, bool silent) {
  endpoints_[member] = {};
  for (auto& [pair, connection] : connections_) {
    if (pair.first != member && pair.second != member) continue;
    if (!connection.up) continue;
    connection.up = false;
    ++connection.epoch;
    const raft::NodeId other = pair.first == member ? pair.second : pair.first;
    TellDown(other, member,
             silent ? dice_.Between(absl::Seconds(1), absl::Seconds(5))
                    : dice_.Between(absl::ZeroDuration(), absl::Milliseconds(1)));
  }
}

void Network::HealAll() { cut_.clear(); }

void Network::Break(raft::NodeId a, raft::NodeId b) {
  Connection& connection = connections_[Key(a, b)];
  if (!connection.up) return;
  connection.up = false;
  ++connection.epoch;
  TellDown(a, b, dice_.Between(absl::ZeroDuration(), absl::Milliseconds(5)));
  TellDown(b, a, dice_.Between(absl::ZeroDuration(), absl::Milliseconds(5)));
  Dial(a, b, dice_.Between(absl::Milliseconds(10), absl::Milliseconds(300)));
}

void Network::BreakClogged() {
  for (auto& [pair, connection] : connections_) {
    const absl::Duration last = std::max(connection.last_delivery[0], connection.last_delivery[1]);
    if (last > scheduler_.now() + faults_.slow_delay) Break(pair.first, pair.second);
  }
}

void Network::TellDown(raft::NodeId whom, raft::NodeId about, absl::Duration after) {
  const uint64_t life = endpoints_[whom].life;
  scheduler_.After(after, [this, whom, about, life] {
    Endpoint& endpoint = endpoints_[whom];
    if (endpoint.events == nullptr || endpoint.life != life || connections_[Key(whom, about)].up) return;
    endpoint.loop->Schedule(absl::ZeroDuration(),
                            [events = endpoint.events, about] { events->OnPeerDown(about); });
  });
}

void Network::Dial(raft::NodeId a, raft::NodeId b, absl::Duration after) {
  scheduler_.After(after, [this, a, b] {
    Connection& connection = connections_[Key(a, b)];
    Endpoint& one = endpoints_[a];
    Endpoint& other = endpoints_[b];
    if (connection.up || one.events == nullptr || other.events == nullptr) return;
    if (IsCut(a, b) || IsCut(b, a)) return Dial(a, b, absl::Milliseconds(100));
    connection.up = true;
    connection.last_delivery[0] = connection.last_delivery[1] = absl::ZeroDuration();
    one.loop->Schedule(absl::ZeroDuration(), [events = one.events, b] { events->OnPeerUp(b); });
    other.loop->Schedule(absl::ZeroDuration(), [events = other.events, a] { events->OnPeerUp(a); });
  });
}

bool Network::Send(raft::NodeId from, raft::NodeId to, server::PeerBatch batch) {
  Connection& connection = connections_[Key(from, to)];
  if (!connection.up) return false;
  if (IsCut(from, to) || dice_.Chance(faults_.loss)) return true;
  absl::Duration delay = dice_.Between(faults_.delay / 5, faults_.delay);
  if (dice_.Chance(faults_.slow)) delay = dice_.Between(faults_.delay, faults_.slow_delay);
  if (dice_.Chance(faults_.clogged)) delay = dice_.Between(faults_.slow_delay, faults_.clogged_delay);
  absl::Duration& last = connection.last_delivery[from < to ? 0 : 1];
  const absl::Duration at = std::max(scheduler_.now() + delay, last);
  last = at;
  scheduler_.After(at - scheduler_.now(), [this, from, to, epoch = connection.epoch,
                                           batch = std::make_shared<server::PeerBatch>(std::move(batch))] {
    Connection& connection = connections_[Key(from, to)];
    Endpoint& endpoint = endpoints_[to];
    if (!connection.up || connection.epoch != epoch || endpoint.events == nullptr) return;
    ++delivered_;
    endpoint.loop->Schedule(absl::ZeroDuration(), [events = endpoint.events, from, batch] {
      events->OnPeerBatch(from, std::move(*batch));
    });
  });
  return true;
}

}  // namespace cairn::sim
