#include "raft/progress.h"

#include <gtest/gtest.h>

namespace cairn::raft {
namespace {

TEST(InflightsTest, IsFullByCount) {
  Inflights window(2, 1000);
  window.Add(LogIndex(1), 10);
  EXPECT_FALSE(window.Full());
  window.Add(LogIndex(2), 10);
  EXPECT_TRUE(window.Full());
}

TEST(InflightsTest, IsFullByBytesButTakesOneLargeMessage) {
  Inflights window(10, 100);
  EXPECT_FALSE(window.Full());
  window.Add(LogIndex(1), 5000);
  EXPECT_TRUE(window.Full());
}

TEST(InflightsTest, FreesEverythingUpToAnIndex) {
  Inflights window(3, 1000);
  window.Add(LogIndex(2), 10);
  window.Add(LogIndex(5), 20);
  window.Add(LogIndex(9), 30);
  window.FreeTo(LogIndex(1));
  EXPECT_EQ(window.count(), 3);
  window.FreeTo(LogIndex(6));
  EXPECT_EQ(window.count(), 1);
  EXPECT_EQ(window.bytes(), 30u);
  window.FreeOldest();
  window.FreeOldest();
  EXPECT_EQ(window.count(), 0);
  EXPECT_EQ(window.bytes(), 0u);
}

TEST(InflightsDeathTest, RefusesMoreThanTheWindow) {
  Inflights window(1, 1000);
  window.Add(LogIndex(1), 1);
  EXPECT_DEATH(window.Add(LogIndex(2), 1), "full window");
}

Progress Probing(uint64_t next) { return Progress(LogIndex(next), 0, Inflights(2, 1000)); }

Progress Replicating(uint64_t match) {
  Progress progress = Probing(match + 1);
  progress.Accepted(LogIndex(match));
  return progress;
}

TEST(ProgressTest, ProbesWithOneMessageAtATime) {
  Progress progress = Probing(5);
  EXPECT_TRUE(progress.MaySend());
  progress.Sent(3, 30, LogIndex(0));
  EXPECT_FALSE(progress.MaySend());
  EXPECT_EQ(progress.next(), LogIndex(5)) << "a lost probe is repeated from the same place";
  EXPECT_TRUE(progress.Refused(LogIndex(4), LogIndex(2)));
  EXPECT_TRUE(progress.MaySend());
  EXPECT_EQ(progress.next(), LogIndex(3));
}

TEST(ProgressTest, PipelinesAfterTheFirstAcceptance) {
  Progress progress = Probing(5);
  progress.Sent(1, 10, LogIndex(0));
  EXPECT_TRUE(progress.Accepted(LogIndex(5)));
  EXPECT_TRUE(progress.replicating());
  progress.Sent(2, 20, LogIndex(0));
  EXPECT_EQ(progress.next(), LogIndex(8));
  progress.Sent(2, 20, LogIndex(0));
  EXPECT_EQ(progress.next(), LogIndex(10));
  EXPECT_FALSE(progress.MaySend()) << "two messages are under way";
  EXPECT_TRUE(progress.Accepted(LogIndex(7)));
  EXPECT_TRUE(progress.MaySend());
  EXPECT_EQ(progress.match(), LogIndex(7));
}

TEST(ProgressTest, StaleRefusalsChangeNothing) {
  Progress progress = Replicating(7);
  EXPECT_FALSE(progress.Refused(LogIndex(7), LogIndex(0))) << "that it has durably";
  EXPECT_FALSE(progress.Refused(LogIndex(9), LogIndex(0))) << "that was never sent";
  EXPECT_TRUE(progress.replicating());

  Progress probing = Probing(5);
  EXPECT_FALSE(probing.Refused(LogIndex(3), LogIndex(0))) << "an answer to an earlier probe";
  EXPECT_EQ(probing.next(), LogIndex(5));
}

TEST(ProgressTest, ARefusalWhilePipeliningLooksForThePositionAgain) {
  Progress progress = Replicating(7);
  progress.Sent(3, 30, LogIndex(0));
  EXPECT_TRUE(progress.Refused(LogIndex(9), LogIndex(8)));
  EXPECT_FALSE(progress.replicating());
  EXPECT_EQ(progress.next(), LogIndex(8));
  EXPECT_TRUE(progress.MaySend());
}

TEST(ProgressTest, NeverGoesBackBehindMatch) {
  Progress progress = Replicating(7);
  EXPECT_FALSE(progress.Accepted(LogIndex(3)));
  EXPECT_EQ(progress.match(), LogIndex(7));
  progress.Lost();
  progress.HeartbeatAnswered(LogIndex(9), 1);
  progress.Sent(1, 10, LogIndex(0));
  progress.Refused(LogIndex(7), LogIndex(0));
  EXPECT_EQ(progress.next(), LogIndex(8));
}

TEST(ProgressTest, ALostConnectionWaitsForAHeartbeatToBeAnswered) {
  Progress progress = Replicating(7);
  progress.Sent(2, 20, LogIndex(0));
  progress.Lost();
  EXPECT_FALSE(progress.MaySend());
  EXPECT_EQ(progress.next(), LogIndex(8));
  progress.HeartbeatAnswered(LogIndex(9), 1);
  EXPECT_TRUE(progress.MaySend());
}

TEST(ProgressTest, AnAnsweredHeartbeatPushesAFullWindowOncePerTick) {
  Progress progress = Replicating(0);
  progress.Sent(1, 10, LogIndex(0));
  progress.Sent(1, 10, LogIndex(0));
  progress.HeartbeatAnswered(LogIndex(5), 1);
  EXPECT_TRUE(progress.MaySend());
  progress.Sent(1, 10, LogIndex(0));
  progress.HeartbeatAnswered(LogIndex(5), 1);
  EXPECT_FALSE(progress.MaySend());
  progress.HeartbeatAnswered(LogIndex(5), 2);
  EXPECT_TRUE(progress.MaySend());
}

TEST(ProgressTest, WantsToSendEntriesNewCommitsAndLostAcknowledgements) {
  Progress progress = Replicating(7);
  EXPECT_FALSE(progress.WantsSend(LogIndex(7), LogIndex(0)));
  EXPECT_TRUE(progress.WantsSend(LogIndex(8), LogIndex(0)));
  EXPECT_TRUE(progress.WantsSend(LogIndex(7), LogIndex(7)));
  progress.Sent(0, 0, LogIndex(7));
  EXPECT_FALSE(progress.WantsSend(LogIndex(7), LogIndex(7)));
  progress.Sent(1, 10, LogIndex(7));
  progress.HeartbeatAnswered(LogIndex(8), 1);
  EXPECT_TRUE(progress.WantsSend(LogIndex(8), LogIndex(7))) << "entry 8 may be lost";
}

}  // namespace
}  // namespace cairn::raft
