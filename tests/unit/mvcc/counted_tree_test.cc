#include <malloc.h>

#include <map>
#include <random>

#include "gtest/gtest.h"
#include "storage/mvcc/key_index.h"

namespace cairn::storage {
namespace {

KeyVersion Version(int64_t mod, bool live) {
  KeyVersion version;
  version.mod = mod;
  version.create = live ? mod : 0;
  version.version = live ? 1 : 0;
  return version;
}

TEST(KeyIndexTest, CountsAndOrderMatchAMapUnderRandomChanges) {
  std::mt19937_64 random(42);
  KeyIndex index;
  std::map<std::string, bool> model;  // key -> live
  for (int64_t revision = 1; revision <= 60000; ++revision) {
    const std::string key = "k" + std::to_string(random() % 5000);
    // Waves of growth and of shrinking, so that nodes split and merge.
    const bool put = random() % 10 < (revision / 10000 % 2 == 0 ? 8u : 2u);
    if (put) {
      index.Apply(key, Version(revision, true));
      model[key] = true;
    } else if (model[key]) {
      index.Apply(key, Version(revision, false));
      model[key] = false;
    }
    if (revision % 500 != 0) continue;
    DeadRevisions dead;
    while (index.Prune(revision, 100, &dead) > 0) {
    }
    std::erase_if(model, [](const auto& entry) { return !entry.second; });
    auto cursor = index.Seek("");
    for (const auto& [expected, live] : model) {
      ASSERT_TRUE(cursor.Valid());
      ASSERT_EQ(cursor.record()->key(), expected);
      ASSERT_EQ(cursor.record()->history, nullptr);
      cursor.Next();
    }
    ASSERT_FALSE(cursor.Valid());
    for (int i = 0; i < 20; ++i) {
      std::string a = "k" + std::to_string(random() % 5000), b = "k" + std::to_string(random() % 5000);
      const auto expected = a < b ? std::distance(model.lower_bound(a), model.lower_bound(b)) : 0;
      ASSERT_EQ(index.CountLive(a, b, false), static_cast<uint64_t>(expected)) << a << ".." << b;
    }
    ASSERT_EQ(index.live_keys(), model.size());
  }
}

TEST(KeyIndexTest, AMillionKeysTakeAtMostAHundredBytesEachBesideTheKey) {
  constexpr int kKeys = 1000000;
  std::mt19937_64 random(1);
  const size_t before = mallinfo2().uordblks;
  KeyIndex index;
  for (int i = 0; i < kKeys; ++i) {
    std::string key = std::to_string(random());
    key.resize(64, 'x');
    index.Apply(key, Version(i + 1, true));
  }
  const size_t each = (mallinfo2().uordblks - before) / kKeys;
  RecordProperty("bytes_per_key", static_cast<int>(each));
  EXPECT_LE(each, 64u + 100u);
  EXPECT_GT(each, 64u);
}

}  // namespace
}  // namespace cairn::storage
