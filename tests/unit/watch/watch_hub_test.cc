#include "server/watch/watch_hub.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/watch/fake_sink.h"
#include "tests/unit/watch/fake_store.h"

namespace cairn::server {
namespace {

using etcdserverpb::WatchCreateRequest;
using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;
using storage::Revision;
using testing::ElementsAre;
using testing::IsEmpty;

const std::string kFromKey("\0", 1);

// A response in a line, as in the names of these tests: "rev=3 id=0: PUT a@3=x DEL b@3".
std::string Show(const WatchResponse& response) {
  std::string text = absl::StrCat("rev=", response.header().revision(), " id=", response.watch_id());
  if (response.created()) text += " created";
  if (response.canceled()) text += " canceled";
  if (response.compact_revision() != 0) absl::StrAppend(&text, " compact=", response.compact_revision());
  if (!response.cancel_reason().empty()) absl::StrAppend(&text, " (", response.cancel_reason(), ")");
  if (response.fragment()) text += " fragment";
  if (response.events_size() > 0) text += ":";
  for (const mvccpb::Event& event : response.events()) {
    absl::StrAppend(&text, event.type() == mvccpb::Event::PUT ? " PUT " : " DEL ", event.kv().key(), "@",
                    event.kv().mod_revision());
    if (!event.kv().value().empty()) absl::StrAppend(&text, "=", event.kv().value().substr(0, 8));
    if (event.has_prev_kv()) absl::StrAppend(&text, "<", event.prev_kv().value());
  }
  return text;
}

class WatchHubTest : public testing::Test {
 protected:
  WatchHubTest() {
    options_.cluster_id = 0xfedcba9876543210;
    options_.member_id = 77;
    options_.term = [this] { return term_; };
  }

  // Made at the first use, so that a test can set options and write history before.
  WatchHub& hub() {
    if (hub_ == nullptr) hub_ = std::make_unique<WatchHub>(loop_, store_, options_);
    return *hub_;
  }
  WatchStreamId stream() {
    if (stream_ == 0) stream_ = hub().OpenStream(&sink_);
    return stream_;
  }

  void Create(const WatchCreateRequest& request) {
    WatchRequest message;
    *message.mutable_create_request() = request;
    hub().Handle(stream(), message);
  }
  void Watch(const std::string& key, const std::string& end = "", int64_t start = 0) {
    Create(Request(key, end, start));
  }
  static WatchCreateRequest Request(const std::string& key, const std::string& end = "", int64_t start = 0) {
    WatchCreateRequest request;
    request.set_key(key);
    request.set_range_end(end);
    request.set_start_revision(start);
    return request;
  }
  void Cancel(int64_t id) {
    WatchRequest message;
    message.mutable_cancel_request()->set_watch_id(id);
    hub().Handle(stream(), message);
  }
  void AskProgress() {
    WatchRequest message;
    message.mutable_progress_request();
    hub().Handle(stream(), message);
  }

  void Apply(storage::RevisionEvents events) {
    std::vector<storage::RevisionEvents> batch;
    batch.push_back(std::move(events));
    hub().OnApplied(std::move(batch));
  }
  void Put(const std::string& key, const std::string& value) { Apply(store_.Put(key, value)); }
  void Delete(const std::string& key) { Apply(store_.Delete(key)); }
  void Compact(int64_t at) {
    store_.Compact(Revision(at));
    hub().OnCompacted(Revision(at));
  }

  std::vector<std::string> Seen() {
    std::vector<std::string> lines;
    for (const WatchResponse& response : sink_.Take()) lines.push_back(Show(response));
    return lines;
  }
  void Unblock(size_t room = FakeSink::kUnlimited) {
    sink_.SetRoom(room);
    hub().OnWritable(stream());
    loop_.RunUntilIdle();
  }

  FakeLoop loop_;
  FakeStore store_{&loop_};
  FakeSink sink_;
  raft::Term term_{3};
  WatchHubOptions options_;
  std::unique_ptr<WatchHub> hub_;
  WatchStreamId stream_ = 0;
};

// --- Creating and cancelling
// ---------------------------------------------------------------------------------------

TEST_F(WatchHubTest, AnswersCreatedBeforeAnyEventWithTheCurrentRevision) {
  store_.Put("a", "1");
  store_.Put("a", "2");
  Watch("a", "", 2);
  EXPECT_THAT(Seen(), ElementsAre("rev=3 id=0 created"));
  loop_.RunUntilIdle();
  EXPECT_THAT(Seen(), ElementsAre("rev=3 id=0: PUT a@2=1 PUT a@3=2"));
}

TEST_F(WatchHubTest, FillsEveryFieldOfTheHeader) {
  Watch("a");
  const auto created = sink_.Take();
  ASSERT_EQ(created.size(), 1u);
  EXPECT_EQ(created[0].header().cluster_id(), 0xfedcba9876543210);
  EXPECT_EQ(created[0].header().member_id(), 77u);
  EXPECT_EQ(created[0].header().revision(), 1);
  EXPECT_EQ(created[0].header().raft_term(), 3u);
  term_ = raft::Term(9);
  Put("a", "x");
  const auto events = sink_.Take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].header().raft_term(), 9u);
}

TEST_F(WatchHubTest, NumbersWatchesOfAStreamFromZeroAndSkipsIdsInUse) {
  Watch("a");
  WatchCreateRequest chosen = Request("a");
  chosen.set_watch_id(1);
  Create(chosen);
  Watch("a");
  EXPECT_THAT(Seen(), ElementsAre("rev=1 id=0 created", "rev=1 id=1 created", "rev=1 id=2 created"));
}

TEST_F(WatchHubTest, RefusesAnIdInUse) {
  WatchCreateRequest chosen = Request("a");
  chosen.set_watch_id(7);
  Create(chosen);
  Create(chosen);
  EXPECT_THAT(Seen(), ElementsAre("rev=1 id=7 created",
                                  "rev=1 id=-1 created canceled (mvcc: duplicate watch ID provided on the "
                                  "WatchStream)"));
  Cancel(7);
  Create(chosen);
  EXPECT_THAT(Seen(), ElementsAre("rev=1 id=7 canceled", "rev=1 id=7 created"));
}

TEST_F(WatchHubTest, RefusesAnEmptyRange) {
  Watch("b", "b");
  Watch("b", "a");
  const std::string refused = "rev=1 id=-1 created canceled (mvcc: watcher range is empty)";
  EXPECT_THAT(Seen(), ElementsAre(refused, refused));
  EXPECT_EQ(hub().stats().watchers, 0u);
}

TEST_F(WatchHubTest, RefusesWatchersAboveTheLimits) {
  options_.max_watchers_per_stream = 1;
  options_.max_watchers = 2;
  Watch("a");
  Watch("a");
  FakeSink other;
  const WatchStreamId second = hub().OpenStream(&other);
  FakeSink third_sink;
  const WatchStreamId third = hub().OpenStream(&third_sink);
  WatchRequest request;
  request.mutable_create_request()->set_key("a");
  hub().Handle(second, request);
  hub().Handle(third, request);
  EXPECT_THAT(Seen(),
              ElementsAre("rev=1 id=0 created",
                          "rev=1 id=-1 created canceled (etcdserver: too many watches on one stream (limit "
                          "1): open another stream)"));
  EXPECT_EQ(Show(other.Take().at(0)), "rev=1 id=0 created");
  EXPECT_EQ(Show(third_sink.Take().at(0)),
            "rev=1 id=-1 created canceled (etcdserver: too many watches on this member (limit 2): use "
            "another member)");
  hub().CloseStream(second);
  hub().Handle(third, request);
  EXPECT_EQ(Show(third_sink.Take().at(0)), "rev=1 id=0 created");
  hub().CloseStream(third);
}

TEST_F(WatchHubTest, CancelsOnRequestAndSendsNothingAfterwards) {
  Watch("a");
  Cancel(0);
  Put("a", "1");
  EXPECT_THAT(Seen(), ElementsAre("rev=1 id=0 created", "rev=1 id=0 canceled"));
}

TEST_F(WatchHubTest, LeavesTheCancelOfAnUnknownIdUnanswered) {
  Cancel(5);
  hub().Handle(stream(), WatchRequest());
  EXPECT_TRUE(sink_.empty());
}

TEST_F(WatchHubTest, ForgetsAClosedStreamInEveryState) {
  store_.Put("a", "1");
  Watch("a");         // synced
  Watch("a", "", 2);  // ready
  sink_.SetRoom(0);
  Watch("a", "", 2);  // blocked
  WatchCreateRequest notify = Request("b", "", 99);
  notify.set_progress_notify(true);
  Create(notify);
  AskProgress();
  hub().CloseStream(stream());
  sink_.Take();
  Put("a", "2");
  loop_.Advance(absl::Hours(1));
  EXPECT_TRUE(sink_.empty());
  const WatchHubStats stats = hub().stats();
  EXPECT_EQ(stats.streams + stats.watchers + stats.behind, 0u);
  EXPECT_EQ(loop_.pending_timers(), 0u);
}

// --- What a watcher gets
// --------------------------------------------------------------------------------------------

TEST_F(WatchHubTest, MatchesSingleKeysRangesAndOpenRanges) {
  Watch("b");            // 0
  Watch("a", "c");       // 1
  Watch("b", kFromKey);  // 2
  Watch("", kFromKey);   // 3: everything
  Watch("c", "d");       // 4
  Watch("");             // 5: the key "\0" alone
  sink_.Take();
  Put("b", "1");
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=0: PUT b@2=1", "rev=2 id=3: PUT b@2=1", "rev=2 id=1: PUT b@2=1",
                                  "rev=2 id=2: PUT b@2=1"));
  Put("c", "1");
  EXPECT_THAT(Seen(), ElementsAre("rev=3 id=3: PUT c@3=1", "rev=3 id=2: PUT c@3=1", "rev=3 id=4: PUT c@3=1"));
  Put(kFromKey, "1");
  EXPECT_EQ(Seen().size(), 2u);  // 3 and 5
}

TEST_F(WatchHubTest, KeepsTheEventsOfARevisionTogether) {
  Watch("a", "z");
  Seen();
  Apply(store_.Write({{.key = "x", .value = "1"}, {.key = "a", .value = "2"}, {.key = "zz", .value = "3"}}));
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=0: PUT x@2=1 PUT a@2=2"));
}

TEST_F(WatchHubTest, FiltersPutsAndDeletesAndSendsNothingWhenAllIsFiltered) {
  WatchCreateRequest request = Request("a");
  request.add_filters(WatchCreateRequest::NOPUT);
  Create(request);  // 0
  request.set_filters(0, WatchCreateRequest::NODELETE);
  Create(request);  // 1
  request.add_filters(WatchCreateRequest::NOPUT);
  Create(request);  // 2
  Seen();
  Put("a", "1");
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=1: PUT a@2=1"));
  Delete("a");
  EXPECT_THAT(Seen(), ElementsAre("rev=3 id=0: DEL a@3"));
}

TEST_F(WatchHubTest, SendsThePreviousValueWhereAskedAndReadsItOnce) {
  Put("a", "1");
  WatchCreateRequest request = Request("a");
  request.set_prev_kv(true);
  Create(request);
  Create(request);
  request.set_range_end("b");
  Create(request);
  Watch("a");
  Seen();
  Put("a", "2");
  EXPECT_THAT(Seen(), testing::UnorderedElementsAre("rev=3 id=0: PUT a@3=2<1", "rev=3 id=1: PUT a@3=2<1",
                                                    "rev=3 id=2: PUT a@3=2<1", "rev=3 id=3: PUT a@3=2"));
  EXPECT_EQ(store_.values_read(), 1);
  Delete("a");
  EXPECT_THAT(Seen(), testing::Contains("rev=4 id=0: DEL a@4<2"));
  Put("a", "3");
  EXPECT_THAT(Seen(), testing::Contains("rev=5 id=0: PUT a@5=3"));  // a fresh key has none
}

TEST_F(WatchHubTest, LeavesOutAPreviousValueThatIsCompacted) {
  store_.Put("a", "1");
  store_.Put("a", "2");
  store_.Put("a", "3");
  store_.Compact(Revision(3));
  WatchCreateRequest request = Request("a", "", 3);
  request.set_prev_kv(true);
  Create(request);
  loop_.RunUntilIdle();
  EXPECT_THAT(Seen(), ElementsAre("rev=4 id=0 created", "rev=4 id=0: PUT a@3=2 PUT a@4=3<2"));
}

TEST_F(WatchHubTest, SharesTheBytesAmongWatchersOfTheSameRange) {
  FakeSink other;
  const WatchStreamId second = hub().OpenStream(&other);
  WatchRequest request;
  request.mutable_create_request()->set_key("a");
  hub().Handle(second, request);
  Watch("a");
  Watch("a");
  Seen();
  other.Take();
  Put("a", "1");
  ASSERT_EQ(sink_.tails().size(), 2u);
  ASSERT_EQ(other.tails().size(), 1u);
  EXPECT_EQ(sink_.tails()[0], sink_.tails()[1]);
  EXPECT_EQ(sink_.tails()[0], other.tails()[0]);
  hub().CloseStream(second);
}

TEST_F(WatchHubTest, SplitsALargeRevisionOnlyWhereFragmentsWereAsked) {
  options_.max_fragment_bytes = 1000;
  WatchCreateRequest request = Request("a", "z");
  Create(request);
  request.set_fragment(true);
  Create(request);
  Seen();
  const std::string value(400, 'x');
  std::vector<FakeStore::Change> changes;
  for (const char* key : {"a", "b", "c", "d", "e"}) changes.push_back({.key = key, .value = value});
  // Also when the stream is full after the first part: the parts of a response stay together.
  sink_.SetRoom(2);
  Apply(store_.Write(changes));
  EXPECT_THAT(
      Seen(),
      ElementsAre("rev=2 id=0: PUT a@2=xxxxxxxx PUT b@2=xxxxxxxx PUT c@2=xxxxxxxx PUT d@2=xxxxxxxx "
                  "PUT e@2=xxxxxxxx",
                  "rev=2 id=1 fragment: PUT a@2=xxxxxxxx PUT b@2=xxxxxxxx",
                  "rev=2 id=1 fragment: PUT c@2=xxxxxxxx PUT d@2=xxxxxxxx", "rev=2 id=1: PUT e@2=xxxxxxxx"));
}

// --- Where a watch starts
// -------------------------------------------------------------------------------------------

// E14: etcd-io/etcd#20221.
TEST_F(WatchHubTest, ShowsAWatchOfTheFutureNothingOlder) {
  Watch("a", "", 4);
  AskProgress();
  Seen();
  Put("a", "2");
  EXPECT_TRUE(sink_.empty());
  Put("a", "3");
  // From here on a notification takes nobody back before revision 4.
  EXPECT_THAT(Seen(), ElementsAre("rev=3 id=-1"));
  Put("a", "4");
  EXPECT_THAT(Seen(), ElementsAre("rev=4 id=0: PUT a@4=4"));
}

TEST_F(WatchHubTest, TellsTheCompactRevisionToAWatchThatStartsBelowIt) {
  store_.Put("a", "1");
  store_.Put("a", "2");
  store_.Compact(Revision(3));
  Watch("a", "", 2);
  Watch("a", "", -4);
  loop_.RunUntilIdle();
  // As etcd 3.4.23: created, then cancelled with a header of revision 0, no reason.
  EXPECT_THAT(Seen(), ElementsAre("rev=3 id=0 created", "rev=0 id=0 canceled compact=3", "rev=3 id=1 created",
                                  "rev=0 id=1 canceled compact=3"));
  EXPECT_EQ(hub().stats().watchers, 0u);
}

TEST_F(WatchHubTest, RefusesANegativeStartWhenNothingWasEverCompacted) {
  Watch("a", "", -1);
  EXPECT_THAT(
      Seen(),
      ElementsAre("rev=1 id=-1 created canceled (etcdserver: mvcc: required revision has been compacted)"));
}

// E13: etcd-io/etcd#18089, #19179.
TEST_F(WatchHubTest, ShowsTheDeletionAtTheCompactRevision) {
  store_.Put("a", "1");
  store_.Delete("a");
  store_.Compact(Revision(3));
  Watch("a", "", 3);
  loop_.RunUntilIdle();
  EXPECT_THAT(Seen(), ElementsAre("rev=3 id=0 created", "rev=3 id=0: DEL a@3"));
}

// --- Falling behind
// -------------------------------------------------------------------------------------------------

TEST_F(WatchHubTest, HoldsEventsBackFromAFullStreamAndJoinsThemLater) {
  Watch("a");
  Seen();
  sink_.SetRoom(1);
  Put("a", "1");
  Put("a", "2");
  Put("b", "x");
  Put("a", "3");
  loop_.RunUntilIdle();
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=0: PUT a@2=1"));
  EXPECT_EQ(hub().stats().behind, 1u);
  Unblock();
  EXPECT_THAT(Seen(), ElementsAre("rev=5 id=0: PUT a@3=2 PUT a@5=3"));
  EXPECT_EQ(hub().stats().behind, 0u);
  EXPECT_EQ(store_.scans(), 0);  // all of it from the ring
  Put("a", "4");
  EXPECT_THAT(Seen(), ElementsAre("rev=6 id=0: PUT a@6=4"));
}

TEST_F(WatchHubTest, DoesNotDelayOthersBehindAFullStream) {
  FakeSink full;
  const WatchStreamId slow = hub().OpenStream(&full);
  WatchRequest request;
  request.mutable_create_request()->set_key("a");
  hub().Handle(slow, request);
  full.SetRoom(0);
  Watch("a");
  Seen();
  Put("a", "1");
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=0: PUT a@2=1"));
  EXPECT_EQ(full.Take().size(), 1u);  // created, no more
  hub().CloseStream(slow);
}

TEST_F(WatchHubTest, ReadsTheStoreForAWatcherThatFellOutOfTheRing) {
  options_.ring_bytes = 1;
  Watch("a");
  Seen();
  sink_.SetRoom(0);
  for (int i = 0; i < 5; ++i) Put("a", absl::StrCat(i));
  Unblock();
  EXPECT_GT(store_.scans(), 0);
  EXPECT_THAT(Seen(), ElementsAre("rev=6 id=0: PUT a@2=0 PUT a@3=1 PUT a@4=2 PUT a@5=3 PUT a@6=4"));
}

TEST_F(WatchHubTest, WaitsForAColdStore) {
  for (int i = 0; i < 3; ++i) store_.Put("a", absl::StrCat(i));
  store_.MakeScansCold(2);
  Watch("a", "", 2);
  loop_.RunUntilIdle();
  EXPECT_EQ(store_.scans(), 3);
  EXPECT_THAT(Seen(), ElementsAre("rev=4 id=0 created", "rev=4 id=0: PUT a@2=0 PUT a@3=1 PUT a@4=2"));
}

TEST_F(WatchHubTest, ScansTheStoreOnceForWatchersThatStandTogether) {
  for (int i = 0; i < 50; ++i) store_.Put("a", absl::StrCat(i));
  for (int i = 0; i < 20; ++i) Watch("a", "", 2 + i);
  for (int i = 0; i < 20; ++i) Watch(absl::StrCat("other", i), "", 2);
  loop_.RunUntilIdle();
  EXPECT_EQ(hub().stats().behind, 0u);
  EXPECT_EQ(store_.scans(), 1);
}

TEST_F(WatchHubTest, CatchesUpInSlicesWhileNewEventsWait) {
  options_.max_catch_up_revisions = 10;
  for (int i = 0; i < 25; ++i) store_.Put("a", absl::StrCat(i));
  Watch("a", "", 2);
  Seen();
  loop_.RunTurn();
  EXPECT_EQ(sink_.Take().at(0).events_size(), 10);
  Put("a", "new");
  EXPECT_TRUE(sink_.empty());  // in order: the new one has to wait
  loop_.RunUntilIdle();
  const auto rest = sink_.Take();
  ASSERT_EQ(rest.size(), 3u);
  EXPECT_EQ(rest[0].events_size(), 10);
  EXPECT_EQ(rest[1].events_size(), 5);
  EXPECT_EQ(Show(rest[2]), "rev=27 id=0: PUT a@27=new");
}

TEST_F(WatchHubTest, BoundsTheBytesOfAResponseAtTheBordersOfRevisions) {
  options_.max_response_bytes = 1000;
  for (int i = 0; i < 3; ++i) {
    store_.Write(
        {{.key = "a", .value = std::string(300, 'x')}, {.key = "b", .value = std::string(300, 'x')}});
  }
  Watch("a", "z", 2);
  sink_.Take();
  loop_.RunUntilIdle();
  const auto responses = sink_.Take();
  ASSERT_EQ(responses.size(), 3u);
  for (const WatchResponse& response : responses) EXPECT_EQ(response.events_size(), 2);
}

TEST_F(WatchHubTest, CancelsAWatcherThatCompactionOvertook) {
  options_.ring_bytes = 1;
  Watch("a");
  Seen();
  sink_.SetRoom(0);
  for (int i = 0; i < 5; ++i) Put("a", absl::StrCat(i));
  Compact(5);
  loop_.RunUntilIdle();
  EXPECT_TRUE(sink_.empty());  // it still takes nothing
  Unblock();
  EXPECT_THAT(Seen(), ElementsAre("rev=0 id=0 canceled compact=5"));
  EXPECT_EQ(hub().stats().watchers, 0u);
}

TEST_F(WatchHubTest, CancelsAWatcherOvertakenInTheMiddleOfItsHistory) {
  options_.max_catch_up_revisions = 2;
  for (int i = 0; i < 6; ++i) store_.Put("a", absl::StrCat(i));
  Watch("a", "", 2);
  loop_.RunTurn();
  EXPECT_THAT(Seen(), ElementsAre("rev=7 id=0 created", "rev=7 id=0: PUT a@2=0 PUT a@3=1"));
  Compact(6);
  loop_.RunUntilIdle();
  EXPECT_THAT(Seen(), ElementsAre("rev=0 id=0 canceled compact=6"));
}

TEST_F(WatchHubTest, LetsCompactionPassAWatcherThatTheRingStillServes) {
  Watch("a");
  Seen();
  sink_.SetRoom(0);
  for (int i = 0; i < 3; ++i) Put("a", absl::StrCat(i));
  Compact(4);
  Unblock();
  EXPECT_THAT(Seen(), ElementsAre("rev=4 id=0: PUT a@2=0 PUT a@3=1 PUT a@4=2"));
}

TEST_F(WatchHubTest, KeepsASyncedWatcherThroughCompaction) {
  Watch("a");
  Put("a", "1");
  Put("a", "2");
  Compact(3);
  Seen();
  loop_.RunUntilIdle();
  Put("a", "3");
  EXPECT_THAT(Seen(), ElementsAre("rev=4 id=0: PUT a@4=3"));
}

TEST_F(WatchHubTest, CancelsWithTheReasonWhenTheStoreCannotBeRead) {
  store_.Put("a", "1");
  store_.FailScans(absl::DataLossError("bad block"));
  Watch("a", "", 2);
  Seen();
  loop_.RunUntilIdle();
  EXPECT_THAT(Seen(),
              ElementsAre("rev=0 id=0 canceled (etcdserver: cannot read the events from revision 2 on: bad "
                          "block; watch at another member)"));
}

// The state was replaced by a snapshot: E10's place (etcd-io/etcd#15271).
TEST_F(WatchHubTest, GoesOnFromTheStoreAfterAGap) {
  Put("a", "0");
  Watch("a");
  Watch("a", "", 6);
  Seen();
  for (int i = 3; i <= 6; ++i) store_.Put("a", absl::StrCat(i));
  hub().OnApplied({});
  loop_.RunUntilIdle();
  EXPECT_THAT(Seen(), testing::UnorderedElementsAre("rev=6 id=0: PUT a@3=3 PUT a@4=4 PUT a@5=5 PUT a@6=6",
                                                    "rev=6 id=1: PUT a@6=6"));
  Put("a", "7");
  EXPECT_THAT(Seen(), testing::UnorderedElementsAre("rev=7 id=0: PUT a@7=7", "rev=7 id=1: PUT a@7=7"));
}

// --- Progress
// -------------------------------------------------------------------------------------------------------

TEST_F(WatchHubTest, AnswersAProgressRequestAtOnceWhenAllIsSent) {
  Watch("a");
  Put("b", "1");
  Seen();
  AskProgress();
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=-1"));
}

// E11: etcd-io/etcd#15220.
TEST_F(WatchHubTest, PromisesProgressOnlyAfterTheEvents) {
  store_.Put("a", "1");
  Watch("a", "", 2);
  AskProgress();
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=0 created"));
  loop_.RunUntilIdle();
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=0: PUT a@2=1", "rev=2 id=-1"));

  sink_.SetRoom(0);
  Put("a", "2");
  AskProgress();
  AskProgress();
  loop_.RunUntilIdle();
  EXPECT_TRUE(sink_.empty());
  Unblock();
  EXPECT_THAT(Seen(), ElementsAre("rev=3 id=0: PUT a@3=2", "rev=3 id=-1"));
}

TEST_F(WatchHubTest, AnswersAWaitingProgressRequestWhenTheLastStragglerIsCancelled) {
  Watch("a", "", 100);
  AskProgress();
  Seen();
  Cancel(0);
  EXPECT_THAT(Seen(), ElementsAre("rev=1 id=0 canceled", "rev=1 id=-1"));
}

TEST_F(WatchHubTest, NotifiesPeriodicallyByTheWatchersId) {
  WatchCreateRequest request = Request("a");
  Create(request);
  request.set_progress_notify(true);
  Create(request);
  Seen();
  loop_.Advance(absl::Minutes(10) - absl::Seconds(1));
  EXPECT_TRUE(sink_.empty());
  loop_.Advance(absl::Minutes(1) + absl::Seconds(1));  // the interval and a tenth
  EXPECT_THAT(Seen(), ElementsAre("rev=1 id=1"));
  Put("a", "1");
  Seen();
  loop_.Advance(absl::Minutes(11));
  EXPECT_THAT(Seen(), IsEmpty());  // skipped once: events were sent
  loop_.Advance(absl::Minutes(11));
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=1"));
  Cancel(1);
  Seen();
  loop_.Advance(absl::Minutes(60));
  EXPECT_TRUE(sink_.empty());
  EXPECT_EQ(loop_.pending_timers(), 0u);
}

TEST_F(WatchHubTest, DoesNotNotifyAWatcherThatIsBehindOrOfTheFuture) {
  WatchCreateRequest request = Request("a");
  request.set_progress_notify(true);
  Create(request);
  request.set_start_revision(50);
  Create(request);
  Seen();
  sink_.SetRoom(0);
  Put("a", "1");
  loop_.Advance(absl::Minutes(11));
  EXPECT_TRUE(sink_.empty());
  Unblock();
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=0: PUT a@2=1"));
  loop_.Advance(absl::Minutes(22));
  EXPECT_THAT(Seen(), ElementsAre("rev=2 id=0"));  // the other begins at revision 50
}

}  // namespace
}  // namespace cairn::server
