// What both forms of the state engine promise, tested on both.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/memory_state_engine.h"
#include "storage/rocksdb_state_engine.h"
#include "tests/unit/storage/manual_loop.h"
#include "tests/unit/storage/storage_test_util.h"

namespace cairn::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Form {
 public:
  virtual ~Form() = default;
  virtual std::unique_ptr<StateEngine> Open(PostFn post) = 0;
};

class MemoryForm : public Form {
 public:
  std::unique_ptr<StateEngine> Open(PostFn post) override {
    disk_.Crash();
    return std::make_unique<MemoryStateEngine>(&disk_,
                                               MemoryStateEngineOptions{std::move(post), nullptr, nullptr});
  }

 private:
  MemoryStateDisk disk_;
};

class RocksDbForm : public Form {
 public:
  std::unique_ptr<StateEngine> Open(PostFn post) override {
    RocksDbStateEngineOptions options;
    options.path = directory_.path();
    options.create = true;
    options.post = std::move(post);
    auto engine = RocksDbStateEngine::Open(std::move(options));
    EXPECT_TRUE(engine.ok()) << engine.status();
    return *std::move(engine);
  }

 private:
  TempDir directory_;
};

struct FormName {
  const char* name;
  std::unique_ptr<Form> (*make)();
};

class StateEngineContractTest : public testing::TestWithParam<FormName> {
 protected:
  StateEngineContractTest() : form_(GetParam().make()), engine_(form_->Open(loop_.post())) {}

  void Put(Family family, std::string_view key, std::string_view value) {
    auto batch = engine_->NewBatch();
    batch->Put(family, key, value);
    ASSERT_TRUE(engine_->Write(*batch, 1).ok());
  }
  void Delete(Family family, std::string_view key) {
    auto batch = engine_->NewBatch();
    batch->Delete(family, key);
    ASSERT_TRUE(engine_->Write(*batch, 1).ok());
  }
  std::string Get(Family family, std::string_view key, ReadTier tier = ReadTier::kAll) {
    std::string value;
    absl::Status status = engine_->Get(family, key, tier, &value);
    return status.ok() ? value : std::string(absl::StatusCodeToString(status.code()));
  }
  void Flush() {
    bool done = false;
    engine_->Flush([&](absl::Status status) {
      EXPECT_TRUE(status.ok()) << status;
      done = true;
    });
    EXPECT_FALSE(done) << "never inline";
    loop_.RunUntil([&] { return done; });
  }
  static std::vector<std::string> Rest(StateIterator& at) {
    std::vector<std::string> pairs;
    for (; at.Valid(); at.Next()) pairs.push_back(std::string(at.key()) + "=" + std::string(at.value()));
    EXPECT_TRUE(at.status().ok());
    return pairs;
  }

  ManualLoop loop_;
  std::unique_ptr<Form> form_;
  std::unique_ptr<StateEngine> engine_;
};

TEST_P(StateEngineContractTest, FamiliesAreSeparate) {
  Put(Family::kEvents, "k", "event");
  Put(Family::kMeta, "k", "meta");
  EXPECT_EQ(Get(Family::kEvents, "k"), "event");
  EXPECT_EQ(Get(Family::kMeta, "k"), "meta");
  EXPECT_EQ(Get(Family::kLease, "k"), "NOT_FOUND");
}

TEST_P(StateEngineContractTest, LaterOperationOfABatchWins) {
  auto batch = engine_->NewBatch();
  batch->Put(Family::kMeta, "a", "1");
  batch->Put(Family::kMeta, "a", "2");
  batch->Put(Family::kMeta, "b", "1");
  batch->Delete(Family::kMeta, "b");
  EXPECT_GT(batch->size_bytes(), 0u);
  ASSERT_TRUE(engine_->Write(*batch, 1).ok());
  EXPECT_EQ(Get(Family::kMeta, "a"), "2");
  EXPECT_EQ(Get(Family::kMeta, "b"), "NOT_FOUND");
}

TEST_P(StateEngineContractTest, BatchIsReusableAfterClear) {
  auto batch = engine_->NewBatch();
  batch->Put(Family::kMeta, "a", "1");
  batch->Clear();
  batch->Put(Family::kMeta, "b", "2");
  ASSERT_TRUE(engine_->Write(*batch, 1).ok());
  EXPECT_EQ(Get(Family::kMeta, "a"), "NOT_FOUND");
  EXPECT_EQ(Get(Family::kMeta, "b"), "2");
}

TEST_P(StateEngineContractTest, MultiGetAnswersEachKey) {
  Put(Family::kEvents, "a", "1");
  Put(Family::kEvents, "c", "3");
  const std::vector<std::string_view> keys = {"a", "b", "c"};
  std::vector<std::string> values;
  const auto statuses = engine_->MultiGet(Family::kEvents, keys, ReadTier::kMemoryOnly, &values);
  ASSERT_EQ(statuses.size(), 3u);
  EXPECT_TRUE(statuses[0].ok());
  EXPECT_EQ(statuses[1].code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(statuses[2].ok());
  EXPECT_EQ(values[0], "1");
  EXPECT_EQ(values[2], "3");
}

TEST_P(StateEngineContractTest, ScanGoesThroughTheHalfOpenRangeInOrder) {
  for (const char* key : {"d", "b", "a", "c"}) Put(Family::kEvents, key, "v");
  EXPECT_THAT(Rest(*engine_->Scan(Family::kEvents, "b", "d")), ElementsAre("b=v", "c=v"));
  EXPECT_THAT(Rest(*engine_->Scan(Family::kEvents, "c", "")), ElementsAre("c=v", "d=v"));
  EXPECT_THAT(Rest(*engine_->Scan(Family::kEvents, "x", "")), IsEmpty());
  EXPECT_THAT(Rest(*engine_->Scan(Family::kEvents, "c", "b")), IsEmpty());
  EXPECT_THAT(Rest(*engine_->Scan(Family::kLease, "", "")), IsEmpty());
}

TEST_P(StateEngineContractTest, ScanDoesNotSeeLaterWrites) {
  for (const char* key : {"b", "d", "f"}) Put(Family::kEvents, key, "old");
  auto scan = engine_->Scan(Family::kEvents, "a", "g");
  auto past_end = engine_->Scan(Family::kEvents, "a", "b");
  scan->Next();
  Put(Family::kEvents, "a", "new");
  Put(Family::kEvents, "c", "new");
  Put(Family::kEvents, "e", "new");
  Put(Family::kEvents, "f", "new");
  Delete(Family::kEvents, "d");
  Delete(Family::kEvents, "b");
  EXPECT_THAT(Rest(*scan), ElementsAre("d=old", "f=old"));
  EXPECT_THAT(Rest(*past_end), IsEmpty());
  EXPECT_THAT(Rest(*engine_->Scan(Family::kEvents, "", "")), ElementsAre("a=new", "c=new", "e=new", "f=new"));
}

TEST_P(StateEngineContractTest, FlushedStateComesBack) {
  Put(Family::kEvents, "k", "v");
  Put(Family::kMeta, "applied", "1");
  Flush();
  engine_.reset();
  engine_ = form_->Open(loop_.post());
  EXPECT_EQ(Get(Family::kEvents, "k"), "v");
  EXPECT_EQ(Get(Family::kMeta, "applied"), "1");
}

TEST_P(StateEngineContractTest, CompactionTellsWhenItIsDone) {
  for (int i = 0; i < 100; ++i) Put(Family::kEvents, std::string(1, static_cast<char>(i)), "v");
  for (int i = 0; i < 50; ++i) Delete(Family::kEvents, std::string(1, static_cast<char>(i)));
  bool done = false;
  engine_->CompactRange(Family::kEvents, "", "", [&](absl::Status status) {
    EXPECT_TRUE(status.ok()) << status;
    done = true;
  });
  loop_.RunUntil([&] { return done; });
  EXPECT_EQ(Rest(*engine_->Scan(Family::kEvents, "", "")).size(), 50u);
  EXPECT_GT(engine_->disk_bytes(), 0u);
}

TEST_P(StateEngineContractTest, NothingIsCalledBackAfterTheEnd) {
  Put(Family::kMeta, "k", "v");
  engine_->Flush([](absl::Status) { ADD_FAILURE(); });
  engine_->CompactRange(Family::kMeta, "", "", [](absl::Status) { ADD_FAILURE(); });
  engine_.reset();
  while (loop_.waiting() > 0) loop_.RunOne();
}

INSTANTIATE_TEST_SUITE_P(
    Forms, StateEngineContractTest,
    testing::Values(FormName{"Memory", [] { return std::unique_ptr<Form>(new MemoryForm); }},
                    FormName{"RocksDb", [] { return std::unique_ptr<Form>(new RocksDbForm); }}),
    [](const auto& info) { return std::string(info.param.name); });

class MemoryStateEngineTest : public testing::Test {
 protected:
  void Put(MemoryStateEngine& engine, std::string_view key, std::string_view value) {
    auto batch = engine.NewBatch();
    batch->Put(Family::kMeta, key, value);
    batch->Put(Family::kLease, key, value);
    ASSERT_TRUE(engine.Write(*batch, 1).ok());
  }
  // "value of meta, value of lease" after a crash.
  std::string ReadBoth(std::string_view key) {
    MemoryStateEngine engine(&disk_, {loop_.post(), nullptr, nullptr});
    std::string meta = "-";
    std::string lease = "-";
    engine.Get(Family::kMeta, key, ReadTier::kAll, &meta).IgnoreError();
    engine.Get(Family::kLease, key, ReadTier::kAll, &lease).IgnoreError();
    return meta + lease;
  }

  ManualLoop loop_;
  MemoryStateDisk disk_;
};

TEST_F(MemoryStateEngineTest, CrashForgetsWhatWasNotFlushed) {
  {
    MemoryStateEngine engine(&disk_, {loop_.post(), nullptr, nullptr});
    Put(engine, "a", "1");
    bool flushed = false;
    engine.Flush([&](absl::Status) { flushed = true; });
    Put(engine, "a", "2");  // after the flush began: not covered
    loop_.RunUntil([&] { return flushed; });
    Put(engine, "b", "3");
    auto batch = engine.NewBatch();
    batch->Delete(Family::kMeta, "a");
    ASSERT_TRUE(engine.Write(*batch, 1).ok());
    engine.Flush([](absl::Status) { ADD_FAILURE(); });  // under way at the crash
  }
  EXPECT_EQ(disk_.unflushed_writes(), 3u);
  disk_.Crash();
  EXPECT_EQ(ReadBoth("a"), "11");
  EXPECT_EQ(ReadBoth("b"), "--");
  EXPECT_EQ(disk_.bytes(), 4u);
}

TEST_F(MemoryStateEngineTest, CrashMayKeepAPrefixOfWholeWrites) {
  {
    MemoryStateEngine engine(&disk_, {loop_.post(), nullptr, nullptr});
    for (const char* value : {"1", "2", "3"}) Put(engine, "a", value);
  }
  disk_.Crash(2);
  EXPECT_EQ(ReadBoth("a"), "22");
}

TEST_F(MemoryStateEngineTest, RefusedWriteLeavesNothing) {
  bool refuse = true;
  MemoryStateEngine engine(&disk_, {loop_.post(), [&] { return refuse; }, nullptr});
  auto batch = engine.NewBatch();
  batch->Put(Family::kMeta, "a", "1");
  EXPECT_EQ(engine.Write(*batch, 1).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(disk_.bytes(), 0u);
  refuse = false;
  EXPECT_TRUE(engine.Write(*batch, 1).ok());
}

}  // namespace
}  // namespace cairn::storage
