#include "storage/log_tail.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/storage/storage_test_util.h"

namespace cairn::storage {
namespace {

using raft::LogIndex;
using raft::Term;
using testing::ElementsAre;

TEST(LogTailTest, KeepsTermsOfEntriesThatLeftMemory) {
  LogTail tail(LogIndex(10), Term(3));
  tail.Append(MakeWrite(11, 14, 4).entries);
  tail.Append(MakeWrite(15, 16, 6).entries);
  tail.Evict(0, LogIndex(15));
  EXPECT_EQ(tail.first_in_memory(), LogIndex(16));
  EXPECT_EQ(tail.TermAt(LogIndex(9)), std::nullopt);
  EXPECT_EQ(tail.TermAt(LogIndex(10)), Term(3));
  EXPECT_EQ(tail.TermAt(LogIndex(14)), Term(4));
  EXPECT_EQ(tail.TermAt(LogIndex(15)), Term(6));
  EXPECT_EQ(tail.TermAt(LogIndex(17)), std::nullopt);
}

TEST(LogTailTest, ReplacingForgetsTheTermsOfWhatWasReplaced) {
  LogTail tail;
  tail.Append(MakeWrite(1, 4, 1).entries);
  tail.Append(MakeWrite(5, 8, 2).entries);
  tail.Append(MakeWrite(3, 3, 5).entries);
  EXPECT_EQ(tail.last_index(), LogIndex(3));
  EXPECT_EQ(tail.TermAt(LogIndex(2)), Term(1));
  EXPECT_EQ(tail.TermAt(LogIndex(3)), Term(5));
}

TEST(LogTailTest, EntriesOlderThanMemoryMayBeReplaced) {
  LogTail tail;
  tail.Append(MakeWrite(1, 6, 1).entries);
  tail.Evict(0, LogIndex(6));
  tail.Append(MakeWrite(4, 5, 2).entries);
  EXPECT_EQ(tail.first_in_memory(), LogIndex(4));
  EXPECT_EQ(tail.last_index(), LogIndex(5));
  EXPECT_THAT(IndexesOf(tail.Entries(LogIndex(4), LogIndex(6), 1000)), ElementsAre(4, 5));
  EXPECT_EQ(tail.TermAt(LogIndex(3)), Term(1));
}

TEST(LogTailTest, EvictionKeepsTheByteLimitButNothingAfterTheGivenEntry) {
  LogTail tail;
  tail.Append(MakeWrite(1, 100, 1, std::string(1000, 'x')).entries);
  tail.Evict(50'000, LogIndex(100));
  EXPECT_LE(tail.memory_bytes(), 50'000u);
  EXPECT_GT(tail.memory_bytes(), 48'000u);
  tail.Evict(0, LogIndex(80));
  EXPECT_EQ(tail.first_in_memory(), LogIndex(81));
}

TEST(LogTailTest, BrokenOrderEndsTheProcess) {
  LogTail tail;
  tail.Append(MakeWrite(1, 3, 5).entries);
  EXPECT_DEATH(tail.Append(MakeWrite(5, 5, 5).entries), "gap");
  EXPECT_DEATH(tail.Append(MakeWrite(4, 4, 4).entries), "term goes back");
}

}  // namespace
}  // namespace cairn::storage
