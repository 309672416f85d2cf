// The checker of histories must fail on bad ones: a good history, and one planted fault for each rule.
#include "tests/simulation/history.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn::sim {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Change PutOf(std::string key, std::string value, int64_t create, int64_t version, int64_t lease = 0) {
  return {std::move(key), std::move(value), create, version, lease};
}
Change DeleteOf(std::string key) { return {std::move(key), std::nullopt, 0, 0, 0}; }

Write PutAt(int64_t revision, std::string key, std::string value, int64_t floor) {
  Write write;
  write.key = std::move(key);
  write.value = std::move(value);
  write.outcome = Outcome::kOk;
  write.revision = revision;
  write.floor = floor;
  return write;
}

// Revision 2 puts a=1, 3 puts a=2 and b=3, 4 deletes a.
class HistoryTest : public ::testing::Test {
 protected:
  HistoryTest() {
    Happen(2, {PutOf("a", "1", 2, 1)});
    Happen(3, {PutOf("a", "2", 2, 2), PutOf("b", "3", 3, 1)});
    Happen(4, {DeleteOf("a")});
  }
  void Happen(int64_t revision, const Changes& changes) { history_.OnEvents(revision, changes, now_); }

  static Read ReadOf(std::string key, int64_t revision, State result, int64_t floor = 1) {
    Read read;
    read.key = std::move(key);
    read.revision = revision;
    read.result = std::move(result);
    read.floor = floor;
    return read;
  }
  // Of everything, from revision 2.
  static WatchLog WatchOfAll() {
    WatchLog watch;
    watch.key = "a";
    watch.range_end = "z";
    watch.start = 2;
    watch.prev_kv = true;
    watch.delivered = {
        {2, {PutOf("a", "1", 2, 1)}, {std::nullopt}, 0},
        {3, {PutOf("a", "2", 2, 2), PutOf("b", "3", 3, 1)}, {KeyState{"1", 2, 2, 1, 0}, std::nullopt}, 0},
        {4, {DeleteOf("a")}, {KeyState{"2", 2, 3, 2, 0}}, 0}};
    return watch;
  }
  static Write Many() {
    Write write = PutAt(3, "", "", 2);
    write.kind = Write::Kind::kMany;
    write.puts = {{"a", "2"}, {"b", "3"}};
    return write;
  }

  absl::Duration now_ = absl::Seconds(10);
  History history_;
};

TEST_F(HistoryTest, FindsNothingInAGoodHistory) {
  history_.Add(PutAt(2, "a", "1", 1));
  history_.Add(Many());
  history_.Add(ReadOf("b", 4, {{"b", {"3", 3, 3, 1, 0}}}, 4));
  history_.Add(WatchOfAll());
  EXPECT_THAT(history_.Check(), IsEmpty());
}

// --- The log of events ---

TEST_F(HistoryTest, FindsTwoMembersThatDeliverDifferentChanges) {
  Happen(2, {PutOf("a", "other", 2, 1)});
  EXPECT_THAT(history_.Check(), HasSubstr("different changes at revision 2"));
}

TEST_F(HistoryTest, FindsARevisionThatNobodyDelivered) {
  Happen(6, {PutOf("a", "4", 6, 1)});
  EXPECT_THAT(history_.Check(), HasSubstr("revision 5 was delivered by nobody"));
}

TEST_F(HistoryTest, FindsARevisionThatOnlyAnAnswerKnows) {
  history_.Saw(5);
  EXPECT_THAT(history_.Check(), HasSubstr("saw revision 5"));
}

TEST_F(HistoryTest, FindsAKeyThatCameBackToLife) {
  Happen(5, {PutOf("a", "5", 2, 3)});
  EXPECT_THAT(history_.Check(), HasSubstr("create revision 2"));
}

TEST_F(HistoryTest, FindsTheDeletionOfWhatIsNotThere) {
  Happen(5, {DeleteOf("a")});
  EXPECT_THAT(history_.Check(), HasSubstr("which is not there"));
}

// --- Writes ---

TEST_F(HistoryTest, FindsALostWrite) {
  history_.Add(PutAt(4, "c", "9", 1));
  EXPECT_THAT(history_.Check(), HasSubstr("not in the log"));
}

TEST_F(HistoryTest, FindsAWriteAtAnotherRevisionThanItsAnswer) {
  history_.Add(PutAt(3, "a", "1", 1));
  EXPECT_THAT(history_.Check(), HasSubstr("not in the log at its revision"));
}

TEST_F(HistoryTest, FindsAWriteDoneTwice) {
  Happen(5, {PutOf("a", "1", 5, 1)});
  history_.Add(PutAt(2, "a", "1", 1));
  EXPECT_THAT(history_.Check(), HasSubstr("written twice"));
}

TEST_F(HistoryTest, FindsARefusedWriteThatHappened) {
  Write write = PutAt(0, "a", "1", 1);
  write.outcome = Outcome::kRefused;
  history_.Add(write);
  EXPECT_THAT(history_.Check(), HasSubstr("refused, yet written"));
}

TEST_F(HistoryTest, FindsAWriteThatTravelsBackInTime) {
  history_.Add(PutAt(2, "a", "1", /*floor=*/3));
  EXPECT_THAT(history_.Check(), HasSubstr("had been seen before it began"));
}

TEST_F(HistoryTest, FindsADeletionThatIsNotInTheLog) {
  Write write = PutAt(3, "a", "", 1);
  write.kind = Write::Kind::kDelete;
  write.deleted = 1;
  history_.Add(write);
  EXPECT_THAT(history_.Check(), HasSubstr("delete key=a"));
}

TEST_F(HistoryTest, FindsATransactionAppliedInPart) {
  Write write = Many();
  write.puts.emplace_back("c", "9");
  history_.Add(write);
  EXPECT_THAT(history_.Check(), HasSubstr("in part"));
}

TEST_F(HistoryTest, FindsATransactionSpreadOverTwoRevisions) {
  Write write = Many();
  write.outcome = Outcome::kUnknown;
  write.puts = {{"a", "1"}, {"b", "3"}};
  history_.Add(write);
  EXPECT_THAT(history_.Check(), HasSubstr("in 2 revisions"));
}

TEST_F(HistoryTest, FindsAForeignChangeInATransaction) {
  Write write = Many();
  write.puts.pop_back();
  history_.Add(write);
  EXPECT_THAT(history_.Check(), HasSubstr("also changes b"));
}

TEST_F(HistoryTest, FindsADeletionThatATransactionLeftOut) {
  Happen(5, {PutOf("c", "9", 5, 1)});
  Write write = PutAt(5, "", "", 4);
  write.kind = Write::Kind::kMany;
  write.puts = {{"c", "9"}};
  write.deletes = {"b"};
  history_.Add(write);
  EXPECT_THAT(history_.Check(), HasSubstr("did not delete b"));
}

TEST_F(HistoryTest, FindsACompareThatTookTheWrongBranch) {
  Write write = PutAt(3, "a", "2", 2);
  write.kind = Write::Kind::kCompareAndPut;
  write.expected_mod_revision = 0;
  write.succeeded = true;
  history_.Add(write);
  EXPECT_THAT(history_.Check(), HasSubstr("wrong branch"));
}

// --- Reads ---

TEST_F(HistoryTest, FindsAStaleLinearizableRead) {
  history_.Add(ReadOf("a", 3, {{"a", {"2", 2, 3, 2, 0}}}, /*floor=*/4));
  EXPECT_THAT(history_.Check(), HasSubstr("linearizable read"));
}

TEST_F(HistoryTest, AllowsAStaleSerializableRead) {
  Read read = ReadOf("a", 3, {{"a", {"2", 2, 3, 2, 0}}}, /*floor=*/4);
  read.linearizable = false;
  history_.Add(read);
  EXPECT_THAT(history_.Check(), IsEmpty());
}

TEST_F(HistoryTest, FindsAReadOfAnotherState) {
  history_.Add(ReadOf("a", 4, {{"a", {"2", 2, 3, 2, 0}}}));
  EXPECT_THAT(history_.Check(), HasSubstr("does not show the state at revision 4"));
}

// --- Watches ---

TEST_F(HistoryTest, FindsAMissedEvent) {
  WatchLog watch = WatchOfAll();
  watch.delivered.erase(watch.delivered.begin() + 1);
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), HasSubstr("missed or changed revision 3"));
}

TEST_F(HistoryTest, FindsARevisionDeliveredInPart) {
  WatchLog watch = WatchOfAll();
  watch.delivered[1].changes.pop_back();
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), HasSubstr("missed or changed revision 3"));
}

TEST_F(HistoryTest, FindsAnEventDeliveredTwice) {
  WatchLog watch = WatchOfAll();
  watch.delivered.insert(watch.delivered.begin(), watch.delivered.front());
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), HasSubstr("delivered 2 after 2"));
}

TEST_F(HistoryTest, FindsAnEventFromBeforeTheStart) {
  WatchLog watch = WatchOfAll();
  watch.start = 3;
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), HasSubstr("delivered 2 after 2"));
}

TEST_F(HistoryTest, FindsAProgressMarkAheadOfItsEvents) {
  WatchLog watch = WatchOfAll();
  watch.delivered.pop_back();
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), IsEmpty());
  watch.promised = 4;
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), HasSubstr("promised up to 4"));
}

TEST_F(HistoryTest, FindsAnEventThatAFilterShouldHaveHeldBack) {
  WatchLog watch = WatchOfAll();
  watch.no_delete = true;
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), HasSubstr("delivered revision 4, which changed nothing in it"));
}

TEST_F(HistoryTest, FindsAWrongPreviousValue) {
  WatchLog watch = WatchOfAll();
  watch.delivered[2].previous[0]->value = "1";
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), HasSubstr("wrong value before revision 4"));
}

TEST_F(HistoryTest, FindsAMissingPreviousValueUnlessItWasCompacted) {
  WatchLog watch = WatchOfAll();
  watch.delivered[2].previous[0].reset();
  watch.delivered[2].compact_revision = 4;
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), IsEmpty());
  watch.delivered[2].compact_revision = 3;
  history_.Add(watch);
  EXPECT_THAT(history_.Check(), HasSubstr("wrong value before revision 4"));
}

// --- Leases ---

class LeaseHistoryTest : public HistoryTest {
 protected:
  LeaseHistoryTest() {
    history_.LeaseAlive(7, 5, now_ + absl::Seconds(5));
    Happen(5, {PutOf("lease-7-0", "x", 5, 1, 7), PutOf("lease-7-1", "y", 5, 1, 7)});
  }
};

TEST_F(LeaseHistoryTest, FindsALeaseThatEndedEarly) {
  now_ += absl::Seconds(4);
  Happen(6, {DeleteOf("lease-7-0"), DeleteOf("lease-7-1")});
  EXPECT_THAT(history_.Check(), HasSubstr("promised it until"));
}

TEST_F(LeaseHistoryTest, AllowsALeaseToEndEarlyThatAClientRevoked) {
  history_.LeaseRevoked(7);
  Happen(6, {DeleteOf("lease-7-0"), DeleteOf("lease-7-1")});
  EXPECT_THAT(history_.Check(), IsEmpty());
}

TEST_F(LeaseHistoryTest, FindsAKeepAliveOfALeaseThatHadEnded) {
  now_ += absl::Seconds(6);
  Happen(6, {DeleteOf("lease-7-0"), DeleteOf("lease-7-1")});
  EXPECT_THAT(history_.Check(), IsEmpty());
  history_.LeaseAlive(7, 5, now_ + absl::Seconds(1));
  EXPECT_THAT(history_.Check(), HasSubstr("a keep-alive promised lease 7"));
}

TEST_F(LeaseHistoryTest, FindsALeaseThatLeavesAKeyBehind) {
  now_ += absl::Seconds(6);
  Happen(6, {DeleteOf("lease-7-0")});
  EXPECT_THAT(history_.Check(), HasSubstr("leaves its key lease-7-1"));
}

TEST_F(LeaseHistoryTest, FindsALeaseThatTakesADetachedKey) {
  now_ += absl::Seconds(6);
  Happen(6, {PutOf("lease-7-0", "z", 5, 2)});
  Happen(7, {DeleteOf("lease-7-0"), DeleteOf("lease-7-1")});
  EXPECT_THAT(history_.Check(), HasSubstr("which no lease holds any more"));
}

TEST_F(LeaseHistoryTest, FindsATimeToLiveBelowThePromise) {
  history_.LeaseTimeLeft(7, 3, now_ + absl::Seconds(1));
  EXPECT_THAT(history_.Check(), IsEmpty());
  history_.LeaseTimeLeft(7, 2, now_ + absl::Seconds(1));
  EXPECT_THAT(history_.Check(), HasSubstr("2 s left"));
}

TEST_F(LeaseHistoryTest, FindsALeaseThatIsSaidToBeGoneTooEarly) {
  history_.LeaseTimeLeft(7, -1, now_ + absl::Seconds(1));
  EXPECT_THAT(history_.Check(), HasSubstr("-1 s left"));
}

TEST_F(LeaseHistoryTest, FindsALeaseThatNeverEnds) {
  EXPECT_THAT(history_.CheckLeasesEnd(now_, now_ + absl::Seconds(9)), IsEmpty());
  EXPECT_THAT(history_.CheckLeasesEnd(now_, now_ + absl::Seconds(10)), HasSubstr("is still there"));
}

}  // namespace
}  // namespace cairn::sim
