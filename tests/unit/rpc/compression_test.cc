#include "server/rpc/compression.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::rpc {
namespace {

TEST(CompressionTest, GzipGoesThereAndBack) {
  for (const size_t size : {0, 1, 100, 16384, 1000000}) {
    std::string message;
    for (size_t i = 0; i < size; ++i) message.push_back(static_cast<char>(i * i >> 3));
    std::string back;
    ASSERT_EQ(Gunzip(Gzip(message), size, &back), GunzipResult::kOk) << size;
    EXPECT_EQ(back, message);
  }
}

TEST(CompressionTest, BombIsStoppedNearTheLimit) {
  const std::string bomb = Gzip(std::string(64 << 20, '\0'));
  ASSERT_LT(bomb.size(), 1u << 20);
  std::string out;
  EXPECT_EQ(Gunzip(bomb, 1 << 20, &out), GunzipResult::kTooLarge);
  EXPECT_LT(out.capacity(), 4u << 20);
}

TEST(CompressionTest, CorruptAndCutInputIsRefused) {
  const std::string good = Gzip(std::string(1000, 'g'));
  std::string out;
  for (size_t cut = 0; cut < good.size(); ++cut) {
    EXPECT_EQ(Gunzip(good.substr(0, cut), 10000, &out), GunzipResult::kCorrupt) << cut;
  }
  std::string bad_checksum = good;
  bad_checksum[good.size() - 6] ^= 1;
  EXPECT_EQ(Gunzip(bad_checksum, 10000, &out), GunzipResult::kCorrupt);
  EXPECT_EQ(Gunzip(good + "junk", 10000, &out), GunzipResult::kCorrupt);
}

TEST(CompressionTest, SeveralMembersAreOneMessage) {
  std::string out;
  EXPECT_EQ(Gunzip(Gzip("one ") + Gzip("two"), 100, &out), GunzipResult::kOk);
  EXPECT_EQ(out, "one two");
}

}  // namespace
}  // namespace cairn::rpc
