#include "client/cli/text.h"

#include <sstream>
#include <string>

#include "client/cli/table.h"
#include "gtest/gtest.h"

namespace cairn::client {
namespace {

using namespace std::string_literals;  // NOLINT: strings with zero bytes

TEST(Utf8Test, KnowsItFromOtherBytes) {
  for (const char* text : {"", "plain", "grüße", "日本", "\U0001f600", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
  for (const char* bytes :
       {"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "a\x80"}) {
    EXPECT_FALSE(IsUtf8(bytes)) << Printable(bytes);
  }
}

TEST(PrintableTest, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(Printable("a\nb\tc\\d"), "a\\nb\\tc\\\\d");
  EXPECT_EQ(Printable("\x1b[31m\x7f\0"s), "\\x1b[31m\\x7f\\x00");
  EXPECT_EQ(Printable("grüße \xff"), "grüße \\xff");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");
  EXPECT_EQ(Printable("say \"hi\""), "say \"hi\"");
  EXPECT_EQ(Quoted("say \"hi\""), "\"say \\\"hi\\\"\"");
}

TEST(CellTest, CutsLongValuesBetweenCharacters) {
  EXPECT_EQ(Cell(std::string(200, 'a')), std::string(200, 'a'));
  EXPECT_EQ(Cell(std::string(201, 'a')), std::string(200, 'a') + "… (201 bytes)");
  EXPECT_EQ(Cell(std::string(199, 'a') + "üü"), std::string(199, 'a') + "… (203 bytes)");
}

TEST(IdTest, IsHexadecimal) {
  EXPECT_EQ(FormatId(0x7f3a), "0000000000007f3a");
  EXPECT_EQ(*ParseId("7f3a"), 0x7f3au);
  EXPECT_EQ(*ParseId("0x7F3A"), 0x7f3au);
  EXPECT_EQ(*ParseId("ffffffffffffffff"), ~uint64_t{0});
  for (const char* text : {"", "0x", "xyz", "12 ", "-1", "10000000000000000"})
    EXPECT_FALSE(ParseId(text).ok()) << text;
}

TEST(TimeoutTest, NeedsAUnitAndMoreThanZero) {
  EXPECT_EQ(*ParseTimeout("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseTimeout("1m"), absl::Minutes(1));
  for (const char* text : {"", "5", "0s", "-1s", "inf", "25h", "soon"})
    EXPECT_FALSE(ParseTimeout(text).ok()) << text;
}

TEST(FormatTest, ShowsBytesAndTimesInFittingUnits) {
  EXPECT_EQ(FormatBytes(17), "17 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(int64_t{5} << 40), "5.0 TiB");
  EXPECT_EQ(FormatElapsed(absl::Microseconds(1240)), "1.2 ms");
  EXPECT_EQ(FormatElapsed(absl::Milliseconds(1500)), "1.5 s");
}

TEST(RangeTest, APrefixEndsBehindItsLastKey) {
  EXPECT_EQ(PrefixEnd("ab"), "ac");
  EXPECT_EQ(PrefixEnd("a\xff"), "b");
  EXPECT_EQ(PrefixEnd("\xff\xff"), "\0"s);
}

TEST(RangeTest, AnEmptyPrefixIsEveryKey) {
  EXPECT_EQ(PrefixRange("").key, "\0"s);
  EXPECT_EQ(PrefixRange("").end, "\0"s);
  EXPECT_EQ(RangeFrom("k").key, "k");
  EXPECT_EQ(RangeFrom("k").end, "\0"s);
}

TEST(TableTest, AlignsColumnsByCharacters) {
  Table table({"NAME", ">COUNT", "NOTE"});
  table.Add({"grün", "7", ""});
  table.Add({"a", "1000", "x"});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str(),
            "NAME  COUNT  NOTE\n"
            "grün      7\n"
            "a      1000  x\n");
}

}  // namespace
}  // namespace cairn::client
