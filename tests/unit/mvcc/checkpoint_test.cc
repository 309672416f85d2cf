#include "storage/mvcc/checkpoint.h"

#include <ctime>

#include "gtest/gtest.h"
#include "tests/unit/mvcc/store_fixture.h"

namespace cairn::storage {
namespace {

StoreOptions FrequentCheckpoints() {
  StoreOptions options;
  options.checkpoint_min_events = 10;
  return options;
}

uint64_t CountAll(StoreHarness& h) { return h.store().key_count(); }

class StoreCheckpointTest : public testing::TestWithParam<Form> {};

TEST_P(StoreCheckpointTest, KeepsTwoAndOpensWithTheNewest) {
  StoreHarness h(FrequentCheckpoints(), GetParam());
  for (int i = 0; i < 100; ++i) {
    h.Propose({PutCommand("k" + std::to_string(i % 30), "v")});
    h.Background();
  }
  EXPECT_EQ(h.disk().BlobNames().size(), 2u);
  h.Flush();
  h.CrashAndReplay(0);
  EXPECT_EQ(CountAll(h), 30u);
}

TEST_P(StoreCheckpointTest, DamagedAndTornOnesAreDroppedAndTheStateIsWhole) {
  for (int damage = 0; damage < 3; ++damage) {
    StoreHarness h(FrequentCheckpoints(), GetParam());
    for (int i = 0; i < 100; ++i) {
      h.Propose({i % 7 == 3 ? DeleteCommand("k" + std::to_string(i % 30 - 1))
                            : PutCommand("k" + std::to_string(i % 30), "v")});
      h.Background();
    }
    const uint64_t keys = CountAll(h);
    h.Flush();
    ASSERT_EQ(h.disk().BlobNames().size(), 2u);
    const std::vector<std::string> names = h.disk().BlobNames();
    if (damage == 0)
      h.disk().EditBlob(names[1], [](std::string* bytes) { (*bytes)[bytes->size() / 2] ^= 1; });
    if (damage == 1)
      h.disk().EditBlob(names[1], [](std::string* bytes) { bytes->resize(bytes->size() - 1); });
    if (damage == 2) {
      for (const std::string& name : names)
        h.disk().EditBlob(name, [](std::string* bytes) { bytes->clear(); });
    }
    h.CrashAndReplay(0);
    EXPECT_EQ(CountAll(h), keys) << damage;
    EXPECT_EQ(h.disk().BlobNames().size(), damage == 2 ? 0u : 1u) << damage;
  }
}

TEST_P(StoreCheckpointTest, OneAheadOfTheEngineIsNotUsed) {
  StoreHarness h(FrequentCheckpoints(), GetParam());
  h.Propose({PutCommand("a", "1")});
  h.Flush();
  for (int i = 0; i < 40; ++i) h.Propose({PutCommand("b" + std::to_string(i), "1")});
  h.Background();
  ASSERT_FALSE(h.disk().BlobNames().empty());
  h.CrashAndReplay(0);
  EXPECT_EQ(CountAll(h), 41u);
  EXPECT_EQ(h.store().applied_index().value(), 41u);
}

TEST(CheckpointTest, AMillionKeysLoadInUnderASecondOfCpuTime) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer takes its own time";
#endif
  std::vector<KeyRecord*> records;
  CheckpointHeader header{1, 1, 1000001};
  CheckpointEncoder encoder(header);
  for (int i = 0; i < 1000000; ++i) {
    char key[65];
    std::snprintf(key, sizeof key, "%064d", i);
    KeyRecord* record = KeyRecord::New(key);
    record->newest = {i + 2, i + 2, 1, 0, 0, 256};
    encoder.Add(*record);
    KeyRecord::Delete(record);
  }
  encoder.Finish({});
  const std::string bytes = encoder.Take();
  const std::clock_t begin = std::clock();
  DeadRevisions dead;
  ASSERT_TRUE(DecodeCheckpoint(bytes, 1, &header, &records, &dead).ok());
  KeyIndex index;
  index.Load(std::move(records));
  EXPECT_EQ(index.live_keys(), 1000000u);
  EXPECT_LT(std::clock() - begin, CLOCKS_PER_SEC);
}

INSTANTIATE_TEST_SUITE_P(Forms, StoreCheckpointTest, testing::Values(Form::kMemory, Form::kRocksDb),
                         [](const auto& info) { return NameOf(info.param); });

}  // namespace
}  // namespace cairn::storage
