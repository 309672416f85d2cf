#include "gtest/gtest.h"
#include "tests/unit/mvcc/store_fixture.h"

namespace cairn::storage {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::TxnResponse;

class StoreTest : public testing::TestWithParam<Form> {
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

  StoreHarness h_{{}, GetParam()};
};

TEST_P(StoreTest, AnEmptyStoreIsAtRevisionOne) {
  EXPECT_EQ(h_.store().revision().value(), 1);
  EXPECT_EQ(h_.store().compact_revision().value(), 0);
}

TEST_P(StoreTest, LimitSetsMoreAndLeavesCountAlone) {
  for (char c = 'a'; c <= 'e'; ++c) h_.Propose({PutCommand(std::string(1, c), "v")});
  RangeRequest request = All();
  request.set_limit(2);
  const auto response = Get(request);
  EXPECT_EQ(response.kvs_size(), 2);
  EXPECT_TRUE(response.more());
  EXPECT_EQ(response.count(), 5);
}

TEST_P(StoreTest, SortWithoutOrderTakesTheFirstKeysThenSorts) {
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

TEST_P(StoreTest, ReversedAndEmptyRangesAreEmpty) {
  h_.Propose({PutCommand("b", "v")});
  RangeRequest request;
  request.set_key("c");
  request.set_range_end("a");
  EXPECT_EQ(Get(request).count(), 0);
}

TEST_P(StoreTest, OldRevisionsStayReadableUntilCompactedAndAtTheCompactRevision) {
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

TEST_P(StoreTest, ADeleteAtTheCompactRevisionIsStillSeenByWatchers) {
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

TEST_P(StoreTest, IgnoreValueAndIgnoreLeaseNeedAKey) {
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

TEST_P(StoreTest, RevokeDeletesSortedInOneRevisionAndNegativeIdsWork) {
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

TEST_P(StoreTest, AnExpiryOfAnotherTermDoesNothing) {
  h_.Propose({GrantCommand(5, 60)});
  cairn::internal::Command expire;
  expire.mutable_lease_expire()->set_term(1);
  expire.mutable_lease_expire()->add_ids(5);
  h_.Propose({expire}, 2);
  EXPECT_EQ(h_.store().Leases().size(), 1u);
  h_.Propose({expire}, 1);
  EXPECT_TRUE(h_.store().Leases().empty());
}

TEST_P(StoreTest, ATxnWithAReadOfACompactedRevisionFailsAsAWhole) {
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

TEST_P(StoreTest, ATxnThatDeletesAKeyThenPutsItWithIgnoreValueIsRefused) {
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

TEST_P(StoreTest, OverlapsInATxnAreDuplicateKeysUnlessBranchesExclude) {
  etcdserverpb::TxnRequest txn;
  auto* nested = txn.add_success()->mutable_request_txn();
  nested->add_success()->mutable_request_put()->set_key("a");
  nested->add_failure()->mutable_request_put()->set_key("a");
  EXPECT_EQ(h_.store().Check(txn), ClientError::kOk);
  txn.add_success()->mutable_request_put()->set_key("a");
  EXPECT_EQ(h_.store().Check(txn), ClientError::kDuplicateKey);
}

TEST_P(StoreTest, NestedHeadersAreEmptyOthersCarryTheRevision) {
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

TEST_P(StoreTest, NothingIsVisibleBeforeCommitAndARefusedCommitCanBeRepeated) {
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

TEST_P(StoreTest, LongReadsAreSlicedAndKeepTheirRevision) {
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

class ColdReadTest : public testing::TestWithParam<Form> {};

TEST_P(ColdReadTest, WaitsForTheDiskAndGoesOn) {
  StoreOptions options;
  options.hot_value_bytes = 0;
  StoreHarness h(options, GetParam());
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

TEST_P(StoreTest, MinAndMaxRevisionsFilterTheKeysButNotTheCount) {
  h_.Propose({PutCommand("a", "1")});  // revision 2
  h_.Propose({PutCommand("b", "1")});
  h_.Propose({PutCommand("c", "1")});
  h_.Propose({PutCommand("a", "2")});  // revision 5
  const auto keys = [&](const RangeRequest& request) {
    std::string all;
    const auto response = Get(request);
    for (const auto& kv : response.kvs()) all += kv.key();
    EXPECT_EQ(response.count(), 3);
    return all;
  };
  RangeRequest request = All();
  request.set_min_mod_revision(4);
  EXPECT_EQ(keys(request), "ac");
  request.set_max_mod_revision(4);
  EXPECT_EQ(keys(request), "c");
  request = All();
  request.set_min_create_revision(3);
  EXPECT_EQ(keys(request), "bc");
  request = All();
  request.set_max_create_revision(3);
  EXPECT_EQ(keys(request), "ab");
  request.set_limit(1);
  EXPECT_EQ(keys(request), "a");
  EXPECT_TRUE(Get(request).more());
  request.set_count_only(true);
  EXPECT_EQ(keys(request), "");
}

TEST_P(StoreTest, ACompareOfARangeHoldsWhenItHoldsForEachKeyOfIt) {
  h_.Propose({PutCommand("a", "1"), PutCommand("b", "2"), PutCommand("x", "9")});
  const auto holds = [&](etcdserverpb::Compare::CompareTarget target,
                         etcdserverpb::Compare::CompareResult result, const std::string& value,
                         int64_t number, const std::string& key = "a", const std::string& end = "c") {
    cairn::internal::Command command;
    auto* compare = command.mutable_txn()->add_compare();
    compare->set_key(key);
    compare->set_range_end(end);
    compare->set_target(target);
    compare->set_result(result);
    if (target == etcdserverpb::Compare::VALUE) compare->set_value(value);
    if (target == etcdserverpb::Compare::MOD) compare->set_mod_revision(number);
    if (target == etcdserverpb::Compare::VERSION) compare->set_version(number);
    TxnResponse response;
    EXPECT_TRUE(response.ParseFromString(h_.Propose({command}).results.at(0).result.body));
    return response.succeeded();
  };
  using etcdserverpb::Compare;
  EXPECT_TRUE(holds(Compare::VALUE, Compare::LESS, "3", 0));
  EXPECT_FALSE(holds(Compare::VALUE, Compare::LESS, "2", 0));
  EXPECT_FALSE(holds(Compare::VALUE, Compare::EQUAL, "1", 0));
  EXPECT_TRUE(holds(Compare::MOD, Compare::GREATER, "", 1));
  EXPECT_FALSE(holds(Compare::MOD, Compare::GREATER, "", 2));
  // Nothing there: as if there were one key without a value, of which no value can be said.
  EXPECT_TRUE(holds(Compare::VERSION, Compare::EQUAL, "", 0, "m", "n"));
  EXPECT_FALSE(holds(Compare::VALUE, Compare::EQUAL, "", 0, "m", "n"));
  EXPECT_FALSE(holds(Compare::VALUE, Compare::NOT_EQUAL, "z", 0, "m", "n"));
}

TEST_P(StoreTest, LeaseCheckpointsOfTheEntrysTermSurviveARestart) {
  h_.Propose({GrantCommand(5, 60), GrantCommand(6, 60)});
  cairn::internal::Command checkpoint;
  checkpoint.mutable_lease_checkpoint()->set_term(1);
  auto* remaining = checkpoint.mutable_lease_checkpoint()->add_leases();
  remaining->set_id(5);
  remaining->set_remaining_ttl_s(20);
  checkpoint.mutable_lease_checkpoint()->add_leases()->set_id(99);  // is gone meanwhile: no harm
  const auto outcome = h_.Propose({checkpoint}, 1);
  ASSERT_EQ(outcome.leases.size(), 1u);
  EXPECT_EQ(outcome.leases[0].kind, LeaseChange::Kind::kCheckpointed);
  EXPECT_EQ(outcome.leases[0].granted_ttl_s, 60);
  EXPECT_EQ(outcome.leases[0].remaining_ttl_s, 20);
  remaining->set_remaining_ttl_s(3);
  EXPECT_TRUE(h_.Propose({checkpoint}, 2).leases.empty());  // of term 1, in an entry of term 2
  h_.Flush();
  h_.CrashAndReplay(0);
  LeaseInfo lease;
  ASSERT_TRUE(h_.store().FindLease(LeaseId(5), &lease));
  EXPECT_EQ(lease.remaining_ttl_s, 20);
  ASSERT_TRUE(h_.store().FindLease(LeaseId(6), &lease));
  EXPECT_EQ(lease.remaining_ttl_s, 0);
}

TEST_P(StoreTest, MembersAttributesAreReplacedAndSurviveARestart) {
  cairn::internal::Command command;
  auto* attributes = command.mutable_member_attributes();
  attributes->set_member_id(11);
  attributes->set_name("one");
  attributes->add_client_urls("http://127.0.0.1:1");
  EXPECT_TRUE(h_.Propose({command}).members_changed);
  attributes->set_name("eleven");
  h_.Propose({command});
  attributes->set_member_id(3);
  h_.Propose({command});
  h_.Flush();
  h_.CrashAndReplay(0);
  const auto all = h_.store().MemberAttributes();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].member_id(), 3u);
  EXPECT_EQ(all[1].name(), "eleven");
  EXPECT_EQ(all[1].client_urls(0), "http://127.0.0.1:1");
  EXPECT_EQ(h_.store().revision().value(), 1);
}

TEST_P(StoreTest, KeyValueAtGivesPreviousValuesUntilTheyAreCompacted) {
  h_.Propose({PutCommand("a", "1")});                                             // 2
  h_.Propose({PutCommand("a", "2")});                                             // 3
  const auto event = h_.Propose({DeleteCommand("a")}).events.at(0).events.at(0);  // 4
  const auto value = [&](EventPosition position) -> std::string {
    const auto bytes = h_.store().KeyValueAt(position);
    mvccpb::KeyValue kv;
    return bytes == nullptr ? "none" : kv.ParseFromString(*bytes) ? kv.value() : "damaged";
  };
  EXPECT_EQ(event.previous, (EventPosition{Revision(3), 0}));
  EXPECT_EQ(value(event.previous), "2");
  EXPECT_EQ(value({Revision(2), 0}), "1");
  EXPECT_EQ(value({Revision(4), 0}), "none");  // a deletion
  EXPECT_EQ(value({Revision(3), 1}), "none");  // there was no second change
  h_.Propose({CompactCommand(3)});
  EXPECT_EQ(value({Revision(2), 0}), "none");  // logically gone at once
  EXPECT_EQ(value({Revision(3), 0}), "2");
  h_.Background();
  EXPECT_EQ(value({Revision(3), 0}), "2");
  h_.Propose({CompactCommand(4)});
  EXPECT_EQ(value({Revision(3), 0}), "none");
}

TEST_P(StoreTest, HashKvRefusesFutureAndCompactedRevisions) {
  for (int i = 0; i < 4; ++i) h_.Propose({PutCommand("a", std::to_string(i))});
  const auto hash = [&](int64_t at) { return h_.Run(h_.store().StartHashKv(Revision(at))); };
  EXPECT_EQ(hash(6).error, ClientError::kFutureRevision);
  const Result at_4 = hash(4);
  EXPECT_EQ(at_4.error, ClientError::kOk);
  EXPECT_NE(at_4.body, hash(5).body);
  EXPECT_EQ(hash(0).body, hash(5).body);
  h_.Propose({CompactCommand(4)});
  EXPECT_EQ(hash(3).error, ClientError::kCompacted);
  EXPECT_EQ(hash(4).error, ClientError::kCompacted);  // as in etcd
  EXPECT_EQ(hash(5).error, ClientError::kOk);
}

TEST_P(StoreTest, AMassOfSupersededValuesGoesAndSpaceComesBack) {
  const std::string value(200, 'v');
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 10; ++i) {
      std::vector<cairn::internal::Command> commands;
      for (int k = 0; k < 100; ++k) commands.push_back(PutCommand(std::to_string(i * 100 + k), value));
      h_.Propose(std::move(commands));
    }
  }
  h_.Flush();
  const uint64_t before = h_.store().disk_bytes();
  const int64_t revision = h_.store().revision().value();
  h_.Propose({CompactCommand(revision)});
  h_.Background();
  EXPECT_EQ(h_.store().physically_compacted_revision().value(), revision);
  // Behind the rewriting that the store has asked for.
  bool done = false;
  h_.engine().CompactRange(Family::kLease, "a", "b", [&](absl::Status) { done = true; });
  while (!done) h_.disk().WaitAndDrain();
  EXPECT_LT(h_.store().disk_bytes(), before / 2);
  EXPECT_EQ(Get(All()).count(), 1000);
  h_.CrashAndReplay(0);
  EXPECT_EQ(Get(All()).kvs_size(), 1000);
}

const auto kFormName = [](const auto& info) { return NameOf(info.param); };
INSTANTIATE_TEST_SUITE_P(Forms, StoreTest, testing::Values(Form::kMemory, Form::kRocksDb), kFormName);
INSTANTIATE_TEST_SUITE_P(Forms, ColdReadTest, testing::Values(Form::kMemory, Form::kRocksDb), kFormName);

}  // namespace
}  // namespace cairn::storage
