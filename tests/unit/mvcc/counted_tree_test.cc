#include "storage/mvcc/counted_tree.h"

#include <malloc.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

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

// The tree beside a sorted vector of keys and whether each is live.
class TreeRun {
 public:
  explicit TreeRun(uint64_t seed) : random_(seed) {}

  void Run() {
    for (int phase = 0; phase < 8; ++phase) {
      if (phase % 3 == 0) BulkLoad(random_() % 4000);
      // Growing and shrinking in turn; ascending keys now and then, which split differently.
      const uint64_t grow = phase % 2 == 0 ? 30 : 75;
      const bool ascending = phase == 3;
      for (int step = 0; step < 3000; ++step) {
        const uint64_t dice = random_() % 100;
        if (dice < grow) {
          Insert(ascending ? "~" + std::to_string(1000000 + step) : AnyKey());
        } else if (dice < 90 && !model_.empty()) {
          EraseAt(random_() % model_.size());
        } else if (!model_.empty()) {
          SetLive(random_() % model_.size(), random_() % 2 == 0);
        }
        CheckCount();
        if (testing::Test::HasFatalFailure()) return;
      }
      CheckOrder();
    }
    while (!model_.empty()) {  // down to nothing
      EraseAt(random_() % model_.size());
      CheckCount();
      if (testing::Test::HasFatalFailure()) return;
    }
    CheckOrder();
  }

 private:
  using Model = std::vector<std::pair<std::string, bool>>;

  std::string AnyKey() { return std::to_string(random_() % 6000); }
  Model::iterator At(const std::string& key) {
    return std::lower_bound(model_.begin(), model_.end(), key,
                            [](const auto& entry, const std::string& k) { return entry.first < k; });
  }

  void BulkLoad(size_t wanted) {
    std::map<std::string, bool> keys;
    for (size_t i = 0; i < wanted; ++i) keys[AnyKey()] = random_() % 2 == 0;
    model_.assign(keys.begin(), keys.end());
    std::vector<KeyRecord*> records;
    for (const auto& [key, live] : model_) {
      records.push_back(KeyRecord::New(key));
      records.back()->newest.version = live ? 1 : 0;
    }
    tree_.BulkLoad(std::move(records));
  }
  void Insert(const std::string& key) {
    const bool known = tree_.Find(key) != nullptr;
    const auto at = At(key);
    ASSERT_EQ(known, at != model_.end() && at->first == key);
    if (known) return;
    KeyRecord* record = tree_.Insert(key);
    model_.insert(at, {key, true});
    record->newest.version = 1;
    tree_.AddLive(key, 1);
  }
  void SetLive(size_t at, bool live) {
    auto& [key, was_live] = model_[at];
    if (was_live == live) return;
    tree_.Find(key)->newest.version = live ? 1 : 0;
    tree_.AddLive(key, live ? 1 : -1);
    was_live = live;
  }
  void EraseAt(size_t at) {
    SetLive(at, false);
    tree_.Erase(model_[at].first);
    model_.erase(model_.begin() + static_cast<int64_t>(at));
  }

  void CheckCount() {
    const std::string begin = AnyKey(), end = AnyKey();
    const auto live = [](const auto& entry) { return entry.second; };
    const auto from = At(begin);
    const auto to = begin < end ? At(end) : from;
    ASSERT_EQ(tree_.CountLive(begin, end, false), static_cast<uint64_t>(std::count_if(from, to, live)));
    ASSERT_EQ(tree_.CountLive(begin, {}, true),
              static_cast<uint64_t>(std::count_if(from, model_.end(), live)));
    ASSERT_EQ(tree_.size(), model_.size());
    auto cursor = tree_.Seek(begin);
    ASSERT_EQ(cursor.Valid(), from != model_.end());
    if (!cursor.Valid()) return;
    ASSERT_EQ(cursor.record()->key(), from->first);
  }
  void CheckOrder() {
    auto cursor = tree_.Seek("");
    for (const auto& [key, live] : model_) {
      ASSERT_TRUE(cursor.Valid());
      ASSERT_EQ(cursor.record()->key(), key);
      ASSERT_EQ(cursor.record()->newest.live(), live);
      cursor.Next();
    }
    ASSERT_FALSE(cursor.Valid());
  }

  std::mt19937_64 random_;
  CountedTree tree_;
  Model model_;
};

TEST(CountedTreeTest, CountsAndOrderMatchASortedVectorAtEveryStep) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    TreeRun(seed).Run();
    if (HasFatalFailure()) return;
  }
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
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the allocator is AddressSanitizer's";
#endif
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
