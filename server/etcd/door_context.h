// What the services of the etcd door share: the kernel, the options, and the handle of a unary call that is
// answered once.
//
// Thread safety: the core loop's thread.
#ifndef CAIRN_SERVER_ETCD_DOOR_CONTEXT_H_
#define CAIRN_SERVER_ETCD_DOOR_CONTEXT_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "boost/smart_ptr/intrusive_ptr.hpp"
#include "boost/smart_ptr/intrusive_ref_counter.hpp"
#include "google/protobuf/message_lite.h"
#include "proto/errors.h"
#include "server/etcd/door.h"
#include "server/etcd/header.h"
#include "server/kernel/kernel.h"
#include "server/rpc/server.h"
#include "storage/types.h"

namespace cairn::server {

class UnaryCall;

// Kept alive by the server's handlers and by every call under way.
class DoorContext : public boost::intrusive_ref_counter<DoorContext, boost::thread_unsafe_counter> {
 public:
  DoorContext(Kernel& kernel, const EtcdDoorOptions& options);

  Kernel& kernel() { return kernel_; }
  const EtcdDoorOptions& options() const { return options_; }

  // With today's term.
  HeaderBytes Header(storage::Revision revision) const;

  // Is a request of `bytes` too large once etcd wrapped it for its log?
  bool TooLarge(size_t bytes) const;

  // Registers `handle` behind what every call goes through: metadata `hasleader` and the slow request report.
  template <typename Request>
  void AddUnary(rpc::Server& server, std::string_view path,
                std::function<void(DoorContext&, UnaryCall, Request&)> handle);

  // True, and the call is finished, when it asks for a leader that this member does not know.
  bool RefusedWithoutLeader(rpc::Call& call) const;

 private:
  Kernel& kernel_;
  const EtcdDoorOptions options_;
};

using DoorContextPtr = boost::intrusive_ptr<DoorContext>;

// One unary call until its answer. A handle to a call that the client has given up may be answered all the
// same: the answer is dropped.
class UnaryCall {
 public:
  UnaryCall(DoorContextPtr door, rpc::CallPtr call)
      : door_(std::move(door)), call_(std::move(call)), arrived_(door_->kernel().loop().Now()) {}

  UnaryCall(UnaryCall&&) = default;
  UnaryCall& operator=(UnaryCall&&) = default;
  UnaryCall(const UnaryCall&) = delete;
  UnaryCall& operator=(const UnaryCall&) = delete;

  DoorContext& door() { return *door_; }
  bool cancelled() const { return call_->cancelled(); }

  // The error, or the header of `result.revision` and the body.
  void Answer(storage::Result&& result);
  // The header of `revision`, then `body`: the other fields, serialized.
  void Answer(storage::Revision revision, std::string body);
  // A message as it is, its header (if it has one) set by the caller.
  void AnswerWhole(const google::protobuf::MessageLite& message);

  void Fail(ClientError error);
  void Fail(GrpcCode code, std::string_view text);

 private:
  void ReportIfSlow(GrpcCode code);

  DoorContextPtr door_;
  rpc::CallPtr call_;
  absl::Duration arrived_;
};

template <typename Request>
void DoorContext::AddUnary(rpc::Server& server, std::string_view path,
                           std::function<void(DoorContext&, UnaryCall, Request&)> handle) {
  server.AddUnary<Request>(
      path, [door = DoorContextPtr(this), handle = std::move(handle)](rpc::CallPtr call, Request& request) {
        if (door->RefusedWithoutLeader(*call)) return;
        handle(*door, UnaryCall(door, std::move(call)), request);
      });
}

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ETCD_DOOR_CONTEXT_H_
