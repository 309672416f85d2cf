#include "raft/unstable.h"

#include <gtest/gtest.h>

#include "tests/unit/raft/cluster.h"

namespace cairn::raft {
namespace {

// A tail that follows on the durable entry 5.
Unstable With(std::initializer_list<uint64_t> terms) {
  Unstable unstable{LogIndex(5)};
  for (uint64_t term : terms) unstable.Append(MakeEntry(term, unstable.last().value() + 1, "x"));
  return unstable;
}

TEST(UnstableTest, HandsEveryEntryOverOnce) {
  Unstable unstable = With({1, 1});
  EXPECT_TRUE(unstable.has_new());
  EXPECT_EQ(unstable.HandOver(Term(1)).size(), 2u);
  EXPECT_FALSE(unstable.has_new());
  EXPECT_TRUE(unstable.HandOver(Term(1)).empty());
  unstable.Append(MakeEntry(1, 8, "y"));
  const std::vector<Entry> fresh = unstable.HandOver(Term(1));
  ASSERT_EQ(fresh.size(), 1u);
  EXPECT_EQ(fresh[0].index, LogIndex(8));
}

TEST(UnstableTest, KeepsEntriesUntilTheyAreDurable) {
  Unstable unstable = With({1, 1});
  unstable.HandOver(Term(1));
  ASSERT_NE(unstable.Find(LogIndex(6)), nullptr);
  EXPECT_EQ(unstable.persisted(), LogIndex(5));
  EXPECT_EQ(unstable.Persisted(Term(1), LogIndex(7)), Term(1));
  EXPECT_EQ(unstable.persisted(), LogIndex(7));
  EXPECT_EQ(unstable.Find(LogIndex(6)), nullptr);
  EXPECT_EQ(unstable.last(), LogIndex(7));
}

TEST(UnstableTest, SharesPayloads) {
  Unstable unstable = With({1});
  EXPECT_EQ(unstable.HandOver(Term(1))[0].data, unstable.Find(LogIndex(6))->data);
}

TEST(UnstableTest, ReportsOfUnknownWritesCountForNothing) {
  Unstable unstable = With({1, 1});
  EXPECT_EQ(unstable.Persisted(Term(1), LogIndex(7)), std::nullopt) << "not handed over";
  unstable.HandOver(Term(1));
  EXPECT_EQ(unstable.Persisted(Term(2), LogIndex(7)), std::nullopt);
  EXPECT_EQ(unstable.Persisted(Term(1), LogIndex(6)), std::nullopt);
  EXPECT_EQ(unstable.persisted(), LogIndex(5));
}

TEST(UnstableTest, AReportCountsOnlyUpToWhatWasOverwrittenSince) {
  Unstable unstable = With({1, 1, 1});
  unstable.HandOver(Term(1));
  unstable.TruncateFrom(LogIndex(7));
  unstable.Append(MakeEntry(2, 7, "y"));
  EXPECT_EQ(unstable.Persisted(Term(1), LogIndex(8)), Term(1));
  EXPECT_EQ(unstable.persisted(), LogIndex(6));
  unstable.HandOver(Term(2));
  EXPECT_EQ(unstable.Persisted(Term(2), LogIndex(7)), Term(2));
  EXPECT_EQ(unstable.persisted(), LogIndex(7));
}

// The write of the first 1:x at 6 is followed on disk by that of 2:y: believing the first report of (1, 6)
// would acknowledge an entry that a crash then replaces.
TEST(UnstableTest, AnEntryWrittenAgainIsDurableOnlyByItsOwnWrite) {
  Unstable unstable = With({1});
  unstable.HandOver(Term(1));
  unstable.TruncateFrom(LogIndex(6));
  unstable.Append(MakeEntry(2, 6, "y"));
  unstable.HandOver(Term(2));
  unstable.TruncateFrom(LogIndex(6));
  unstable.Append(MakeEntry(1, 6, "x"));
  unstable.HandOver(Term(3));
  unstable.Persisted(Term(1), LogIndex(6));
  EXPECT_EQ(unstable.persisted(), LogIndex(5));
  unstable.Persisted(Term(2), LogIndex(6));
  EXPECT_EQ(unstable.persisted(), LogIndex(5));
  EXPECT_EQ(unstable.Persisted(Term(1), LogIndex(6)), Term(3));
  EXPECT_EQ(unstable.persisted(), LogIndex(6));
}

TEST(UnstableTest, ReplacesDurableEntries) {
  Unstable unstable = With({1});
  unstable.TruncateFrom(LogIndex(4));
  EXPECT_EQ(unstable.persisted(), LogIndex(3));
  EXPECT_EQ(unstable.last(), LogIndex(3));
  unstable.Append(MakeEntry(2, 4, "y"));
  const std::vector<Entry> fresh = unstable.HandOver(Term(2));
  ASSERT_EQ(fresh.size(), 1u);
  EXPECT_EQ(fresh[0].index, LogIndex(4));
}

TEST(UnstableDeathTest, RefusesAGap) {
  Unstable unstable{LogIndex(5)};
  EXPECT_DEATH(unstable.Append(MakeEntry(1, 8, "x")), "entry 8 after 5");
}

}  // namespace
}  // namespace cairn::raft
