// The rules of the Raft paper (extended version) and of D. Ongaro's thesis, one test each, on single members
// with hand-made messages. Stories of several members are in tests/scenario/.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/unit/raft/cluster.h"

namespace cairn::raft {
namespace {

Message From(uint64_t from, MessageType type, uint64_t term) {
  Message message;
  message.type = type;
  message.from = NodeId(from);
  message.to = NodeId(1);
  message.term = Term(term);
  return message;
}

Message VoteRequest(uint64_t from, uint64_t term, uint64_t log_term = 0, uint64_t index = 0) {
  Message message = From(from, MessageType::kVote, term);
  message.log_term = Term(log_term);
  message.index = LogIndex(index);
  return message;
}

Message Append(uint64_t from, uint64_t term, uint64_t index, uint64_t log_term, std::vector<Entry> entries,
               uint64_t commit = 0) {
  Message message = From(from, MessageType::kAppend, term);
  message.index = LogIndex(index);
  message.log_term = Term(log_term);
  message.entries = std::move(entries);
  message.commit = LogIndex(commit);
  return message;
}

Message Accept(uint64_t from, uint64_t term, uint64_t index) {
  Message message = From(from, MessageType::kAppendReply, term);
  message.index = LogIndex(index);
  return message;
}

// Member 1 of three; 2 and 3 exist only as messages.
class PaperTest : public testing::Test {
 protected:
  PaperTest() : cluster_(3) {
    cluster_.Crash(2);
    cluster_.Crash(3);
  }

  Raft& raft() { return cluster_.raft(1); }
  void Step(Message message) { cluster_.Step(1, std::move(message)); }

  // What the member sent since the last call, of one type.
  std::vector<Message> Sent(MessageType type) {
    std::vector<Message> sent;
    for (const Message& message : cluster_.network()) {
      if (message.type == type) sent.push_back(message);
    }
    cluster_.network().clear();
    return sent;
  }

  // To leadership of term 1 with its no-op at index 1, or of the term after that of a preset hard state.
  void Lead() {
    cluster_.Campaign(1);
    Step(From(2, MessageType::kPreVoteReply, raft().term().value() + 1));
    Step(From(2, MessageType::kVoteReply, raft().term().value()));
    ASSERT_EQ(raft().role(), Role::kLeader);
  }

  Cluster cluster_;
};

TEST_F(PaperTest, S51_AHigherTermMakesAnyoneAFollower) {
  Lead();
  Step(From(2, MessageType::kHeartbeatReply, 7));
  EXPECT_EQ(raft().role(), Role::kFollower);
  EXPECT_EQ(raft().term(), Term(7));
  EXPECT_EQ(cluster_.node(1).log.hard_state.term, Term(7));
}

TEST_F(PaperTest, S51_RequestsOfAnOlderTermAreRefused) {
  Step(From(2, MessageType::kHeartbeat, 5));
  Sent(MessageType::kHeartbeatReply);
  Step(Append(3, 4, 0, 0, {MakeEntry(4, 1, "x")}));
  EXPECT_EQ(raft().last_index(), LogIndex(0));
  const std::vector<Message> replies = Sent(MessageType::kAppendReply);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_TRUE(replies[0].reject);
  EXPECT_EQ(replies[0].term, Term(5));
}

TEST_F(PaperTest, S52_OneVoteATerm) {
  Step(VoteRequest(2, 1));
  Step(VoteRequest(3, 1));
  Step(VoteRequest(2, 1));
  const std::vector<Message> replies = Sent(MessageType::kVoteReply);
  ASSERT_EQ(replies.size(), 3u);
  EXPECT_FALSE(replies[0].reject);
  EXPECT_TRUE(replies[1].reject);
  EXPECT_FALSE(replies[2].reject) << "the same candidate may ask again";
}

TEST_F(PaperTest, S52_TheVoteSurvivesACrash) {
  Step(VoteRequest(2, 1));
  cluster_.Crash(1);
  cluster_.Restart(1);
  Sent(MessageType::kVoteReply);
  Step(VoteRequest(3, 1));
  EXPECT_TRUE(Sent(MessageType::kVoteReply).at(0).reject);
}

TEST_F(PaperTest, Figure2_VotesAndAcknowledgementsWaitForTheDisk) {
  cluster_.node(1).manual_disk = true;
  Step(VoteRequest(2, 1));
  EXPECT_TRUE(Sent(MessageType::kVoteReply).empty());
  cluster_.Persist(1);
  EXPECT_EQ(Sent(MessageType::kVoteReply).size(), 1u);
  Step(Append(2, 1, 0, 0, {MakeEntry(1, 1, "x")}));
  Step(Append(2, 1, 1, 1, {MakeEntry(1, 2, "y")}));
  EXPECT_TRUE(Sent(MessageType::kAppendReply).empty());
  cluster_.Persist(1);
  const std::vector<Message> replies = Sent(MessageType::kAppendReply);
  ASSERT_FALSE(replies.empty());
  EXPECT_EQ(replies.back().index, LogIndex(2));
}

TEST_F(PaperTest, Figure2_AnAcknowledgementWaitsForTheTermToo) {
  Step(Append(2, 1, 0, 0, {MakeEntry(1, 1, "x")}));
  Sent(MessageType::kAppendReply);
  cluster_.node(1).manual_disk = true;
  Step(Append(3, 2, 1, 1, {}));  // durable entries, but term 2 is not
  EXPECT_TRUE(Sent(MessageType::kAppendReply).empty());
  cluster_.Persist(1);
  EXPECT_EQ(Sent(MessageType::kAppendReply).at(0).index, LogIndex(1));
}

TEST_F(PaperTest, S52_ACandidateLeadsOnlyWithItsOwnVoteDurable) {
  cluster_.node(1).manual_disk = true;
  cluster_.Campaign(1);
  Step(From(2, MessageType::kPreVoteReply, 1));
  EXPECT_TRUE(Sent(MessageType::kVote).empty()) << "the request promises this term and log";
  Step(From(2, MessageType::kVoteReply, 1));
  Step(From(3, MessageType::kVoteReply, 1));
  EXPECT_EQ(raft().role(), Role::kCandidate);
  cluster_.Persist(1);
  EXPECT_EQ(raft().role(), Role::kLeader);
}

TEST_F(PaperTest, S52_ACandidateFollowsALeaderOfItsTerm) {
  cluster_.Campaign(1);
  Step(From(2, MessageType::kPreVoteReply, 1));
  Step(From(3, MessageType::kHeartbeat, 1));
  EXPECT_EQ(raft().role(), Role::kFollower);
  EXPECT_EQ(raft().leader(), NodeId(3));
}

TEST_F(PaperTest, S52_ElectionTimeoutsAreSpread) {
  std::set<int> timeouts;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Options options;
    options.seed = seed;
    Cluster cluster(3, 0, options);
    int ticks = 0;
    while (cluster.raft(1).role() == Role::kFollower) cluster.Tick(1), ++ticks;
    EXPECT_GE(ticks, 10);
    EXPECT_LT(ticks, 20);
    timeouts.insert(ticks);
  }
  EXPECT_GT(timeouts.size(), 6u);
}

TEST_F(PaperTest, S53_AppendsNeedAMatchingPositionBefore) {
  Step(Append(2, 1, 0, 0, {MakeEntry(1, 1, "x")}));
  Sent(MessageType::kAppendReply);
  Step(Append(2, 3, 5, 2, {MakeEntry(3, 6, "z")}));
  const std::vector<Message> replies = Sent(MessageType::kAppendReply);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_TRUE(replies[0].reject);
  EXPECT_EQ(replies[0].index, LogIndex(5));
  EXPECT_EQ(replies[0].reject_hint, LogIndex(1)) << "one message skips all that is missing";
  EXPECT_EQ(replies[0].reject_term, Term(1));
}

TEST_F(PaperTest, S53_ALeaderSkipsAWholeTermPerRefusal) {
  std::vector<Entry> log;
  for (uint64_t i = 1; i <= 50; ++i) log.push_back(MakeEntry(i <= 10 ? 1 : 5, i, "x"));
  cluster_.Preset(1, {Term(5), NodeId(0), LogIndex(0)}, log);
  Lead();
  Message refusal = Accept(2, 6, 50);
  refusal.reject = true;
  refusal.reject_hint = LogIndex(40);  // the follower has 1 … 1 3 … 3 up to 40
  refusal.reject_term = Term(3);
  Sent(MessageType::kAppend);
  Step(refusal);
  EXPECT_EQ(Sent(MessageType::kAppend).at(0).index, LogIndex(10));
}

TEST_F(PaperTest, S541_NoVoteForACandidateThatIsBehind) {
  cluster_.Preset(1, {Term(3), NodeId(0), LogIndex(0)}, {MakeEntry(1, 1, "x"), MakeEntry(3, 2, "y")});
  Step(VoteRequest(2, 4, 2, 9));
  EXPECT_TRUE(Sent(MessageType::kVoteReply).at(0).reject);
  Step(VoteRequest(2, 5, 3, 1));
  EXPECT_TRUE(Sent(MessageType::kVoteReply).at(0).reject);
  Step(VoteRequest(2, 6, 3, 2));
  EXPECT_FALSE(Sent(MessageType::kVoteReply).at(0).reject);
}

TEST_F(PaperTest, S542_OnlyEntriesOfItsOwnTermCommitByCounting) {
  cluster_.Preset(1, {Term(2), NodeId(0), LogIndex(0)}, {MakeEntry(1, 1, "x"), MakeEntry(2, 2, "y")});
  Lead();
  Step(Accept(2, 3, 2));
  Step(Accept(3, 3, 2));
  EXPECT_EQ(raft().commit(), LogIndex(0)) << "2:y is on all members";
  Step(Accept(3, 3, 3));
  EXPECT_EQ(raft().commit(), LogIndex(3));
}

TEST_F(PaperTest, S8_ANewLeaderAppendsANoOpOfItsTerm) {
  Lead();
  EXPECT_EQ(cluster_.LogText(1), "1:-");
}

TEST_F(PaperTest, S8_AReadWaitsForTheNoOpAndForAQuorum) {
  Lead();
  Sent(MessageType::kAppend);
  ASSERT_TRUE(raft().ReadIndex(9));
  cluster_.Pump(1);
  EXPECT_TRUE(Sent(MessageType::kHeartbeat).empty());
  Step(Accept(2, 1, 1));
  const std::vector<Message> heartbeats = Sent(MessageType::kHeartbeat);
  ASSERT_EQ(heartbeats.size(), 2u);
  EXPECT_TRUE(cluster_.node(1).reads.empty());
  Message reply = From(3, MessageType::kHeartbeatReply, 1);
  Step(reply);
  EXPECT_TRUE(cluster_.node(1).reads.empty()) << "an answer to an earlier heartbeat";
  reply.context = heartbeats[0].context;
  Step(reply);
  ASSERT_EQ(cluster_.node(1).reads.size(), 1u);
  EXPECT_TRUE(cluster_.node(1).reads.at(9).ok);
}

TEST_F(PaperTest, Thesis96_APreVoteChangesNoTermAndNoVote) {
  Message request = VoteRequest(2, 4);
  request.type = MessageType::kPreVote;
  Step(request);
  EXPECT_FALSE(Sent(MessageType::kPreVoteReply).at(0).reject);
  EXPECT_EQ(raft().term(), Term(0));
  request.from = NodeId(3);
  Step(request);
  EXPECT_FALSE(Sent(MessageType::kPreVoteReply).at(0).reject) << "it may be granted to many";
}

TEST_F(PaperTest, Thesis423_WhoHearsALeaderIgnoresVoteRequests) {
  Step(From(2, MessageType::kHeartbeat, 1));
  Sent(MessageType::kHeartbeatReply);
  Step(VoteRequest(3, 9));
  EXPECT_EQ(raft().term(), Term(1));
  EXPECT_TRUE(Sent(MessageType::kVoteReply).empty());
  Message forced = VoteRequest(3, 9);  // thesis §3.10: a transfer is the leader's own wish
  forced.force = true;
  Step(forced);
  EXPECT_FALSE(Sent(MessageType::kVoteReply).at(0).reject);
}

TEST_F(PaperTest, Thesis310_ATransferTargetCampaignsAtOnceIfItsLeaderSaysSo) {
  Step(From(2, MessageType::kHeartbeat, 1));
  Step(From(3, MessageType::kTimeoutNow, 1));
  EXPECT_EQ(raft().role(), Role::kFollower) << "3 does not lead";
  Step(From(2, MessageType::kTimeoutNow, 1));
  EXPECT_EQ(raft().role(), Role::kCandidate);
  EXPECT_EQ(raft().term(), Term(2));
  for (const Message& request : Sent(MessageType::kVote)) EXPECT_TRUE(request.force);
}

TEST_F(PaperTest, Thesis62_ALeaderStepsDownWithoutAQuorum) {
  Lead();
  cluster_.Tick(1, 5);
  Step(From(3, MessageType::kHeartbeatReply, 1));
  cluster_.Tick(1, 9);
  EXPECT_EQ(raft().role(), Role::kLeader);
  EXPECT_TRUE(raft().quorum_active());
  cluster_.Tick(1, 1);
  EXPECT_EQ(raft().role(), Role::kFollower);
  EXPECT_EQ(raft().term(), Term(1));
}

TEST_F(PaperTest, Thesis1021_TheLeaderCountsItselfOnlyWhenDurable) {
  Lead();
  cluster_.node(1).manual_disk = true;
  Step(Accept(2, 1, 1));
  ASSERT_EQ(raft().commit(), LogIndex(1));
  Sent(MessageType::kAppend);
  cluster_.Propose(1, "x");
  EXPECT_FALSE(Sent(MessageType::kAppend).empty()) << "sent before its own disk has answered";
  Step(Accept(2, 1, 2));
  EXPECT_EQ(raft().commit(), LogIndex(1));
  cluster_.Persist(1);
  EXPECT_EQ(raft().commit(), LogIndex(2));
}

TEST_F(PaperTest, Thesis1021_AppendsArePipelinedWithinTheWindow) {
  Options options;
  options.max_inflight_appends = 2;
  cluster_ = Cluster(3, 0, options);
  cluster_.Crash(2);
  cluster_.Crash(3);
  Lead();
  Step(Accept(2, 1, 1));
  Sent(MessageType::kAppend);
  for (const char* data : {"a", "b", "c"}) cluster_.Propose(1, data);
  size_t to_2 = 0;
  for (const Message& append : Sent(MessageType::kAppend)) to_2 += append.to == NodeId(2) ? 1 : 0;
  EXPECT_EQ(to_2, 2u);
  Step(Accept(2, 1, 3));
  const std::vector<Message> more = Sent(MessageType::kAppend);
  EXPECT_TRUE(std::any_of(more.begin(), more.end(), [](const Message& append) {
    return append.to == NodeId(2) && append.entries.size() == 1 && *append.entries[0].data == "c";
  }));
}

TEST_F(PaperTest, ProposalsAreBoundedUntilHandedOut) {
  Options options;
  options.max_uncommitted_bytes = 10;
  cluster_ = Cluster(3, 0, options);
  cluster_.Crash(2);
  cluster_.Crash(3);
  EXPECT_EQ(cluster_.Propose(1, "x"), ProposeResult::kNotLeader);
  Lead();
  EXPECT_EQ(cluster_.Propose(1, "more than ten bytes"), ProposeResult::kAccepted) << "the first always is";
  EXPECT_EQ(cluster_.Propose(1, "x"), ProposeResult::kTooMuchUncommitted);
  Step(Accept(2, 1, 2));
  EXPECT_EQ(cluster_.Propose(1, "x"), ProposeResult::kAccepted);
}

TEST_F(PaperTest, ACommitIndexAloneForcesNoSync) {
  Step(Append(2, 1, 0, 0, {MakeEntry(1, 1, "x")}));
  const int syncs = cluster_.node(1).syncs;
  Message heartbeat = From(2, MessageType::kHeartbeat, 1);
  heartbeat.commit = LogIndex(1);
  Step(heartbeat);
  EXPECT_EQ(raft().commit(), LogIndex(1));
  EXPECT_EQ(cluster_.node(1).syncs, syncs);
}

TEST_F(PaperTest, ImpossibleMessagesAreRefusedAndCounted) {
  Step(Append(2, 1, 0, 0, {MakeEntry(1, 1, "x"), MakeEntry(1, 3, "gap")}));
  Step(Append(2, 1, 0, 0, {MakeEntry(2, 1, "of a future term")}));
  Step(Append(2, 1, 0, 0, {MakeEntry(1, 1, "x")}, 1));
  ASSERT_EQ(raft().commit(), LogIndex(1));
  Step(Append(3, 1, 0, 0, {}));                          // a second leader of term 1
  Step(Append(2, 2, 0, 0, {MakeEntry(2, 1, "other")}));  // against a committed entry
  Step(From(2, static_cast<MessageType>(99), 2));
  EXPECT_EQ(raft().refused_count(), 5u);
  EXPECT_EQ(cluster_.LogText(1), "1:x");
}

}  // namespace
}  // namespace cairn::raft
