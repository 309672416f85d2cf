#include "raft/read_index_queue.h"

#include <gtest/gtest.h>

#include "raft/forwarded_reads.h"

namespace cairn::raft {
namespace {

const NodeId kSelf(1);

Quorum Three() { return Quorum({{NodeId(1), NodeId(2), NodeId(3)}, {}, {}}); }

TEST(ReadIndexQueueTest, ConfirmsWithAQuorumAtTheCommitOfTheRoundsStart) {
  ReadIndexQueue queue;
  queue.Add({kSelf, 10});
  queue.Add({NodeId(2), 20});
  const uint64_t round = queue.StartRound(LogIndex(7));
  EXPECT_TRUE(queue.TakeConfirmed(Three(), kSelf).requests.empty());
  queue.Acknowledge(NodeId(3), round);
  const ReadIndexQueue::Confirmed confirmed = queue.TakeConfirmed(Three(), kSelf);
  ASSERT_EQ(confirmed.requests.size(), 2u);
  EXPECT_EQ(confirmed.index, LogIndex(7));
  EXPECT_EQ(confirmed.requests[1].context, 20u);
  EXPECT_TRUE(queue.TakeConfirmed(Three(), kSelf).requests.empty()) << "once only";
}

TEST(ReadIndexQueueTest, RequestsDuringARoundWaitForTheNext) {
  ReadIndexQueue queue;
  queue.Add({kSelf, 1});
  const uint64_t first = queue.StartRound(LogIndex(7));
  queue.Add({kSelf, 2});
  queue.Add({kSelf, 3});
  EXPECT_FALSE(queue.MayStartRound());
  queue.Acknowledge(NodeId(2), first);
  EXPECT_EQ(queue.TakeConfirmed(Three(), kSelf).requests.size(), 1u);
  EXPECT_TRUE(queue.MayStartRound());
  queue.StartRound(LogIndex(8));
  queue.Acknowledge(NodeId(3), first);
  EXPECT_TRUE(queue.TakeConfirmed(Three(), kSelf).requests.empty()) << "an answer to the former round";
}

TEST(ReadIndexQueueTest, OneMemberCountsOnce) {
  ReadIndexQueue queue;
  queue.Add({kSelf, 1});
  const uint64_t round = queue.StartRound(LogIndex(7));
  const Quorum five({{NodeId(1), NodeId(2), NodeId(3), NodeId(4), NodeId(5)}, {}, {}});
  queue.Acknowledge(NodeId(2), round);
  queue.Acknowledge(NodeId(2), round);
  EXPECT_TRUE(queue.TakeConfirmed(five, kSelf).requests.empty());
}

TEST(ReadIndexQueueTest, DroppingEndsTheRoundAndItsIdIsNeverUsedAgain) {
  ReadIndexQueue queue;
  queue.Add({kSelf, 1});
  const uint64_t old_round = queue.StartRound(LogIndex(7));
  queue.Add({kSelf, 2});
  EXPECT_EQ(queue.Drop().size(), 2u);
  EXPECT_EQ(queue.size(), 0u);
  queue.Add({kSelf, 3});
  EXPECT_NE(queue.StartRound(LogIndex(9)), old_round);
  queue.Acknowledge(NodeId(2), old_round);
  EXPECT_TRUE(queue.TakeConfirmed(Three(), kSelf).requests.empty());
}

TEST(ForwardedReadsTest, AnswersEachReadOnce) {
  ForwardedReads reads(100);
  const uint64_t a = reads.Add(1, 0);
  const uint64_t b = reads.Add(2, 0);
  EXPECT_EQ(reads.Take(b), 2u);
  EXPECT_EQ(reads.Take(b), std::nullopt);
  EXPECT_EQ(reads.Take(a), 1u);
  EXPECT_EQ(reads.size(), 0u);
}

TEST(ForwardedReadsTest, ForgetsTheOld) {
  ForwardedReads reads(100);
  const uint64_t old = reads.Add(1, 5);
  reads.Add(2, 6);
  EXPECT_EQ(reads.DropBefore(6), std::vector<uint64_t>({1}));
  EXPECT_EQ(reads.Take(old), std::nullopt);
  EXPECT_EQ(reads.Drop(), std::vector<uint64_t>({2}));
}

}  // namespace
}  // namespace cairn::raft
