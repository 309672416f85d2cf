// A member that answers as the test tells it, on a port of its own.
//
// Thread safety: scripts are set before the calls come; counters may be read at any time.
#ifndef CAIRN_TESTS_UNIT_CLIENT_FAKE_MEMBER_H_
#define CAIRN_TESTS_UNIT_CLIENT_FAKE_MEMBER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/errors.h"
#include "proto/etcd/rpc.grpc.pb.h"

namespace cairn::client {

inline grpc::Status WireStatus(ClientError error) {
  const ErrorInfo& info = InfoOf(error);
  return {static_cast<grpc::StatusCode>(info.code), std::string(info.text)};
}

class FakeMember {
 public:
  using WatchStream = grpc::ServerReaderWriter<etcdserverpb::WatchResponse, etcdserverpb::WatchRequest>;

  FakeMember() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&kv_);
    builder.RegisterService(&watch_);
    builder.RegisterService(&lease_);
    server_ = builder.BuildAndStart();
    EXPECT_NE(server_, nullptr);
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~FakeMember() { Kill(); }

  const std::string& address() const { return address_; }
  void Kill() { server_->Shutdown(std::chrono::system_clock::now()); }

  std::function<grpc::Status(const etcdserverpb::RangeRequest&, etcdserverpb::RangeResponse*)> on_range =
      [](auto&, auto*) { return grpc::Status::OK; };
  std::function<grpc::Status(const etcdserverpb::PutRequest&, etcdserverpb::PutResponse*)> on_put =
      [](auto&, auto*) { return grpc::Status::OK; };
  std::function<grpc::Status(const etcdserverpb::WatchCreateRequest&, WatchStream*)> on_watch =
      [](auto&, auto*) { return WireStatus(ClientError::kNoLeader); };
  std::function<int64_t(int64_t lease)> ttl_of = [](int64_t) { return 0; };

  int puts() const { return kv_.puts; }
  int ranges() const { return kv_.ranges; }

 private:
  struct KvService final : etcdserverpb::KV::Service {
    explicit KvService(FakeMember* member) : member(member) {}
    grpc::Status Range(grpc::ServerContext*, const etcdserverpb::RangeRequest* request,
                       etcdserverpb::RangeResponse* response) override {
      ++ranges;
      return member->on_range(*request, response);
    }
    grpc::Status Put(grpc::ServerContext*, const etcdserverpb::PutRequest* request,
                     etcdserverpb::PutResponse* response) override {
      ++puts;
      return member->on_put(*request, response);
    }
    FakeMember* member;
    std::atomic<int> puts = 0;
    std::atomic<int> ranges = 0;
  };
  struct WatchServiceFake final : etcdserverpb::Watch::Service {
    explicit WatchServiceFake(FakeMember* member) : member(member) {}
    grpc::Status Watch(grpc::ServerContext*, WatchStream* stream) override {
      etcdserverpb::WatchRequest request;
      if (!stream->Read(&request)) return grpc::Status::OK;
      return member->on_watch(request.create_request(), stream);
    }
    FakeMember* member;
  };
  struct LeaseServiceFake final : etcdserverpb::Lease::Service {
    explicit LeaseServiceFake(FakeMember* member) : member(member) {}
    grpc::Status LeaseKeepAlive(
        grpc::ServerContext*,
        grpc::ServerReaderWriter<etcdserverpb::LeaseKeepAliveResponse, etcdserverpb::LeaseKeepAliveRequest>*
            stream) override {
      etcdserverpb::LeaseKeepAliveRequest request;
      while (stream->Read(&request)) {
        etcdserverpb::LeaseKeepAliveResponse response;
        response.set_id(request.id());
        response.set_ttl(member->ttl_of(request.id()));
        if (!stream->Write(response)) break;
      }
      return grpc::Status::OK;
    }
    FakeMember* member;
  };

  KvService kv_{this};
  WatchServiceFake watch_{this};
  LeaseServiceFake lease_{this};
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace cairn::client

#endif  // CAIRN_TESTS_UNIT_CLIENT_FAKE_MEMBER_H_
