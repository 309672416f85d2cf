#include "gtest/gtest.h"
#include "tests/unit/mvcc/store_fixture.h"

namespace cairn::storage {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::TxnResponse;

class StoreTest : public testing::Test {
 protected:
  RangeResponse Get(const RangeRequest& request, ClientError expected = ClientError::kOk) {
    const Result result = h_.Run(h_.store().StartRange(request));
    EXPECT_EQ(result.error, expected);
    RangeResponse response;
    EXPECT_TRUE(response.ParseFromString(result.body));
    return response;
  }
  static RangeRequest All() {
    RangeRequest request;
    request.set_key(std::string(1, '\0'));
    request.set_range_end(std::string(1, '\0'));
    return request;
  }
  ClientError Error(cairn::internal::Command command, uint64_t term = 1) {
    return h_.Propose({std::move(command)}, term).results.at(0).result.error;
  }

  StoreHarness h_;
};

TEST_F(StoreTest, AnEmptyStoreIsAtRevisionOne) {
  EXPECT_EQ(h_.store().revision().value(), 1);
  EXPECT_EQ(h_.store().compact_revision().value(), 0);
}

TEST_F(StoreTest, LimitSetsMoreAndLeavesCountAlone) {
  for (char c = 'a'; c <= 'e'; ++c) h_.Propose({PutCommand(std::string(1, c), "v")});
  RangeRequest request = All();
  request.set_limit(2);
  const auto response = Get(request);
  EXPECT_EQ(response.kvs_size(), 2);
  EXPECT_TRUE(response.more());
  EXPECT_EQ(response.count(), 5);
}

TEST_F(StoreTest, SortWithoutOrderTakesTheFirstKeysThenSorts) {
  h_.Propose({PutCommand("a", "9"), PutCommand("b", "8"), PutCommand("c", "1"), PutCommand("d", "0")});
  RangeRequest request = All();
  request.set_sort_target(RangeRequest::VALUE);
  request.set_limit(2);
  const auto response = Get(request);
  ASSERT_EQ(response.kvs_size(), 2);
  EXPECT_EQ(response.kvs(0).key(), "c");  // of a, b and c: one more than the limit is looked at
  EXPECT_EQ(response.kvs(1).key(), "b");
  request.set_sort_order(RangeRequest::DESCEND);
  EXPECT_EQ(Get(request).kvs(0).key(), "a");
}

TEST_F(StoreTest, ReversedAndEmptyRangesAreEmpty) {
  h_.Propose({PutCommand("b", "v")});
  RangeRequest request;
  request.set_key("c");
  request.set_range_end("a");
  EXPECT_EQ(Get(request).count(), 0);
}

TEST_F(StoreTest, OldRevisionsStayReadableUntilCompactedAndAtTheCompactRevision) {
  h_.Propose({PutCommand("a", "1")});
  h_.Propose({PutCommand("a", "2")});
  h_.Propose({DeleteCommand("a")});
  RangeRequest request = All();
  request.set_revision(2);
  EXPECT_EQ(Get(request).kvs(0).value(), "1");
  EXPECT_EQ(Error(CompactCommand(3)), ClientError::kOk);
  h_.Background();
  Get(request, ClientError::kCompacted);
  request.set_revision(3);
  EXPECT_EQ(Get(request).kvs(0).value(), "2");
  EXPECT_EQ(Error(CompactCommand(3)), ClientError::kCompacted);
  EXPECT_EQ(Error(CompactCommand(9)), ClientError::kFutureRevision);
  request.set_revision(9);
  Get(request, ClientError::kFutureRevision);
}

TEST_F(StoreTest, ADeleteAtTheCompactRevisionIsStillSeenByWatchers) {
  h_.Propose({PutCommand("a", "1")});
  h_.Propose({DeleteCommand("a")});
  h_.Propose({CompactCommand(3)});
  h_.Background();
  EXPECT_EQ(h_.store().physically_compacted_revision().value(), 3);
  const auto events = h_.Events(3, 3);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].events[0].is_delete);
  EXPECT_TRUE(absl::IsOutOfRange(
      h_.store().ScanEvents(Revision(2), Revision(3), absl::Milliseconds(1), nullptr, [] {}).status()));
}

TEST_F(StoreTest, IgnoreValueAndIgnoreLeaseNeedAKey) {
  auto put = PutCommand("a", "");
  put.mutable_put()->set_ignore_value(true);
  EXPECT_EQ(Error(put), ClientError::kKeyNotFound);
  h_.Propose({GrantCommand(5, 60), PutCommand("a", "v", 5)});
  EXPECT_EQ(Error(put), ClientError::kOk);  // detaches the lease
  EXPECT_TRUE(h_.store().KeysOfLease(LeaseId(5)).empty());
  EXPECT_EQ(Get(All()).kvs(0).value(), "v");
  put.mutable_put()->set_lease(99);
  EXPECT_EQ(Error(put), ClientError::kLeaseNotFound);
}

TEST_F(StoreTest, RevokeDeletesSortedInOneRevisionAndNegativeIdsWork) {
  h_.Propose({GrantCommand(-5, 60), PutCommand("b", "v", -5), PutCommand("a", "v", -5)});
  EXPECT_EQ(Error(GrantCommand(-5, 60)), ClientError::kLeaseExists);
  cairn::internal::Command revoke;
  revoke.mutable_lease_revoke()->set_id(-5);
  const auto outcome = h_.Propose({revoke});
  ASSERT_EQ(outcome.events.size(), 1u);
  ASSERT_EQ(outcome.events[0].events.size(), 2u);
  EXPECT_EQ(outcome.events[0].events[0].key, "a");
  EXPECT_EQ(Error(revoke), ClientError::kLeaseNotFound);
}

TEST_F(StoreTest, AnExpiryOfAnotherTermDoesNothing) {
  h_.Propose({GrantCommand(5, 60)});
  cairn::internal::Command expire;
  expire.mutable_lease_expire()->set_term(1);
  expire.mutable_lease_expire()->add_ids(5);
  h_.Propose({expire}, 2);
  EXPECT_EQ(h_.store().Leases().size(), 1u);
  h_.Propose({expire}, 1);
  EXPECT_TRUE(h_.store().Leases().empty());
}

TEST_F(StoreTest, ATxnWithAReadOfACompactedRevisionFailsAsAWhole) {
  for (int i = 0; i < 4; ++i) h_.Propose({PutCommand("a", "v")});
  h_.Propose({CompactCommand(4)});
  cairn::internal::Command command;
  auto* success = command.mutable_txn()->mutable_success();
  success->Add()->mutable_request_put()->set_key("b");
  auto* range = success->Add()->mutable_request_range();
  range->set_key("a");
  range->set_revision(2);
  const int64_t before = h_.store().revision().value();
  EXPECT_EQ(Error(command), ClientError::kCompacted);
  EXPECT_EQ(h_.store().revision().value(), before);
  EXPECT_EQ(h_.store().key_count(), 1u);
}

TEST_F(StoreTest, ATxnThatDeletesAKeyThenPutsItWithIgnoreValueIsRefused) {
  h_.Propose({PutCommand("a", "v")});
  cairn::internal::Command command;
  auto* success = command.mutable_txn()->mutable_success();
  auto* all = success->Add()->mutable_request_delete_range();
  all->set_key("a");
  all->set_range_end(std::string(1, '\0'));
  auto* put = success->Add()->mutable_request_put();
  put->set_key("a");
  put->set_ignore_value(true);
  EXPECT_EQ(Error(command), ClientError::kKeyNotFound);
  EXPECT_EQ(h_.store().key_count(), 1u);
}

TEST_F(StoreTest, OverlapsInATxnAreDuplicateKeysUnlessBranchesExclude) {
  etcdserverpb::TxnRequest txn;
  auto* nested = txn.add_success()->mutable_request_txn();
  nested->add_success()->mutable_request_put()->set_key("a");
  nested->add_failure()->mutable_request_put()->set_key("a");
  EXPECT_EQ(h_.store().Check(txn), ClientError::kOk);
  txn.add_success()->mutable_request_put()->set_key("a");
  EXPECT_EQ(h_.store().Check(txn), ClientError::kDuplicateKey);
}

TEST_F(StoreTest, NestedHeadersAreEmptyOthersCarryTheRevision) {
  cairn::internal::Command command;
  auto* nested = command.mutable_txn()->add_success()->mutable_request_txn();
  nested->add_success()->mutable_request_put()->set_key("a");
  command.mutable_txn()->add_success()->mutable_request_range()->set_key("a");
  TxnResponse response;
  const auto outcome = h_.Propose({command});
  ASSERT_TRUE(response.ParseFromString(outcome.results.at(0).result.body));
  const auto& inner = response.responses(0).response_txn();
  EXPECT_TRUE(inner.has_header());
  EXPECT_EQ(inner.header().revision(), 0);
  EXPECT_EQ(inner.responses(0).response_put().header().revision(), 2);
  EXPECT_EQ(response.responses(1).response_range().header().revision(), 2);
  EXPECT_EQ(response.responses(1).response_range().count(), 1);
}

TEST_F(StoreTest, NothingIsVisibleBeforeCommitAndARefusedCommitCanBeRepeated) {
  h_.Propose({PutCommand("a", "1")});
  h_.set_refuse(true);
  h_.ApplyOnly({PutCommand("a", "2"), PutCommand("b", "2")});
  EXPECT_TRUE(absl::IsUnavailable(h_.store().Commit()));
  EXPECT_EQ(h_.store().revision().value(), 2);
  auto response = Get(All());
  ASSERT_EQ(response.count(), 1);
  EXPECT_EQ(response.kvs(0).value(), "1");
  h_.set_refuse(false);
  ASSERT_TRUE(h_.store().Commit().ok());
  EXPECT_EQ(Get(All()).count(), 2);
}

TEST_F(StoreTest, LongReadsAreSlicedAndKeepTheirRevision) {
  for (int i = 0; i < 3000; ++i) h_.Propose({PutCommand("k" + std::to_string(i), "old")});
  const RangeRequest request = All();
  auto run = h_.store().StartRange(request);
  ASSERT_EQ(run->Resume(absl::Microseconds(50), [] {}), ReadRun::Step::kYield);
  for (int i = 0; i < 3000; ++i) h_.Propose({PutCommand("k" + std::to_string(i), "new")});
  h_.Propose({CompactCommand(h_.store().revision().value())});
  h_.Background();
  RangeResponse response;
  ASSERT_TRUE(response.ParseFromString(h_.Run(std::move(run)).body));
  ASSERT_EQ(response.kvs_size(), 3000);
  for (const auto& kv : response.kvs()) ASSERT_EQ(kv.value(), "old");
}

TEST(ColdReadTest, WaitsForTheDiskAndGoesOn) {
  StoreOptions options;
  options.hot_value_bytes = 0;
  StoreHarness h(options);
  h.Propose({PutCommand("a", "1"), PutCommand("b", "2")});
  h.set_cold(true);
  RangeRequest request;
  request.set_key("a");
  request.set_range_end("z");
  RangeResponse response;
  ASSERT_TRUE(response.ParseFromString(h.Run(h.store().StartRange(request)).body));
  EXPECT_EQ(h.turns(), 1);
  EXPECT_EQ(response.kvs(1).value(), "2");
}

}  // namespace
}  // namespace cairn::storage
