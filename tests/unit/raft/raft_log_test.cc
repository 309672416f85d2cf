#include "raft/raft_log.h"

#include <gtest/gtest.h>

#include "tests/unit/raft/cluster.h"

namespace cairn::raft {
namespace {

class RaftLogTest : public testing::Test {
 protected:
  // A durable log with these terms.
  RaftLog Make(std::initializer_list<uint64_t> terms, uint64_t commit = 0, size_t max_apply_bytes = 1000) {
    for (uint64_t term : terms)
      reader_.visible.push_back(MakeEntry(term, reader_.visible.size() + 1, "data"));
    return RaftLog(&reader_, LogIndex(commit), LogIndex(0), max_apply_bytes);
  }

  TestLog reader_;
};

// Raft paper §5.4.1: the later last term wins; with equal terms, the longer log.
TEST_F(RaftLogTest, UpToDateIsByLastTermThenLength) {
  const RaftLog log = Make({1, 1, 3});
  EXPECT_TRUE(log.IsUpToDate(Term(3), LogIndex(3)));
  EXPECT_TRUE(log.IsUpToDate(Term(4), LogIndex(1)));
  EXPECT_TRUE(log.IsUpToDate(Term(3), LogIndex(4)));
  EXPECT_FALSE(log.IsUpToDate(Term(3), LogIndex(2)));
  EXPECT_FALSE(log.IsUpToDate(Term(2), LogIndex(9)));
}

TEST_F(RaftLogTest, FindsTheLastPositionOfAtMostATerm) {
  const RaftLog log = Make({1, 1, 3, 3, 3, 6});
  using Position = std::pair<LogIndex, Term>;
  EXPECT_EQ(log.LastAtMost(LogIndex(6), Term(5)), Position(LogIndex(5), Term(3)));
  EXPECT_EQ(log.LastAtMost(LogIndex(4), Term(5)), Position(LogIndex(4), Term(3)));
  EXPECT_EQ(log.LastAtMost(LogIndex(6), Term(2)), Position(LogIndex(2), Term(1)));
  EXPECT_EQ(log.LastAtMost(LogIndex(99), Term(9)), Position(LogIndex(6), Term(6)));
  EXPECT_EQ(log.LastAtMost(LogIndex(6), Term(0)), Position(LogIndex(0), Term(0)));
}

// Raft paper §5.3: only a conflict truncates; an old, shorter append does not.
TEST_F(RaftLogTest, MergeKeepsWhatAgrees) {
  RaftLog log = Make({1, 1, 1});
  EXPECT_TRUE(log.Merge({MakeEntry(1, 1, "data"), MakeEntry(1, 2, "data")}, LogIndex(0)));
  EXPECT_EQ(log.last_index(), LogIndex(3));
  EXPECT_TRUE(log.Merge({MakeEntry(1, 2, "data"), MakeEntry(2, 3, "new")}, LogIndex(0)));
  EXPECT_EQ(log.last_index(), LogIndex(3));
  EXPECT_EQ(log.TermAt(LogIndex(3)), Term(2));
  EXPECT_EQ(log.persisted(), LogIndex(2));
}

TEST_F(RaftLogTest, MergeRefusesToChangeWhatIsCommittedOrSettled) {
  RaftLog log = Make({1, 1, 1}, 2);
  EXPECT_FALSE(log.Merge({MakeEntry(2, 2, "new")}, LogIndex(0)));
  EXPECT_FALSE(log.Merge({MakeEntry(2, 3, "new")}, LogIndex(3)));
  EXPECT_EQ(log.TermAt(LogIndex(2)), Term(1));
  EXPECT_EQ(log.last_index(), LogIndex(3));
}

TEST_F(RaftLogTest, DoesNotShowWhatTheReaderHasBeyondATruncation) {
  RaftLog log = Make({1, 1, 1});
  log.Merge({MakeEntry(2, 2, "new")}, LogIndex(0));
  EXPECT_EQ(log.TermAt(LogIndex(3)), std::nullopt);
}

TEST_F(RaftLogTest, ReadsAcrossTheDurablePartAndTheTail) {
  RaftLog log = Make({1, 1});
  log.Append(MakeEntry(1, 3, "data"));
  const auto all = log.Entries(LogIndex(1), LogIndex(4), 1000);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->size(), 3u);
  EXPECT_EQ(log.Entries(LogIndex(1), LogIndex(4), 6)->size(), 2u) << "stops after reaching the bytes";
  EXPECT_EQ(log.Entries(LogIndex(3), LogIndex(4), 0)->size(), 1u) << "at least one";
}

TEST_F(RaftLogTest, HandsOutCommittedEntriesWithinTheBytesUnderWay) {
  RaftLog log = Make({1, 1, 1, 1, 1}, 5, 8);
  EXPECT_EQ(log.TakeCommitted().size(), 2u);
  EXPECT_FALSE(log.MayApply());
  log.Applied(LogIndex(1));
  EXPECT_FALSE(log.MayApply()) << "a batch counts until all of it is applied";
  log.Applied(LogIndex(2));
  EXPECT_EQ(log.TakeCommitted().front().index, LogIndex(3));
}

TEST_F(RaftLogTest, AppliesOnlyWhatIsDurableHere) {
  RaftLog log = Make({1});
  log.Append(MakeEntry(1, 2, "data"));
  log.CommitTo(LogIndex(2));
  EXPECT_EQ(log.TakeCommitted().size(), 1u);
  log.HandOver(Term(1));
  EXPECT_FALSE(log.MayApply());
  log.Persisted(Term(1), LogIndex(2));
  EXPECT_TRUE(log.MayApply());
}

TEST_F(RaftLogTest, WaitsForEntriesThatAreBeingLoaded) {
  RaftLog log = Make({1, 1}, 2);
  reader_.loading = true;
  EXPECT_TRUE(log.TakeCommitted().empty());
  EXPECT_FALSE(log.MayApply());
  reader_.loading = false;
  log.EntriesLoaded();
  EXPECT_EQ(log.TakeCommitted().size(), 2u);
}

TEST_F(RaftLogTest, CommitNeverGoesBack) {
  RaftLog log = Make({1, 1}, 2);
  log.CommitTo(LogIndex(1));
  EXPECT_EQ(log.commit(), LogIndex(2));
}

using RaftLogDeathTest = RaftLogTest;

TEST_F(RaftLogDeathTest, RefusesALogThatLostItsCommittedTail) {
  EXPECT_DEATH(Make({1, 1}, 3), "its tail was lost");
}

}  // namespace
}  // namespace cairn::raft
