// The etcd door over a real connection: the answers' fields, codes and texts, and what is asked of the
// kernel. What is expected here was seen on etcd 3.4.23 where that has the call.
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "tests/unit/etcd/door_fixture.h"

namespace cairn::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST_F(EtcdDoorTest, PutAnswersWithTheNewRevisionAndThePreviousPair) {
  PutRequest request;
  request.set_key("k");
  request.set_value("1");
  request.set_prev_kv(true);
  PutResponse response;
  ASSERT_TRUE(Put(request, &response).ok());
  ExpectHeader(response.header(), 2);
  EXPECT_FALSE(response.has_prev_kv());
  request.set_value("2");
  ASSERT_TRUE(Put(request, &response).ok());
  ExpectHeader(response.header(), 3);
  EXPECT_EQ(response.prev_kv().value(), "1");
}

TEST_F(EtcdDoorTest, RangeGivesTheCurrentRevisionAlsoForAnOldOne) {
  ASSERT_TRUE(Put("k", "1").ok());
  ASSERT_TRUE(Put("k", "2").ok());
  RangeRequest request;
  request.set_key("k");
  request.set_revision(2);
  RangeResponse response;
  ASSERT_TRUE(Call(*kv_, &KV::Stub::Range, request, &response).ok());
  ExpectHeader(response.header(), 3);
  ASSERT_THAT(response.kvs(), SizeIs(1));
  EXPECT_EQ(response.kvs(0).value(), "1");
}

TEST_F(EtcdDoorTest, ARequestThatIsWrongInItselfIsNotProposed) {
  ExpectError(Put("", "v"), ClientError::kEmptyKey);
  PutRequest request;
  request.set_key("k");
  request.set_value("v");
  request.set_ignore_value(true);
  PutResponse response;
  ExpectError(Put(request, &response), ClientError::kValueProvided);
  OnLoop([&] { EXPECT_EQ(kernel_->proposals(), 0); });
}

// etcd counts the request as its log entry carries it; 1,572,840 bytes is the longest value of a key of one
// byte.
TEST_F(EtcdDoorTest, TheLongestValueIsEtcds) {
  EXPECT_TRUE(Put("k", std::string(1'572'840, 'v')).ok());
  ExpectError(Put("k", std::string(1'572'841, 'v')), ClientError::kRequestTooLarge);
}

TEST_F(EtcdDoorTest, ATransactionOfRangesIsARead) {
  TxnRequest request;
  request.add_success()->mutable_request_range()->set_key("k");
  request.add_failure()->mutable_request_range()->set_key("l");
  TxnResponse response;
  ASSERT_TRUE(Call(*kv_, &KV::Stub::Txn, request, &response).ok());
  EXPECT_TRUE(response.succeeded());
  ExpectHeader(response.header(), 1);
  OnLoop([&] {
    EXPECT_EQ(kernel_->read_txns(), 1);
    EXPECT_EQ(kernel_->proposals(), 0);
  });
}

TEST_F(EtcdDoorTest, ATransactionThatMayWriteOrHoldsAnotherIsProposed) {
  TxnRequest writes;
  writes.add_success()->mutable_request_range()->set_key("k");
  writes.add_failure()->mutable_request_put()->set_key("k");
  TxnRequest nested;
  nested.add_success()->mutable_request_txn();
  TxnResponse response;
  ASSERT_TRUE(Call(*kv_, &KV::Stub::Txn, writes, &response).ok());
  ASSERT_TRUE(Call(*kv_, &KV::Stub::Txn, nested, &response).ok());
  OnLoop([&] {
    EXPECT_EQ(kernel_->read_txns(), 0);
    EXPECT_EQ(kernel_->proposals(), 2);
  });
}

TEST_F(EtcdDoorTest, CompactionErrorsComeFromApply) {
  CompactionRequest request;
  request.set_revision(100);
  CompactionResponse response;
  ExpectError(Call(*kv_, &KV::Stub::Compact, request, &response), ClientError::kFutureRevision);
}

TEST_F(EtcdDoorTest, AFailureOfTheKernelIsTheAnswer) {
  OnLoop([&] { kernel_->set_failure(ClientError::kTimeoutLeaderFail); });
  ExpectError(Put("k", "v"), ClientError::kTimeoutLeaderFail);
}

TEST_F(EtcdDoorTest, ACallThatNeedsALeaderFailsAtOnceWithoutOne) {
  OnLoop([&] { kernel_->set_leader(raft::NodeId(0)); });
  RangeRequest request;
  request.set_key("k");
  RangeResponse response;
  ExpectError(Call(*kv_, &KV::Stub::Range, request, &response, /*hasleader=*/true), ClientError::kNoLeader);
  EXPECT_TRUE(Call(*kv_, &KV::Stub::Range, request, &response).ok());
}

TEST_F(EtcdDoorTest, ALeaseWithoutAnIdGetsAPositiveOne) {
  LeaseGrantResponse response;
  ASSERT_TRUE(Grant(0, 10, &response).ok());
  EXPECT_EQ(response.id(), 0x42);
  EXPECT_EQ(response.ttl(), 10);
  ExpectHeader(response.header(), 1);
}

TEST_F(EtcdDoorTest, ATtlBelowTheFloorIsRaised) {
  for (const int64_t ttl : {-1, 0, 1, 2}) {
    LeaseGrantResponse response;
    ASSERT_TRUE(Grant(100 + ttl, ttl, &response).ok());
    EXPECT_EQ(response.ttl(), 2);
  }
}

TEST_F(EtcdDoorTest, TheLongestTtlIsEtcds) {
  LeaseGrantResponse response;
  EXPECT_TRUE(Grant(1, 9'000'000'000, &response).ok());
  ExpectError(Grant(2, 9'000'000'001, &response), ClientError::kLeaseTtlTooLarge);
  ExpectError(Grant(1, 10, &response), ClientError::kLeaseExists);
}

TEST_F(EtcdDoorTest, RevokingAnUnknownLeaseIsNotFound) {
  LeaseRevokeRequest request;
  request.set_id(1);
  LeaseRevokeResponse response;
  ExpectError(Call(*lease_, &Lease::Stub::LeaseRevoke, request, &response), ClientError::kLeaseNotFound);
}

TEST_F(EtcdDoorTest, TimeToLiveShowsTheKeysWhenAsked) {
  LeaseGrantResponse grant;
  ASSERT_TRUE(Grant(-7, 10, &grant).ok());
  ASSERT_TRUE(Put("b", "", -7).ok());
  ASSERT_TRUE(Put("a", "", -7).ok());
  LeaseTimeToLiveRequest request;
  request.set_id(-7);
  LeaseTimeToLiveResponse response;
  ASSERT_TRUE(Call(*lease_, &Lease::Stub::LeaseTimeToLive, request, &response).ok());
  EXPECT_EQ(response.ttl(), 10);
  EXPECT_EQ(response.grantedttl(), 10);
  EXPECT_THAT(response.keys(), SizeIs(0));
  request.set_keys(true);
  ASSERT_TRUE(Call(*lease_, &Lease::Stub::LeaseTimeToLive, request, &response).ok());
  EXPECT_THAT(response.keys(), ElementsAre("a", "b"));
  ExpectHeader(response.header(), 3);
  OnLoop([&] { EXPECT_EQ(kernel_->barriers(), 1); });
}

TEST_F(EtcdDoorTest, TimeToLiveOfAnUnknownLeaseIsMinusOne) {
  LeaseTimeToLiveRequest request;
  request.set_id(9);
  request.set_keys(true);
  LeaseTimeToLiveResponse response;
  ASSERT_TRUE(Call(*lease_, &Lease::Stub::LeaseTimeToLive, request, &response).ok());
  EXPECT_EQ(response.id(), 9);
  EXPECT_EQ(response.ttl(), -1);
  EXPECT_EQ(response.grantedttl(), 0);
}

TEST_F(EtcdDoorTest, LeasesAreListedBehindABarrier) {
  LeaseGrantResponse grant;
  ASSERT_TRUE(Grant(3, 10, &grant).ok());
  LeaseLeasesResponse response;
  ASSERT_TRUE(Call(*lease_, &Lease::Stub::LeaseLeases, LeaseLeasesRequest(), &response).ok());
  ASSERT_THAT(response.leases(), SizeIs(1));
  EXPECT_EQ(response.leases(0).id(), 3);
  OnLoop([&] { EXPECT_EQ(kernel_->barriers(), 1); });
}

class KeepAliveTest : public EtcdDoorTest {
 protected:
  KeepAliveTest() {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream_ = lease_->LeaseKeepAlive(&context_);
  }
  ~KeepAliveTest() override { context_.TryCancel(); }

  void Ask(int64_t id) {
    LeaseKeepAliveRequest request;
    request.set_id(id);
    ASSERT_TRUE(stream_->Write(request));
  }
  // Looks at the loop's state again and again until so many renewals are held: each look is a turn of the
  // loop.
  void AwaitHeld(size_t count) {
    for (size_t held = 0; held < count;) OnLoop([&] { held = kernel_->held_renewals(); });
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<LeaseKeepAliveRequest, LeaseKeepAliveResponse>> stream_;
};

TEST_F(KeepAliveTest, AnUnknownLeaseIsAnsweredWithTtlZeroAndTheStreamGoesOn) {
  LeaseGrantResponse grant;
  ASSERT_TRUE(Grant(3, 10, &grant).ok());
  LeaseKeepAliveResponse response;
  Ask(99);
  ASSERT_TRUE(stream_->Read(&response));
  EXPECT_EQ(response.id(), 99);
  EXPECT_EQ(response.ttl(), 0);
  Ask(3);
  ASSERT_TRUE(stream_->Read(&response));
  EXPECT_EQ(response.ttl(), 10);
  ExpectHeader(response.header(), 1);
  stream_->WritesDone();
  EXPECT_FALSE(stream_->Read(&response));
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(KeepAliveTest, AnswersKeepTheOrderOfTheRequests) {
  OnLoop([&] { kernel_->HoldRenewals(); });
  for (const int64_t id : {1, 2, 3}) Ask(id);
  stream_->WritesDone();
  AwaitHeld(3);
  OnLoop([&] {
    kernel_->Answer(2, {ClientError::kOk, 30, 30});
    kernel_->Answer(0, {ClientError::kOk, 10, 10});
    kernel_->Answer(1, {ClientError::kOk, 20, 20});
  });
  LeaseKeepAliveResponse response;
  for (const int64_t id : {1, 2, 3}) {
    ASSERT_TRUE(stream_->Read(&response));
    EXPECT_EQ(response.id(), id);
    EXPECT_EQ(response.ttl(), id * 10);
  }
  EXPECT_FALSE(stream_->Read(&response));
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(KeepAliveTest, TheHeaderIsFromBeforeTheRenewal) {
  OnLoop([&] { kernel_->HoldRenewals(); });
  Ask(1);
  AwaitHeld(1);
  ASSERT_TRUE(Put("k", "v").ok());
  OnLoop([&] { kernel_->Answer(0, {ClientError::kOk, 10, 10}); });
  LeaseKeepAliveResponse response;
  ASSERT_TRUE(stream_->Read(&response));
  ExpectHeader(response.header(), 1);
}

TEST_F(KeepAliveTest, AnErrorEndsTheStream) {
  OnLoop([&] { kernel_->set_failure(ClientError::kTimeout); });
  Ask(1);
  LeaseKeepAliveResponse response;
  EXPECT_FALSE(stream_->Read(&response));
  ExpectError(stream_->Finish(), ClientError::kTimeout);
}

TEST_F(KeepAliveTest, AStreamWithTooManyRenewalsUnderWayIsNotReadOn) {
  OnLoop([&] { kernel_->HoldRenewals(); });
  for (int64_t id = 1; id <= 6; ++id) Ask(id);
  AwaitHeld(4);
  ASSERT_TRUE(Put("k", "v").ok());  // behind the requests, on the same connection
  OnLoop([&] { EXPECT_EQ(kernel_->held_renewals(), 4u); });
  OnLoop([&] { kernel_->Answer(0, {ClientError::kOk, 10, 10}); });
  AwaitHeld(5);
  ASSERT_TRUE(Put("k", "v").ok());
  OnLoop([&] { EXPECT_EQ(kernel_->held_renewals(), 5u); });
}

TEST_F(KeepAliveTest, AnswersToAStreamThatIsGoneAreDropped) {
  OnLoop([&] { kernel_->HoldRenewals(); });
  Ask(1);
  AwaitHeld(1);
  context_.TryCancel();
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::CANCELLED);
  OnLoop([&] { kernel_->Answer(0, {ClientError::kOk, 10, 10}); });
  EXPECT_TRUE(Put("k", "v").ok());
}

TEST_F(EtcdDoorTest, MembersComeWithAHeaderWithoutRevision) {
  MemberListResponse response;
  ASSERT_TRUE(Call(*cluster_, &Cluster::Stub::MemberList, MemberListRequest(), &response).ok());
  ExpectHeader(response.header(), 0);
  ASSERT_THAT(response.members(), SizeIs(2));
  EXPECT_EQ(response.members(0).id(), storage::kSelf);
  EXPECT_EQ(response.members(0).name(), "m1");
  EXPECT_THAT(response.members(0).peerurls(), ElementsAre("http://127.0.0.1:2380"));
  EXPECT_THAT(response.members(0).clienturls(), ElementsAre("http://127.0.0.1:2379"));
  EXPECT_TRUE(response.members(1).islearner());
}

TEST_F(EtcdDoorTest, MembersAreReadThroughAQuorumOnlyWhenAsked) {
  OnLoop([&] { kernel_->set_failure(ClientError::kTimeout); });
  MemberListRequest request;
  MemberListResponse response;
  EXPECT_TRUE(Call(*cluster_, &Cluster::Stub::MemberList, request, &response).ok());
  request.set_linearizable(true);
  ExpectError(Call(*cluster_, &Cluster::Stub::MemberList, request, &response), ClientError::kTimeout);
}

TEST_F(EtcdDoorTest, StatusTellsOfThisMember) {
  StatusResponse response;
  ASSERT_TRUE(Call(*maintenance_, &Maintenance::Stub::Status, StatusRequest(), &response).ok());
  ExpectHeader(response.header(), 1);
  EXPECT_EQ(response.version(), "3.6.0");
  EXPECT_EQ(response.leader(), storage::kSelf);
  EXPECT_EQ(response.raftterm(), LocalKernel::kTerm);
  EXPECT_EQ(response.raftindex(), 102u);
  EXPECT_EQ(response.raftappliedindex(), 101u);
  EXPECT_EQ(response.dbsize(), 2000);
  EXPECT_EQ(response.dbsizeinuse(), 1000);
  EXPECT_FALSE(response.islearner());
  EXPECT_THAT(response.errors(), ElementsAre("etcdserver: no leader"));
}

TEST_F(EtcdDoorTest, HashKvOfAFutureRevisionIsRefused) {
  HashKVRequest request;
  HashKVResponse response;
  ASSERT_TRUE(Call(*maintenance_, &Maintenance::Stub::HashKV, request, &response).ok());
  EXPECT_EQ(response.hash_revision(), 1);
  request.set_revision(100);
  ExpectError(Call(*maintenance_, &Maintenance::Stub::HashKV, request, &response),
              ClientError::kFutureRevision);
}

TEST_F(EtcdDoorTest, MoveLeaderAnswersWithoutHeader) {
  MoveLeaderRequest request;
  request.set_targetid(8);
  MoveLeaderResponse response;
  ASSERT_TRUE(Call(*maintenance_, &Maintenance::Stub::MoveLeader, request, &response).ok());
  EXPECT_FALSE(response.has_header());
  request.set_targetid(5);
  ExpectError(Call(*maintenance_, &Maintenance::Stub::MoveLeader, request, &response),
              ClientError::kBadLeaderTransferee);
}

TEST_F(EtcdDoorTest, AlarmsAreReadThroughAQuorum) {
  AlarmResponse response;
  ASSERT_TRUE(Call(*maintenance_, &Maintenance::Stub::Alarm, AlarmRequest(), &response).ok());
  EXPECT_FALSE(response.has_header());
  EXPECT_THAT(response.alarms(), SizeIs(0));
  OnLoop([&] { kernel_->set_failure(ClientError::kNoLeader); });
  ExpectError(Call(*maintenance_, &Maintenance::Stub::Alarm, AlarmRequest(), &response),
              ClientError::kNoLeader);
}

TEST_F(EtcdDoorTest, RaisingAnAlarmIsUnimplemented) {
  AlarmRequest request;
  request.set_action(AlarmRequest::ACTIVATE);
  AlarmResponse response;
  EXPECT_EQ(Call(*maintenance_, &Maintenance::Stub::Alarm, request, &response).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

// Failures E23: it ends a member of etcd.
TEST_F(EtcdDoorTest, AnUnknownAlarmActionIsAnInvalidArgument) {
  AlarmRequest request;
  request.set_action(static_cast<AlarmRequest::AlarmAction>(77));
  AlarmResponse response;
  const grpc::Status status = Call(*maintenance_, &Maintenance::Stub::Alarm, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("unknown alarm action"));
  EXPECT_TRUE(Put("k", "v").ok());
}

TEST_F(EtcdDoorTest, ASlowCallIsReportedAFastOneIsNot) {
  ASSERT_TRUE(Put("k", "v").ok());
  OnLoop([&] { kernel_->set_proposal_time(absl::Milliseconds(301)); });
  ASSERT_TRUE(Put("k", "v").ok());
  OnLoop([&] { EXPECT_THAT(slow_, ElementsAre("/etcdserverpb.KV/Put 301ms")); });
}

}  // namespace
}  // namespace cairn::server
