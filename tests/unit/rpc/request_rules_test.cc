#include "server/rpc/request_rules.h"

#include <gtest/gtest.h>

#include <string_view>
#include <utility>
#include <vector>

namespace cairn::rpc {
namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

bool WellFormed(const Fields& fields) {
  RequestRules rules;
  for (const auto& [name, value] : fields) {
    if (!rules.OnField(name, value)) return false;
  }
  return rules.OnHeadersEnd();
}

const Fields kRequired = {{":method", "POST"}, {":scheme", "http"}, {":path", "/a.B/C"}};

Fields With(const Fields& more) {
  Fields fields = kRequired;
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

TEST(RequestRulesTest, TakesWhatClientsSend) {
  EXPECT_TRUE(WellFormed(kRequired));
  EXPECT_TRUE(WellFormed(With({{":authority", "127.0.0.1:2379"}, {"te", "trailers"}, {"k-bin", "AAE"}})));
  EXPECT_TRUE(WellFormed(With({{":authority", ""}, {"empty", ""}})));
}

TEST(RequestRulesTest, TakesAUrlAsAuthority) {
  EXPECT_TRUE(WellFormed(With({{":authority", "http://127.0.0.1:2379"}})));
}

TEST(RequestRulesTest, EachPseudoFieldButAuthorityMustBeThere) {
  for (size_t missing = 0; missing < kRequired.size(); ++missing) {
    Fields fields = kRequired;
    fields.erase(fields.begin() + static_cast<ptrdiff_t>(missing));
    EXPECT_FALSE(WellFormed(fields)) << kRequired[missing].first;
    fields.emplace_back(kRequired[missing].first, "");
    EXPECT_FALSE(WellFormed(fields)) << "empty " << kRequired[missing].first;
  }
}

TEST(RequestRulesTest, PseudoFieldsComeOnceFirstAndAreKnown) {
  for (const auto& field : kRequired) EXPECT_FALSE(WellFormed(With({field}))) << field.first;
  EXPECT_FALSE(WellFormed(With({{":authority", "a"}, {":authority", "a"}})));
  EXPECT_FALSE(WellFormed(With({{"te", "trailers"}, {":authority", "a"}})));
  EXPECT_FALSE(WellFormed(With({{":status", "200"}})));
  EXPECT_FALSE(WellFormed(With({{":protocol", "websocket"}})));
}

TEST(RequestRulesTest, NamesAndValuesAreClean) {
  EXPECT_FALSE(WellFormed(With({{"Key", "v"}})));
  EXPECT_FALSE(WellFormed(With({{"", "v"}})));
  EXPECT_FALSE(WellFormed(With({{"a b", "v"}})));
  EXPECT_FALSE(WellFormed(With({{"key", "a\nb"}})));
  EXPECT_FALSE(WellFormed(With({{"key", std::string_view("a\0b", 3)}})));
  EXPECT_FALSE(WellFormed(With({{":authority", "a\r\nb"}})));
}

TEST(RequestRulesTest, NothingOfAnHttp1Connection) {
  for (const char* name : {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}) {
    EXPECT_FALSE(WellFormed(With({{name, "x"}}))) << name;
  }
  EXPECT_FALSE(WellFormed(With({{"te", "gzip"}})));
}

TEST(RequestRulesTest, TrailersHaveNoPseudoFields) {
  RequestRules rules;
  for (const auto& [name, value] : kRequired) ASSERT_TRUE(rules.OnField(name, value));
  ASSERT_TRUE(rules.OnHeadersEnd());
  EXPECT_TRUE(rules.OnField("trailer", "v"));
  EXPECT_FALSE(rules.OnField(":authority", "a"));
}

}  // namespace
}  // namespace cairn::rpc
