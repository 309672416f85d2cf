// One unary call of etcd's API as data: which method, which request, what came of it.
#ifndef CAIRN_TESTS_DIFFERENTIAL_CALL_H_
#define CAIRN_TESTS_DIFFERENTIAL_CALL_H_

#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

namespace cairn::differential {

using google::protobuf::Message;

struct Call {
  std::string method;  // as in ":path", "/etcdserverpb.KV/Put"
  std::shared_ptr<Message> request;
};

struct Outcome {
  grpc::StatusCode code = grpc::StatusCode::UNKNOWN;
  std::string text;  // of the error
  std::shared_ptr<Message> response;
};

// The path of the method that takes messages of this type, as in the descriptors of rpc.proto.
std::string MethodFor(const Message& request);
// An empty response of `method`.
std::unique_ptr<Message> NewResponse(const std::string& method);

template <typename Request>
Call MakeCall(Request request) {
  auto shared = std::make_shared<Request>(std::move(request));
  return {MethodFor(*shared), shared};
}

std::string Describe(const Call& call);
std::string Describe(const Outcome& outcome);

// The channels to one system's members.
class Target {
 public:
  explicit Target(const std::vector<std::string>& endpoints);

  int members() const { return static_cast<int>(channels_.size()); }
  std::shared_ptr<grpc::Channel> channel(int member) const { return channels_[member]; }

 private:
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
};

// Sends calls side by side and waits for all of them. One thread.
class Caller {
 public:
  Caller() = default;
  ~Caller();

  void Send(const Target& target, int member, const Call& call, Outcome* outcome);
  // Returns when every call sent since the last Wait has its outcome.
  void Wait();

 private:
  struct Pending;
  grpc::CompletionQueue queue_;
  int pending_count_ = 0;
};

}  // namespace cairn::differential

#endif  // CAIRN_TESTS_DIFFERENTIAL_CALL_H_
