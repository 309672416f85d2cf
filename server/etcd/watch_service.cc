#include "server/etcd/watch_service.h"

#include <string_view>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"
#include "proto/errors.h"
#include "proto/etcd/rpc.pb.h"
#include "server/watch/watch_hub.h"

namespace cairn::server {
namespace {

constexpr std::string_view kWatchPath = "/etcdserverpb.Watch/Watch";
constexpr int kElectionTimeoutsWithoutLeader = 3;  // etcd's

class Stream;

}  // namespace

// The streams under way, in order of opening.
class WatchStreams : public std::enable_shared_from_this<WatchStreams> {
 public:
  explicit WatchStreams(DoorContextPtr door) : door_(std::move(door)) {}

  std::unique_ptr<rpc::StreamHandler> Open(rpc::CallPtr call);
  void Remove(WatchStreamId id) { streams_.erase(id); }
  void End();

  WatchHub& hub() { return door_->kernel().watches(); }
  // For parsing; one for all streams.
  etcdserverpb::WatchRequest& request() { return request_; }

 private:
  void EndWith(ClientError error, bool only_with_leader);
  void ScheduleLeaderCheck();
  void CheckLeader();

  const DoorContextPtr door_;
  etcdserverpb::WatchRequest request_;
  absl::btree_map<WatchStreamId, Stream*> streams_;
  std::unique_ptr<Timer> leader_check_;  // while a stream needs a leader
  bool ended_ = false;
};

namespace {

class Stream final : public rpc::StreamHandler, public WatchSink {
 public:
  Stream(std::shared_ptr<WatchStreams> streams, rpc::CallPtr call, bool needs_leader)
      : streams_(std::move(streams)), call_(std::move(call)), needs_leader_(needs_leader) {
    id_ = streams_->hub().OpenStream(this);
  }
  ~Stream() override { Close(); }

  WatchStreamId id() const { return id_; }
  bool needs_leader() const { return needs_leader_; }

  void OnMessage(std::string_view message) override {
    if (closed_) return;
    etcdserverpb::WatchRequest& request = streams_->request();
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return End(GrpcCode::kInternal, "the message is no etcdserverpb.WatchRequest");
    }
    streams_->hub().Handle(id_, request);
    if (!call_->writable() && !reading_paused_) {
      reading_paused_ = true;
      call_->PauseReading();
    }
  }

  // Clients that have said all they want go on listening.
  void OnHalfClose() override {}

  // May come from within Send, when the client leaves too much unread: then the hub is busy with this very
  // stream, and the destructor closes it.
  void OnCancel(rpc::CancelReason) override {
    if (!sending_) Close();
  }

  void OnWritable() override {
    if (closed_) return;
    if (std::exchange(reading_paused_, false)) call_->ResumeReading();
    streams_->hub().OnWritable(id_);
  }

  void Send(WatchMessage message) override {
    sending_ = true;
    call_->Send(message.head.view(), {&message.tail, message.tail == nullptr ? size_t{0} : size_t{1}});
    sending_ = false;
  }

  bool writable() const override { return call_->writable(); }

  void End(GrpcCode code, std::string_view text) {
    Close();
    call_->Finish(code, text);
  }

 private:
  void Close() {
    if (std::exchange(closed_, true)) return;
    streams_->hub().CloseStream(id_);
    streams_->Remove(id_);
  }

  const std::shared_ptr<WatchStreams> streams_;
  const rpc::CallPtr call_;
  WatchStreamId id_ = 0;
  const bool needs_leader_;
  bool reading_paused_ = false;
  bool sending_ = false;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<rpc::StreamHandler> WatchStreams::Open(rpc::CallPtr call) {
  if (ended_) {
    const ErrorInfo& error = InfoOf(ClientError::kStopped);
    call->Finish(error.code, error.text);
    return nullptr;
  }
  if (door_->RefusedWithoutLeader(*call)) return nullptr;
  const bool needs_leader = call->metadata().Find("hasleader") == "true";
  auto stream = std::make_unique<Stream>(shared_from_this(), std::move(call), needs_leader);
  streams_.emplace(stream->id(), stream.get());
  if (needs_leader && leader_check_ == nullptr) ScheduleLeaderCheck();
  return stream;
}

void WatchStreams::End() {
  ended_ = true;
  EndWith(ClientError::kStopped, /*only_with_leader=*/false);
}

void WatchStreams::EndWith(ClientError error, bool only_with_leader) {
  const ErrorInfo& info = InfoOf(error);
  for (auto next = streams_.begin(); next != streams_.end();) {
    Stream& stream = *next->second;
    const WatchStreamId id = next->first;
    if (!only_with_leader || stream.needs_leader()) stream.End(info.code, info.text);  // takes itself out
    next = streams_.upper_bound(id);
  }
}

void WatchStreams::ScheduleLeaderCheck() {
  leader_check_ = door_->kernel().loop().After(door_->options().election_timeout, [this] { CheckLeader(); });
}

void WatchStreams::CheckLeader() {
  leader_check_.reset();
  const absl::Duration limit = kElectionTimeoutsWithoutLeader * door_->options().election_timeout;
  if (door_->kernel().TimeWithoutLeader() >= limit)
    EndWith(ClientError::kNoLeader, /*only_with_leader=*/true);
  for (const auto& [id, stream] : streams_) {
    if (stream->needs_leader()) return ScheduleLeaderCheck();
  }
}

WatchService::WatchService(rpc::Server& server, const DoorContextPtr& door)
    : streams_(std::make_shared<WatchStreams>(door)) {
  server.AddStream(kWatchPath,
                   [streams = streams_](rpc::CallPtr call) { return streams->Open(std::move(call)); });
}

WatchService::~WatchService() = default;

void WatchService::EndStreams() { streams_->End(); }

}  // namespace cairn::server
