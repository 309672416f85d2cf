// The published schema of `-o json` (client/README.md): a change here breaks scripts.
#include "client/cli/json.h"

#include <string>

#include "gtest/gtest.h"

namespace cairn::client {
namespace {

void FillHeader(etcdserverpb::ResponseHeader* header) {
  header->set_cluster_id(0xc1);
  header->set_member_id(0xfedcba9876543210);
  header->set_revision(7);
  header->set_raft_term(3);
}
const std::string kHeader =
    R"("header":{"cluster_id":"00000000000000c1","member_id":"fedcba9876543210","revision":7,"raft_term":3})";

mvccpb::KeyValue Pair(const std::string& key, const std::string& value) {
  mvccpb::KeyValue kv;
  kv.set_key(key);
  kv.set_value(value);
  kv.set_create_revision(4);
  kv.set_mod_revision(6);
  kv.set_version(2);
  return kv;
}

TEST(JsonTest, BytesThatAreNotTextAreBase64) {
  EXPECT_EQ(BytesToJson("grüße").dump(), "\"grüße\"");
  EXPECT_EQ(BytesToJson("").dump(), "\"\"");
  EXPECT_EQ(BytesToJson("\xff\xfe").dump(), R"({"base64":"//4="})");
}

TEST(JsonTest, Get) {
  etcdserverpb::RangeResponse response;
  FillHeader(response.mutable_header());
  *response.add_kvs() = Pair("k", "v");
  response.mutable_kvs(0)->set_lease(-1);
  response.set_count(9);
  response.set_more(true);
  EXPECT_EQ(ToJson(response).dump(),
            "{" + kHeader +
                R"(,"kvs":[{"key":"k","value":"v","create_revision":4,"mod_revision":6,"version":2,)"
                R"("lease":"ffffffffffffffff"}],"more":true,"count":9})");
}

TEST(JsonTest, TransactionNamesEachAnswerByItsCommand) {
  etcdserverpb::TxnResponse response;
  FillHeader(response.mutable_header());
  response.set_succeeded(true);
  response.add_responses()->mutable_response_range();
  response.add_responses()->mutable_response_put();
  response.add_responses()->mutable_response_delete_range()->set_deleted(1);
  EXPECT_EQ(ToJson(response).dump(),
            "{" + kHeader +
                R"(,"succeeded":true,"responses":[{"get":{"kvs":[],"more":false,"count":0}},{"put":{}},)"
                R"({"del":{"deleted":1}}]})");
}

TEST(JsonTest, WatchEvents) {
  etcdserverpb::WatchResponse response;
  FillHeader(response.mutable_header());
  *response.add_events()->mutable_kv() = Pair("k", "v");
  mvccpb::Event& deleted = *response.add_events();
  deleted.set_type(mvccpb::Event::DELETE);
  deleted.mutable_kv()->set_key("k");
  deleted.mutable_kv()->set_mod_revision(7);
  *deleted.mutable_prev_kv() = Pair("k", "v");
  const std::string pair = R"({"key":"k","value":"v","create_revision":4,"mod_revision":6,"version":2})";
  EXPECT_EQ(ToJson(response).dump(),
            "{" + kHeader + R"(,"events":[{"type":"put","kv":)" + pair +
                R"(},{"type":"delete","kv":{"key":"k","mod_revision":7},"prev_kv":)" + pair + "}]}");
}

TEST(JsonTest, AnUnknownLeaseIsNotFound) {
  etcdserverpb::LeaseTimeToLiveResponse response;
  FillHeader(response.mutable_header());
  response.set_id(0x10);
  response.set_ttl(-1);
  EXPECT_EQ(ToJson(response).dump(), "{" + kHeader + R"(,"lease":"0000000000000010","found":false})");
}

}  // namespace
}  // namespace cairn::client
