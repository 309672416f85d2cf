#include "server/rpc/keepalive.h"

#include <gtest/gtest.h>

namespace cairn::rpc {
namespace {

TEST(KeepaliveTest, ThirdHastyPingInARowIsTooMany) {
  PingPolicy policy(absl::Seconds(5), true);
  absl::Duration now = absl::Seconds(100);
  EXPECT_TRUE(policy.OnPing(now, true));
  EXPECT_TRUE(policy.OnPing(now += absl::Seconds(1), true));
  EXPECT_TRUE(policy.OnPing(now += absl::Seconds(1), true));
  EXPECT_FALSE(policy.OnPing(now += absl::Seconds(1), true));
}

TEST(KeepaliveTest, PingsAtTheAllowedPaceGoOnForEver) {
  PingPolicy policy(absl::Seconds(5), true);
  absl::Duration now = absl::Seconds(100);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(policy.OnPing(now += absl::Seconds(5), i % 2 == 0));
}

TEST(KeepaliveTest, WhatTheServerSendsClearsStrikes) {
  PingPolicy policy(absl::Seconds(5), true);
  absl::Duration now = absl::Seconds(100);
  for (int i = 0; i < 100; ++i) {
    if (i % 3 == 0) policy.OnSent();
    EXPECT_TRUE(policy.OnPing(now += absl::Milliseconds(1), true));
  }
}

TEST(KeepaliveTest, WithoutCallsPingsMayBeRefused) {
  PingPolicy policy(absl::Seconds(5), false);
  absl::Duration now = absl::Seconds(100);
  EXPECT_TRUE(policy.OnPing(now, false));
  EXPECT_TRUE(policy.OnPing(now += absl::Seconds(10), false));
  EXPECT_TRUE(policy.OnPing(now += absl::Seconds(10), false));
  EXPECT_FALSE(policy.OnPing(now += absl::Seconds(10), false));
}

}  // namespace
}  // namespace cairn::rpc
