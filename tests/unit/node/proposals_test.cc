#include "server/node/proposals.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

internal::Command Put(const std::string& key, size_t value_bytes = 1) {
  internal::Command command;
  command.mutable_put()->set_key(key);
  command.mutable_put()->set_value(std::string(value_bytes, 'v'));
  return command;
}

internal::CommandBatch Parse(const raft::Payload& payload) {
  internal::CommandBatch batch;
  EXPECT_TRUE(batch.ParseFromString(*payload));
  return batch;
}

std::vector<std::string> Keys(const raft::Payload& payload) {
  std::vector<std::string> keys;
  const internal::CommandBatch batch = Parse(payload);
  for (const internal::Command& command : batch.commands()) keys.push_back(command.put().key());
  return keys;
}

class ProposalsTest : public ::testing::Test {
 protected:
  void Add(const std::string& key, absl::Duration now = absl::ZeroDuration(), size_t value_bytes = 1) {
    internal::Command command = Put(key, value_bytes);
    proposals_.Add(
        command,
        [this, key](storage::Result&& result) {
          answers_.push_back({key, result.error});
        },
        now);
  }

  struct Answer {
    std::string key;
    ClientError error;
    bool operator==(const Answer&) const = default;
  };

  Proposals::Limits limits_{.max_waiting = 4,
                            .max_queued_bytes = 4000,
                            .max_batch_bytes = 1000,
                            .max_command_bytes = 2000,
                            .time_limit = absl::Seconds(7)};
  Proposals proposals_{raft::NodeId(9), 100, limits_};
  std::vector<Answer> answers_;
};

TEST_F(ProposalsTest, BatchHoldsQueuedCommandsInOrderWithOriginAndId) {
  Add("a");
  Add("b");
  const internal::CommandBatch batch = Parse(proposals_.TakeBatch(raft::Term(1), false));
  ASSERT_EQ(batch.commands_size(), 2);
  EXPECT_EQ(batch.commands(0).origin(), 9u);
  EXPECT_EQ(batch.commands(0).request_id(), 100u);
  EXPECT_EQ(batch.commands(1).request_id(), 101u);
  EXPECT_FALSE(proposals_.has_queued());
}

TEST_F(ProposalsTest, BatchesPutOneBehindTheOtherAreOneBatch) {
  Add("a");
  const raft::Payload first = proposals_.TakeBatch(raft::Term(1), true);
  Add("b");
  const raft::Payload second = proposals_.TakeBatch(raft::Term(1), true);
  EXPECT_THAT(Keys(std::make_shared<const std::string>(*first + *second)), ElementsAre("a", "b"));
}

TEST_F(ProposalsTest, BatchEndsAtItsByteLimitButHoldsAtLeastOne) {
  Add("a", absl::ZeroDuration(), 1500);
  Add("b", absl::ZeroDuration(), 600);
  Add("c", absl::ZeroDuration(), 600);
  EXPECT_THAT(Keys(proposals_.TakeBatch(raft::Term(1), false)), ElementsAre("a"));
  EXPECT_THAT(Keys(proposals_.TakeBatch(raft::Term(1), false)), ElementsAre("b"));
  EXPECT_THAT(Keys(proposals_.TakeBatch(raft::Term(1), false)), ElementsAre("c"));
}

TEST_F(ProposalsTest, RefusesAboveTheLimitOfWaitingCallers) {
  for (const char* key : {"a", "b", "c", "d"}) Add(key);
  Add("e");
  EXPECT_THAT(answers_, ElementsAre(Answer{"e", ClientError::kTooManyRequests}));
}

TEST_F(ProposalsTest, RefusesACommandThatIsTooLarge) {
  Add("a", absl::ZeroDuration(), 2500);
  EXPECT_THAT(answers_, ElementsAre(Answer{"a", ClientError::kRequestTooLarge}));
  EXPECT_EQ(proposals_.TakeBatch(raft::Term(1), false), nullptr);
}

TEST_F(ProposalsTest, AnswersOnceAndOnlyItsOwnCommands) {
  Add("a");
  proposals_.TakeBatch(raft::Term(1), false);
  proposals_.Complete(99, {});   // of an earlier life
  proposals_.Complete(101, {});  // never given out
  EXPECT_THAT(answers_, IsEmpty());
  proposals_.Complete(100, {});
  proposals_.Complete(100, {});
  EXPECT_THAT(answers_, ElementsAre(Answer{"a", ClientError::kOk}));
  EXPECT_EQ(proposals_.waiting(), 0u);
}

TEST_F(ProposalsTest, ACommandWhoseTimeRanOutBeforeItWasSentIsNeverSent) {
  Add("a");
  Add("b", absl::Seconds(3));
  proposals_.Expire(absl::Seconds(8), /*leader_known=*/false);
  EXPECT_THAT(answers_, ElementsAre(Answer{"a", ClientError::kNoLeader}));
  EXPECT_THAT(Keys(proposals_.TakeBatch(raft::Term(1), false)), ElementsAre("b"));
}

TEST_F(ProposalsTest, ASentCommandWhoseTimeRanOutHasAnUnknownOutcome) {
  Add("a");
  proposals_.TakeBatch(raft::Term(1), false);
  proposals_.Expire(absl::Seconds(8), /*leader_known=*/false);
  EXPECT_THAT(answers_, ElementsAre(Answer{"a", ClientError::kTimeout}));
}

TEST_F(ProposalsTest, AnEntryOfALaterTermEndsWhatWasSentBefore) {
  Add("a");
  proposals_.TakeBatch(raft::Term(3), false);
  Add("b");
  proposals_.TakeBatch(raft::Term(4), true);
  Add("c");  // still queued: it will be sent in the new term
  proposals_.FailSentBefore(raft::Term(4));
  EXPECT_THAT(answers_, ElementsAre(Answer{"a", ClientError::kLeaderChanged}));
}

TEST_F(ProposalsTest, ABrokenConnectionFailsOnlyWhatWasForwarded) {
  Add("own");
  proposals_.TakeBatch(raft::Term(1), false);
  Add("forwarded");
  proposals_.TakeBatch(raft::Term(1), true);
  Add("queued");
  proposals_.FailForwarded(ClientError::kTimeoutConnectionLost);
  EXPECT_THAT(answers_, ElementsAre(Answer{"forwarded", ClientError::kTimeoutConnectionLost}));
}

TEST_F(ProposalsTest, AnAnswerMayAddTheNextCommand) {
  internal::Command first = Put("a");
  proposals_.Add(
      first, [this](storage::Result&&) { Add("b"); }, absl::ZeroDuration());
  proposals_.TakeBatch(raft::Term(1), false);
  proposals_.Complete(100, {});
  EXPECT_THAT(Keys(proposals_.TakeBatch(raft::Term(1), false)), ElementsAre("b"));
}

TEST_F(ProposalsTest, StoppingAnswersEverybody) {
  Add("a");
  proposals_.TakeBatch(raft::Term(1), false);
  Add("b");
  proposals_.FailAll(ClientError::kStopped);
  EXPECT_THAT(answers_, ElementsAre(Answer{"a", ClientError::kStopped}, Answer{"b", ClientError::kStopped}));
  EXPECT_FALSE(proposals_.has_queued());
}

}  // namespace
}  // namespace cairn::server
