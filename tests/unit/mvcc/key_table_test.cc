#include "storage/mvcc/key_table.h"

#include <map>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace cairn::storage {
namespace {

class KeyTableTest : public testing::Test {
 protected:
  ~KeyTableTest() override {
    for (auto& [key, record] : records_) KeyRecord::Delete(record);
  }
  void Insert(const std::string& key) {
    KeyRecord* record = KeyRecord::New(key);
    records_[key] = record;
    table_.Insert(record);
  }
  void Erase(const std::string& key) {
    table_.Erase(records_.at(key));
    KeyRecord::Delete(records_.at(key));
    records_.erase(key);
  }
  void ExpectAllFound() {
    EXPECT_EQ(table_.size(), records_.size());
    for (const auto& [key, record] : records_) ASSERT_EQ(table_.Find(key), record) << key;
  }

  KeyTable table_;
  std::map<std::string, KeyRecord*> records_;
};

TEST_F(KeyTableTest, FindsEveryRecordAtEverySizeWhileItGrows) {
  for (int i = 0; i < 20'000; ++i) {
    Insert("key/" + std::to_string(i));
    ASSERT_EQ(table_.Find("key/" + std::to_string(i / 2)), records_["key/" + std::to_string(i / 2)]);
    ASSERT_EQ(table_.Find("key/" + std::to_string(i + 1)), nullptr);
  }
  ExpectAllFound();
}

TEST_F(KeyTableTest, FindsWhatIsThereAfterRandomInsertionsAndErasures) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200'000; ++i) {
    // Grows, shrinks and grows again.
    const bool shrinking = i / 20'000 % 3 == 1;
    const std::string key = std::to_string(random() % 20'000);
    if (!records_.contains(key)) {
      ASSERT_EQ(table_.Find(key), nullptr);
      if (!shrinking) Insert(key);
    } else if (shrinking || random() % 2 == 0) {
      Erase(key);
      ASSERT_EQ(table_.Find(key), nullptr);
    }
    if (i % 10'000 == 0) ExpectAllFound();
  }
  ExpectAllFound();
}

TEST_F(KeyTableTest, ResetForgetsTheRecordsAndMakesRoom) {
  for (int i = 0; i < 5'000; ++i) Insert(std::to_string(i));
  table_.Reset(5'000);
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(table_.Find("1"), nullptr);
  for (auto& [key, record] : records_) table_.Insert(record);
  ExpectAllFound();
}

TEST_F(KeyTableTest, TellsEmptyAndBinaryKeysApart) {
  Insert("");
  Insert(std::string(1, '\0'));
  Insert(std::string(2, '\0'));
  ExpectAllFound();
}

}  // namespace
}  // namespace cairn::storage
