// A store on one of its two forms (the memory twins; RocksDB and files) with a log: crashes keep what a disk
// would keep, and the log replays the rest.
//
// Thread safety: one thread; callbacks wait in a queue until Drain().
#ifndef CAIRN_TESTS_UNIT_MVCC_STORE_FIXTURE_H_
#define CAIRN_TESTS_UNIT_MVCC_STORE_FIXTURE_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "storage/mvcc/store.h"
#include "tests/unit/mvcc/store_disk.h"

namespace cairn::storage {

inline constexpr uint64_t kSelf = 7;

// Until the engine takes it: small memtables are full now and then.
inline void CommitAll(Store& store, StateEngine& engine, StoreDisk& disk) {
  absl::Status status = store.Commit();
  while (absl::IsUnavailable(status)) {
    bool flushed = false;
    engine.Flush([&](absl::Status) { flushed = true; });
    while (!flushed) disk.WaitAndDrain();
    status = store.Commit();
  }
  EXPECT_TRUE(status.ok()) << status.ToString();
}

class StoreHarness {
 public:
  explicit StoreHarness(StoreOptions options = {}, Form form = Form::kMemory)
      : options_(options), disk_(MakeStoreDisk(form)) {
    options_.self = kSelf;
    Open();
  }
  ~StoreHarness() {
    store_.reset();
    engine_.reset();
    disk_->Close();
  }

  // The process dies. `seed` decides what survives of the writes since the last flush. Comes back and replays
  // its log.
  void CrashAndReplay(uint64_t seed) {
    const raft::LogIndex flushed = store_->flushed_index();
    disk_->CutPower();
    store_.reset();
    engine_.reset();
    disk_->Crash(seed);
    Open();
    const uint64_t applied = store_->applied_index().value();
    ASSERT_GE(applied, flushed.value()) << "what was flushed is gone";
    ASSERT_LE(applied, log_.size());
    Outcome ignored;
    if (applied < log_.size()) store_->Apply(std::span(log_).subspan(applied), &ignored);
    CommitAll(*store_, *engine_, *disk_);
  }

  // One entry with these commands, applied and committed.
  Outcome Propose(std::vector<cairn::internal::Command> commands, uint64_t term = 1) {
    Outcome outcome = ApplyOnly(std::move(commands), term);
    CommitAll(*store_, *engine_, *disk_);
    Drain();
    return outcome;
  }
  Outcome ApplyOnly(std::vector<cairn::internal::Command> commands, uint64_t term = 1) {
    cairn::internal::CommandBatch batch;
    for (auto& command : commands) {
      command.set_origin(kSelf);
      command.set_request_id(++request_id_);
      *batch.add_commands() = std::move(command);
    }
    raft::Entry entry;
    entry.term = raft::Term(term);
    entry.index = raft::LogIndex(log_.size() + 1);
    entry.data = std::make_shared<const std::string>(batch.SerializeAsString());
    log_.push_back(entry);
    Outcome outcome;
    store_->Apply({&log_.back(), 1}, &outcome);
    return outcome;
  }

  Result Run(std::unique_ptr<ReadRun> run, absl::Duration slice = absl::Milliseconds(1)) {
    for (int turn = 0; turn < 1000000; ++turn) {
      const auto step = run->Resume(slice, [] {});
      if (step == ReadRun::Step::kDone) return run->TakeResult();
      ++turns_;
      Drain();
    }
    ADD_FAILURE() << "read does not end";
    return {};
  }

  void Drain() { disk_->Drain(); }
  // Until nothing is left to do and nothing is under way.
  void Background() {
    do {
      work_waits_ = false;
      Drain();
      while (store_->DoBackgroundWork(absl::Microseconds(200)) != BackgroundWork::kNone) Drain();
      // Behind the flush that a removal waits for.
      if (store_->physically_compacted_revision() < store_->compact_revision()) Flush();
    } while (work_waits_);
  }
  void Flush() {
    bool done = false;
    engine_->Flush([&](absl::Status status) {
      EXPECT_TRUE(status.ok());
      done = true;
    });
    while (!done) disk_->WaitAndDrain();
  }

  std::vector<RevisionEvents> Events(int64_t from, int64_t to) {
    std::vector<RevisionEvents> all;
    for (Revision next(from); next <= Revision(to);) {
      auto result = store_->ScanEvents(
          next, Revision(to), absl::Milliseconds(1),
          [&](RevisionEvents&& e) { return all.push_back(std::move(e)), true; }, [] {});
      Drain();
      if (absl::IsUnavailable(result.status())) continue;
      EXPECT_TRUE(result.ok()) << result.status().ToString();
      if (!result.ok()) break;
      next = *result;
    }
    return all;
  }

  Store& store() { return *store_; }
  StateEngine& engine() { return *engine_; }
  StoreDisk& disk() { return *disk_; }
  const std::vector<raft::Entry>& log() const { return log_; }
  int turns() const { return turns_; }
  void set_cold(bool cold) { disk_->cold = cold; }
  void set_refuse(bool refuse) { disk_->refuse = refuse; }

 private:
  void Open() {
    engine_ = disk_->OpenEngine();
    blobs_ = disk_->OpenBlobs();
    auto store = Store::Open(options_, engine_.get(), blobs_.get(),
                             [this](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
                               work();
                               disk_->post()(std::move(done));
                             });
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
    store_->SetOnBackgroundWork([this] { work_waits_ = true; });
  }

  StoreOptions options_;
  int turns_ = 0;
  bool work_waits_ = false;
  uint64_t request_id_ = 0;
  std::vector<raft::Entry> log_;
  const std::unique_ptr<StoreDisk> disk_;
  std::unique_ptr<StateEngine> engine_;
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<Store> store_;
};

inline cairn::internal::Command PutCommand(const std::string& key, const std::string& value,
                                           int64_t lease = 0) {
  cairn::internal::Command command;
  command.mutable_put()->set_key(key);
  command.mutable_put()->set_value(value);
  command.mutable_put()->set_lease(lease);
  return command;
}
inline cairn::internal::Command DeleteCommand(const std::string& key, const std::string& end = "") {
  cairn::internal::Command command;
  command.mutable_delete_range()->set_key(key);
  command.mutable_delete_range()->set_range_end(end);
  command.mutable_delete_range()->set_prev_kv(true);
  return command;
}
inline cairn::internal::Command CompactCommand(int64_t revision) {
  cairn::internal::Command command;
  command.mutable_compact()->set_revision(revision);
  return command;
}
inline cairn::internal::Command GrantCommand(int64_t id, int64_t ttl_s) {
  cairn::internal::Command command;
  command.mutable_lease_grant()->set_id(id);
  command.mutable_lease_grant()->set_ttl_s(ttl_s);
  return command;
}

}  // namespace cairn::storage

#endif  // CAIRN_TESTS_UNIT_MVCC_STORE_FIXTURE_H_
