#include "server/identity.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cairn::server {
namespace {

std::vector<InitialMember> ThreeMembers() {
  return {{"n1", {{"10.0.0.1", 2380}}}, {"n2", {{"10.0.0.2", 2380}}}, {"n3", {{"10.0.0.3", 2380}}}};
}

ClusterIdentity Make(const std::vector<InitialMember>& members, std::string_view token,
                     std::string_view self) {
  absl::StatusOr<ClusterIdentity> identity = MakeClusterIdentity(members, token, self);
  EXPECT_TRUE(identity.ok()) << identity.status();
  return identity.value_or(ClusterIdentity());
}

TEST(IdentityTest, EveryMemberComputesTheSameIdsWhateverTheOrder) {
  std::vector<InitialMember> reversed = ThreeMembers();
  std::reverse(reversed.begin(), reversed.end());
  const ClusterIdentity a = Make(ThreeMembers(), "token", "n1");
  const ClusterIdentity b = Make(reversed, "token", "n2");
  EXPECT_EQ(a.cluster_id, b.cluster_id);
  EXPECT_NE(a.self, b.self);
  EXPECT_EQ(a.InitialConfiguration(), b.InitialConfiguration());
  EXPECT_EQ(a.InitialConfiguration().voters.size(), 3u);
}

// The ids are stored with the data: a release that computes others could not read it.
TEST(IdentityTest, IdsStayTheSameFromReleaseToRelease) {
  const ClusterIdentity identity = Make(ThreeMembers(), "token", "n1");
  EXPECT_EQ(FormatId(identity.self.value()), "a3c5e625941c96fc");
  EXPECT_EQ(FormatId(identity.cluster_id), "adb8d43373c0a5d1");
}

TEST(IdentityTest, TokenAndMembersTellClustersApart) {
  const ClusterIdentity a = Make(ThreeMembers(), "token", "n1");
  EXPECT_NE(Make(ThreeMembers(), "other", "n1").cluster_id, a.cluster_id);
  std::vector<InitialMember> two = ThreeMembers();
  two.pop_back();
  EXPECT_NE(Make(two, "token", "n1").cluster_id, a.cluster_id);
  EXPECT_EQ(Make(two, "token", "n1").self, a.self);
}

TEST(IdentityTest, OrderOfAMembersUrlsDoesNotMatter) {
  std::vector<InitialMember> a = {{"n", {{"10.0.0.1", 1}, {"10.0.0.2", 1}}}};
  std::vector<InitialMember> b = {{"n", {{"10.0.0.2", 1}, {"10.0.0.1", 1}}}};
  EXPECT_EQ(Make(a, "t", "n").self, Make(b, "t", "n").self);
}

TEST(IdentityTest, RefusesANameThatIsNoMember) {
  EXPECT_FALSE(MakeClusterIdentity(ThreeMembers(), "token", "n4").ok());
}

TEST(IdentityTest, RefusesTwoMembersWithTheSameUrls) {
  const std::vector<InitialMember> members = {{"a", {{"h", 1}}}, {"b", {{"h", 1}}}};
  EXPECT_FALSE(MakeClusterIdentity(members, "token", "a").ok());
}

}  // namespace
}  // namespace cairn::server
