// The rules of lease time (docs of server/lease/lessor.h), one test each.
#include "server/lease/lessor.h"

#include <optional>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/fake_loop.h"

namespace cairn::server {
namespace {

using storage::LeaseChange;
using storage::LeaseId;
using storage::LeaseInfo;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kElection = absl::Seconds(1);

class LessorTest : public ::testing::Test {
 protected:
  static Lessor::Options DefaultOptions() {
    Lessor::Options options;
    options.election_timeout = kElection;
    options.max_leases_per_command = 100;
    return options;
  }

  void Lead(std::vector<LeaseInfo> leases = {}) { lessor_.BecomeLeader(raft::Term(7), leases); }

  void Apply(LeaseChange::Kind kind, int64_t id, int64_t granted_s = 0, int64_t remaining_s = 0) {
    const LeaseChange change{kind, LeaseId(id), granted_s, remaining_s};
    lessor_.OnLeaseChanges({&change, 1});
  }
  void Grant(int64_t id, int64_t ttl_s) { Apply(LeaseChange::Kind::kGranted, id, ttl_s); }

  // Time passes with a confirmation every tenth of a second.
  void RunConfirmed(absl::Duration time) {
    const absl::Duration step = absl::Milliseconds(100);
    for (; time >= step; time -= step) {
      clock_.Advance(step);
      lessor_.QuorumConfirmed(clock_.Now());
    }
    clock_.Advance(time);
    lessor_.QuorumConfirmed(clock_.Now());
  }

  std::vector<int64_t> Expired() {
    std::vector<int64_t> ids;
    for (const LeaseId id : lessor_.TakeExpired()) ids.push_back(id.value());
    return ids;
  }
  std::vector<std::pair<int64_t, int64_t>> Checkpoints() {
    std::vector<std::pair<int64_t, int64_t>> all;
    for (const Lessor::Remaining& r : lessor_.TakeCheckpoints())
      all.push_back({r.id.value(), r.remaining_ttl_s});
    return all;
  }
  int64_t TimeToLive(int64_t id) { return lessor_.TimeToLive(LeaseId(id)).ttl_s; }

  FakeLoop clock_;
  Lessor lessor_{clock_, DefaultOptions()};
};

TEST_F(LessorTest, ExpiresALeaseAtItsTtlAndNotBefore) {
  Lead();
  Grant(1, 5);
  RunConfirmed(absl::Milliseconds(4999));
  EXPECT_THAT(Expired(), IsEmpty());
  RunConfirmed(absl::Milliseconds(1));
  EXPECT_THAT(Expired(), ElementsAre(1));
}

TEST_F(LessorTest, ExpiresInTheOrderOfDeadlines) {
  Lead();
  Grant(1, 4);
  Grant(2, 3);
  Grant(3, 2);
  RunConfirmed(absl::Seconds(4));
  EXPECT_THAT(Expired(), ElementsAre(3, 2, 1));
}

TEST_F(LessorTest, GivesEachExpiredLeaseOutOnce) {
  Lead();
  Grant(1, 2);
  RunConfirmed(absl::Seconds(2));
  EXPECT_THAT(Expired(), ElementsAre(1));
  RunConfirmed(absl::Seconds(2));
  EXPECT_THAT(Expired(), IsEmpty());
}

TEST_F(LessorTest, ExpiresNothingWithoutAQuorumsConfirmation) {
  Lead();
  Grant(1, 2);
  clock_.Advance(absl::Seconds(100));
  EXPECT_THAT(Expired(), IsEmpty());
}

TEST_F(LessorTest, ARoundBegunBeforeTheDeadlineDoesNotExpireTheLease) {
  Lead();
  Grant(1, 2);
  RunConfirmed(absl::Milliseconds(1900));
  const absl::Duration begun = clock_.Now();
  clock_.Advance(absl::Milliseconds(500));
  lessor_.QuorumConfirmed(begun);  // its answers come after the deadline
  EXPECT_THAT(Expired(), IsEmpty());
}

// A leader paused or cut off (failures E16): its clients could not renew.
TEST_F(LessorTest, AGapWithoutConfirmationIsNotCounted) {
  Lead();
  Grant(1, 5);
  RunConfirmed(absl::Seconds(1));
  clock_.Advance(absl::Seconds(60));
  lessor_.QuorumConfirmed(clock_.Now());
  EXPECT_THAT(Expired(), IsEmpty());
  EXPECT_EQ(TimeToLive(1), 4);
  RunConfirmed(absl::Milliseconds(3900));
  EXPECT_THAT(Expired(), IsEmpty());
  RunConfirmed(absl::Milliseconds(100));
  EXPECT_THAT(Expired(), ElementsAre(1));
}

TEST_F(LessorTest, AConfirmationFromBeforeTheLastOneChangesNothing) {
  Lead();
  Grant(1, 2);
  RunConfirmed(absl::Seconds(1));
  lessor_.QuorumConfirmed(clock_.Now() - absl::Milliseconds(900));
  lessor_.QuorumConfirmed(clock_.Now());
  RunConfirmed(absl::Milliseconds(900));
  EXPECT_THAT(Expired(), IsEmpty());
  RunConfirmed(absl::Milliseconds(100));
  EXPECT_THAT(Expired(), ElementsAre(1));
}

TEST_F(LessorTest, ARenewalStartsTheFullTtlAgain) {
  Lead();
  Grant(1, 5);
  RunConfirmed(absl::Seconds(3));
  EXPECT_EQ(lessor_.Renew(LeaseId(1)).ttl_s, 5);
  RunConfirmed(absl::Milliseconds(4900));
  EXPECT_THAT(Expired(), IsEmpty());
  RunConfirmed(absl::Milliseconds(100));
  EXPECT_THAT(Expired(), ElementsAre(1));
}

TEST_F(LessorTest, ARenewalInAGapHoldsItsPromise) {
  Lead();
  Grant(1, 5);
  clock_.Advance(absl::Seconds(20));
  ASSERT_EQ(lessor_.Renew(LeaseId(1)).ttl_s, 5);
  RunConfirmed(absl::Milliseconds(4900));
  EXPECT_THAT(Expired(), IsEmpty());
}

TEST_F(LessorTest, TimeWithoutLeasesAndConfirmationsDoesNotLengthenTheFirstLease) {
  Lead();
  clock_.Advance(absl::Hours(1));
  Grant(1, 5);
  EXPECT_EQ(TimeToLive(1), 5);
  RunConfirmed(absl::Seconds(5));
  EXPECT_THAT(Expired(), ElementsAre(1));
}

TEST_F(LessorTest, ALongGapLengthensALeaseRenewedInItByTwoElectionTimeoutsAtMost) {
  Lead();
  Grant(1, 5);
  clock_.Advance(absl::Hours(1));
  lessor_.Renew(LeaseId(1));
  RunConfirmed(absl::Milliseconds(100));  // ends the gap
  RunConfirmed(absl::Seconds(5) + 2 * kElection);
  EXPECT_THAT(Expired(), ElementsAre(1));
}

// A round begun before the renewal is confirmed after it, then the next one: both count.
TEST_F(LessorTest, ARenewalBetweenTwoLateConfirmationsHoldsItsPromise) {
  Lead();
  Grant(1, 5);
  clock_.Advance(kElection);
  const absl::Duration begun = clock_.Now();
  clock_.Advance(kElection);
  ASSERT_EQ(lessor_.Renew(LeaseId(1)).ttl_s, 5);
  lessor_.QuorumConfirmed(begun);
  lessor_.QuorumConfirmed(clock_.Now());
  RunConfirmed(absl::Milliseconds(4900));
  EXPECT_THAT(Expired(), IsEmpty());
  RunConfirmed(absl::Milliseconds(100));
  EXPECT_THAT(Expired(), ElementsAre(1));
}

TEST_F(LessorTest, AnUnknownLeaseIsNotRenewed) {
  Lead();
  EXPECT_EQ(lessor_.Renew(LeaseId(1)).ttl_s, 0);
}

TEST_F(LessorTest, ARemovedLeaseIsNotRenewed) {
  Lead();
  Grant(1, 5);
  Apply(LeaseChange::Kind::kRemoved, 1);
  EXPECT_EQ(lessor_.Renew(LeaseId(1)).ttl_s, 0);
  EXPECT_EQ(TimeToLive(1), -1);
  RunConfirmed(absl::Seconds(6));
  EXPECT_THAT(Expired(), IsEmpty());
}

TEST_F(LessorTest, ALeaseWhoseExpiryIsProposedIsNotRenewed) {
  Lead();
  Grant(1, 2);
  RunConfirmed(absl::Seconds(2));
  ASSERT_THAT(Expired(), ElementsAre(1));
  EXPECT_EQ(lessor_.Renew(LeaseId(1)).ttl_s, 0);
  EXPECT_EQ(TimeToLive(1), 0);  // it is there until the entry is applied
}

TEST_F(LessorTest, ADueLeaseNotYetProposedMayStillBeRenewed) {
  Lead();
  Grant(1, 2);
  RunConfirmed(absl::Seconds(3));
  EXPECT_EQ(lessor_.Renew(LeaseId(1)).ttl_s, 2);
  EXPECT_THAT(Expired(), IsEmpty());
}

TEST_F(LessorTest, ARefusedExpiryIsDueAgainAndTheLeaseMayBeRenewed) {
  Lead();
  Grant(1, 2);
  Grant(2, 2);
  RunConfirmed(absl::Seconds(2));
  const std::vector<LeaseId> due = lessor_.TakeExpired();
  ASSERT_THAT(due, SizeIs(2));
  lessor_.ExpiryRefused(due);
  EXPECT_EQ(lessor_.Renew(LeaseId(2)).ttl_s, 2);
  EXPECT_THAT(Expired(), ElementsAre(1));
}

TEST_F(LessorTest, LosingLeadershipForgetsMarksAndTime) {
  Lead();
  Grant(1, 2);
  RunConfirmed(absl::Seconds(2));
  ASSERT_THAT(Expired(), ElementsAre(1));
  lessor_.StepDown();
  EXPECT_FALSE(lessor_.leading());
  EXPECT_EQ(lessor_.NextDeadline(), std::nullopt);
  Lead({{LeaseId(1), 2, 0}});
  EXPECT_EQ(lessor_.Renew(LeaseId(1)).ttl_s, 2);
}

TEST_F(LessorTest, AFollowerCountsNothing) {
  Grant(1, 2);
  EXPECT_EQ(lessor_.lease_count(), 0u);
  lessor_.QuorumConfirmed(clock_.Now() + absl::Seconds(1));
  EXPECT_EQ(lessor_.NextDeadline(), std::nullopt);
}

// Failures E18: etcd starts every TTL anew.
TEST_F(LessorTest, ANewLeaderCountsOnFromTheRemainderInTheLog) {
  Lead({{LeaseId(1), 60, 3}, {LeaseId(2), 60, 0}});
  RunConfirmed(absl::Seconds(3));
  EXPECT_THAT(Expired(), ElementsAre(1));
  EXPECT_EQ(TimeToLive(2), 57);
}

TEST_F(LessorTest, TimeToLiveIsWholeSecondsRoundedDown) {
  Lead();
  Grant(1, 5);
  EXPECT_EQ(TimeToLive(1), 5);
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(TimeToLive(1), 4);
  EXPECT_EQ(lessor_.TimeToLive(LeaseId(1)).granted_ttl_s, 5);
  RunConfirmed(absl::Seconds(10));
  EXPECT_EQ(TimeToLive(1), 0);
}

TEST_F(LessorTest, AnUnrenewedLeaseIsCheckpointedAfterTwoFifthsThenInQuartersOfTheRest) {
  Lead();
  Grant(1, 20);
  RunConfirmed(absl::Milliseconds(7900));
  EXPECT_THAT(Checkpoints(), IsEmpty());
  RunConfirmed(absl::Milliseconds(100));
  EXPECT_THAT(Checkpoints(), ElementsAre(std::pair(1, 12)));
  RunConfirmed(absl::Milliseconds(2900));
  EXPECT_THAT(Checkpoints(), IsEmpty());
  RunConfirmed(absl::Milliseconds(100));
  EXPECT_THAT(Checkpoints(), ElementsAre(std::pair(1, 9)));
}

TEST_F(LessorTest, ALeaseRenewedEveryThirdIsNeverCheckpointed) {
  Lead();
  Grant(1, 30);
  for (int i = 0; i < 20; ++i) {
    RunConfirmed(absl::Seconds(10));
    ASSERT_THAT(Checkpoints(), IsEmpty());
    const Lessor::Renewal renewal = lessor_.Renew(LeaseId(1));
    ASSERT_EQ(renewal.ttl_s, 30);
    ASSERT_FALSE(renewal.needs_clear);
  }
}

TEST_F(LessorTest, ACheckpointIsRoundedUp) {
  Lead();
  Grant(1, 20);
  RunConfirmed(absl::Milliseconds(8100));
  EXPECT_THAT(Checkpoints(), ElementsAre(std::pair(1, 12)));
}

TEST_F(LessorTest, ALongLeaseIsCheckpointedEveryMinute) {
  Lead();
  Grant(1, 86'400);
  RunConfirmed(absl::Seconds(60));
  EXPECT_THAT(Checkpoints(), ElementsAre(std::pair(1, 86'340)));
  RunConfirmed(absl::Seconds(60));
  EXPECT_THAT(Checkpoints(), ElementsAre(std::pair(1, 86'280)));
}

TEST_F(LessorTest, ARenewalNeedsAClearFromTheMomentACheckpointIsGivenOut) {
  Lead();
  Grant(1, 20);
  RunConfirmed(absl::Seconds(8));
  ASSERT_THAT(Checkpoints(), SizeIs(1));
  EXPECT_TRUE(lessor_.Renew(LeaseId(1)).needs_clear);  // on its way
  Apply(LeaseChange::Kind::kCheckpointed, 1, 20, 12);
  EXPECT_TRUE(lessor_.Renew(LeaseId(1)).needs_clear);  // in the log
  Apply(LeaseChange::Kind::kCheckpointed, 1, 20, 0);
  EXPECT_FALSE(lessor_.Renew(LeaseId(1)).needs_clear);  // cleared
}

TEST_F(LessorTest, ACheckpointBehindAClearNeedsAClearOfItsOwn) {
  Lead();
  Grant(1, 20);
  RunConfirmed(absl::Seconds(8));
  ASSERT_THAT(Checkpoints(), SizeIs(1));
  Apply(LeaseChange::Kind::kCheckpointed, 1, 20, 12);
  ASSERT_TRUE(lessor_.Renew(LeaseId(1)).needs_clear);  // its clear is proposed, and applied only below
  RunConfirmed(absl::Seconds(8));
  ASSERT_THAT(Checkpoints(), SizeIs(1));
  Apply(LeaseChange::Kind::kCheckpointed, 1, 20, 0);
  EXPECT_TRUE(lessor_.Renew(LeaseId(1)).needs_clear);
}

TEST_F(LessorTest, ARefusedCheckpointNeedsNoClearAndIsTriedAgain) {
  Lead();
  Grant(1, 20);
  RunConfirmed(absl::Seconds(8));
  const std::vector<Lessor::Remaining> taken = lessor_.TakeCheckpoints();
  ASSERT_THAT(taken, SizeIs(1));
  lessor_.CheckpointRefused(taken);
  RunConfirmed(absl::Seconds(3));
  EXPECT_THAT(Checkpoints(), ElementsAre(std::pair(1, 9)));
  EXPECT_TRUE(lessor_.Renew(LeaseId(1)).needs_clear);
}

TEST_F(LessorTest, ANewLeaderKnowsWhichLeasesStandShortInTheLog) {
  Lead({{LeaseId(1), 60, 30}, {LeaseId(2), 60, 0}});
  EXPECT_TRUE(lessor_.Renew(LeaseId(1)).needs_clear);
  EXPECT_FALSE(lessor_.Renew(LeaseId(2)).needs_clear);
}

TEST_F(LessorTest, TheNextDeadlineIsTheEarliestExpiryOrCheckpointInLoopTime) {
  EXPECT_EQ(lessor_.NextDeadline(), std::nullopt);
  Lead();
  EXPECT_EQ(lessor_.NextDeadline(), std::nullopt);
  const absl::Duration start = clock_.Now();
  Grant(1, 20);
  EXPECT_EQ(lessor_.NextDeadline(), start + absl::Seconds(8));
  Grant(2, 2);
  EXPECT_EQ(lessor_.NextDeadline(), start + absl::Seconds(2));
}

TEST_F(LessorTest, TheNextDeadlineMovesByAGapThatDoesNotCount) {
  Lead();
  Grant(1, 2);
  clock_.Advance(absl::Seconds(30));
  lessor_.QuorumConfirmed(clock_.Now());
  EXPECT_EQ(lessor_.NextDeadline(), clock_.Now() + absl::Seconds(2));
}

TEST_F(LessorTest, MassExpiryComesInBatches) {
  Lead();
  for (int64_t id = 1; id <= 250; ++id) Grant(id, 2);
  RunConfirmed(absl::Seconds(2));
  EXPECT_THAT(Expired(), SizeIs(100));
  EXPECT_THAT(Expired(), SizeIs(100));
  EXPECT_THAT(Expired(), SizeIs(50));
  EXPECT_THAT(Expired(), IsEmpty());
}

TEST_F(LessorTest, CheckpointsComeInBatches) {
  Lead();
  for (int64_t id = 1; id <= 150; ++id) Grant(id, 20);
  RunConfirmed(absl::Seconds(8));
  EXPECT_THAT(Checkpoints(), SizeIs(100));
  EXPECT_THAT(Checkpoints(), SizeIs(50));
}

TEST_F(LessorTest, ALeaseGrantedAgainUnderTheSameIdStartsAfresh) {
  Lead();
  Grant(1, 2);
  RunConfirmed(absl::Seconds(2));
  ASSERT_THAT(Expired(), ElementsAre(1));
  Apply(LeaseChange::Kind::kRemoved, 1);
  Grant(1, 5);
  EXPECT_EQ(lessor_.Renew(LeaseId(1)).ttl_s, 5);
  RunConfirmed(absl::Seconds(5));
  EXPECT_THAT(Expired(), ElementsAre(1));
}

TEST_F(LessorTest, NegativeIdsAreLeasesLikeAnyOther) {
  Lead();
  Grant(-5, 2);
  RunConfirmed(absl::Seconds(2));
  EXPECT_THAT(Expired(), ElementsAre(-5));
}

}  // namespace
}  // namespace cairn::server
