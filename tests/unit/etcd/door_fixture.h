// A server with the etcd door on a local kernel, on a thread of its own, and clients of it.
#ifndef CAIRN_TESTS_UNIT_ETCD_DOOR_FIXTURE_H_
#define CAIRN_TESTS_UNIT_ETCD_DOOR_FIXTURE_H_

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "boost/asio/executor_work_guard.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/post.hpp"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/etcd/rpc.grpc.pb.h"
#include "server/etcd/door.h"
#include "server/etcd/watch_service.h"
#include "tests/unit/etcd/local_kernel.h"

namespace cairn::server {

using namespace etcdserverpb;  // NOLINT: the messages of the API under test

class FixedRandom final : public Random {
 public:
  uint64_t Next() override { return next_; }
  void set_next(uint64_t next) { next_ = next; }

 private:
  uint64_t next_ = 0x8000000000000042;
};

class EtcdDoorTest : public ::testing::Test {
 protected:
  EtcdDoorTest() : work_(io_.get_executor()) {
    kernel_ = std::make_unique<LocalKernel>();
    server_ = std::make_unique<rpc::Server>(io_, rpc::ServerOptions());
    EtcdDoorOptions options;
    options.random = &random_;
    options.max_pending_keep_alives = 4;
    options.on_slow_request = [this](const SlowRequest& slow) {
      slow_.push_back(std::string(slow.path) + " " + absl::FormatDuration(slow.took));
    };
    watches_ = RegisterEtcdServices(*server_, *kernel_, options);
    const auto port = server_->Listen("127.0.0.1", 0);
    EXPECT_TRUE(port.ok()) << port.status().ToString();
    thread_ = std::thread([this] { io_.run(); });
    port_ = *port;
    const std::shared_ptr<grpc::Channel> channel = Connect();
    kv_ = KV::NewStub(channel);
    lease_ = Lease::NewStub(channel);
    cluster_ = Cluster::NewStub(channel);
    maintenance_ = Maintenance::NewStub(channel);
  }

  ~EtcdDoorTest() override {
    OnLoop([this] {
      watches_.reset();
      server_.reset();
      kernel_.reset();
    });
    work_.reset();
    thread_.join();
  }

  // A connection of its own.
  std::shared_ptr<grpc::Channel> Connect() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port_), grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  // Runs `fn` on the loop's thread and waits for it.
  template <typename Fn>
  void OnLoop(Fn fn) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      fn();
      done.set_value();
    });
    done.get_future().get();
  }

  template <typename Stub, typename Request, typename Response>
  grpc::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response, bool hasleader = false) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    if (hasleader) context.AddMetadata("hasleader", "true");
    return (stub.*method)(&context, request, response);
  }
  grpc::Status Put(const PutRequest& request, PutResponse* response) {
    return Call(*kv_, &KV::Stub::Put, request, response);
  }
  grpc::Status Put(const std::string& key, const std::string& value, int64_t lease = 0) {
    PutRequest request;
    request.set_key(key);
    request.set_value(value);
    request.set_lease(lease);
    PutResponse response;
    return Put(request, &response);
  }
  grpc::Status Grant(int64_t id, int64_t ttl, LeaseGrantResponse* response) {
    LeaseGrantRequest request;
    request.set_id(id);
    request.set_ttl(ttl);
    return Call(*lease_, &Lease::Stub::LeaseGrant, request, response);
  }

  static void ExpectError(const grpc::Status& status, ClientError error) {
    const ErrorInfo& info = InfoOf(error);
    EXPECT_EQ(static_cast<int>(status.error_code()), static_cast<int>(info.code));
    EXPECT_EQ(status.error_message(), info.text);
  }
  static void ExpectHeader(const ResponseHeader& header, int64_t revision) {
    EXPECT_EQ(header.cluster_id(), LocalKernel::kCluster);
    EXPECT_EQ(header.member_id(), storage::kSelf);
    EXPECT_EQ(header.revision(), revision);
    EXPECT_EQ(header.raft_term(), LocalKernel::kTerm);
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  FixedRandom random_;
  std::unique_ptr<LocalKernel> kernel_;  // the loop's, like the server
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<WatchService> watches_;
  std::vector<std::string> slow_;
  uint16_t port_ = 0;
  std::thread thread_;
  std::unique_ptr<KV::Stub> kv_;
  std::unique_ptr<Lease::Stub> lease_;
  std::unique_ptr<Cluster::Stub> cluster_;
  std::unique_ptr<Maintenance::Stub> maintenance_;
};

}  // namespace cairn::server

#endif  // CAIRN_TESTS_UNIT_ETCD_DOOR_FIXTURE_H_
