#include "server/rpc/status.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::rpc {
namespace {

TEST(StatusTest, PrintableAsciiStaysAndAllElseIsEscaped) {
  EXPECT_EQ(EncodeStatusMessage("etcdserver: no leader~"), "etcdserver: no leader~");
  EXPECT_EQ(EncodeStatusMessage("100%\n"), "100%25%0A");
  EXPECT_EQ(EncodeStatusMessage("ü"), "%C3%BC");
  EXPECT_EQ(EncodeStatusMessage(std::string_view("\0\x7f\xff", 3)), "%00%7F%FF");
}

TEST(StatusTest, LongMessagesAreCutBetweenCharacters) {
  EXPECT_EQ(EncodeStatusMessage(std::string(10000, 'a')).size(), kMaxStatusMessageBytes);
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "日";  // nine bytes each when escaped
  const std::string encoded = EncodeStatusMessage(text);
  EXPECT_LE(encoded.size(), kMaxStatusMessageBytes);
  EXPECT_GT(encoded.size(), kMaxStatusMessageBytes - 9);
  EXPECT_EQ(encoded.size() % 9, 0u);
}

TEST(StatusTest, TimeoutsOfEveryUnit) {
  EXPECT_EQ(ParseTimeout("1H"), absl::Hours(1));
  EXPECT_EQ(ParseTimeout("2M"), absl::Minutes(2));
  EXPECT_EQ(ParseTimeout("3S"), absl::Seconds(3));
  EXPECT_EQ(ParseTimeout("4m"), absl::Milliseconds(4));
  EXPECT_EQ(ParseTimeout("5u"), absl::Microseconds(5));
  EXPECT_EQ(ParseTimeout("6n"), absl::Nanoseconds(6));
  EXPECT_EQ(ParseTimeout("0S"), absl::ZeroDuration());
  EXPECT_EQ(ParseTimeout("99999999H"), absl::Hours(99999999));
}

TEST(StatusTest, MalformedTimeoutsAreRefused) {
  for (const char* text : {"", "S", "1", "1s", "1 S", "-1S", "+1S", "999999999S", "1.5S", "1SS", "0x1S"}) {
    EXPECT_FALSE(ParseTimeout(text)) << text;
  }
}

}  // namespace
}  // namespace cairn::rpc
