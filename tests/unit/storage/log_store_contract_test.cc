// What both forms of the log store promise, tested on both.
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/memory_log_store.h"
#include "storage/rocksdb_log_store.h"
#include "tests/unit/storage/manual_loop.h"
#include "tests/unit/storage/storage_test_util.h"

namespace cairn::storage {
namespace {

using raft::HardState;
using raft::LogIndex;
using raft::NodeId;
using raft::Term;
using testing::ElementsAre;

constexpr size_t kNoLimit = 1 << 30;

// One form of the store on a disk that stays when the store is opened again.
class Form {
 public:
  virtual ~Form() = default;
  virtual std::unique_ptr<LogStore> Open(PostFn post) = 0;
};

class MemoryForm : public Form {
 public:
  std::unique_ptr<LogStore> Open(PostFn post) override {
    disk_.Crash(0);
    return std::make_unique<MemoryLogStore>(&disk_, MemoryLogStoreOptions{std::move(post), nullptr, nullptr});
  }

 private:
  MemoryLogDisk disk_;
};

class RocksDbForm : public Form {
 public:
  std::unique_ptr<LogStore> Open(PostFn post) override {
    RocksDbLogStoreOptions options;
    options.path = directory_.path();
    options.create = true;
    options.post = std::move(post);
    auto store = RocksDbLogStore::Open(std::move(options));
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

 private:
  TempDir directory_;
};

struct FormName {
  const char* name;
  std::unique_ptr<Form> (*make)();
};

class LogStoreContractTest : public testing::TestWithParam<FormName> {
 protected:
  LogStoreContractTest() : form_(GetParam().make()) { Reopen(); }

  void Reopen() {
    store_.reset();
    store_ = form_->Open(loop_.post());
  }

  // Appends and waits until it is durable.
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

  ManualLoop loop_;
  std::unique_ptr<Form> form_;
  std::unique_ptr<LogStore> store_;
};

TEST_P(LogStoreContractTest, NewLogIsEmptyAndAnswersTermZeroBeforeTheFirstEntry) {
  EXPECT_EQ(store_->FirstIndex(), LogIndex(1));
  EXPECT_EQ(store_->LastIndex(), LogIndex(0));
  EXPECT_EQ(store_->TermAt(LogIndex(0)).value(), Term(0));
  EXPECT_EQ(store_->TermAt(LogIndex(1)).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(store_->initial_hard_state(), HardState());
}

TEST_P(LogStoreContractTest, EntriesAreVisibleBeforeTheyAreDurable) {
  bool done = false;
  store_->Append(MakeWrite(1, 3, 1), [&](absl::Status) { done = true; });
  EXPECT_FALSE(done);
  EXPECT_EQ(store_->LastIndex(), LogIndex(3));
  EXPECT_THAT(IndexesOf(store_->Entries(LogIndex(1), LogIndex(4), kNoLimit).value()), ElementsAre(1, 2, 3));
  loop_.RunUntil([&] { return done; });
}

TEST_P(LogStoreContractTest, DoneRunsInTheOrderOfSubmission) {
  std::vector<int> order;
  for (int i = 0; i < 20; ++i) {
    store_->Append(MakeWrite(i + 1, i + 1, 1), [&order, i](absl::Status status) {
      EXPECT_TRUE(status.ok()) << status;
      order.push_back(i);
    });
  }
  loop_.RunUntil([&] { return order.size() == 20; });
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_P(LogStoreContractTest, ComesBackWithEverythingThatWasDurable) {
  LogWrite write = MakeWrite(1, 3, 1, "payload");
  write.entries[1].data = nullptr;
  write.entries[2].type = raft::EntryType::kConfChange;
  write.hard_state = HardState{Term(4), NodeId(7), LogIndex(2)};
  ASSERT_TRUE(AppendAndWait(std::move(write)).ok());
  Reopen();
  EXPECT_EQ(store_->initial_hard_state(), (HardState{Term(4), NodeId(7), LogIndex(2)}));
  auto entries = store_->Entries(LogIndex(1), LogIndex(4), kNoLimit).value();
  ASSERT_THAT(IndexesOf(entries), ElementsAre(1, 2, 3));
  EXPECT_EQ(*entries[0].data, "payload");
  EXPECT_EQ(entries[1].data, nullptr);
  EXPECT_EQ(entries[2].type, raft::EntryType::kConfChange);
  EXPECT_EQ(entries[2].term, Term(1));
}

// Raft §5.3: entries that conflict with the leader's are removed with all that follow them.
TEST_P(LogStoreContractTest, ReplacesEntriesFromTheFirstIndexOfTheWriteOnAlsoOnDisk) {
  ASSERT_TRUE(AppendAndWait(MakeWrite(1, 9, 1, "old")).ok());
  ASSERT_TRUE(AppendAndWait(MakeWrite(4, 5, 2, "new")).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(store_->LastIndex(), LogIndex(5));
    EXPECT_EQ(store_->TermAt(LogIndex(3)).value(), Term(1));
    EXPECT_EQ(store_->TermAt(LogIndex(4)).value(), Term(2));
    EXPECT_EQ(store_->TermAt(LogIndex(6)).status().code(), absl::StatusCode::kOutOfRange);
    auto entries = store_->Entries(LogIndex(3), LogIndex(6), kNoLimit).value();
    ASSERT_THAT(IndexesOf(entries), ElementsAre(3, 4, 5));
    EXPECT_EQ(*entries[0].data, "old");
    EXPECT_EQ(*entries[1].data, "new");
    Reopen();
  }
}

TEST_P(LogStoreContractTest, ReplacedAndReplacingWritesMayShareOneSync) {
  bool done = false;
  store_->Append(MakeWrite(1, 6, 1), [](absl::Status) {});
  store_->Append(MakeWrite(2, 3, 2), [](absl::Status) {});
  store_->Append(MakeWrite(3, 4, 3), [&](absl::Status) { done = true; });
  loop_.RunUntil([&] { return done; });
  Reopen();
  ASSERT_EQ(store_->LastIndex(), LogIndex(4));
  EXPECT_EQ(store_->TermAt(LogIndex(1)).value(), Term(1));
  EXPECT_EQ(store_->TermAt(LogIndex(2)).value(), Term(2));
  EXPECT_EQ(store_->TermAt(LogIndex(3)).value(), Term(3));
}

TEST_P(LogStoreContractTest, EntriesStopAtTheByteLimitButGiveAtLeastOne) {
  ASSERT_TRUE(AppendAndWait(MakeWrite(1, 9, 1, std::string(100, 'x'))).ok());
  EXPECT_THAT(IndexesOf(store_->Entries(LogIndex(2), LogIndex(10), 0).value()), ElementsAre(2));
  EXPECT_THAT(IndexesOf(store_->Entries(LogIndex(2), LogIndex(10), 250).value()), ElementsAre(2, 3, 4));
  EXPECT_THAT(IndexesOf(store_->Entries(LogIndex(8), LogIndex(10), kNoLimit).value()), ElementsAre(8, 9));
}

TEST_P(LogStoreContractTest, EntriesOutsideTheLogAreOutOfRange) {
  ASSERT_TRUE(AppendAndWait(MakeWrite(1, 3, 1)).ok());
  for (auto [begin, end] : {std::pair(0, 2), std::pair(2, 5), std::pair(4, 5), std::pair(2, 2)}) {
    EXPECT_EQ(store_->Entries(LogIndex(begin), LogIndex(end), kNoLimit).status().code(),
              absl::StatusCode::kOutOfRange)
        << begin << ", " << end;
  }
}

TEST_P(LogStoreContractTest, NothingIsCalledBackAfterTheEnd) {
  store_->Append(MakeWrite(1, 1, 1), [](absl::Status) { ADD_FAILURE(); });
  store_.reset();
  while (loop_.waiting() > 0) loop_.RunOne();
}

TEST_P(LogStoreContractTest, DoneMayEndTheStore) {
  bool ended = false;
  store_->Append(MakeWrite(1, 1, 1), [&](absl::Status) {
    store_.reset();
    ended = true;
  });
  loop_.RunUntil([&] { return ended; });
}

INSTANTIATE_TEST_SUITE_P(
    Forms, LogStoreContractTest,
    testing::Values(FormName{"Memory", [] { return std::unique_ptr<Form>(new MemoryForm); }},
                    FormName{"RocksDb", [] { return std::unique_ptr<Form>(new RocksDbForm); }}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(MemoryLogStoreTest, CrashKeepsAPrefixOfWhatWasUnderWay) {
  ManualLoop loop;
  MemoryLogDisk disk;
  {
    MemoryLogStore store(&disk, {loop.post(), nullptr, nullptr});
    store.Append(MakeWrite(1, 2, 1), [](absl::Status) {});
    loop.RunOne();
    for (uint64_t i = 3; i <= 6; ++i) store.Append(MakeWrite(i, i, 1), [](absl::Status) { ADD_FAILURE(); });
  }
  EXPECT_EQ(disk.pending_writes(), 4u);
  disk.Crash(2);
  EXPECT_EQ(disk.durable_index(), LogIndex(4));
  EXPECT_EQ(MemoryLogStore(&disk, {loop.post(), nullptr, nullptr}).LastIndex(), LogIndex(4));
  while (loop.waiting() > 0) loop.RunOne();
}

TEST(MemoryLogStoreTest, FailedSyncIsNeverRetried) {
  ManualLoop loop;
  MemoryLogDisk disk;
  int faults = 0;
  MemoryLogStore store(
      &disk,
      {loop.post(), [&] { return ++faults == 1 ? absl::InternalError("EIO") : absl::OkStatus(); }, nullptr});
  std::vector<bool> ok;
  store.Append(MakeWrite(1, 1, 1), [&](absl::Status status) { ok.push_back(status.ok()); });
  store.Append(MakeWrite(2, 2, 1), [&](absl::Status status) { ok.push_back(status.ok()); });
  loop.RunUntil([&] { return ok.size() == 2; });
  EXPECT_THAT(ok, ElementsAre(false, false));
  EXPECT_EQ(disk.durable_index(), LogIndex(0));
}

TEST(MemoryLogStoreTest, ColdReadAnswersUnavailableAndTellsWhenToAskAgain) {
  ManualLoop loop;
  MemoryLogDisk disk;
  bool cold = true;
  MemoryLogStore store(&disk, {loop.post(), nullptr, [&](LogIndex) { return cold; }});
  store.Append(MakeWrite(1, 1, 1), [](absl::Status) {});
  bool loaded = false;
  store.SetOnEntriesLoaded([&] { loaded = true; });
  EXPECT_EQ(store.Entries(LogIndex(1), LogIndex(2), kNoLimit).status().code(),
            absl::StatusCode::kUnavailable);
  loop.RunUntil([&] { return loaded; });
  cold = false;
  EXPECT_TRUE(store.Entries(LogIndex(1), LogIndex(2), kNoLimit).ok());
}

}  // namespace
}  // namespace cairn::storage
