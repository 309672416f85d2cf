#include "server/etcd/keep_alive_stream.h"

#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "proto/etcd/rpc.pb.h"
#include "raft/check.h"

namespace cairn::server {
namespace {

using etcdserverpb::LeaseKeepAliveRequest;
using etcdserverpb::LeaseKeepAliveResponse;

// What the renewals under way hold; outlives the handler when the client goes before its answers come.
class Renewals {
 public:
  Renewals(DoorContextPtr door, rpc::CallPtr call) : door_(std::move(door)), call_(std::move(call)) {}

  static void Start(const std::shared_ptr<Renewals>& self, storage::LeaseId id) {
    Kernel& kernel = self->door_->kernel();
    const uint64_t number = self->first_ + self->waiting_.size();
    self->waiting_.push_back({id, self->door_->Header(kernel.store().revision()), std::nullopt});
    kernel.LeaseKeepAlive(id, [self, number](LeaseTime time) { self->OnRenewed(number, time); });
    self->ReadOnIfRoom();
  }

  void OnHalfClose() {
    half_closed_ = true;
    FinishIfDone();
  }

  // The call is over: answers that still come are dropped.
  void Close() {
    closed_ = true;
    waiting_.clear();
  }

  void ReadOnIfRoom() {
    if (closed_) return;
    const bool room = waiting_.size() < door_->options().max_pending_keep_alives && call_->writable();
    if (room == !paused_) return;
    paused_ = !room;
    if (paused_) {
      call_->PauseReading();
    } else {
      call_->ResumeReading();
    }
  }

 private:
  struct Waiting {
    storage::LeaseId id;
    HeaderBytes header;
    std::optional<int64_t> ttl_s;  // set when the leader has answered
  };

  void OnRenewed(uint64_t number, const LeaseTime& time) {
    if (closed_) return;
    if (time.error != ClientError::kOk && time.error != ClientError::kLeaseNotFound) {
      const ErrorInfo& error = InfoOf(time.error);
      closed_ = true;
      waiting_.clear();
      call_->Finish(error.code, error.text);
      return;
    }
    CAIRN_CHECK(number >= first_ && number - first_ < waiting_.size()) << "a keep-alive was answered twice";
    waiting_[number - first_].ttl_s = time.error == ClientError::kOk ? time.ttl_s : 0;
    for (; !waiting_.empty() && waiting_.front().ttl_s.has_value(); ++first_) {
      Send(waiting_.front());
      waiting_.pop_front();
    }
    FinishIfDone();
    ReadOnIfRoom();
  }

  void Send(const Waiting& answer) {
    LeaseKeepAliveResponse response;
    response.set_id(answer.id.value());
    response.set_ttl(*answer.ttl_s);
    std::string message(answer.header.view());
    response.AppendToString(&message);
    call_->Send(std::move(message));
  }

  void FinishIfDone() {
    if (closed_ || !half_closed_ || !waiting_.empty()) return;
    closed_ = true;
    call_->Finish();
  }

  DoorContextPtr door_;
  rpc::CallPtr call_;
  std::deque<Waiting> waiting_;  // in order of arrival
  uint64_t first_ = 0;           // number of waiting_.front()
  bool paused_ = false;
  bool half_closed_ = false;
  bool closed_ = false;
};

class KeepAliveStream final : public rpc::StreamHandler {
 public:
  KeepAliveStream(const DoorContextPtr& door, rpc::CallPtr call)
      : call_(call), renewals_(std::make_shared<Renewals>(door, std::move(call))) {}

  void OnMessage(std::string_view message) override {
    LeaseKeepAliveRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      renewals_->Close();
      return call_->Finish(GrpcCode::kInternal, "grpc: failed to unmarshal the received message");
    }
    Renewals::Start(renewals_, storage::LeaseId(request.id()));
  }
  void OnHalfClose() override { renewals_->OnHalfClose(); }
  void OnCancel(rpc::CancelReason) override { renewals_->Close(); }
  void OnWritable() override { renewals_->ReadOnIfRoom(); }

 private:
  rpc::CallPtr call_;
  std::shared_ptr<Renewals> renewals_;
};

}  // namespace

std::unique_ptr<rpc::StreamHandler> OpenKeepAliveStream(const DoorContextPtr& door, rpc::CallPtr call) {
  if (door->RefusedWithoutLeader(*call)) return nullptr;
  return std::make_unique<KeepAliveStream>(door, std::move(call));
}

}  // namespace cairn::server
