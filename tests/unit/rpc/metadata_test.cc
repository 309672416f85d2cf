#include "server/rpc/metadata.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::rpc {
namespace {

TEST(MetadataTest, Base64GoesThereAndBack) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(DecodeBase64(EncodeBase64(bytes)), bytes);
    bytes.push_back(static_cast<char>(i * 7));
  }
  EXPECT_EQ(EncodeBase64("ab"), "YWI");
}

TEST(MetadataTest, Base64IsReadWithAndWithoutPadding) {
  EXPECT_EQ(DecodeBase64("YWI="), "ab");
  EXPECT_EQ(DecodeBase64("YWI"), "ab");
  EXPECT_EQ(DecodeBase64("YQ=="), "a");
  for (const char* text : {"A", "====", "YW=I", "Y!I", "YWI==", "YW I"})
    EXPECT_FALSE(DecodeBase64(text)) << text;
}

TEST(MetadataTest, BinaryValuesAreDecodedAlsoWhenJoined) {
  Metadata metadata;
  ASSERT_TRUE(metadata.AddFromWire("k-bin", "YQ, YWI="));
  ASSERT_TRUE(metadata.AddFromWire("plain", "YQ"));
  ASSERT_EQ(metadata.entries().size(), 3u);
  EXPECT_EQ(metadata.entries()[0].second, "a");
  EXPECT_EQ(metadata.entries()[1].second, "ab");
  EXPECT_EQ(metadata.Find("plain"), "YQ");
  EXPECT_EQ(metadata.Find("other"), std::nullopt);
  EXPECT_FALSE(metadata.AddFromWire("k-bin", "?"));
}

TEST(MetadataTest, NamesOfHttpAndGrpcAreReserved) {
  for (const char* key : {":path", "grpc-status", "grpc-timeout", "te", "content-type", "user-agent", ""}) {
    EXPECT_TRUE(IsReservedKey(key)) << key;
  }
  EXPECT_FALSE(IsReservedKey("token"));
}

}  // namespace
}  // namespace cairn::rpc
