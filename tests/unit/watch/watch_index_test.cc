#include "server/watch/watch_index.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<WatchGroup*> Find(const WatchIndex& index, std::string_view key) {
  std::vector<WatchGroup*> found;
  index.Find(key, &found);
  return found;
}

WatchRange Single(std::string_view key) { return {.key = key, .end = {}}; }
WatchRange Bounded(std::string_view key, std::string_view end) {
  return {.kind = WatchRange::Kind::kBounded, .key = key, .end = end};
}
WatchRange From(std::string_view key) { return {.kind = WatchRange::Kind::kFromKey, .key = key, .end = {}}; }

TEST(WatchIndexTest, PutsWatchersOfTheSameRangeAndWishesIntoOneGroup) {
  WatchIndex index;
  WatchGroup* const group = index.Acquire(Single("a"), {});
  EXPECT_EQ(index.Acquire(Single("a"), {}), group);
  WatchGroup* const other = index.Acquire(Single("a"), {.prev_kv = true});
  EXPECT_NE(other, group);
  EXPECT_THAT(Find(index, "a"), ElementsAre(group, other));
  EXPECT_THAT(Find(index, "b"), IsEmpty());
  index.Release(group);
  EXPECT_THAT(Find(index, "a"), ElementsAre(group, other));
  index.Release(group);
  EXPECT_THAT(Find(index, "a"), ElementsAre(other));
  index.Release(other);
  EXPECT_THAT(Find(index, "a"), IsEmpty());
}

TEST(WatchIndexTest, DoesNotKeepTheRequestsBytes) {
  WatchIndex index;
  std::string key = "a key that is too long for the small string form";
  WatchGroup* const group = index.Acquire(Single(key), {});
  const std::string same = key;
  key.assign(key.size(), 'x');
  EXPECT_THAT(Find(index, same), ElementsAre(group));
  index.Release(group);
}

TEST(WatchIndexTest, TellsASingleKeyFromARangeThatBeginsThere) {
  WatchIndex index;
  WatchGroup* const single = index.Acquire(Single("a"), {});
  WatchGroup* const bounded = index.Acquire(Bounded("a", "b"), {});
  WatchGroup* const from = index.Acquire(From("a"), {});
  EXPECT_THAT(Find(index, "a"), ElementsAre(single, bounded, from));
  EXPECT_THAT(Find(index, "ab"), ElementsAre(bounded, from));
  EXPECT_THAT(Find(index, "b"), ElementsAre(from));
  for (WatchGroup* group : {single, bounded, from}) index.Release(group);
}

// Against trying every range. Ranges come and go, so that the tree turns in every way.
TEST(WatchIndexTest, FindsWhatTryingEveryRangeFinds) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    auto key = [&random] {
      std::string made(1 + random() % 3, 'a');
      for (char& c : made) c = static_cast<char>('a' + random() % 4);
      return made;
    };
    WatchIndex index;
    std::vector<WatchGroup*> held;  // one entry a watcher
    for (int step = 0; step < 600; ++step) {
      const std::string first = key();
      const std::string second = key();
      if (held.empty() || random() % 5 < 3) {
        WatchRange range = Single(first);
        if (random() % 3 == 0) range = From(first);
        if (random() % 2 == 0 && first != second)
          range = Bounded(std::min(first, second), std::max(first, second));
        held.push_back(index.Acquire(range, {.no_put = random() % 2 == 0}));
      } else {
        std::swap(held[random() % held.size()], held.back());
        index.Release(held.back());
        held.pop_back();
      }
      const std::string probe = key();
      std::vector<WatchGroup*> expected;
      for (WatchGroup* group : held) {
        if (group->range().Contains(probe)) expected.push_back(group);
      }
      std::sort(expected.begin(), expected.end());
      expected.erase(std::unique(expected.begin(), expected.end()), expected.end());
      std::vector<WatchGroup*> found = Find(index, probe);
      std::sort(found.begin(), found.end());
      ASSERT_EQ(found, expected) << "key " << probe;
    }
    for (WatchGroup* group : held) index.Release(group);
  }
}

// 20,000 ranges side by side: a search must not walk along them all.
TEST(WatchIndexTest, StaysShallowWhenRangesComeInOrder) {
  WatchIndex index;
  std::vector<WatchGroup*> held;
  auto name = [](int i) {
    std::string digits = std::to_string(i);
    return std::string(6 - digits.size(), '0') + digits;
  };
  for (int i = 0; i < 20'000; ++i) held.push_back(index.Acquire(Bounded(name(i), name(i + 1)), {}));
  for (int i = 0; i < 20'000; ++i)
    ASSERT_THAT(Find(index, name(i)), ElementsAre(held[static_cast<size_t>(i)]));
  for (WatchGroup* group : held) index.Release(group);
  EXPECT_THAT(Find(index, name(5)), IsEmpty());
}

}  // namespace
}  // namespace cairn::server
