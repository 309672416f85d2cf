#include "server/watch/watch_hub.h"

#include <algorithm>
#include <deque>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "proto/errors.h"
#include "raft/check.h"
#include "server/watch/event_ring.h"
#include "server/watch/group_delivery.h"
#include "server/watch/watch_index.h"

namespace cairn::server {

using storage::Revision;

namespace {

constexpr int64_t kInvalidWatchId = -1;

// Field numbers of WatchResponse.
constexpr int kWatchId = 2;
constexpr int kCreated = 3;
constexpr int kCanceled = 4;
constexpr int kCompactRevision = 5;
constexpr int kFragment = 7;

// How often a loop looks at the clock.
constexpr size_t kClockEvery = 64;
// Watchers that catch up in one slice.
constexpr size_t kMaxTogether = 10'000;

// 64 bits that look random, the same for the same `seed` (splitmix64's finaliser).
uint64_t Scramble(uint64_t seed) {
  seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
  seed = (seed ^ (seed >> 27)) * 0x94d049bb133111eb;
  return seed ^ (seed >> 31);
}

}  // namespace

struct WatchStream;

struct Watcher {
  // kSynced: has got every event up to the current revision, in the group's list. kReady: behind, takes
  // events, in the hub's ready set. kBlocked: behind, its stream takes no more, in the stream's list.
  enum class State : uint8_t { kSynced, kReady, kBlocked };

  WatchStream* stream = nullptr;
  WatchGroup* group = nullptr;
  int64_t id = 0;
  // The first revision that is not dealt with yet; while synced, only a lower bound of what it wants (a start
  // revision in the future).
  Revision next;
  uint64_t serial = 0;  // order of creation within the hub
  Watcher* list_before = nullptr;
  Watcher* list_after = nullptr;
  State state = State::kSynced;
  bool progress_notify = false;
  bool sent_since_notify = false;
};

struct WatchStream {
  WatchStreamId id = 0;
  WatchSink* sink = nullptr;
  absl::btree_map<int64_t, std::unique_ptr<Watcher>> watchers;
  int64_t next_watch_id = 0;
  Watcher* blocked = nullptr;
  size_t behind = 0;  // watchers that are not synced
  bool progress_requested = false;
  std::unique_ptr<Timer> notify_timer;  // from the first watcher with progress_notify on
};

namespace {

void PushFront(Watcher*& head, Watcher* watcher) {
  watcher->list_before = nullptr;
  watcher->list_after = head;
  if (head != nullptr) head->list_before = watcher;
  head = watcher;
}

void Unlink(Watcher*& head, Watcher* watcher) {
  (watcher->list_before == nullptr ? head : watcher->list_before->list_after) = watcher->list_after;
  if (watcher->list_after != nullptr) watcher->list_after->list_before = watcher->list_before;
  watcher->list_before = watcher->list_after = nullptr;
}

}  // namespace

class WatchHub::Impl {
 public:
  Impl(Loop& loop, storage::Store& store, WatchHubOptions options)
      : loop_(loop),
        store_(store),
        options_(std::move(options)),
        limits_{options_.max_response_bytes, options_.max_fragment_bytes},
        ring_(options_.ring_bytes),
        revision_(store.revision()),
        compact_revision_(store.compact_revision()) {
    ring_.Reset(revision_ + 1);
  }

  ~Impl() {
    while (!streams_.empty()) CloseStream(streams_.begin()->first);
  }

  void OnApplied(std::vector<storage::RevisionEvents> events) {
    const bool gap =
        events.empty() ? store_.revision() != revision_ : events.front().revision != ring_.next();
    if (gap) return OnGap();
    if (events.empty()) return;
    for (storage::RevisionEvents& revision : events) {
      HeldRevision& held = ring_.Append(std::move(revision));
      Match(held, [](const WatchGroup& group) { return group.synced != nullptr; });
    }
    revision_ = ring_.next() - 1;
    CAIRN_CHECK(revision_ <= store_.revision()) << revision_ << " is shown before it is committed";
    header_ = HeaderAt(revision_);
    for (size_t i = 0; i < deliveries_used_; ++i) DeliverToSynced(deliveries_[i]);
    EndDeliveries();
    ring_.Trim();
    AnswerDueProgress();
  }

  void OnCompacted(Revision compact_revision) {
    compact_revision_ = std::max(compact_revision_, compact_revision);
    if (!ready_.empty()) ScheduleCatchUp();
  }

  WatchStreamId OpenStream(WatchSink* sink) {
    auto stream = std::make_unique<WatchStream>();
    stream->id = ++last_stream_id_;
    stream->sink = sink;
    const WatchStreamId id = stream->id;
    streams_.emplace(id, std::move(stream));
    return id;
  }

  void CloseStream(WatchStreamId id) {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    WatchStream& stream = *found->second;
    for (auto& [watch_id, watcher] : stream.watchers) Detach(*watcher);
    absl::erase_if(progress_due_, [id](const auto& due) { return due.second == id; });
    streams_.erase(found);
  }

  void Handle(WatchStreamId id, const etcdserverpb::WatchRequest& request) {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    WatchStream& stream = *found->second;
    switch (request.request_union_case()) {
      case etcdserverpb::WatchRequest::kCreateRequest:
        return Create(stream, request.create_request());
      case etcdserverpb::WatchRequest::kCancelRequest:
        return Cancel(stream, request.cancel_request().watch_id());
      case etcdserverpb::WatchRequest::kProgressRequest:
        stream.progress_requested = true;
        return TryProgress(stream);
      case etcdserverpb::WatchRequest::REQUEST_UNION_NOT_SET:
        return;
    }
  }

  void OnWritable(WatchStreamId id) {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    WatchStream& stream = *found->second;
    while (stream.blocked != nullptr) {
      Watcher& watcher = *stream.blocked;
      Unlink(stream.blocked, &watcher);
      MakeReady(watcher);
    }
    TryProgress(stream);
  }

  WatchHubStats stats() const {
    return {.streams = streams_.size(),
            .watchers = watchers_,
            .behind = behind_,
            .ring_bytes = ring_.bytes(),
            .events_sent = events_sent_};
  }

 private:
  using ReadyKey = std::pair<Revision, uint64_t>;  // where it stands, then its serial
  using Ready = absl::btree_map<ReadyKey, Watcher*>;

  // --- Requests
  // ---------------------------------------------------------------------------------------------------

  void Create(WatchStream& stream, const etcdserverpb::WatchCreateRequest& request) {
    // Single key "\0" is the smallest there is: an empty key means it, too.
    static constexpr std::string_view kZero("\0", 1);
    WatchRange range{.key = request.key(), .end = request.range_end()};
    if (range.key.empty()) range.key = kZero;
    if (range.end == kZero) {
      range.kind = WatchRange::Kind::kFromKey;
      range.end = {};
    } else if (!range.end.empty()) {
      range.kind = WatchRange::Kind::kBounded;
    }
    if (range.kind == WatchRange::Kind::kBounded && range.key >= range.end) {
      return RefuseCreate(stream, "mvcc: watcher range is empty");
    }
    // Older than anything: as below the compact revision, but there may be none to tell.
    if (request.start_revision() < 0 && compact_revision_ == Revision(0)) {
      return RefuseCreate(stream, InfoOf(ClientError::kCompacted).text);
    }
    if (request.watch_id() != 0 && stream.watchers.contains(request.watch_id())) {
      return RefuseCreate(stream, "mvcc: duplicate watch ID provided on the WatchStream");
    }
    if (stream.watchers.size() >= options_.max_watchers_per_stream) {
      return RefuseCreate(stream, absl::StrCat("etcdserver: too many watches on one stream (limit ",
                                               options_.max_watchers_per_stream, "): open another stream"));
    }
    if (watchers_ >= options_.max_watchers) {
      return RefuseCreate(stream, absl::StrCat("etcdserver: too many watches on this member (limit ",
                                               options_.max_watchers, "): use another member"));
    }

    int64_t id = request.watch_id();
    if (id == 0) {
      while (stream.watchers.contains(stream.next_watch_id)) ++stream.next_watch_id;
      id = stream.next_watch_id++;
    }
    WatchHead created = Head(HeaderAt(revision_), id);
    created.AppendVarintField(kCreated, 1);
    stream.sink->Send({.head = created, .tail = nullptr});

    const Revision start = request.start_revision() == 0 ? revision_ + 1 : Revision(request.start_revision());
    if (start < compact_revision_) return SendCompacted(stream, id);

    WatchWishes wishes{.prev_kv = request.prev_kv(), .fragment = request.fragment()};
    for (const int filter : request.filters()) {
      wishes.no_put |= filter == etcdserverpb::WatchCreateRequest::NOPUT;
      wishes.no_delete |= filter == etcdserverpb::WatchCreateRequest::NODELETE;
    }
    auto owned = std::make_unique<Watcher>();
    Watcher& watcher = *owned;
    watcher.stream = &stream;
    watcher.group = index_.Acquire(range, wishes);
    watcher.id = id;
    watcher.next = start;
    watcher.serial = ++last_serial_;
    watcher.progress_notify = request.progress_notify();
    stream.watchers.emplace(id, std::move(owned));
    ++watchers_;
    if (start > revision_) {
      PushFront(watcher.group->synced, &watcher);
    } else {
      BecomeBehind(watcher);
    }
    if (watcher.progress_notify && stream.notify_timer == nullptr) StartNotifyTimer(stream);
  }

  void RefuseCreate(WatchStream& stream, std::string_view reason) {
    etcdserverpb::WatchResponse response;
    response.set_created(true);
    response.set_canceled(true);
    response.set_cancel_reason(std::string(reason));
    SendWithReason(stream, HeaderAt(revision_), kInvalidWatchId, response);
  }

  void Cancel(WatchStream& stream, int64_t id) {
    const auto found = stream.watchers.find(id);
    if (found == stream.watchers.end()) return;
    WatchHead canceled = Head(HeaderAt(revision_), id);
    canceled.AppendVarintField(kCanceled, 1);
    stream.sink->Send({.head = canceled, .tail = nullptr});
    Remove(*found->second);
    TryProgress(stream);
  }

  // etcd's header of this response has no revision: nothing is promised.
  void SendCompacted(WatchStream& stream, int64_t id) {
    WatchHead canceled = Head(HeaderAt(Revision(0)), id);
    canceled.AppendVarintField(kCanceled, 1);
    canceled.AppendVarintField(kCompactRevision, static_cast<uint64_t>(compact_revision_.value()));
    stream.sink->Send({.head = canceled, .tail = nullptr});
  }

  // `response` holds what follows the watch id.
  static void SendWithReason(WatchStream& stream, const WatchHead& header, int64_t id,
                             const etcdserverpb::WatchResponse& response) {
    stream.sink->Send({.head = Head(header, id),
                       .tail = std::make_shared<const std::string>(response.SerializeAsString())});
  }

  // --- Heads
  // --------------------------------------------------------------------------------------------------------

  WatchHead HeaderAt(Revision revision) const {
    return EncodeWatchHeader(options_.cluster_id, options_.member_id, revision, options_.term().value());
  }

  static WatchHead Head(const WatchHead& header, int64_t id) {
    WatchHead head = header;
    head.AppendVarintField(kWatchId, static_cast<uint64_t>(id));
    return head;
  }

  // --- States of a watcher
  // ------------------------------------------------------------------------------------------

  // From synced or new (in no list) to behind at watcher.next.
  void BecomeBehind(Watcher& watcher) {
    ++watcher.stream->behind;
    ++behind_;
    Requeue(watcher);
  }

  // Behind, in no list: where does it wait?
  void Requeue(Watcher& watcher) {
    if (watcher.stream->sink->writable()) return MakeReady(watcher);
    watcher.state = Watcher::State::kBlocked;
    PushFront(watcher.stream->blocked, &watcher);
  }

  void MakeReady(Watcher& watcher) {
    watcher.state = Watcher::State::kReady;
    ready_.emplace(ReadyKey(watcher.next, watcher.serial), &watcher);
    ScheduleCatchUp();
  }

  void BecomeSynced(Watcher& watcher) {
    --watcher.stream->behind;
    --behind_;
    watcher.state = Watcher::State::kSynced;
    PushFront(watcher.group->synced, &watcher);
  }

  // Takes the watcher out of all that knows it but its stream.
  void Detach(Watcher& watcher) {
    switch (watcher.state) {
      case Watcher::State::kSynced:
        Unlink(watcher.group->synced, &watcher);
        break;
      case Watcher::State::kReady:
        ready_.erase(ReadyKey(watcher.next, watcher.serial));
        break;
      case Watcher::State::kBlocked:
        Unlink(watcher.stream->blocked, &watcher);
        break;
    }
    if (watcher.state != Watcher::State::kSynced) {
      --watcher.stream->behind;
      --behind_;
    }
    index_.Release(watcher.group);
    --watchers_;
  }

  void Remove(Watcher& watcher) {
    Detach(watcher);
    watcher.stream->watchers.erase(watcher.id);  // destroys it
  }

  // Revisions went by that were never shown here: everybody reads the store from where they stand.
  void OnGap() {
    const Revision seen = revision_;
    revision_ = store_.revision();
    compact_revision_ = std::max(compact_revision_, store_.compact_revision());
    CAIRN_CHECK(revision_ >= seen) << "the revision went back from " << seen << " to " << revision_;
    ring_.Reset(revision_ + 1);
    for (auto& [stream_id, stream] : streams_) {
      for (auto& [watch_id, watcher] : stream->watchers) {
        if (watcher->state != Watcher::State::kSynced) continue;
        watcher->next = std::max(watcher->next, seen + 1);
        if (watcher->next > revision_) continue;
        Unlink(watcher->group->synced, watcher.get());
        BecomeBehind(*watcher);
      }
    }
    AnswerDueProgress();
  }

  // --- Handing out events
  // -------------------------------------------------------------------------------------------

  // Notes the events of `held` for those groups of their keys that `wanted` says yes to.
  template <typename Wanted>
  size_t Match(HeldRevision& held, Wanted wanted) {
    size_t matched_bytes = 0;
    for (HeldEvent& event : held.events) {
      groups_.clear();
      index_.Find(event.event.key, &groups_);
      for (WatchGroup* group : groups_) {
        if (event.event.is_delete ? group->wishes.no_delete : group->wishes.no_put) continue;
        if (!wanted(*group)) continue;
        if (group->wishes.prev_kv) FetchPrevKv(held.revision, event);
        DeliveryOf(*group).events.push_back({held.revision, &event});
        matched_bytes += event.event.wire->size() + (event.prev_kv == nullptr ? 0 : event.prev_kv->size());
      }
    }
    return matched_bytes;
  }

  // As a range at the revision before would find it: nothing once that is compacted.
  void FetchPrevKv(Revision revision, HeldEvent& event) {
    if (event.prev_kv_known) return;
    event.prev_kv_known = true;
    if (event.event.previous.main == Revision(0) || revision - 1 < compact_revision_) return;
    event.prev_kv = store_.KeyValueAt(event.event.previous);
  }

  GroupDelivery& DeliveryOf(WatchGroup& group) {
    if (group.delivery == nullptr) {
      if (deliveries_used_ == deliveries_.size()) deliveries_.emplace_back();
      group.delivery = &deliveries_[deliveries_used_++];
      group.delivery->Start(&group);
    }
    return *group.delivery;
  }

  void EndDeliveries() {
    for (size_t i = 0; i < deliveries_used_; ++i) {
      for (const GroupDelivery::Matched& matched : deliveries_[i].events) {
        // The ring does not count these bytes: who is late fetches them again.
        matched.event->prev_kv.reset();
        matched.event->prev_kv_known = false;
      }
      deliveries_[i].group->delivery = nullptr;
      deliveries_[i].Start(nullptr);
    }
    deliveries_used_ = 0;
    // One round over very many groups should not be paid for ever.
    constexpr size_t kKeep = 1024;
    if (deliveries_.size() > kKeep) deliveries_.resize(kKeep);
  }

  void DeliverToSynced(GroupDelivery& delivery) {
    for (Watcher *watcher = delivery.group->synced, *after; watcher != nullptr; watcher = after) {
      after = watcher->list_after;
      if (Deliver(*watcher, delivery)) continue;
      Unlink(delivery.group->synced, watcher);
      BecomeBehind(*watcher);
    }
  }

  // Sends what the watcher wants of the delivery. False: its stream takes no more, watcher.next tells where
  // it stands.
  bool Deliver(Watcher& watcher, GroupDelivery& delivery) {
    bool within_response = false;
    for (const ResponsePart& part : delivery.PartsFrom(watcher.next, limits_)) {
      // The fragments of a response are not torn apart.
      if (!within_response && !watcher.stream->sink->writable()) {
        watcher.next = part.first;
        return false;
      }
      within_response = part.more_fragments;
      WatchHead head = Head(header_, watcher.id);
      if (part.more_fragments) head.AppendVarintField(kFragment, 1);
      watcher.stream->sink->Send({.head = head, .tail = part.bytes});
      watcher.sent_since_notify = true;
      events_sent_ += part.events;
    }
    return true;
  }

  // --- Catching up
  // --------------------------------------------------------------------------------------------------

  void ScheduleCatchUp() {
    if (catch_up_scheduled_) return;
    catch_up_scheduled_ = true;
    loop_.Post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      catch_up_scheduled_ = false;
      CatchUp();
    });
  }

  // One slice for those within the ring, one for those behind it.
  void CatchUp() {
    header_ = HeaderAt(revision_);
    CatchUpInRing();
    CatchUpInStore();
    const bool in_ring = ready_.lower_bound({ring_.first(), 0}) != ready_.end();
    const bool in_store = !ready_.empty() && ready_.begin()->first.first < ring_.first();
    if (in_ring || (in_store && !store_is_loading_)) ScheduleCatchUp();
  }

  // Where a sweep over the positions [begin, end) goes on: the watchers at or behind `cursor`, else from the
  // start. Sweeping makes everybody progress, however far back one watcher begins.
  Ready::iterator SweepFrom(Revision cursor, Revision begin, Revision end) {
    auto found = ready_.lower_bound({std::max(cursor, begin), 0});
    if (found == ready_.end() || found->first.first >= end) found = ready_.lower_bound({begin, 0});
    return found;
  }

  // Takes the watchers from `found` on whose position is in [.., to] out of the ready set and marks their
  // groups.
  void TakeTogether(Ready::iterator found, Revision to) {
    const auto begin = found;
    for (; found != ready_.end() && found->first.first <= to && together_.size() < kMaxTogether; ++found) {
      together_.push_back(found->second);
      DeliveryOf(*found->second->group);
    }
    ready_.erase(begin, found);
  }

  static bool InThisRound(const WatchGroup& group) { return group.delivery != nullptr; }

  // The watchers taken together have been shown all events in front of `reached`.
  void DeliverTogether(Revision reached, absl::Duration deadline) {
    std::vector<Watcher*> taken;
    taken.swap(together_);
    std::set<WatchStreamId> synced_streams;
    size_t count = 0;
    bool in_time = true;
    for (Watcher* watcher : taken) {
      if (++count % kClockEvery == 0) in_time = in_time && loop_.Now() < deadline;
      const bool dealt_with = in_time && Deliver(*watcher, *watcher->group->delivery);
      if (dealt_with) watcher->next = std::max(watcher->next, reached);
      if (dealt_with && watcher->next > revision_) {
        BecomeSynced(*watcher);
        if (watcher->stream->progress_requested) synced_streams.insert(watcher->stream->id);
      } else {
        Requeue(*watcher);
      }
    }
    taken.clear();
    together_.swap(taken);  // keeps the room
    EndDeliveries();
    for (const WatchStreamId id : synced_streams) TryProgress(*streams_.at(id));
  }

  void CatchUpInRing() {
    const auto found = SweepFrom(ring_cursor_, ring_.first(), ring_.next());
    if (found == ready_.end()) return;
    const absl::Duration deadline = loop_.Now() + options_.slice;
    const Revision from = found->first.first;
    const Revision end = std::min(ring_.next(), from + options_.max_catch_up_revisions);
    TakeTogether(found, end - 1);
    size_t bytes = 0;
    size_t count = 0;
    Revision reached = from;
    while (reached < end && bytes < options_.max_catch_up_bytes) {
      if (++count % kClockEvery == 0 && loop_.Now() >= deadline) break;
      bytes += Match(ring_.at(reached), InThisRound);
      ++reached;
    }
    ring_cursor_ = reached;
    DeliverTogether(reached, deadline + options_.slice);
  }

  void CatchUpInStore() {
    if (store_is_loading_) return;
    CancelCompacted();
    const Revision ring_first = ring_.first();
    const auto found = SweepFrom(store_cursor_, Revision(0), ring_first);
    if (found == ready_.end() || found->first.first >= ring_first) return;
    const absl::Duration deadline = loop_.Now() + options_.slice;
    const Revision from = found->first.first;
    const Revision end = std::min(ring_first, from + options_.max_catch_up_revisions);
    TakeTogether(found, end - 1);

    std::deque<HeldRevision> scanned;  // only what somebody here gets
    size_t bytes = 0;
    Revision reached = from;
    auto visit = [&](storage::RevisionEvents&& events) {
      const Revision revision = events.revision;
      scanned.push_back(Hold(std::move(events)));
      const size_t matched = Match(scanned.back(), InThisRound);
      if (matched == 0) scanned.pop_back();
      bytes += matched;
      reached = revision + 1;
      return bytes < options_.max_catch_up_bytes;
    };
    store_is_loading_ = true;
    auto wake = [this, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      store_is_loading_ = false;
      if (!ready_.empty()) ScheduleCatchUp();
    };
    const absl::StatusOr<Revision> next = store_.ScanEvents(from, end - 1, options_.slice, visit, wake);
    if (next.ok() || !absl::IsUnavailable(next.status())) store_is_loading_ = false;
    if (next.ok()) reached = *next;
    store_cursor_ = reached;
    DeliverTogether(reached, deadline + options_.slice);
    if (next.ok() || absl::IsUnavailable(next.status())) return;
    if (absl::IsOutOfRange(next.status())) {
      compact_revision_ = std::max(compact_revision_, store_.compact_revision());
      CAIRN_CHECK(from < compact_revision_)
          << "the store says that " << from << " is compacted, its compact revision is " << compact_revision_;
      return CancelCompacted();
    }
    CancelUnreadable(from, next.status());
  }

  // Watchers whose next events are gone: not in the ring, and below the compact revision.
  void CancelCompacted() {
    const Revision gone = std::min(compact_revision_, ring_.first());
    while (!ready_.empty() && ready_.begin()->first.first < gone) {
      Watcher& watcher = *ready_.begin()->second;
      WatchStream& stream = *watcher.stream;
      SendCompacted(stream, watcher.id);
      Remove(watcher);
      TryProgress(stream);
    }
  }

  // The store cannot read its events. It will end this member; until then nobody shall miss an event
  // silently.
  void CancelUnreadable(Revision from, const absl::Status& why) {
    etcdserverpb::WatchResponse response;
    response.set_canceled(true);
    response.set_cancel_reason(absl::StrCat("etcdserver: cannot read the events from revision ", from.value(),
                                            " on: ", why.message(), "; watch at another member"));
    while (!ready_.empty() && ready_.begin()->first.first < ring_.first()) {
      Watcher& watcher = *ready_.begin()->second;
      SendWithReason(*watcher.stream, HeaderAt(Revision(0)), watcher.id, response);
      Remove(watcher);
    }
  }

  // --- Progress
  // -----------------------------------------------------------------------------------------------------

  // Would a progress response at the current revision keep its promise, and take nobody back before its
  // start?
  bool MayNotify(const Watcher& watcher) const {
    return watcher.state == Watcher::State::kSynced && watcher.next <= revision_ + 1;
  }

  // Answers a progress request of the stream once all its watchers are synced.
  void TryProgress(WatchStream& stream) {
    if (!stream.progress_requested || stream.behind > 0) return;
    Revision due;
    for (const auto& [id, watcher] : stream.watchers) due = std::max(due, watcher->next - 1);
    if (due > revision_) {
      progress_due_.emplace(due, stream.id);
      return;
    }
    if (!stream.sink->writable()) return;
    stream.progress_requested = false;
    stream.sink->Send({.head = Head(HeaderAt(revision_), kInvalidWatchId), .tail = nullptr});
  }

  // Streams whose future watchers begin now.
  void AnswerDueProgress() {
    while (!progress_due_.empty() && progress_due_.begin()->first <= revision_) {
      const WatchStreamId id = progress_due_.begin()->second;
      progress_due_.erase(progress_due_.begin());
      TryProgress(*streams_.at(id));
    }
  }

  void StartNotifyTimer(WatchStream& stream) {
    // Up to a tenth later, so that the streams of a restarted member do not tick together.
    const double jitter =
        static_cast<double>(Scramble(stream.id) >> 11) / static_cast<double>(uint64_t{1} << 53);
    const absl::Duration interval = options_.progress_notify_interval * (1 + jitter / 10);
    stream.notify_timer = loop_.After(interval, [this, &stream] { Notify(stream); });
  }

  void Notify(WatchStream& stream) {
    bool any = false;
    const WatchHead header = HeaderAt(revision_);
    for (auto& [id, watcher] : stream.watchers) {
      if (!watcher->progress_notify) continue;
      any = true;
      const bool skip = std::exchange(watcher->sent_since_notify, false);
      if (skip || !MayNotify(*watcher) || !stream.sink->writable()) continue;
      stream.sink->Send({.head = Head(header, id), .tail = nullptr});
    }
    stream.notify_timer.reset();
    if (any) StartNotifyTimer(stream);
  }

  Loop& loop_;
  storage::Store& store_;
  const WatchHubOptions options_;
  const ResponseLimits limits_;

  EventRing ring_;
  Revision revision_;          // the last one shown to watchers
  Revision compact_revision_;  // 0 = never compacted
  WatchIndex index_;
  absl::btree_map<WatchStreamId, std::unique_ptr<WatchStream>> streams_;
  WatchStreamId last_stream_id_ = 0;
  uint64_t last_serial_ = 0;
  size_t watchers_ = 0;
  size_t behind_ = 0;
  uint64_t events_sent_ = 0;

  // Behind, and taking events: by position.
  Ready ready_;
  Revision ring_cursor_;
  Revision store_cursor_;
  bool catch_up_scheduled_ = false;
  bool store_is_loading_ = false;  // the store will wake us
  // Streams with a progress request that have watchers of the future: when those begin.
  absl::btree_set<std::pair<Revision, WatchStreamId>> progress_due_;

  // Of the round under way; kept for their memory.
  WatchHead header_;
  std::deque<GroupDelivery> deliveries_;  // groups point into it
  size_t deliveries_used_ = 0;
  std::vector<WatchGroup*> groups_;
  std::vector<Watcher*> together_;

  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

WatchHub::WatchHub(Loop& loop, storage::Store& store, WatchHubOptions options)
    : impl_(std::make_unique<Impl>(loop, store, std::move(options))) {}
WatchHub::~WatchHub() = default;

void WatchHub::OnApplied(std::vector<storage::RevisionEvents> events) { impl_->OnApplied(std::move(events)); }
void WatchHub::OnCompacted(Revision compact_revision) { impl_->OnCompacted(compact_revision); }
WatchStreamId WatchHub::OpenStream(WatchSink* sink) { return impl_->OpenStream(sink); }
void WatchHub::CloseStream(WatchStreamId stream) { impl_->CloseStream(stream); }
void WatchHub::Handle(WatchStreamId stream, const etcdserverpb::WatchRequest& request) {
  impl_->Handle(stream, request);
}
void WatchHub::OnWritable(WatchStreamId stream) { impl_->OnWritable(stream); }
WatchHubStats WatchHub::stats() const { return impl_->stats(); }

}  // namespace cairn::server
