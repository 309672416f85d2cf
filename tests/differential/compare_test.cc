// The comparison itself: it must find what differs, and forgive only what expected_differences.h lists.
#include "tests/differential/compare.h"

#include <gtest/gtest.h>

#include "proto/etcd/rpc.pb.h"
#include "tests/differential/streams.h"

namespace cairn::differential {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;

Outcome Ok(const Message& response) {
  Outcome outcome;
  outcome.code = grpc::StatusCode::OK;
  outcome.response.reset(response.New());
  outcome.response->CopyFrom(response);
  return outcome;
}

Outcome Error(grpc::StatusCode code, const std::string& text) {
  Outcome outcome = Ok(RangeResponse());
  outcome.code = code;
  outcome.text = text;
  return outcome;
}

RangeResponse Pairs(const std::vector<std::string>& keys) {
  RangeResponse response;
  response.mutable_header()->set_revision(7);
  for (const std::string& key : keys) {
    auto* kv = response.add_kvs();
    kv->set_key(key);
    kv->set_value("v");
    kv->set_version(1);
    kv->set_mod_revision(5);
  }
  response.set_count(static_cast<int64_t>(keys.size()));
  return response;
}

class CompareTest : public ::testing::Test {
 protected:
  bool Same(const RangeRequest& request, const Message& etcd, const Message& cairn) {
    return CompareOutcomes(MakeCall(request), Ok(etcd), Ok(cairn), names_).empty();
  }

  Translator names_{/*rank_revisions=*/false};
};

TEST_F(CompareTest, EqualAnswersAgree) { EXPECT_TRUE(Same(RangeRequest(), Pairs({"a"}), Pairs({"a"}))); }

TEST_F(CompareTest, FindsAMissingPair) {
  EXPECT_FALSE(Same(RangeRequest(), Pairs({"a", "b"}), Pairs({"a"})));
}

TEST_F(CompareTest, FindsAnotherOrder) {
  EXPECT_FALSE(Same(RangeRequest(), Pairs({"a", "b"}), Pairs({"b", "a"})));
}

TEST_F(CompareTest, FindsEachFieldOfAPair) {
  for (int field = 1; field <= 6; ++field) {
    RangeResponse changed = Pairs({"a"});
    auto* kv = changed.mutable_kvs(0);
    const auto* descriptor = kv->GetDescriptor()->FindFieldByNumber(field);
    if (descriptor->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64) {
      kv->GetReflection()->SetInt64(kv, descriptor, 99);
    } else {
      kv->GetReflection()->SetString(kv, descriptor, "other");
    }
    EXPECT_FALSE(Same(RangeRequest(), Pairs({"a"}), changed)) << descriptor->name();
  }
}

TEST_F(CompareTest, FindsAnotherHeaderRevision) {
  RangeResponse later = Pairs({"a"});
  later.mutable_header()->set_revision(8);
  EXPECT_FALSE(Same(RangeRequest(), Pairs({"a"}), later));
}

TEST_F(CompareTest, FindsAMissingHeader) {
  RangeResponse bare = Pairs({"a"});
  bare.clear_header();
  EXPECT_FALSE(Same(RangeRequest(), Pairs({"a"}), bare));
}

TEST_F(CompareTest, FindsAnotherCodeOrText) {
  const Call call = MakeCall(RangeRequest());
  const Outcome etcd = Error(grpc::StatusCode::OUT_OF_RANGE, "etcdserver: gone");
  EXPECT_EQ(CompareOutcomes(call, etcd, Error(grpc::StatusCode::OUT_OF_RANGE, "etcdserver: gone"), names_),
            "");
  EXPECT_NE(CompareOutcomes(call, etcd, Error(grpc::StatusCode::OUT_OF_RANGE, "etcdserver: Gone"), names_),
            "");
  EXPECT_NE(CompareOutcomes(call, etcd, Error(grpc::StatusCode::NOT_FOUND, "etcdserver: gone"), names_), "");
  EXPECT_NE(CompareOutcomes(call, etcd, Ok(RangeResponse()), names_), "");
}

TEST_F(CompareTest, ForgivesIdentitiesButNotThatOneIsUnset) {
  RangeResponse a = Pairs({"a"}), b = Pairs({"a"});
  a.mutable_header()->set_member_id(1);
  b.mutable_header()->set_member_id(2);
  EXPECT_TRUE(Same(RangeRequest(), a, b));
  b.mutable_header()->clear_member_id();
  EXPECT_FALSE(Same(RangeRequest(), a, b));
}

TEST_F(CompareTest, ForgivesTheOrderOfTiesOnlyWhereSortedByWhatTies) {
  RangeRequest by_version;
  by_version.set_sort_target(RangeRequest::VERSION);
  EXPECT_TRUE(Same(by_version, Pairs({"a", "b"}), Pairs({"b", "a"})));
  RangeResponse other = Pairs({"b", "a"});
  other.mutable_kvs(0)->set_version(2);
  EXPECT_FALSE(Same(by_version, Pairs({"a", "b"}), other));
}

TEST_F(CompareTest, ForgivesWhichTiesTheLimitCutsButNotHowMany) {
  RangeRequest by_version;
  by_version.set_sort_target(RangeRequest::VERSION);
  by_version.set_limit(2);
  RangeResponse a = Pairs({"a", "b"}), b = Pairs({"a", "c"}), shorter = Pairs({"a"});
  for (RangeResponse* response : {&a, &b, &shorter}) {
    response->set_more(true);
    response->set_count(9);
  }
  EXPECT_TRUE(Same(by_version, a, b));
  EXPECT_FALSE(Same(by_version, a, shorter));
}

TEST_F(CompareTest, TranslatesLeaseIdsTheServersChose) {
  RangeResponse a = Pairs({"a"}), b = Pairs({"a"});
  a.mutable_kvs(0)->set_lease(100);
  b.mutable_kvs(0)->set_lease(200);
  EXPECT_FALSE(Same(RangeRequest(), a, b));
  names_.AddLease(100, 200);
  EXPECT_TRUE(Same(RangeRequest(), a, b));
}

TEST(TranslatorTest, RanksRevisionsOfSideBySideClients) {
  Translator names(/*rank_revisions=*/true);
  const int64_t first = names.AddRevision(10, 20);
  const int64_t second = names.AddRevision(15, 22);
  EXPECT_EQ(names.RevisionFromSide(kEtcd, 15), second);
  EXPECT_EQ(names.RevisionFromSide(kCairn, 20), first);
  EXPECT_LT(names.RevisionFromSide(kCairn, 21), 0) << "a revision of somebody else matches nothing";
  RangeRequest request;
  request.set_revision(second);
  names.ToSide(kCairn, &request);
  EXPECT_EQ(request.revision(), 22);
}

WatchItem Event(const std::string& content, int64_t revision) {
  return {WatchItem::kEvent, content, 1, revision};
}

TEST(WatchMatcherTest, EqualEventsAgreeHoweverTheyAreGrouped) {
  WatchMatcher matcher;
  for (Side side : kSides) {
    matcher.Add(side, Event("put a", 2));
    matcher.Add(side, Event("put b", 3));
  }
  EXPECT_EQ(matcher.Match(), "");
  EXPECT_TRUE(matcher.empty());
  EXPECT_EQ(matcher.last_revision(1), 3);
}

TEST(WatchMatcherTest, FindsALostADoubledAndASwappedEvent) {
  const std::vector<std::vector<std::string>> faulty = {{"b", "c"}, {"a", "a", "b"}, {"b", "a"}};
  for (const auto& events : faulty) {
    WatchMatcher matcher;
    for (const char* event : {"a", "b", "c"}) matcher.Add(kEtcd, Event(event, 1));
    for (const std::string& event : events) matcher.Add(kCairn, Event(event, 1));
    EXPECT_NE(matcher.Match(), "");
  }
}

TEST(WatchMatcherTest, AMissingLastEventStaysToBeSeen) {
  WatchMatcher matcher;
  matcher.Add(kEtcd, Event("a", 1));
  EXPECT_EQ(matcher.Match(), "");
  EXPECT_FALSE(matcher.empty());
  EXPECT_NE(matcher.Leftovers().find("only etcd"), std::string::npos);
}

TEST(WatchMatcherTest, LastEventsMayBeMissingOnlyWhereTheClientCanceled) {
  for (const bool canceled : {true, false}) {
    WatchMatcher matcher;
    if (canceled) matcher.CanceledByClient(1);
    matcher.Add(kEtcd, Event("a", 1));
    for (Side side : kSides) matcher.Add(side, {WatchItem::kCanceled, "canceled", 1});
    EXPECT_EQ(matcher.Match().empty(), canceled);
  }
}

}  // namespace
}  // namespace cairn::differential
