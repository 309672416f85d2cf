#include "raft/quorum.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "raft/votes.h"

namespace cairn::raft {
namespace {

std::vector<NodeId> Ids(std::initializer_list<uint64_t> values) {
  std::vector<NodeId> ids;
  for (uint64_t value : values) ids.push_back(NodeId(value));
  return ids;
}

Quorum Joint(std::initializer_list<uint64_t> incoming, std::initializer_list<uint64_t> outgoing) {
  return Quorum({Ids(incoming), Ids(outgoing), {}});
}

Quorum Simple(std::initializer_list<uint64_t> voters) { return Joint(voters, {}); }

bool Has(const Quorum& quorum, std::set<uint64_t> yes) {
  return quorum.Has([&](NodeId id) { return yes.contains(id.value()); });
}

uint64_t Highest(const Quorum& quorum, std::map<uint64_t, uint64_t> indexes) {
  return quorum.Highest([&](NodeId id) { return LogIndex(indexes[id.value()]); }).value();
}

VoteResult Tally(const Quorum& quorum, std::map<uint64_t, bool> answers) {
  Votes votes;
  for (const auto& [id, granted] : answers) votes.Record(NodeId(id), granted);
  return votes.Result(quorum);
}

TEST(QuorumTest, IsMoreThanHalfOfTheVoters) {
  EXPECT_TRUE(Has(Simple({1}), {1}));
  EXPECT_FALSE(Has(Simple({1, 2}), {1}));
  EXPECT_TRUE(Has(Simple({1, 2, 3}), {1, 3}));
  EXPECT_FALSE(Has(Simple({1, 2, 3, 4}), {1, 2}));
  EXPECT_TRUE(Has(Simple({1, 2, 3, 4, 5}), {1, 2, 5}));
}

TEST(QuorumTest, OthersThanVotersDoNotCount) {
  const Quorum quorum({Ids({1, 2, 3}), {}, Ids({4, 5})});
  EXPECT_FALSE(Has(quorum, {1, 4, 5}));
  EXPECT_FALSE(quorum.IsVoter(NodeId(4)));
  EXPECT_TRUE(quorum.IsVoter(NodeId(3)));
}

TEST(QuorumTest, WithoutVotersDecidesNothing) {
  EXPECT_FALSE(Has(Simple({}), {1}));
  EXPECT_EQ(Highest(Simple({}), {{1, 9}}), 0u);
  EXPECT_NE(Tally(Simple({}), {{1, true}}), VoteResult::kWon);
}

TEST(QuorumTest, AVoterNamedTwiceCountsOnce) { EXPECT_FALSE(Has(Simple({1, 1, 2, 3}), {1})); }

TEST(QuorumTest, HighestIsWhatAMajorityHas) {
  EXPECT_EQ(Highest(Simple({1}), {{1, 7}}), 7u);
  EXPECT_EQ(Highest(Simple({1, 2, 3}), {{1, 9}, {2, 4}, {3, 1}}), 4u);
  EXPECT_EQ(Highest(Simple({1, 2, 3, 4}), {{1, 9}, {2, 8}, {3, 3}, {4, 1}}), 3u);
  EXPECT_EQ(Highest(Simple({1, 2, 3}), {{1, 9}}), 0u);
}

TEST(QuorumTest, HighestWorksForManyVoters) {
  std::map<uint64_t, uint64_t> indexes;
  Configuration configuration;
  for (uint64_t id = 1; id <= 21; ++id) {
    configuration.voters.push_back(NodeId(id));
    indexes[id] = id;
  }
  EXPECT_EQ(Highest(Quorum(configuration), indexes), 11u);
}

// Raft paper §6, thesis §4.3.
TEST(JointQuorumTest, NeedsAMajorityOfBothConfigurations) {
  const Quorum joint = Joint({1, 2, 3}, {3, 4, 5});
  EXPECT_FALSE(Has(joint, {1, 2}));
  EXPECT_FALSE(Has(joint, {4, 5}));
  EXPECT_TRUE(Has(joint, {1, 2, 4, 5}));
  EXPECT_TRUE(Has(joint, {1, 3, 4}));
  EXPECT_EQ(Highest(joint, {{1, 9}, {2, 9}, {3, 9}, {4, 2}, {5, 1}}), 2u);
  EXPECT_TRUE(joint.IsVoter(NodeId(1)));
  EXPECT_TRUE(joint.IsVoter(NodeId(5)));
}

TEST(JointQuorumTest, ElectionIsLostWithEitherConfiguration) {
  const Quorum joint = Joint({1, 2, 3}, {4, 5, 6});
  EXPECT_EQ(Tally(joint, {{1, true}, {2, true}}), VoteResult::kPending);
  EXPECT_EQ(Tally(joint, {{1, true}, {2, true}, {4, false}, {5, false}}), VoteResult::kLost);
  EXPECT_EQ(Tally(joint, {{1, true}, {2, true}, {4, true}, {5, true}}), VoteResult::kWon);
}

TEST(VotesTest, ElectionStaysOpenUntilAMajorityAgrees) {
  const Quorum quorum = Simple({1, 2, 3});
  EXPECT_EQ(Tally(quorum, {{1, true}}), VoteResult::kPending);
  EXPECT_EQ(Tally(quorum, {{1, true}, {2, false}}), VoteResult::kPending);
  EXPECT_EQ(Tally(quorum, {{1, true}, {2, true}}), VoteResult::kWon);
  EXPECT_EQ(Tally(quorum, {{2, false}, {3, false}}), VoteResult::kLost);
}

TEST(VotesTest, TheFirstAnswerStands) {
  Votes votes;
  votes.Record(NodeId(1), false);
  votes.Record(NodeId(1), true);
  EXPECT_EQ(votes.Of(NodeId(1)), false);
  votes.Clear();
  EXPECT_EQ(votes.Of(NodeId(1)), std::nullopt);
}

}  // namespace
}  // namespace cairn::raft
