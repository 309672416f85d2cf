// Linearizable reads wait for a confirmation that began after they arrived (thesis §6.4).
#include "server/node/read_barriers.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReadBarriersTest : public ::testing::Test {
 protected:
  void Add(const std::string& name, absl::Duration now = absl::ZeroDuration()) {
    barriers_.Add([this, name](ClientError error) { answers_.push_back({name, error}); }, now);
  }

  struct Answer {
    std::string name;
    ClientError error;
    bool operator==(const Answer&) const = default;
  };

  ReadBarriers barriers_{{.max_waiting = 3, .time_limit = absl::Seconds(7)}};
  std::vector<Answer> answers_;
};

TEST_F(ReadBarriersTest, AReadThatArrivesDuringARoundWaitsForTheNext) {
  Add("first");
  const uint64_t round = barriers_.BeginRound(absl::ZeroDuration());
  Add("second");
  EXPECT_FALSE(barriers_.wants_round());  // one at a time
  barriers_.Confirmed(round, raft::LogIndex(5));
  barriers_.Applied(raft::LogIndex(5));
  EXPECT_THAT(answers_, ElementsAre(Answer{"first", ClientError::kOk}));
  EXPECT_TRUE(barriers_.wants_round());
}

TEST_F(ReadBarriersTest, AConfirmedReadWaitsUntilItsIndexIsApplied) {
  Add("read");
  barriers_.Confirmed(barriers_.BeginRound(absl::ZeroDuration()), raft::LogIndex(5));
  barriers_.Applied(raft::LogIndex(4));
  EXPECT_THAT(answers_, IsEmpty());
  barriers_.Applied(raft::LogIndex(6));
  EXPECT_THAT(answers_, ElementsAre(Answer{"read", ClientError::kOk}));
}

TEST_F(ReadBarriersTest, TheAnswerToARoundGivenUpIsNotUsed) {
  Add("read");
  const uint64_t lost = barriers_.BeginRound(absl::ZeroDuration());
  barriers_.GiveUpRoundBegunBefore(absl::Seconds(1));
  const uint64_t again = barriers_.BeginRound(absl::Seconds(1));
  EXPECT_NE(lost, again);
  barriers_.Confirmed(lost, raft::LogIndex(1));
  barriers_.Applied(raft::LogIndex(9));
  EXPECT_THAT(answers_, IsEmpty());
  barriers_.Confirmed(again, raft::LogIndex(2));
  barriers_.Applied(raft::LogIndex(9));
  EXPECT_THAT(answers_, ElementsAre(Answer{"read", ClientError::kOk}));
}

TEST_F(ReadBarriersTest, AFailedRoundPutsItsReadsInFrontOfTheNext) {
  Add("old");
  const uint64_t round = barriers_.BeginRound(absl::ZeroDuration());
  Add("new");
  barriers_.RoundFailed(round);
  barriers_.Confirmed(barriers_.BeginRound(absl::ZeroDuration()), raft::LogIndex(1));
  barriers_.Applied(raft::LogIndex(1));
  EXPECT_THAT(answers_, ElementsAre(Answer{"old", ClientError::kOk}, Answer{"new", ClientError::kOk}));
}

TEST_F(ReadBarriersTest, TimeLimitNamesWhatWasMissing) {
  Add("confirmed");
  barriers_.Confirmed(barriers_.BeginRound(absl::ZeroDuration()), raft::LogIndex(5));
  Add("unconfirmed");
  barriers_.Expire(absl::Seconds(7));
  EXPECT_THAT(answers_, ElementsAre(Answer{"unconfirmed", ClientError::kTimeout},
                                    Answer{"confirmed", ClientError::kTimeoutWaitApplied}));
  EXPECT_EQ(barriers_.waiting(), 0u);
}

TEST_F(ReadBarriersTest, RefusesAboveItsLimit) {
  for (const char* name : {"a", "b", "c", "d"}) Add(name);
  EXPECT_THAT(answers_, ElementsAre(Answer{"d", ClientError::kTooManyRequests}));
}

TEST_F(ReadBarriersTest, StoppingAnswersEverybody) {
  Add("confirmed");
  barriers_.Confirmed(barriers_.BeginRound(absl::ZeroDuration()), raft::LogIndex(5));
  Add("in round");
  barriers_.BeginRound(absl::ZeroDuration());
  Add("arrived");
  barriers_.FailAll(ClientError::kStopped);
  EXPECT_EQ(answers_.size(), 3u);
  EXPECT_EQ(barriers_.waiting(), 0u);
  EXPECT_FALSE(barriers_.wants_round());
}

}  // namespace
}  // namespace cairn::server
