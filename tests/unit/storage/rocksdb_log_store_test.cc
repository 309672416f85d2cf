#include "storage/rocksdb_log_store.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/log_record.h"
#include "tests/unit/storage/fault_fs.h"
#include "tests/unit/storage/manual_loop.h"
#include "tests/unit/storage/storage_test_util.h"

namespace cairn::storage {
namespace {

using raft::HardState;
using raft::LogIndex;
using raft::NodeId;
using raft::Term;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr size_t kNoLimit = 1 << 30;

class RocksDbLogStoreTest : public testing::Test {
 protected:
  RocksDbLogStoreTest() : fs_(std::make_shared<FaultFs>()), env_(rocksdb::NewCompositeEnv(fs_)) {}

  RocksDbLogStoreOptions Options(bool create) {
    RocksDbLogStoreOptions options;
    options.path = path_;
    options.create = create;
    options.env = env_.get();
    options.post = loop_.post();
    return options;
  }

  absl::Status Open(RocksDbLogStoreOptions options) {
    auto store = RocksDbLogStore::Open(std::move(options));
    if (store.ok()) store_ = *std::move(store);
    return store.status();
  }

  absl::Status AppendAndWait(LogWrite write) {
    absl::Status result;
    bool done = false;
    store_->Append(std::move(write), [&](absl::Status status) {
      result = std::move(status);
      done = true;
    });
    loop_.RunUntil([&] { return done; });
    return result;
  }

  // Ends the store as a crash does: nothing more reaches the disk.
  void Crash() {
    fs_->CutPower();
    store_.reset();
    fs_->Crash(/*seed=*/1);
  }

  std::string NewestWal() {
    std::string newest;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      if (entry.path().extension() == ".log" && entry.path().string() > newest)
        newest = entry.path().string();
    }
    return newest;
  }

  TempDir directory_;
  const std::string path_ = directory_.path() + "/raft";
  ManualLoop loop_;
  std::shared_ptr<FaultFs> fs_;
  std::unique_ptr<rocksdb::Env> env_;
  std::unique_ptr<RocksDbLogStore> store_;
};

TEST_F(RocksDbLogStoreTest, WritesThatWaitShareOneSync) {
  ASSERT_TRUE(Open(Options(true)).ok());
  const uint64_t before = fs_->file_syncs();
  int done = 0;
  {
    // The first sync is held until all the others wait behind it.
    std::mutex hold;
    std::unique_lock held(hold);
    bool first = true;
    fs_->SetFault([&](FaultFs::Operation operation, const std::string&) {
      if (operation == FaultFs::Operation::kSync && std::exchange(first, false)) std::lock_guard wait(hold);
      return rocksdb::IOStatus::OK();
    });
    for (uint64_t i = 1; i <= 100; ++i) store_->Append(MakeWrite(i, i, 1), [&](absl::Status) { ++done; });
    held.unlock();
    loop_.RunUntil([&] { return done == 100; });
    fs_->SetFault(nullptr);
  }
  // The first one, or the few the thread had taken by then; then all the rest.
  EXPECT_LE(store_->stats().syncs, 2u);
  EXPECT_LE(fs_->file_syncs() - before, 2u);
  EXPECT_EQ(store_->stats().writes, 100u);
  EXPECT_EQ(store_->stats().entries, 100u);
}

TEST_F(RocksDbLogStoreTest, FailedSyncIsNeverRetriedAndEveryLaterWriteFails) {
  ASSERT_TRUE(Open(Options(true)).ok());
  ASSERT_TRUE(AppendAndWait(MakeWrite(1, 1, 1)).ok());
  bool failed_once = false;
  fs_->SetFault([&](FaultFs::Operation operation, const std::string&) {
    if (operation == FaultFs::Operation::kSync && !std::exchange(failed_once, true)) {
      return rocksdb::IOStatus::IOError("injected");
    }
    return rocksdb::IOStatus::OK();
  });
  const absl::Status first = AppendAndWait(MakeWrite(2, 2, 1));
  EXPECT_THAT(std::string(first.message()), HasSubstr("injected"));
  const uint64_t syncs = fs_->file_syncs();
  EXPECT_EQ(AppendAndWait(MakeWrite(3, 3, 1)), first);
  EXPECT_EQ(fs_->file_syncs(), syncs);
  fs_->SetFault(nullptr);
  EXPECT_EQ(AppendAndWait(MakeWrite(4, 4, 1)), first);
}

TEST_F(RocksDbLogStoreTest, FullDiskIsToldApart) {
  ASSERT_TRUE(Open(Options(true)).ok());
  fs_->SetFault([](FaultFs::Operation operation, const std::string&) {
    return operation == FaultFs::Operation::kAppend ? rocksdb::IOStatus::NoSpace("injected")
                                                    : rocksdb::IOStatus::OK();
  });
  EXPECT_EQ(AppendAndWait(MakeWrite(1, 1, 1)).code(), absl::StatusCode::kResourceExhausted);
  fs_->SetFault(nullptr);
}

TEST_F(RocksDbLogStoreTest, EndsInOrderWhenTheNextLogFileCannotBeMade) {
  ASSERT_TRUE(Open(Options(true)).ok());
  LogWrite first = MakeWrite(1, 1, 1);
  first.hard_state = HardState{Term(1), NodeId(1), LogIndex(0)};  // both families have something to flush
  ASSERT_TRUE(AppendAndWait(std::move(first)).ok());
  fs_->SetFault([](FaultFs::Operation operation, const std::string& path) {
    return operation == FaultFs::Operation::kCreate && path.ends_with(".log")
               ? rocksdb::IOStatus::NoSpace("injected")
               : rocksdb::IOStatus::OK();
  });
  absl::Status status;
  for (uint64_t i = 2; i <= 64 && status.ok(); ++i)
    status = AppendAndWait(MakeWrite(i, i, 1, std::string(1 << 20, 'x')));
  EXPECT_FALSE(status.ok());
  store_.reset();
  fs_->SetFault(nullptr);
  EXPECT_TRUE(Open(Options(false)).ok());
}

TEST_F(RocksDbLogStoreTest, TheWriteAheadLogStaysBoundedAlsoWhenOnlyEntriesAreWritten) {
  ASSERT_TRUE(Open(Options(true)).ok());
  LogWrite first = MakeWrite(1, 1, 1);
  first.hard_state = HardState{Term(1), NodeId(1), LogIndex(0)};
  ASSERT_TRUE(AppendAndWait(std::move(first)).ok());
  for (uint64_t i = 2; i <= 160; ++i)
    ASSERT_TRUE(AppendAndWait(MakeWrite(i, i, 1, std::string(1 << 20, 'x'))).ok());
  store_.reset();
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    if (entry.path().extension() == ".log") bytes += entry.file_size();
  }
  EXPECT_LT(bytes, 70u << 20);
}

TEST_F(RocksDbLogStoreTest, TellsOfASlowSync) {
  RocksDbLogStoreOptions options = Options(true);
  options.slow_sync = absl::ZeroDuration();
  std::vector<absl::Duration> slow;
  options.on_slow_sync = [&](absl::Duration took) { slow.push_back(took); };
  ASSERT_TRUE(Open(std::move(options)).ok());
  ASSERT_TRUE(AppendAndWait(MakeWrite(1, 1, 1)).ok());
  ASSERT_EQ(slow.size(), 1u);
  EXPECT_EQ(store_->stats().longest_sync, slow[0]);
}

// RocksDB's default recovery (up to the first damage) would open here with the second half of the log gone.
TEST_F(RocksDbLogStoreTest, RefusesALogWithDamageInTheMiddleInsteadOfDroppingWhatFollows) {
  ASSERT_TRUE(Open(Options(true)).ok());
  for (uint64_t i = 1; i <= 100; ++i)
    ASSERT_TRUE(AppendAndWait(MakeWrite(i, i, 1, std::string(400, 'x'))).ok());
  Crash();
  const std::string wal = NewestWal();
  const auto size = std::filesystem::file_size(wal);
  {
    std::fstream file(wal, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(size / 2));
    file << "damage";
  }
  {
    // The control: the default does open.
    const std::string copy = directory_.path() + "/copy";
    std::filesystem::copy(path_, copy);
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(rocksdb::DBOptions(), copy,
                                  {{rocksdb::kDefaultColumnFamilyName, {}}, {"log", {}}}, &handles, &db)
                    .ok());
    for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle);
    delete db;
  }
  EXPECT_EQ(Open(Options(false)).code(), absl::StatusCode::kDataLoss);
}

TEST_F(RocksDbLogStoreTest, OpensWithATornLastRecord) {
  ASSERT_TRUE(Open(Options(true)).ok());
  for (uint64_t i = 1; i <= 10; ++i)
    ASSERT_TRUE(AppendAndWait(MakeWrite(i, i, 1, std::string(400, 'x'))).ok());
  Crash();
  const std::string wal = NewestWal();
  std::filesystem::resize_file(wal, std::filesystem::file_size(wal) - 100);
  ASSERT_TRUE(Open(Options(false)).ok());
  EXPECT_EQ(store_->LastIndex(), LogIndex(9));
}

TEST_F(RocksDbLogStoreTest, RefusesALogThatEndsBeforeItsCommitIndex) {
  ASSERT_TRUE(Open(Options(true)).ok());
  LogWrite write = MakeWrite(1, 3, 1);
  write.hard_state = HardState{Term(1), NodeId(1), LogIndex(5)};
  ASSERT_TRUE(AppendAndWait(std::move(write)).ok());
  store_.reset();
  const absl::Status status = Open(Options(false));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ends at entry 3 but entries up to 5"));
}

TEST_F(RocksDbLogStoreTest, RefusesToOpenWhatIsNotThere) { EXPECT_FALSE(Open(Options(false)).ok()); }

TEST_F(RocksDbLogStoreTest, RefusesANewerFormat) {
  ASSERT_TRUE(Open(Options(true)).ok());
  ASSERT_TRUE(AppendAndWait([] {
                LogWrite write = MakeWrite(1, 1, 1);
                write.hard_state = HardState{Term(1), NodeId(1), LogIndex(0)};
                return write;
              }())
                  .ok());
  store_.reset();
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(rocksdb::DBOptions(), path_,
                                {{rocksdb::kDefaultColumnFamilyName, {}}, {"log", {}}}, &handles, &db)
                  .ok());
  ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), "format", "7").ok());
  for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle);
  delete db;
  const absl::Status status = Open(Options(false));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("was written by a newer version: format 7, this cairnd reads up to 1"));
}

TEST_F(RocksDbLogStoreTest, KeepsTheNameOfTheStateDirectory) {
  ASSERT_TRUE(Open(Options(true)).ok());
  EXPECT_EQ(store_->state_directory(), "");
  ASSERT_TRUE(store_->SetStateDirectory("state.1").ok());
  Crash();
  ASSERT_TRUE(Open(Options(false)).ok());
  EXPECT_EQ(store_->state_directory(), "state.1");
}

TEST_F(RocksDbLogStoreTest, OpeningReadsOnlyTheNewestEntriesIntoMemory) {
  ASSERT_TRUE(Open(Options(true)).ok());
  ASSERT_TRUE(AppendAndWait(MakeWrite(1, 500, 1, std::string(1000, 'x'))).ok());
  ASSERT_TRUE(AppendAndWait(MakeWrite(501, 1000, 2, std::string(1000, 'x'))).ok());
  store_.reset();
  RocksDbLogStoreOptions options = Options(false);
  options.tail_bytes = 100'000;
  ASSERT_TRUE(Open(std::move(options)).ok());
  EXPECT_EQ(store_->FirstIndex(), LogIndex(1));
  EXPECT_EQ(store_->LastIndex(), LogIndex(1000));
  EXPECT_TRUE(store_->Entries(LogIndex(950), LogIndex(1001), kNoLimit).ok());
  EXPECT_EQ(store_->Entries(LogIndex(1), LogIndex(2), kNoLimit).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(store_->TermAt(LogIndex(500)).value(), Term(1));
  EXPECT_EQ(store_->TermAt(LogIndex(501)).value(), Term(2));
}

TEST_F(RocksDbLogStoreTest, EntriesNoLongerInMemoryAreReadAsideAndThenServed) {
  RocksDbLogStoreOptions options = Options(true);
  options.tail_bytes = 50'000;
  ASSERT_TRUE(Open(std::move(options)).ok());
  for (uint64_t i = 1; i <= 1000; i += 10) {
    ASSERT_TRUE(AppendAndWait(MakeWrite(i, i + 9, 1, std::string(1000, 'x'))).ok());
  }
  int loads = 0;
  store_->SetOnEntriesLoaded([&] { ++loads; });
  std::vector<uint64_t> read;
  for (LogIndex at(1); at <= store_->LastIndex();) {
    auto entries = store_->Entries(at, store_->LastIndex() + 1, 64 << 10);
    if (!entries.ok()) {
      ASSERT_EQ(entries.status().code(), absl::StatusCode::kUnavailable);
      const int before = loads;
      loop_.RunUntil([&] { return loads > before; });
      continue;
    }
    for (const raft::Entry& entry : *entries) read.push_back(entry.index.value());
    at = entries->back().index + 1;
  }
  ASSERT_EQ(read.size(), 1000u);
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(read[i], i + 1);
  EXPECT_LE(loads, 3) << "reads ahead";
}

TEST_F(RocksDbLogStoreTest, AReadUnderWayWhileOldEntriesAreReplacedIsDropped) {
  RocksDbLogStoreOptions options = Options(true);
  options.tail_bytes = 0;
  ASSERT_TRUE(Open(std::move(options)).ok());
  ASSERT_TRUE(AppendAndWait(MakeWrite(1, 20, 1, "old")).ok());
  int loads = 0;
  store_->SetOnEntriesLoaded([&] { ++loads; });
  ASSERT_FALSE(store_->Entries(LogIndex(5), LogIndex(21), kNoLimit).ok());
  bool done = false;
  store_->Append(MakeWrite(8, 12, 2, "new"), [&](absl::Status) { done = true; });
  loop_.RunUntil([&] { return done && loads == 1; });
  absl::StatusOr<std::vector<raft::Entry>> entries;
  while (!(entries = store_->Entries(LogIndex(5), LogIndex(13), kNoLimit)).ok()) {
    ASSERT_EQ(entries.status().code(), absl::StatusCode::kUnavailable);
    loop_.RunOne();
  }
  ASSERT_THAT(IndexesOf(*entries), ElementsAre(5, 6, 7, 8, 9, 10, 11, 12));
  EXPECT_EQ(*entries->at(2).data, "old");
  EXPECT_EQ(*entries->at(3).data, "new");
}

TEST_F(RocksDbLogStoreTest, EntriesAreMovedBetweenLevelsNotRewritten) {
  ASSERT_TRUE(Open(Options(true)).ok());
  // Twelve memtables full.
  for (uint64_t i = 1; i <= 192; ++i)
    ASSERT_TRUE(AppendAndWait(MakeWrite(i, i, 1, std::string(1 << 20, 'x'))).ok());
  store_.reset();
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    if (entry.path().extension() == ".sst" || entry.path().extension() == ".log") bytes += entry.file_size();
  }
  EXPECT_LT(bytes, 230u << 20);
  EXPECT_LT(fs_->bytes_appended(), 420u << 20) << "once into the write-ahead log, once into a table";
}

TEST(LogRecordTest, AnyChangedByteIsFound) {
  const raft::Entry entry = MakeEntry(7, 3, "payload");
  const LogKey key = EncodeLogKey(entry.index);
  const LogHeader header = EncodeLogHeader(entry);
  const std::string value = std::string(header.data(), header.size()) + *entry.data;
  const std::string_view key_view(key.data(), key.size());
  ASSERT_EQ(*DecodeLogRecord(key_view, value)->data, "payload");
  for (size_t i = 0; i < value.size(); ++i) {
    std::string damaged = value;
    damaged[i] ^= 0x10;
    EXPECT_EQ(DecodeLogRecord(key_view, damaged).status().code(), absl::StatusCode::kDataLoss) << i;
  }
  const LogKey other = EncodeLogKey(LogIndex(8));
  EXPECT_FALSE(DecodeLogRecord({other.data(), other.size()}, value).ok());
  EXPECT_FALSE(DecodeLogRecord(key_view, value.substr(0, 16)).ok());
}

}  // namespace
}  // namespace cairn::storage
