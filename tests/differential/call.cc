#include "tests/differential/call.h"

#include <google/protobuf/text_format.h>

#include <chrono>
#include <map>

#include "absl/strings/str_cat.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::differential {
namespace {

namespace pb = google::protobuf;

constexpr int kCallTimeoutSeconds = 30;
constexpr size_t kMaxPrintedBytes = 4000;

// Both directions of the relation between a method and its request type; the services never use a type twice.
struct Methods {
  std::map<std::string, std::string> by_request;
  std::map<std::string, const pb::Descriptor*> response;

  Methods() {
    const pb::FileDescriptor* file = etcdserverpb::PutRequest::descriptor()->file();
    for (int s = 0; s < file->service_count(); ++s) {
      const pb::ServiceDescriptor* service = file->service(s);
      for (int m = 0; m < service->method_count(); ++m) {
        const pb::MethodDescriptor* method = service->method(m);
        const std::string path = absl::StrCat("/", service->full_name(), "/", method->name());
        by_request[method->input_type()->full_name()] = path;
        response[path] = method->output_type();
      }
    }
  }
};

const Methods& AllMethods() {
  static const Methods methods;
  return methods;
}

std::string Print(const Message& message) {
  pb::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.SetTruncateStringFieldLongerThan(200);
  std::string text;
  printer.PrintToString(message, &text);
  return text.size() > kMaxPrintedBytes ? absl::StrCat(text.substr(0, kMaxPrintedBytes), "…") : text;
}

}  // namespace

std::string MethodFor(const Message& request) {
  return AllMethods().by_request.at(request.GetDescriptor()->full_name());
}

std::unique_ptr<Message> NewResponse(const std::string& method) {
  const pb::Descriptor* type = AllMethods().response.at(method);
  return std::unique_ptr<Message>(pb::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

std::string Describe(const Call& call) { return absl::StrCat(call.method, " {", Print(*call.request), "}"); }

std::string Describe(const Outcome& outcome) {
  if (outcome.code != grpc::StatusCode::OK) {
    return absl::StrCat("error ", static_cast<int>(outcome.code), " \"", outcome.text, "\"");
  }
  return absl::StrCat("{", Print(*outcome.response), "}");
}

Target::Target(const std::vector<std::string>& endpoints) {
  for (const std::string& endpoint : endpoints) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    channels_.push_back(grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments));
  }
}

struct Caller::Pending {
  explicit Pending(std::shared_ptr<grpc::Channel> channel) : stub(std::move(channel)) {}

  grpc::GenericStub stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  grpc::ByteBuffer reply;
  grpc::Status status;
  std::string method;
  Outcome* outcome = nullptr;
};

Caller::~Caller() {
  queue_.Shutdown();
  void* tag;
  bool ok;
  while (queue_.Next(&tag, &ok)) delete static_cast<Pending*>(tag);
}

void Caller::Send(const Target& target, int member, const Call& call, Outcome* outcome) {
  auto pending = std::make_unique<Pending>(target.channel(member));
  pending->method = call.method;
  pending->outcome = outcome;
  pending->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(kCallTimeoutSeconds));
  grpc::Slice slice(call.request->SerializeAsString());
  pending->reader =
      pending->stub.PrepareUnaryCall(&pending->context, call.method, grpc::ByteBuffer(&slice, 1), &queue_);
  pending->reader->StartCall();
  pending->reader->Finish(&pending->reply, &pending->status, pending.get());
  pending.release();  // comes back out of the queue
  ++pending_count_;
}

void Caller::Wait() {
  for (; pending_count_ > 0; --pending_count_) {
    void* tag = nullptr;
    bool ok = false;
    queue_.Next(&tag, &ok);
    std::unique_ptr<Pending> pending(static_cast<Pending*>(tag));
    Outcome& outcome = *pending->outcome;
    outcome.code = pending->status.error_code();
    outcome.text = pending->status.error_message();
    outcome.response = NewResponse(pending->method);
    if (!pending->status.ok()) continue;
    grpc::Slice slice;
    if (pending->reply.DumpToSingleSlice(&slice).ok() &&
        outcome.response->ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
      continue;
    }
    outcome.code = grpc::StatusCode::INTERNAL;
    outcome.text = "the response is no valid message";
  }
}

}  // namespace cairn::differential
