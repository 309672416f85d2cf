// Scripted scenes with whole members on the simulator's network, disks and clock: what callers of the kernel
// are told, and when.
#include "server/node/node.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/member.h"
#include "tests/simulation/network.h"
#include "tests/simulation/scheduler.h"

namespace cairn::server {
namespace {

using sim::Member;
using ::testing::AnyOf;

internal::Command PutOf(const std::string& key) {
  internal::Command command;
  command.mutable_put()->set_key(key);
  command.mutable_put()->set_value("v");
  return command;
}

// An answer to come. Fails the test when it comes twice.
template <typename T>
struct Answer {
  std::optional<T> value;
  int count = 0;
};

class NodeTest : public ::testing::Test {
 protected:
  void Begin(NodeOptions options = {}, absl::Duration delay = absl::Microseconds(500)) {
    sim::NetworkFaults calm;
    calm.slow = 0;
    calm.clogged = 0;
    calm.delay = delay;
    network_.SetFaults(calm);
    sim::DiskFaults quick;
    quick.slow_sync = 0;
    quick.cold = 0;
    options.cluster_id = 1;
    for (uint64_t i = 1; i <= 3; ++i) {
      options.configuration.voters.emplace_back(i);
      options.members.push_back({raft::NodeId(i), "m" + std::to_string(i), {}, {}, false});
    }
    for (raft::NodeId id : options.configuration.voters) {
      options.self = id;
      members_.push_back(std::make_unique<Member>(scheduler_, network_, dice_, options, quick));
      members_.back()->on_fatal = [](const absl::Status& why) { ADD_FAILURE() << why.ToString(); };
    }
    for (auto& member : members_) member->Start();
    ASSERT_TRUE(RunUntil([this] { return Leader() != nullptr && AllKnowLeader(); }));
    RunFor(absl::Seconds(1));  // they tell each other of themselves
  }

  void RunFor(absl::Duration time) {
    // The ticks of the members end the loop: there is always one more event.
    const absl::Duration end = scheduler_.now() + time;
    bool over = false;
    scheduler_.After(time, [&over] { over = true; });
    while (!over && scheduler_.now() <= end) ASSERT_TRUE(scheduler_.RunNext());
  }
  bool RunUntil(const std::function<bool()>& reached, absl::Duration limit = absl::Seconds(15)) {
    const absl::Duration end = scheduler_.now() + limit;
    while (!reached()) {
      if (scheduler_.now() > end || !scheduler_.RunNext()) return false;
    }
    return true;
  }

  Member* Leader() {
    for (auto& member : members_) {
      if (member->running() && member->node().raft().role() == raft::Role::kLeader) return member.get();
    }
    return nullptr;
  }
  bool AllKnowLeader() {
    for (auto& member : members_) {
      if (member->running() && member->node().leader() != Leader()->id()) return false;
    }
    return true;
  }
  Member& Follower(int number = 0) {
    for (auto& member : members_) {
      if (member->running() && member.get() != Leader() && number-- == 0) return *member;
    }
    ADD_FAILURE() << "no such follower";
    return *members_.front();
  }

  using Result = std::shared_ptr<Answer<storage::Result>>;
  static Result Propose(Member& member, internal::Command command) {
    auto answer = std::make_shared<Answer<storage::Result>>();
    member.node().Propose(std::move(command), [answer](storage::Result&& result) {
      answer->value = std::move(result);
      EXPECT_EQ(++answer->count, 1);
    });
    return answer;
  }
  static Result Range(Member& member, bool serializable) {
    auto answer = std::make_shared<Answer<storage::Result>>();
    etcdserverpb::RangeRequest request;
    request.set_key("k");
    request.set_serializable(serializable);
    member.node().Range(std::move(request), [answer](storage::Result&& result) {
      answer->value = std::move(result);
      EXPECT_EQ(++answer->count, 1);
    });
    return answer;
  }
  static std::shared_ptr<Answer<ClientError>> MoveLeader(Member& member, raft::NodeId to) {
    auto answer = std::make_shared<Answer<ClientError>>();
    member.node().MoveLeader(to, [answer](ClientError error) {
      answer->value = error;
      EXPECT_EQ(++answer->count, 1);
    });
    return answer;
  }
  static std::shared_ptr<Answer<LeaseTime>> KeepAlive(Member& member, int64_t lease) {
    auto answer = std::make_shared<Answer<LeaseTime>>();
    member.node().LeaseKeepAlive(storage::LeaseId(lease), [answer](LeaseTime time) {
      answer->value = time;
      EXPECT_EQ(++answer->count, 1);
    });
    return answer;
  }
  ClientError ErrorOf(const Result& answer, absl::Duration limit = absl::Seconds(15)) {
    EXPECT_TRUE(RunUntil([&] { return answer->value.has_value(); }, limit));
    return answer->value.has_value() ? answer->value->error : ClientError::kOk;
  }
  void Grant(int64_t lease, int64_t ttl_s) {
    internal::Command command;
    command.mutable_lease_grant()->set_id(lease);
    command.mutable_lease_grant()->set_ttl_s(ttl_s);
    ASSERT_EQ(ErrorOf(Propose(*Leader(), std::move(command))), ClientError::kOk);
  }
  bool HasLease(int64_t lease) {
    storage::LeaseInfo info;
    return Leader() != nullptr && Leader()->store().FindLease(storage::LeaseId(lease), &info);
  }

  sim::Scheduler scheduler_;
  sim::Dice dice_{7};
  sim::Network network_{scheduler_, dice_};
  std::vector<std::unique_ptr<Member>> members_;
};

// --- Commands ---

TEST_F(NodeTest, AFollowersCommandIsAnsweredFromItsOwnApply) {
  Begin();
  Member& follower = Follower();
  const Result answer = Propose(follower, PutOf("k"));
  EXPECT_EQ(ErrorOf(answer), ClientError::kOk);
  EXPECT_GE(follower.store().revision(), answer->value->revision);
}

TEST_F(NodeTest, ABrokenConnectionLeavesTheOutcomeOfForwardedCommandsUnknown) {
  Begin();
  Member& follower = Follower();
  const Result answer = Propose(follower, PutOf("k"));
  RunFor(absl::Microseconds(10));  // on its way
  network_.Break(follower.id(), Leader()->id());
  EXPECT_EQ(ErrorOf(answer), ClientError::kTimeoutConnectionLost);
}

TEST_F(NodeTest, WithoutALeaderCommandsWaitThenEndWithNothingDone) {
  Begin();
  Member& last = Follower();
  for (auto& member : members_) {
    if (member.get() != &last) member->Crash(/*silent=*/false);
  }
  RunFor(absl::Seconds(3));
  const absl::Duration asked = scheduler_.now();
  const Result command = Propose(last, PutOf("k"));
  const Result read = Range(last, /*serializable=*/false);
  const Result local = Range(last, /*serializable=*/true);
  EXPECT_EQ(ErrorOf(local), ClientError::kOk);
  EXPECT_EQ(ErrorOf(command), ClientError::kNoLeader);
  EXPECT_EQ(ErrorOf(read), ClientError::kTimeout);
  EXPECT_GE(scheduler_.now() - asked, absl::Seconds(7));
  EXPECT_LE(scheduler_.now() - asked, absl::Seconds(8));
}

TEST_F(NodeTest, ALeaderCutOffFromItsQuorumDoesNotKnowTheOutcome) {
  Begin();
  Member& old = *Leader();
  for (auto& member : members_) {
    if (member.get() == &old) continue;
    network_.Cut(old.id(), member->id());
    network_.Cut(member->id(), old.id());
  }
  const Result command = Propose(old, PutOf("k"));
  const Result read = Range(old, /*serializable=*/false);
  EXPECT_EQ(ErrorOf(command), ClientError::kTimeout);
  EXPECT_EQ(ErrorOf(read), ClientError::kTimeout);
}

TEST_F(NodeTest, ACommandOfADeposedLeaderEndsWithTheFirstEntryOfTheNextTerm) {
  Begin();
  Member& old = *Leader();
  for (auto& member : members_) {
    if (member.get() == &old) continue;
    network_.Cut(old.id(), member->id());
    network_.Cut(member->id(), old.id());
  }
  const Result command = Propose(old, PutOf("k"));
  RunFor(absl::Seconds(4));  // the others have elected another
  EXPECT_FALSE(command->value.has_value());
  network_.HealAll();
  EXPECT_EQ(ErrorOf(command, absl::Seconds(2)), ClientError::kLeaderChanged);
}

TEST_F(NodeTest, MoreCallsThanTheLimitAreRefusedAtOnce) {
  NodeOptions options;
  options.max_waiting = 2;
  Begin(std::move(options));
  std::vector<Result> answers;
  for (int i = 0; i < 3; ++i) answers.push_back(Propose(*Leader(), PutOf("k" + std::to_string(i))));
  ASSERT_TRUE(answers[2]->value.has_value());
  EXPECT_EQ(answers[2]->value->error, ClientError::kTooManyRequests);
  EXPECT_EQ(ErrorOf(answers[0]), ClientError::kOk);
  EXPECT_EQ(ErrorOf(answers[1]), ClientError::kOk);
}

TEST_F(NodeTest, CallbacksMayCallTheKernelAgain) {
  Begin();
  int done = 0;
  std::function<void()> put = [&] {
    Leader()->node().Propose(PutOf("k"), [&](storage::Result&& result) {
      EXPECT_EQ(result.error, ClientError::kOk);
      if (++done < 50) put();
    });
  };
  put();
  EXPECT_TRUE(RunUntil([&] { return done == 50; }));
}

// --- The engine ---

TEST_F(NodeTest, AnEngineThatRefusesWritesForAMomentDelaysAnswersButNotTheTerm) {
  Begin();
  Member& leader = *Leader();
  const raft::Term term = leader.node().term();
  leader.RefuseWrites(scheduler_.now() + absl::Milliseconds(400));
  const Result answer = Propose(leader, PutOf("k"));
  RunFor(absl::Milliseconds(390));
  EXPECT_FALSE(answer->value.has_value());
  EXPECT_EQ(ErrorOf(answer, absl::Milliseconds(200)), ClientError::kOk);
  EXPECT_EQ(leader.node().term(), term);
}

TEST_F(NodeTest, ALeaderWhoseEngineGoesOnRefusingHandsOverAndAnswersWhenItCan) {
  Begin();
  Member& leader = *Leader();
  leader.RefuseWrites(scheduler_.now() + absl::Seconds(3));
  const Result answer = Propose(leader, PutOf("k"));
  RunFor(absl::Milliseconds(1500));
  Member* successor = Leader();
  ASSERT_NE(successor, nullptr);
  EXPECT_NE(successor->id(), leader.id());
  EXPECT_EQ(ErrorOf(Propose(*successor, PutOf("other"))), ClientError::kOk);
  EXPECT_FALSE(answer->value.has_value());
  EXPECT_EQ(ErrorOf(answer, absl::Seconds(2)), ClientError::kOk);
}

TEST_F(NodeTest, APhysicalCompactionIsAnsweredWhenTheHistoryIsGoneThoughTheEngineRefuses) {
  Begin();
  Member& leader = *Leader();
  Result last;
  for (int i = 0; i < 400; ++i) last = Propose(leader, PutOf("k"));
  ASSERT_EQ(ErrorOf(last), ClientError::kOk);
  const storage::Revision revision = last->value->revision;
  internal::Command compact;
  compact.mutable_compact()->set_revision(revision.value());
  compact.mutable_compact()->set_physical(true);
  const Result answer = Propose(leader, std::move(compact));
  ASSERT_TRUE(RunUntil([&] { return leader.store().compact_revision() == revision; }));
  // Before the removal begins; a batch waits for the engine as well.
  leader.RefuseWrites(scheduler_.now() + absl::Milliseconds(500));
  const Result put = Propose(leader, PutOf("k"));
  const uint64_t steps = scheduler_.steps();
  RunFor(absl::Milliseconds(490));
  EXPECT_FALSE(answer->value.has_value());
  EXPECT_LT(scheduler_.steps() - steps, 2000u) << "it spins while the engine refuses";
  EXPECT_EQ(ErrorOf(put, absl::Seconds(1)), ClientError::kOk);
  EXPECT_EQ(ErrorOf(answer, absl::Seconds(1)), ClientError::kOk);
  EXPECT_GE(leader.store().physically_compacted_revision(), revision);
}

// --- Reads ---

TEST_F(NodeTest, MembersFarApartStillConfirmReads) {
  Begin({}, /*delay=*/absl::Milliseconds(140));
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(ErrorOf(Range(Follower(), /*serializable=*/false), absl::Seconds(2)), ClientError::kOk);
}

TEST_F(NodeTest, AReadAsksAgainWhenItsConnectionBreaks) {
  Begin();
  Member& follower = Follower();
  const Result read = Range(follower, /*serializable=*/false);
  RunFor(absl::Microseconds(10));
  network_.Break(follower.id(), Leader()->id());
  EXPECT_EQ(ErrorOf(read, absl::Milliseconds(900)), ClientError::kOk);
}

// --- Leases ---

TEST_F(NodeTest, AFollowerKeepsALeaseAlive) {
  Begin();
  Grant(7, 3);
  for (int i = 0; i < 6; ++i) {
    RunFor(absl::Seconds(2));
    const auto answer = KeepAlive(Follower(i % 2), 7);
    ASSERT_TRUE(RunUntil([&] { return answer->value.has_value(); }));
    EXPECT_EQ(answer->value->error, ClientError::kOk);
    EXPECT_EQ(answer->value->ttl_s, 3);
  }
  EXPECT_TRUE(HasLease(7));
  RunFor(absl::Milliseconds(3500));
  EXPECT_FALSE(HasLease(7));
}

TEST_F(NodeTest, WhatIsLeftOfALeaseSurvivesChangesOfLeader) {
  Begin();
  Grant(7, 30);
  for (int i = 0; i < 2; ++i) {
    RunFor(absl::Seconds(14));
    EXPECT_TRUE(HasLease(7));
    const raft::NodeId next = Follower().id();
    const auto moved = MoveLeader(*Leader(), next);
    ASSERT_TRUE(RunUntil([&] { return moved->value.has_value() && Leader() != nullptr; }));
    ASSERT_EQ(*moved->value, ClientError::kOk);
  }
  // 28 s have passed. Counted anew, it would live until 58 s.
  EXPECT_TRUE(RunUntil([&] { return !HasLease(7) && Leader() != nullptr; }, absl::Seconds(12)));
}

// --- Leadership ---

TEST_F(NodeTest, MovesLeadershipToAVoterThatRuns) {
  Begin();
  Member& old = *Leader();
  const raft::NodeId next = Follower().id();
  EXPECT_EQ(*MoveLeader(Follower(), next)->value, ClientError::kNotLeader);
  EXPECT_EQ(*MoveLeader(old, raft::NodeId(99))->value, ClientError::kBadLeaderTransferee);
  EXPECT_EQ(*MoveLeader(old, old.id())->value, ClientError::kOk);
  const auto moved = MoveLeader(old, next);
  ASSERT_TRUE(RunUntil([&] { return moved->value.has_value(); }));
  EXPECT_EQ(*moved->value, ClientError::kOk);
  EXPECT_EQ(old.node().leader(), next);
}

TEST_F(NodeTest, MovingLeadershipToAVoterThatIsDownTimesOut) {
  Begin();
  Member& down = Follower();
  const raft::NodeId id = down.id();
  down.Crash(/*silent=*/false);
  const auto moved = MoveLeader(*Leader(), id);
  ASSERT_TRUE(RunUntil([&] { return moved->value.has_value(); }));
  EXPECT_EQ(*moved->value, ClientError::kTimeout);
  EXPECT_EQ(ErrorOf(Propose(*Leader(), PutOf("k"))), ClientError::kOk);
}

TEST_F(NodeTest, HandingOverServesTheCallsThatComeMeanwhile) {
  Begin();
  Member& old = *Leader();
  bool handed_over = false;
  old.node().HandOver([&] { handed_over = true; });
  const Result answer = Propose(old, PutOf("k"));
  ASSERT_TRUE(RunUntil([&] { return handed_over; }, absl::Seconds(1)));
  EXPECT_NE(old.node().leader(), old.id());
  EXPECT_EQ(ErrorOf(answer, absl::Seconds(1)), ClientError::kOk);
}

TEST_F(NodeTest, AFollowerHasNothingToHandOver) {
  Begin();
  bool handed_over = false;
  Follower().node().HandOver([&] { handed_over = true; });
  EXPECT_TRUE(handed_over);
}

TEST_F(NodeTest, ALeaderWhoseDiskStallsHandsOver) {
  Begin();
  Member& old = *Leader();
  old.StallDisk(scheduler_.now() + absl::Seconds(5));
  const Result stuck = Propose(old, PutOf("k"));
  ASSERT_TRUE(RunUntil([&] { return old.node().raft().role() != raft::Role::kLeader && Leader() != nullptr; },
                       absl::Seconds(2)));
  EXPECT_EQ(ErrorOf(Propose(*Leader(), PutOf("k2")), absl::Seconds(1)), ClientError::kOk);
}

// --- The end ---

TEST_F(NodeTest, StoppingAnswersEverythingOnceAndWhatComesLaterToo) {
  Begin();
  Member& leader = *Leader();
  const Result command = Propose(leader, PutOf("k"));
  const Result read = Range(leader, /*serializable=*/false);
  const auto lease = KeepAlive(leader, 7);
  leader.node().Stop();
  for (const Result& answer :
       {command, read, Propose(leader, PutOf("k")), Range(leader, true), Range(leader, false)}) {
    ASSERT_TRUE(answer->value.has_value());
    EXPECT_EQ(answer->value->error, ClientError::kStopped);
  }
  ASSERT_TRUE(lease->value.has_value());
  EXPECT_EQ(lease->value->error, ClientError::kStopped);
  RunFor(absl::Seconds(1));
}

TEST_F(NodeTest, ACallbackMayStopTheMember) {
  Begin();
  Member& leader = *Leader();
  bool stopped = false;
  leader.node().Propose(PutOf("k"), [&](storage::Result&&) {
    leader.node().Stop();
    stopped = true;
  });
  const Result other = Propose(leader, PutOf("k2"));
  ASSERT_TRUE(RunUntil([&] { return stopped; }));
  EXPECT_THAT(ErrorOf(other), AnyOf(ClientError::kStopped, ClientError::kOk));
  RunFor(absl::Seconds(1));
}

// --- At rest ---

TEST_F(NodeTest, AtRestThereAreHeartbeatsAndNothingElse) {
  Begin();
  RunFor(absl::Seconds(5));
  const uint64_t messages = network_.delivered();
  const uint64_t steps = scheduler_.steps();
  const raft::LogIndex last = Leader()->node().raft().last_index();
  RunFor(absl::Seconds(60));
  // A heartbeat to each follower and its answer, ten times a second.
  EXPECT_LE(network_.delivered() - messages, 60u * 40 + 10);
  // For each of them sending and receiving, the turn that follows, and the tick.
  RecordProperty("events_per_member_and_second", static_cast<int>((scheduler_.steps() - steps) / 180));
  EXPECT_LE((scheduler_.steps() - steps) / 180, 60u);
  EXPECT_EQ(Leader()->node().raft().last_index(), last);
}

}  // namespace
}  // namespace cairn::server
