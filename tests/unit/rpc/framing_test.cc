#include "server/rpc/framing.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cairn::rpc {
namespace {

std::string Framed(std::string_view message, bool compressed = false) {
  const auto header = FrameHeader(compressed, message.size());
  return std::string(header.begin(), header.end()) + std::string(message);
}

TEST(FramingTest, HeaderIsFlagAndBigEndianLength) {
  const auto header = FrameHeader(true, 0x01020304);
  EXPECT_EQ(std::string(header.begin(), header.end()), std::string("\x01\x01\x02\x03\x04"));
}

TEST(FramingTest, MessagesComeOutWhateverTheSplit) {
  const std::vector<std::string> messages = {"",   "a", std::string(300, 'b'), "", std::string(70000, 'c'),
                                             "end"};
  std::string wire;
  for (const std::string& message : messages) wire += Framed(message);
  for (const size_t step : {1, 2, 3, 5, 7, 64, 4096, 100000}) {
    FrameReader reader;
    std::vector<std::string> read;
    for (size_t at = 0; at < wire.size(); at += step) {
      const std::string chunk = wire.substr(at, step);
      reader.Feed(chunk);
      Frame frame;
      while (reader.Pull(1 << 20, &frame) == FrameReader::Result::kMessage) read.emplace_back(frame.payload);
      reader.Keep();
    }
    EXPECT_EQ(read, messages) << "in steps of " << step;
    EXPECT_EQ(reader.waiting_bytes(), 0u);
  }
}

TEST(FramingTest, WholeMessageIsReadWhereItLies) {
  const std::string wire = Framed("in place");
  FrameReader reader;
  reader.Feed(wire);
  Frame frame;
  ASSERT_EQ(reader.Pull(100, &frame), FrameReader::Result::kMessage);
  EXPECT_EQ(frame.payload.data(), wire.data() + kFrameHeaderBytes);
  EXPECT_EQ(reader.kept_bytes(), 0u);
}

TEST(FramingTest, UnreadMessagesAreKeptInOrderAcrossChunks) {
  FrameReader reader;
  for (const char* message : {"one", "two", "three"}) {
    const std::string chunk = Framed(message);
    reader.Feed(chunk);
    reader.Keep();
  }
  Frame frame;
  for (const char* message : {"one", "two", "three"}) {
    ASSERT_EQ(reader.Pull(100, &frame), FrameReader::Result::kMessage);
    EXPECT_EQ(frame.payload, message);
  }
  EXPECT_EQ(reader.Pull(100, &frame), FrameReader::Result::kNeedMore);
}

TEST(FramingTest, TooLargeIsSeenFromTheHeaderAlone) {
  const auto header = FrameHeader(false, 101);
  FrameReader reader;
  reader.Feed({header.data(), header.size()});
  Frame frame;
  EXPECT_EQ(reader.Pull(100, &frame), FrameReader::Result::kTooLarge);
  EXPECT_EQ(frame.announced_bytes, 101u);
}

TEST(FramingTest, FlagOtherThanZeroOrOneIsRefused) {
  FrameReader reader;
  reader.Feed(std::string_view("\x02\0\0\0\0", 5));
  Frame frame;
  EXPECT_EQ(reader.Pull(100, &frame), FrameReader::Result::kBadFlag);
}

TEST(FramingTest, AnnouncedLengthCostsNoMemory) {
  const auto header = FrameHeader(false, 1 << 30);
  FrameReader reader;
  reader.Feed({header.data(), header.size()});
  reader.Keep();
  EXPECT_EQ(reader.kept_bytes(), kFrameHeaderBytes);
}

}  // namespace
}  // namespace cairn::rpc
