// The members a client may talk to: one channel each, and which of them is in use.
//
// Thread safety: all methods from any thread.
#ifndef CAIRN_CLIENT_ENDPOINT_POOL_H_
#define CAIRN_CLIENT_ENDPOINT_POOL_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/channel.h"
#include "proto/etcd/rpc.grpc.pb.h"

namespace cairn::client {

using Deadline = std::chrono::system_clock::time_point;

// One member: its channel and the stubs on it.
class Endpoint {
 public:
  explicit Endpoint(const std::string& address);

  const std::string& address() const { return address_; }
  etcdserverpb::KV::Stub& kv() const { return *kv_; }
  etcdserverpb::Watch::Stub& watch() const { return *watch_; }
  etcdserverpb::Lease::Stub& lease() const { return *lease_; }
  etcdserverpb::Cluster::Stub& cluster() const { return *cluster_; }
  etcdserverpb::Maintenance::Stub& maintenance() const { return *maintenance_; }

  // Waits until the connection stands. False: it failed or `deadline` passed; nothing was sent.
  bool Connect(Deadline deadline) const;

 private:
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<etcdserverpb::KV::Stub> kv_;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch_;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease_;
  std::unique_ptr<etcdserverpb::Cluster::Stub> cluster_;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance_;
};

class EndpointPool {
 public:
  // At least one address.
  explicit EndpointPool(const std::vector<std::string>& addresses);

  size_t size() const { return endpoints_.size(); }
  const Endpoint& current() const { return *endpoints_[current_.load() % endpoints_.size()]; }

  // `failed` does not serve: the next one is in use, unless another thread has moved on already.
  void MoveOnFrom(const Endpoint& failed);

 private:
  std::vector<std::unique_ptr<Endpoint>> endpoints_;  // constant
  std::atomic<size_t> current_ = 0;
};

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_ENDPOINT_POOL_H_
