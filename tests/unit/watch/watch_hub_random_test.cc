// Random writes, compactions, watchers and back-pressure against a model that knows the whole history:
// nothing lost, nothing doubled, in order, a revision at a time, progress only for what was delivered.

#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/watch/watch_hub.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/watch/fake_sink.h"
#include "tests/unit/watch/fake_store.h"

namespace cairn::server {
namespace {

using etcdserverpb::WatchCreateRequest;
using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;
using storage::Revision;

constexpr int kSeeds = 400;
constexpr int kSteps = 300;

// One change, as it must be shown.
struct Change {
  int64_t revision = 0;
  std::string key;
  bool is_delete = false;
  std::string value;
  std::string before;  // empty: there was none
};

// What one watcher has been shown, and what it must be shown next.
class WatcherModel {
 public:
  WatcherModel(WatchCreateRequest request, int64_t start) : request_(std::move(request)), start_(start) {}

  int64_t start() const { return start_; }
  int64_t last_shown() const { return last_shown_; }

  // The first change of the history that it still has to see, or the end.
  size_t Next(const std::vector<Change>& history) {
    while (seen_ < history.size() && !Wants(history[seen_])) ++seen_;
    return seen_;
  }

  void Check(const WatchResponse& response, const std::vector<Change>& history, int64_t compacted) {
    for (const mvccpb::Event& event : response.events()) {
      ASSERT_LT(Next(history), history.size()) << "an event too many: " << event.ShortDebugString();
      const Change& change = history[seen_++];
      ASSERT_EQ(event.kv().mod_revision(), change.revision) << event.ShortDebugString();
      ASSERT_EQ(event.kv().key(), change.key);
      ASSERT_EQ(event.type() == mvccpb::Event::DELETE, change.is_delete);
      ASSERT_EQ(event.kv().value(), change.value);
      if (!request_.prev_kv() || change.before.empty()) {
        ASSERT_FALSE(event.has_prev_kv()) << event.ShortDebugString();
      } else if (event.has_prev_kv()) {
        ASSERT_EQ(event.prev_kv().value(), change.before);
      } else {
        ASSERT_LT(change.revision - 1, compacted) << "no previous value: " << event.ShortDebugString();
      }
      last_shown_ = change.revision;
    }
    ASSERT_GE(response.header().revision(), last_shown_);
    ASSERT_TRUE(request_.fragment() || !response.fragment());
    fragment_open_ = response.fragment();
    const bool torn = Next(history) < history.size() && history[seen_].revision == last_shown_;
    ASSERT_TRUE(!torn || fragment_open_) << "a part of revision " << last_shown_;
  }

  void CheckProgress(int64_t promised, const std::vector<Change>& history) {
    ASSERT_FALSE(fragment_open_);
    ASSERT_GE(promised, start_ - 1) << "takes the watcher back before its start";
    const size_t next = Next(history);
    ASSERT_TRUE(next == history.size() || history[next].revision > promised)
        << "revision " << history[next].revision << " was not sent";
  }

 private:
  bool Wants(const Change& change) const {
    if (change.revision < start_) return false;
    for (const int filter : request_.filters()) {
      if ((filter == WatchCreateRequest::NODELETE) == change.is_delete) return false;
    }
    if (request_.range_end().empty()) return change.key == request_.key();
    return change.key >= request_.key() &&
           (request_.range_end() == std::string(1, '\0') || change.key < request_.range_end());
  }

  WatchCreateRequest request_;
  int64_t start_;
  size_t seen_ = 0;
  int64_t last_shown_ = 0;
  bool fragment_open_ = false;
};

struct Counts {
  uint64_t events = 0;
  uint64_t joined = 0;  // responses with several revisions
  uint64_t fragments = 0;
  uint64_t compacted = 0;
  uint64_t progress = 0;
  uint64_t scans = 0;
  uint64_t gaps = 0;
};

class RandomRun {
 public:
  RandomRun(uint64_t seed, Counts* counts) : random_(seed), counts_(counts) {
    WatchHubOptions options;
    options.term = [] { return raft::Term(1); };
    options.progress_notify_interval = absl::Seconds(10);
    options.ring_bytes = Below(2) == 0 ? Below(4000) : 1 << 20;
    options.max_response_bytes = 30 + Below(400);
    options.max_fragment_bytes = 100 + Below(200);
    options.max_catch_up_revisions = static_cast<int64_t>(1 + Below(20));
    options.max_catch_up_bytes = 1 + Below(1000);
    hub_ = std::make_unique<WatchHub>(loop_, store_, options);
    streams_.resize(3);
    for (Stream& stream : streams_) stream.id = hub_->OpenStream(&stream.sink);
  }

  void Go() {
    for (int step = 0; step < kSteps && !testing::Test::HasFatalFailure(); ++step) {
      Step();
      for (Stream& stream : streams_) ReadResponses(stream);
    }
    if (testing::Test::HasFatalFailure()) return;
    Apply();
    for (Stream& stream : streams_) {
      stream.sink.SetRoom(FakeSink::kUnlimited);
      hub_->OnWritable(stream.id);
    }
    loop_.Settle();
    for (Stream& stream : streams_) {
      ReadResponses(stream);
      for (auto& [id, watcher] : stream.watchers) {
        EXPECT_EQ(watcher.Next(history_), history_.size()) << "watch " << id << " misses events";
      }
      // With a watch of the future the stream cannot be synced.
      EXPECT_TRUE(!stream.progress_asked || HasFutureWatch(stream))
          << "a progress request was never answered";
    }
    EXPECT_EQ(hub_->stats().behind, 0u);
    counts_->scans += static_cast<uint64_t>(store_.scans());
  }

 private:
  struct Stream {
    WatchStreamId id = 0;
    FakeSink sink;
    std::map<int64_t, WatcherModel> watchers;
    std::vector<WatchCreateRequest> creating;
    bool progress_asked = false;
  };

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  std::string RandomKey() { return std::string(1, static_cast<char>('a' + Below(6))); }
  Stream& RandomStream() { return streams_[Below(streams_.size())]; }

  void Step() {
    switch (Below(16)) {
      case 0:
      case 1:
        return Create(RandomStream());
      case 2:
        return Cancel(RandomStream());
      case 3:
        return AskProgress(RandomStream());
      case 4:
        return Compact();
      case 5:
      case 6: {
        Stream& stream = RandomStream();
        const bool was_writable = stream.sink.writable();
        stream.sink.SetRoom(Below(3) == 0 ? FakeSink::kUnlimited : Below(4));
        if (!was_writable && stream.sink.writable()) hub_->OnWritable(stream.id);
        return;
      }
      case 7:
        store_.MakeScansCold(static_cast<int>(Below(3)));
        return;
      case 8:
        return loop_.Advance(absl::Seconds(Below(8)));
      case 9: {
        if (Below(4) > 0) return;
        for (uint64_t i = 1 + Below(5); i > 0; --i) Write();
        pending_.clear();  // never shown to the hub: as after a snapshot
        ++counts_->gaps;
        hub_->OnApplied({});
        return;
      }
      case 10:
      case 11:
        loop_.RunTurn();
        return;
      default:
        for (uint64_t i = 1 + Below(4); i > 0; --i) Write();
        return Apply();
    }
  }

  void Write() {
    std::map<std::string, bool> keys;
    for (uint64_t i = 1 + Below(4); i > 0; --i) keys.emplace(RandomKey(), Below(3) == 0);
    std::vector<FakeStore::Change> changes;
    for (const auto& [key, is_delete] : keys) {
      if (is_delete && !values_.contains(key)) continue;
      changes.push_back(
          {.key = key, .is_delete = is_delete, .value = is_delete ? "" : std::string(Below(60) + 1, 'v')});
      if (!is_delete) changes.back().value += absl::StrCat(history_.size());
    }
    if (changes.empty()) return;
    storage::RevisionEvents events = store_.Write(changes);
    for (const FakeStore::Change& change : changes) {
      history_.push_back({.revision = events.revision.value(),
                          .key = change.key,
                          .is_delete = change.is_delete,
                          .value = change.value,
                          .before = values_[change.key]});
      values_[change.key] = change.value;
      if (change.is_delete) values_.erase(change.key);
    }
    pending_.push_back(std::move(events));
  }

  void Apply() { hub_->OnApplied(std::exchange(pending_, {})); }

  void Compact() {
    const int64_t low = std::max<int64_t>(store_.compact_revision().value(), 1);
    const int64_t high = store_.revision().value();
    if (Below(3) > 0 || high <= low) return;
    const Revision at(low + 1 + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low))));
    store_.Compact(at);
    hub_->OnCompacted(at);
  }

  void Create(Stream& stream) {
    WatchRequest message;
    WatchCreateRequest& request = *message.mutable_create_request();
    request.set_key(RandomKey());
    if (Below(2) == 0) request.set_range_end(Below(3) == 0 ? std::string(1, '\0') : request.key() + "zz");
    if (Below(2) == 0) {
      const uint64_t around = static_cast<uint64_t>(store_.revision().value()) + 5;
      request.set_start_revision(static_cast<int64_t>(Below(around)));
    }
    request.set_prev_kv(Below(2) == 0);
    request.set_fragment(Below(2) == 0);
    request.set_progress_notify(Below(3) == 0);
    if (Below(4) == 0) request.add_filters(static_cast<WatchCreateRequest::FilterType>(Below(2)));
    stream.creating.push_back(request);
    hub_->Handle(stream.id, message);
  }

  void Cancel(Stream& stream) {
    WatchRequest message;
    message.mutable_cancel_request()->set_watch_id(static_cast<int64_t>(Below(20)));
    hub_->Handle(stream.id, message);
  }

  bool HasFutureWatch(const Stream& stream) const {
    for (const auto& [id, watcher] : stream.watchers) {
      if (watcher.start() > store_.revision().value() + 1) return true;
    }
    return false;
  }

  void AskProgress(Stream& stream) {
    WatchRequest message;
    message.mutable_progress_request();
    stream.progress_asked = true;
    hub_->Handle(stream.id, message);
  }

  void ReadResponses(Stream& stream) {
    for (const WatchResponse& response : stream.sink.Take()) {
      ReadResponse(stream, response);
      if (testing::Test::HasFatalFailure()) {
        std::cerr << "at " << response.ShortDebugString() << "\n";
        return;
      }
    }
  }

  void ReadResponse(Stream& stream, const WatchResponse& response) {
    const int64_t id = response.watch_id();
    if (response.created()) {
      ASSERT_FALSE(response.canceled()) << response.cancel_reason();
      ASSERT_FALSE(stream.creating.empty());
      const WatchCreateRequest request = stream.creating.front();
      stream.creating.erase(stream.creating.begin());
      const int64_t start =
          request.start_revision() == 0 ? response.header().revision() + 1 : request.start_revision();
      ASSERT_TRUE(stream.watchers.emplace(id, WatcherModel(request, start)).second) << "id twice";
      return;
    }
    if (id == -1) {
      ASSERT_EQ(response.events_size(), 0);
      stream.progress_asked = false;
      ++counts_->progress;
      for (auto& [watch_id, watcher] : stream.watchers) {
        watcher.CheckProgress(response.header().revision(), history_);
      }
      return;
    }
    const auto found = stream.watchers.find(id);
    ASSERT_NE(found, stream.watchers.end()) << "a response for a watch that is not there";
    WatcherModel& watcher = found->second;
    if (response.canceled()) {
      if (response.compact_revision() != 0) {
        ++counts_->compacted;
        ASSERT_EQ(response.header().revision(), 0);
        ASSERT_EQ(response.compact_revision(), store_.compact_revision().value());
        ASSERT_LT(watcher.start(), response.compact_revision());
        ASSERT_LT(watcher.last_shown(), response.compact_revision());
      }
      stream.watchers.erase(found);
      return;
    }
    if (response.events_size() == 0) {
      ++counts_->progress;
      return watcher.CheckProgress(response.header().revision(), history_);
    }
    counts_->events += static_cast<uint64_t>(response.events_size());
    counts_->fragments += response.fragment() ? 1 : 0;
    const auto& events = response.events();
    counts_->joined += events.begin()->kv().mod_revision() != events.rbegin()->kv().mod_revision() ? 1 : 0;
    watcher.Check(response, history_, store_.compact_revision().value());
  }

  std::mt19937_64 random_;
  Counts* const counts_;
  FakeLoop loop_;
  FakeStore store_{&loop_};
  std::vector<Change> history_;
  std::map<std::string, std::string> values_;
  std::vector<storage::RevisionEvents> pending_;
  std::vector<Stream> streams_;
  std::unique_ptr<WatchHub> hub_;
};

TEST(WatchHubRandomTest, ShowsEachWatcherExactlyItsPartOfTheHistory) {
  Counts counts;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    RandomRun(seed, &counts).Go();
    if (HasFailure()) {
      std::cerr << "failed with seed " << seed << "\n";
      return;
    }
  }
  std::cout << "events " << counts.events << ", joined " << counts.joined << ", fragments "
            << counts.fragments << ", compacted " << counts.compacted << ", progress " << counts.progress
            << ", scans " << counts.scans << ", gaps " << counts.gaps << "\n";
  // The run is worth something only if it came along everywhere.
  EXPECT_GT(counts.events, 100'000u);
  EXPECT_GT(counts.joined, 1000u);
  EXPECT_GT(counts.fragments, 1000u);
  EXPECT_GT(counts.compacted, 500u);
  EXPECT_GT(counts.progress, 1000u);
  EXPECT_GT(counts.scans, 1000u);
  EXPECT_GT(counts.gaps, 500u);
}

}  // namespace
}  // namespace cairn::server
