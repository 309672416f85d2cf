#include "server/etcd/door_context.h"

#include <utility>

namespace cairn::server {
namespace {

// etcd's log entry around a request: its header with an id (13 bytes), a tag, and the request's length as a
// varint. Counted the same way, so that what etcd takes is taken here too.
size_t WrappedSize(size_t bytes) {
  size_t size = 13 + 1 + 1 + bytes;
  for (size_t rest = bytes; rest >= 0x80; rest >>= 7) ++size;
  return size;
}

}  // namespace

DoorContext::DoorContext(Kernel& kernel, const EtcdDoorOptions& options)
    : kernel_(kernel), options_(options) {}

HeaderBytes DoorContext::Header(storage::Revision revision) const {
  return HeaderBytes(kernel_.cluster_id(), kernel_.self(), revision, kernel_.term());
}

bool DoorContext::TooLarge(size_t bytes) const { return WrappedSize(bytes) > options_.max_request_bytes; }

bool DoorContext::RefusedWithoutLeader(rpc::Call& call) const {
  if (kernel_.leader() || call.metadata().Find("hasleader") != "true") return false;
  const ErrorInfo& error = InfoOf(ClientError::kNoLeader);
  call.Finish(error.code, error.text);
  return true;
}

void UnaryCall::Answer(storage::Result&& result) {
  if (result.error != ClientError::kOk) return Fail(result.error);
  Answer(result.revision, std::move(result.body));
}

void UnaryCall::Answer(storage::Revision revision, std::string body) {
  call_->Respond(door_->Header(revision).view(), std::move(body));
  ReportIfSlow(GrpcCode::kOk);
}

void UnaryCall::AnswerWhole(const google::protobuf::MessageLite& message) {
  call_->Respond(message);
  ReportIfSlow(GrpcCode::kOk);
}

void UnaryCall::Fail(ClientError error) {
  const ErrorInfo& info = InfoOf(error);
  Fail(info.code, info.text);
}

void UnaryCall::Fail(GrpcCode code, std::string_view text) {
  call_->Finish(code, text);
  ReportIfSlow(code);
}

void UnaryCall::ReportIfSlow(GrpcCode code) {
  const EtcdDoorOptions& options = door_->options();
  if (!options.on_slow_request) return;
  const absl::Duration took = door_->kernel().loop().Now() - arrived_;
  if (took <= options.slow_request_threshold) return;
  options.on_slow_request({call_->path(), call_->peer(), took, code});
}

}  // namespace cairn::server
