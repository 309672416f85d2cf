#include "tests/simulation/watcher.h"

#include <utility>

#include "raft/check.h"

namespace cairn::sim {

// The connection: delivers responses a moment later, in order, and sometimes takes no more for a while.
class Watcher::Stream : public server::WatchSink, public std::enable_shared_from_this<Watcher::Stream> {
 public:
  explicit Stream(Watcher* owner) : owner_(owner) {}

  void Send(server::WatchMessage message) override {
    std::string bytes(message.head.view());
    if (message.tail != nullptr) bytes += *message.tail;
    ++under_way_;
    owner_->scheduler_.After(kDelay, [self = shared_from_this(), bytes = std::move(bytes)] {
      if (self->owner_ == nullptr) return;
      etcdserverpb::WatchResponse response;
      CAIRN_CHECK(response.ParseFromString(bytes)) << "a watch response does not parse";
      --self->under_way_;
      self->owner_->OnResponse(response);
      if (self->owner_ != nullptr) self->MaybeWritableAgain();
    });
  }

  bool writable() const override {
    if (owner_->on_events_) return true;
    if (!blocked_ && (under_way_ >= kMaxUnderWay || owner_->dice_.Chance(0.02))) {
      blocked_ = true;
      // Time passes, then the client reads again.
      owner_->scheduler_.After(owner_->dice_.Between(absl::Milliseconds(1), absl::Milliseconds(400)),
                               [self = const_cast<Stream*>(this)->shared_from_this()] {
                                 if (self->owner_ != nullptr) self->MaybeWritableAgain();
                               });
    }
    return !blocked_;
  }

  void Close() { owner_ = nullptr; }

  server::WatchStreamId id = 0;

 private:
  static constexpr absl::Duration kDelay = absl::Microseconds(100);
  static constexpr int kMaxUnderWay = 8;

  void MaybeWritableAgain() {
    if (!blocked_ || under_way_ >= kMaxUnderWay) return;
    blocked_ = false;
    Member* member = owner_->member_;
    member->loop().Schedule(absl::ZeroDuration(), [self = shared_from_this(), member] {
      if (self->owner_ != nullptr) member->node().watches().OnWritable(self->id);
    });
  }

  Watcher* owner_;
  int under_way_ = 0;
  mutable bool blocked_ = false;
};

Watcher::Watcher(Wishes wishes, Scheduler& scheduler, Dice& dice,
                 std::function<void(int64_t, const Changes&)> on_events)
    : wishes_(std::move(wishes)), scheduler_(scheduler), dice_(dice), on_events_(std::move(on_events)) {
  TakeLog();  // for its name and wishes
}

Watcher::~Watcher() { Disconnect(); }

void Watcher::Connect(Member& member, int64_t start_revision) {
  CAIRN_CHECK(!connected()) << "a watcher connects once at a time";
  if (next_revision_ == 0 || cancelled_) {
    next_revision_ = std::max(next_revision_, start_revision);
    log_.start = next_revision_;
  }
  cancelled_ = false;
  member_ = &member;
  stream_ = std::make_shared<Stream>(this);
  server::WatchHub& hub = member.node().watches();
  stream_->id = hub.OpenStream(stream_.get());
  etcdserverpb::WatchRequest request;
  etcdserverpb::WatchCreateRequest* create = request.mutable_create_request();
  create->set_key(wishes_.key);
  create->set_range_end(wishes_.range_end);
  create->set_start_revision(next_revision_);
  create->set_prev_kv(wishes_.prev_kv);
  if (wishes_.no_put) create->add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
  if (wishes_.no_delete) create->add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
  hub.Handle(stream_->id, request);
}

void Watcher::Disconnect() {
  if (!connected()) return;
  if (member_->running()) member_->node().watches().CloseStream(stream_->id);
  stream_->Close();
  stream_.reset();
  member_ = nullptr;
  progress_asked_at_.reset();
}

void Watcher::AskProgress() {
  if (!connected() || member_->paused()) return;
  etcdserverpb::WatchRequest request;
  request.mutable_progress_request();
  if (!progress_asked_at_.has_value()) progress_asked_at_ = scheduler_.now();
  member_->node().watches().Handle(stream_->id, request);
}

void Watcher::OnResponse(const etcdserverpb::WatchResponse& response) {
  if (response.created()) return;
  if (response.canceled()) {
    cancelled_ = true;
    next_revision_ = std::max(next_revision_, response.compact_revision());
    Disconnect();
    return;
  }
  if (response.events().empty()) {
    progress_asked_at_.reset();
    log_.promised = std::max(log_.promised, response.header().revision());
    next_revision_ = std::max(next_revision_, response.header().revision() + 1);
    return;
  }
  for (int i = 0; i < response.events_size();) {
    const int64_t revision = response.events(i).kv().mod_revision();
    Delivery delivery{revision, {}, {}, member_->store().compact_revision().value()};
    Changes& changes = delivery.changes;
    for (; i < response.events_size() && response.events(i).kv().mod_revision() == revision; ++i) {
      const mvccpb::KeyValue& kv = response.events(i).kv();
      if (response.events(i).has_prev_kv()) {
        const mvccpb::KeyValue& before = response.events(i).prev_kv();
        delivery.previous.push_back(KeyState{before.value(), before.create_revision(), before.mod_revision(),
                                             before.version(), before.lease()});
      } else {
        delivery.previous.emplace_back();
      }
      if (response.events(i).type() == mvccpb::Event::DELETE) {
        changes.push_back({kv.key(), std::nullopt, 0, 0, 0});
      } else {
        changes.push_back({kv.key(), kv.value(), kv.create_revision(), kv.version(), kv.lease()});
      }
    }
    if (on_events_) on_events_(revision, changes);
    log_.delivered.push_back(std::move(delivery));
    next_revision_ = std::max(next_revision_, revision + 1);
  }
}

WatchLog Watcher::TakeLog() {
  WatchLog log = std::move(log_);
  log_ = {};
  log_.key = wishes_.key;
  log_.range_end = wishes_.range_end;
  log_.no_put = wishes_.no_put;
  log_.no_delete = wishes_.no_delete;
  log_.prev_kv = wishes_.prev_kv;
  log_.start = next_revision_;
  return log;
}

}  // namespace cairn::sim
