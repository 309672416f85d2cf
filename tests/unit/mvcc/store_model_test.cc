// Random commands against a naive model that keeps every version of every key, with crashes, compactions and
// checkpoints in between. A failure prints its seed.
#include <map>
#include <random>

#include "gtest/gtest.h"
#include "tests/unit/mvcc/store_fixture.h"

namespace cairn::storage {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;

class Model {
 public:
  void Put(const std::string& key, const std::string& value) {
    mvccpb::KeyValue kv;
    ++revision_;
    const auto* old = At(key, revision_ - 1);
    kv.set_key(key);
    kv.set_value(value);
    kv.set_mod_revision(revision_);
    kv.set_create_revision(old == nullptr ? revision_ : old->create_revision());
    kv.set_version(old == nullptr ? 1 : old->version() + 1);
    keys_[key][revision_] = kv;
  }
  int Delete(const std::string& begin, const std::string& end) {
    int deleted = 0;
    for (auto it = keys_.lower_bound(begin); it != keys_.end() && it->first < end; ++it) {
      if (At(it->first, revision_) == nullptr) continue;
      it->second[revision_ + 1] = mvccpb::KeyValue();
      ++deleted;
    }
    if (deleted > 0) ++revision_;
    return deleted;
  }
  const mvccpb::KeyValue* At(const std::string& key, int64_t revision) const {
    const auto it = keys_.find(key);
    if (it == keys_.end()) return nullptr;
    auto version = it->second.upper_bound(revision);
    if (version == it->second.begin()) return nullptr;
    --version;
    return version->second.version() == 0 ? nullptr : &version->second;
  }
  RangeResponse Range(const std::string& begin, const std::string& end, int64_t revision,
                      int64_t limit) const {
    RangeResponse response;
    int64_t count = 0;
    for (auto it = keys_.lower_bound(begin); it != keys_.end() && it->first < end; ++it) {
      const auto* kv = At(it->first, revision);
      if (kv == nullptr) continue;
      ++count;
      if (limit == 0 || response.kvs_size() < limit) {
        *response.add_kvs() = *kv;
      } else {
        response.set_more(true);
      }
    }
    response.set_count(count);
    return response;
  }
  int64_t revision() const { return revision_; }

 private:
  std::map<std::string, std::map<int64_t, mvccpb::KeyValue>> keys_;
  int64_t revision_ = 1;
};

class StoreModelTest : public testing::TestWithParam<uint64_t> {};

TEST_P(StoreModelTest, AnswersAsTheModelThroughCrashesCompactionsAndCheckpoints) {
  const uint64_t seed = GetParam();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  StoreOptions options;
  options.checkpoint_min_events = 50 + random() % 200;
  options.flush_work = 20 + random() % 300;
  options.hot_value_bytes = seed % 2 == 0 ? 4096 : 1 << 20;
  StoreHarness h(options);
  Model model;
  int64_t compacted = 0;
  const auto key = [&] { return "k" + std::to_string(random() % 40); };
  for (int step = 0; step < 3000; ++step) {
    const uint64_t dice = random() % 100;
    if (dice < 50) {
      const std::string k = key(), value = std::to_string(random());
      h.Propose({PutCommand(k, value)});
      model.Put(k, value);
    } else if (dice < 62) {
      const std::string begin = key(), end = begin + (random() % 2 ? "5" : std::string(1, '\1'));
      const auto outcome = h.Propose({DeleteCommand(begin, end)});
      etcdserverpb::DeleteRangeResponse response;
      ASSERT_TRUE(response.ParseFromString(outcome.results.at(0).result.body));
      const auto before = model.Range(begin, end, model.revision(), 0);
      ASSERT_EQ(response.deleted(), model.Delete(begin, end));
      ASSERT_EQ(response.prev_kvs_size(), before.kvs_size());
      for (int i = 0; i < before.kvs_size(); ++i) {
        ASSERT_EQ(response.prev_kvs(i).SerializeAsString(), before.kvs(i).SerializeAsString());
      }
    } else if (dice < 90) {
      RangeRequest request;
      request.set_key(key());
      request.set_range_end(key());
      request.set_limit(static_cast<int64_t>(random() % 5));
      const int64_t oldest = std::max<int64_t>(compacted, 1);
      const int64_t at =
          oldest + static_cast<int64_t>(random() % static_cast<uint64_t>(model.revision() - oldest + 1));
      request.set_revision(at);
      const Result result = h.Run(h.store().StartRange(request), absl::Nanoseconds(500));
      ASSERT_EQ(result.error, ClientError::kOk);
      ASSERT_EQ(result.revision.value(), model.revision());
      ASSERT_EQ(result.body,
                model.Range(request.key(), request.range_end(), at, request.limit()).SerializeAsString());
    } else if (dice < 93) {
      const int64_t at = compacted + static_cast<int64_t>(
                                         random() % static_cast<uint64_t>(model.revision() - compacted + 1));
      const auto outcome = h.Propose({CompactCommand(at)});
      if (at > compacted || (compacted == 0 && h.store().compact_revision().value() > 0)) {
        ASSERT_EQ(outcome.results.at(0).result.error, ClientError::kOk);
        compacted = at;
      }
    } else if (dice < 97) {
      h.Background();
      ASSERT_EQ(h.store().physically_compacted_revision().value(), compacted);
    } else {
      h.CrashAndReplay(random() % 50);
    }
    ASSERT_EQ(h.store().revision().value(), model.revision());
    ASSERT_EQ(h.store().key_count(),
              static_cast<uint64_t>(model.Range("", "z", model.revision(), 0).count()));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StoreModelTest, testing::Range<uint64_t>(1, 13));

TEST(DeterminismTest, TheSameEntriesInOtherBatchesGiveTheSameHashes) {
  std::mt19937_64 random(3);
  StoreHarness one;
  for (int i = 0; i < 300; ++i) {
    const std::string key = "k" + std::to_string(random() % 20);
    one.Propose({random() % 4 == 0 ? DeleteCommand(key) : PutCommand(key, std::to_string(random())),
                 GrantCommand(static_cast<int64_t>(random() % 50) - 25, 10)});
    if (i == 150) {
      one.Propose({CompactCommand(40)});
      one.Background();
    }
  }
  MemoryStateDisk disk;
  MemoryBlobDisk blobs;
  MemoryStateEngine engine(&disk,
                           MemoryStateEngineOptions{[](absl::AnyInvocable<void()>) {}, nullptr, nullptr});
  MemoryBlobStore blob_store(&blobs);
  auto two =
      Store::Open({}, &engine, &blob_store,
                  [](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) { work(), done(); });
  ASSERT_TRUE(two.ok());
  Outcome outcome;
  for (size_t at = 0; at < one.log().size();) {
    const size_t n = std::min<size_t>(1 + random() % 40, one.log().size() - at);
    (*two)->Apply(std::span(one.log()).subspan(at, n), &outcome);
    ASSERT_TRUE((*two)->Commit().ok());
    at += n;
  }
  EXPECT_TRUE(outcome.results.empty());  // nobody waits there
  EXPECT_EQ((*two)->state_hash(), one.store().state_hash());
  const std::string hash = one.Run(one.store().StartHashKv(Revision(0))).body;
  EXPECT_EQ(one.Run((*two)->StartHashKv(Revision(0))).body, hash);  // one has removed history, two has not
}

}  // namespace
}  // namespace cairn::storage
