#include "client/endpoint.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Parsed(std::string_view text) {
  const auto endpoint = ParseEndpoint(text);
  return endpoint.ok() ? *endpoint : "error: " + std::string(endpoint.status().message());
}

TEST(EndpointTest, TakesHostAndPortWithOrWithoutHttp) {
  EXPECT_EQ(Parsed("10.0.0.1:2379"), "10.0.0.1:2379");
  EXPECT_EQ(Parsed("http://node-1:4001"), "node-1:4001");
  EXPECT_EQ(Parsed("http://node-1:4001/"), "node-1:4001");
  EXPECT_EQ(Parsed("[::1]:2379"), "[::1]:2379");
}

TEST(EndpointTest, ThePortIsEtcdsWhenLeftOut) {
  EXPECT_EQ(Parsed("node-1"), "node-1:2379");
  EXPECT_EQ(Parsed("[::1]"), "[::1]:2379");
}

TEST(EndpointTest, RefusesHttpsAndSaysWhy) { EXPECT_THAT(Parsed("https://node-1:2379"), HasSubstr("TLS")); }

TEST(EndpointTest, RefusesWhatIsNoEndpoint) {
  for (const char* text :
       {"", "http://", ":2379", "a:b", "a:0", "a:65536", "a:1:2", "ftp://a", "a/b", "u@a", "[::1"}) {
    EXPECT_THAT(Parsed(text), HasSubstr("error")) << text;
  }
}

TEST(EndpointTest, AListIsSeparatedByCommas) {
  EXPECT_THAT(*ParseEndpoints("a:1, http://b:2"), ElementsAre("a:1", "b:2"));
  EXPECT_FALSE(ParseEndpoints("a:1,,b:2").ok());
  EXPECT_FALSE(ParseEndpoints("").ok());
}

}  // namespace
}  // namespace cairn::client
