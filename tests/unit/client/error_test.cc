#include "client/error.h"

#include <string>

#include "gtest/gtest.h"
#include "proto/errors.h"

namespace cairn::client {
namespace {

grpc::Status Wire(ClientError error) {
  const ErrorInfo& info = InfoOf(error);
  return {static_cast<grpc::StatusCode>(info.code), std::string(info.text)};
}
const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "Socket closed");
const grpc::Status kNeverSent(grpc::StatusCode::UNAVAILABLE,
                              "failed to connect to all addresses; last error: …");

TEST(RetryRuleTest, AReadIsAskedAgainAfterABrokenConnection) {
  EXPECT_EQ(Judge(CallKind::kRead, kBroken), AfterFailure::kTryForWhile);
  EXPECT_EQ(Judge(CallKind::kRead, Wire(ClientError::kLeaderChanged)), AfterFailure::kTryForWhile);
}

TEST(RetryRuleTest, AWriteIsNotSentAgainWhenItMayHaveHappened) {
  for (const grpc::Status& status :
       {kBroken, Wire(ClientError::kTimeout), Wire(ClientError::kLeaderChanged),
        grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded")}) {
    EXPECT_EQ(Judge(CallKind::kWrite, status), AfterFailure::kGiveUp) << status.error_message();
    EXPECT_TRUE(MayHaveHappened(status)) << status.error_message();
  }
}

TEST(RetryRuleTest, AWriteThatSurelyDidNotHappenIsSentAgain) {
  for (const grpc::Status& status :
       {kNeverSent, Wire(ClientError::kNoLeader), Wire(ClientError::kTooManyRequests)}) {
    EXPECT_EQ(Judge(CallKind::kWrite, status), AfterFailure::kTryForWhile) << status.error_message();
    EXPECT_FALSE(MayHaveHappened(status)) << status.error_message();
  }
}

TEST(RetryRuleTest, WhatOnlyAnotherMemberCanDoIsTriedOnceAround) {
  EXPECT_EQ(Judge(CallKind::kWrite, Wire(ClientError::kNotLeader)), AfterFailure::kTryNext);
}

TEST(RetryRuleTest, AWrongRequestIsRefusedAtOnce) {
  for (const CallKind kind : {CallKind::kRead, CallKind::kWrite}) {
    EXPECT_EQ(Judge(kind, Wire(ClientError::kEmptyKey)), AfterFailure::kGiveUp);
    EXPECT_EQ(Judge(kind, Wire(ClientError::kCompacted)), AfterFailure::kGiveUp);
  }
  EXPECT_FALSE(MayHaveHappened(Wire(ClientError::kEmptyKey)));
}

TEST(ErrorTest, AnUnknownOutcomeIsMarkedAndSaidFirst) {
  const absl::Status status = ToAbslStatus(kBroken, /*outcome_unknown=*/true);
  EXPECT_TRUE(OutcomeUnknown(status));
  EXPECT_EQ(NextStep(status), "it may or may not have happened: read before you send it again");
  EXPECT_FALSE(OutcomeUnknown(ToAbslStatus(kBroken, false)));
}

TEST(ErrorTest, TheNextStepComesFromTheListOfErrors) {
  const absl::Status status = ToAbslStatus(Wire(ClientError::kLeaseNotFound), false);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(NextStep(status), InfoOf(ClientError::kLeaseNotFound).next_step);
}

}  // namespace
}  // namespace cairn::client
