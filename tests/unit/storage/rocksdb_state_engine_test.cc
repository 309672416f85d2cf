#include "storage/rocksdb_state_engine.h"

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/storage/fault_fs.h"
#include "tests/unit/storage/manual_loop.h"
#include "tests/unit/storage/storage_test_util.h"

namespace cairn::storage {
namespace {

using testing::HasSubstr;

class RocksDbStateEngineTest : public testing::Test {
 protected:
  RocksDbStateEngineTest() : fs_(std::make_shared<FaultFs>()), env_(rocksdb::NewCompositeEnv(fs_)) {}

  RocksDbStateEngineOptions Options(bool create) {
    RocksDbStateEngineOptions options;
    options.path = directory_.path() + "/db";
    options.create = create;
    options.env = env_.get();
    options.post = loop_.post();
    options.on_fatal = [this](absl::Status status) { fatal_.push_back(std::move(status)); };
    return options;
  }
  absl::Status Open(RocksDbStateEngineOptions options) {
    auto engine = RocksDbStateEngine::Open(std::move(options));
    if (engine.ok()) engine_ = *std::move(engine);
    return engine.status();
  }

  // One event and the applied index, as apply writes.
  absl::Status WriteEvent(uint64_t revision, size_t bytes) {
    auto batch = engine_->NewBatch();
    batch->Put(Family::kEvents, Key(revision), std::string(bytes, 'x'));
    batch->Put(Family::kMeta, "applied", std::to_string(revision));
    return engine_->Write(*batch, 1);
  }
  static std::string Key(uint64_t revision) {
    std::string text = std::to_string(revision);
    return std::string(12 - text.size(), '0') + text;
  }
  uint64_t Applied() {
    std::string value = "0";
    engine_->Get(Family::kMeta, "applied", ReadTier::kAll, &value).IgnoreError();
    return std::stoull(value);
  }
  absl::Status FlushAndWait() {
    absl::Status result;
    bool done = false;
    engine_->Flush([&](absl::Status status) {
      result = std::move(status);
      done = true;
    });
    loop_.RunUntil([&] { return done; });
    return result;
  }
  absl::Status CompactAndWait(std::string_view begin, std::string_view end) {
    absl::Status result;
    bool done = false;
    engine_->CompactRange(Family::kEvents, begin, end, [&](absl::Status status) {
      result = std::move(status);
      done = true;
    });
    loop_.RunUntil([&] { return done; });
    return result;
  }

  TempDir directory_;
  ManualLoop loop_;
  std::shared_ptr<FaultFs> fs_;
  std::unique_ptr<rocksdb::Env> env_;
  std::vector<absl::Status> fatal_;
  std::unique_ptr<RocksDbStateEngine> engine_;
};

// Lets table files be written only when the test says so.
class Gate {
 public:
  void Close() {
    std::lock_guard lock(mutex_);
    open_ = false;
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
};

TEST_F(RocksDbStateEngineTest, WriteIsRefusedCleanlyWhileMemoryIsFullAndAcceptedAgainAfterwards) {
  RocksDbStateEngineOptions options = Options(true);
  options.memtable_bytes = 256 << 10;
  ASSERT_TRUE(Open(std::move(options)).ok());
  Gate gate;
  gate.Close();
  fs_->SetFault([&](FaultFs::Operation operation, const std::string& path) {
    if (operation == FaultFs::Operation::kAppend && path.ends_with(".sst")) gate.Pass();
    return rocksdb::IOStatus::OK();
  });
  uint64_t revision = 0;
  absl::Status status;
  while (revision < 10'000 && (status = WriteEvent(revision + 1, 4000)).ok()) ++revision;
  ASSERT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  std::string value;
  EXPECT_EQ(Applied(), revision);
  EXPECT_EQ(engine_->Get(Family::kEvents, Key(revision + 1), ReadTier::kAll, &value).code(),
            absl::StatusCode::kNotFound);
  gate.Open();
  ASSERT_TRUE(FlushAndWait().ok());
  EXPECT_TRUE(WriteEvent(revision + 1, 4000).ok());
  EXPECT_EQ(Applied(), revision + 1);
  engine_.reset();
}

TEST_F(RocksDbStateEngineTest, MemoryOnlyReadNeverTouchesTheDisk) {
  ASSERT_TRUE(Open(Options(true)).ok());
  for (uint64_t i = 1; i <= 100; ++i) ASSERT_TRUE(WriteEvent(i, 1000).ok());
  std::string value;
  EXPECT_TRUE(engine_->Get(Family::kEvents, Key(50), ReadTier::kMemoryOnly, &value).ok())
      << "in the memtable";
  engine_.reset();
  ASSERT_TRUE(Open(Options(false)).ok());
  EXPECT_EQ(engine_->Get(Family::kEvents, Key(50), ReadTier::kMemoryOnly, &value).code(),
            absl::StatusCode::kUnavailable);
  const std::string key = Key(50);
  const std::vector<std::string_view> keys = {key};
  std::vector<std::string> values;
  EXPECT_EQ(engine_->MultiGet(Family::kEvents, keys, ReadTier::kMemoryOnly, &values)[0].code(),
            absl::StatusCode::kUnavailable);
  EXPECT_TRUE(engine_->MultiGet(Family::kEvents, keys, ReadTier::kAll, &values)[0].ok());
  EXPECT_EQ(values[0].size(), 1000u);
  EXPECT_TRUE(engine_->Get(Family::kEvents, key, ReadTier::kMemoryOnly, &value).ok())
      << "in the block cache by now";
}

TEST_F(RocksDbStateEngineTest, BackgroundErrorIsFatal) {
  ASSERT_TRUE(Open(Options(true)).ok());
  ASSERT_TRUE(WriteEvent(1, 100).ok());
  fs_->SetFault([](FaultFs::Operation operation, const std::string& path) {
    return operation == FaultFs::Operation::kSync && path.ends_with(".sst")
               ? rocksdb::IOStatus::IOError("injected")
               : rocksdb::IOStatus::OK();
  });
  EXPECT_FALSE(FlushAndWait().ok());
  loop_.RunUntil([&] { return !fatal_.empty(); });
  EXPECT_THAT(std::string(fatal_[0].message()), HasSubstr("injected"));
  // And it stays so: the next sync might succeed over lost data.
  fs_->SetFault(nullptr);
  EXPECT_FALSE(WriteEvent(2, 100).ok());
  EXPECT_FALSE(FlushAndWait().ok());
}

TEST_F(RocksDbStateEngineTest, FullDiskIsNotFatalAndWritesGoOnWhenThereIsRoom) {
  ASSERT_TRUE(Open(Options(true)).ok());
  ASSERT_TRUE(WriteEvent(1, 100).ok());
  fs_->SetFault([](FaultFs::Operation operation, const std::string& path) {
    return operation == FaultFs::Operation::kAppend && path.ends_with(".sst")
               ? rocksdb::IOStatus::NoSpace("injected")
               : rocksdb::IOStatus::OK();
  });
  EXPECT_EQ(FlushAndWait().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(WriteEvent(2, 100).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Applied(), 1u);
  fs_->SetFault(nullptr);
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  absl::Status status;
  while (!(status = WriteEvent(2, 100)).ok() && absl::Now() < limit) {
    ASSERT_EQ(status.code(), absl::StatusCode::kUnavailable);
    FlushAndWait().IgnoreError();
  }
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(FlushAndWait().ok());
  EXPECT_TRUE(fatal_.empty());
}

TEST_F(RocksDbStateEngineTest, FlushedFilesAreMovedNotRewritten) {
  RocksDbStateEngineOptions options = Options(true);
  options.memtable_bytes = 1 << 20;
  ASSERT_TRUE(Open(std::move(options)).ok());
  uint64_t revision = 0;
  for (int flush = 0; flush < 16; ++flush) {
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(WriteEvent(++revision, 1000).ok());
    ASSERT_TRUE(FlushAndWait().ok());
  }
  EXPECT_LT(fs_->bytes_appended(), revision * 1000 * 12 / 10);
}

TEST_F(RocksDbStateEngineTest, CompactRangeGivesTheSpaceOfDeletedKeysBack) {
  ASSERT_TRUE(Open(Options(true)).ok());
  for (uint64_t i = 1; i <= 5000; ++i) ASSERT_TRUE(WriteEvent(i, 1000).ok());
  ASSERT_TRUE(FlushAndWait().ok());
  ASSERT_TRUE(CompactAndWait(Key(1), "").ok());  // to the last level
  const uint64_t before = engine_->disk_bytes();
  EXPECT_GT(before, 5'000'000u);
  auto batch = engine_->NewBatch();
  for (uint64_t i = 1; i <= 4000; ++i) batch->Delete(Family::kEvents, Key(i));
  ASSERT_TRUE(engine_->Write(*batch, 1).ok());
  ASSERT_TRUE(FlushAndWait().ok());
  ASSERT_TRUE(CompactAndWait(Key(1), Key(4001)).ok());
  EXPECT_LT(engine_->disk_bytes(), before / 3);
  std::string value;
  EXPECT_TRUE(engine_->Get(Family::kEvents, Key(4001), ReadTier::kAll, &value).ok());
}

TEST_F(RocksDbStateEngineTest, CountsEntriesThatACrashWouldReplay) {
  ASSERT_TRUE(Open(Options(true)).ok());
  for (uint64_t i = 1; i <= 10; ++i) ASSERT_TRUE(WriteEvent(i, 10).ok());
  EXPECT_EQ(engine_->unflushed_entries(), 10u);
  ASSERT_TRUE(FlushAndWait().ok());
  EXPECT_EQ(engine_->unflushed_entries(), 0u);
}

TEST_F(RocksDbStateEngineTest, CleanEndKeepsEverything) {
  ASSERT_TRUE(Open(Options(true)).ok());
  ASSERT_TRUE(WriteEvent(1, 10).ok());
  engine_.reset();
  ASSERT_TRUE(Open(Options(false)).ok());
  EXPECT_EQ(Applied(), 1u);
}

TEST_F(RocksDbStateEngineTest, DamagedBlockIsFoundWhenItIsRead) {
  ASSERT_TRUE(Open(Options(true)).ok());
  for (uint64_t i = 1; i <= 100; ++i) ASSERT_TRUE(WriteEvent(i, 1000).ok());
  engine_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path() + "/db")) {
    if (entry.path().extension() != ".sst" || entry.file_size() < 50'000) continue;
    std::fstream file(entry.path(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(20'000);
    file << "damage";
  }
  ASSERT_TRUE(Open(Options(false)).ok());
  int damaged = 0;
  std::string value;
  for (uint64_t i = 1; i <= 100; ++i) {
    absl::Status status = engine_->Get(Family::kEvents, Key(i), ReadTier::kAll, &value);
    damaged += absl::IsDataLoss(status);
    EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
  }
  EXPECT_GT(damaged, 0);
}

TEST_F(RocksDbStateEngineTest, RefusesToOpenWhatIsNotThere) { EXPECT_FALSE(Open(Options(false)).ok()); }

}  // namespace
}  // namespace cairn::storage
