#include "server/node/lease_desk.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LeaseDeskTest : public ::testing::Test {
 protected:
  void Add(int64_t lease, absl::Duration now = absl::ZeroDuration()) {
    desk_.Add(
        storage::LeaseId(lease), true, [this](LeaseTime time) { answers_.push_back(time); }, now);
  }

  LeaseDesk desk_{500, {.max_waiting = 2, .time_limit = absl::Seconds(7), .resend_after = absl::Seconds(1)}};
  std::vector<LeaseTime> answers_;
};

TEST_F(LeaseDeskTest, SendsEachCallOnceUntilSomethingGoesWrong) {
  Add(7);
  const std::vector<LeaseCall> calls = desk_.TakeUnsent(absl::ZeroDuration());
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_EQ(calls[0].lease_id, 7);
  EXPECT_THAT(desk_.TakeUnsent(absl::ZeroDuration()), IsEmpty());
}

TEST_F(LeaseDeskTest, AnswersTheCallerOnce) {
  Add(7);
  const uint64_t id = desk_.TakeUnsent(absl::ZeroDuration())[0].call_id;
  desk_.OnAnswer({.call_id = id, .ttl_s = 10, .granted_ttl_s = 10});
  desk_.OnAnswer({.call_id = id, .ttl_s = 11, .granted_ttl_s = 11});
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(answers_[0].ttl_s, 10);
}

TEST_F(LeaseDeskTest, SendsAgainAfterAChangeOfLeader) {
  Add(7);
  desk_.TakeUnsent(absl::ZeroDuration());
  desk_.ResendAll();
  EXPECT_THAT(desk_.TakeUnsent(absl::ZeroDuration()), SizeIs(1));
}

TEST_F(LeaseDeskTest, SendsAgainWhatStaysWithoutAnAnswer) {
  Add(7);
  desk_.TakeUnsent(absl::ZeroDuration());
  desk_.Tick(absl::Milliseconds(500));
  EXPECT_FALSE(desk_.has_unsent());
  desk_.Tick(absl::Seconds(1));
  EXPECT_TRUE(desk_.has_unsent());
}

TEST_F(LeaseDeskTest, NotTheLeaderIsNoAnswerForTheCaller) {
  Add(7);
  const uint64_t id = desk_.TakeUnsent(absl::ZeroDuration())[0].call_id;
  desk_.OnAnswer({.call_id = id, .error = ClientError::kNotLeader});
  EXPECT_THAT(answers_, IsEmpty());
  desk_.Tick(absl::Seconds(1));
  EXPECT_THAT(desk_.TakeUnsent(absl::Seconds(1)), SizeIs(1));
}

TEST_F(LeaseDeskTest, FailsPastTheTimeLimit) {
  Add(7);
  desk_.Tick(absl::Seconds(7));
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(answers_[0].error, ClientError::kTimeout);
  EXPECT_EQ(desk_.waiting(), 0u);
}

TEST_F(LeaseDeskTest, RefusesAboveItsLimit) {
  Add(1);
  Add(2);
  Add(3);
  ASSERT_THAT(answers_, SizeIs(1));
  EXPECT_EQ(answers_[0].error, ClientError::kTooManyRequests);
}

}  // namespace
}  // namespace cairn::server
