// A store on the memory twins, with a log: crashes keep what a disk would keep, and the log replays the rest.
//
// Thread safety: one thread; callbacks wait in a queue until Drain().
#ifndef CAIRN_TESTS_UNIT_MVCC_STORE_FIXTURE_H_
#define CAIRN_TESTS_UNIT_MVCC_STORE_FIXTURE_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "storage/memory_blob_store.h"
#include "storage/memory_state_engine.h"
#include "storage/mvcc/store.h"

namespace cairn::storage {

inline constexpr uint64_t kSelf = 7;

class StoreHarness {
 public:
  explicit StoreHarness(StoreOptions options = {}) : options_(options) {
    options_.self = kSelf;
    Open();
  }
  ~StoreHarness() { store_.reset(); }

  // The process dies; of the unflushed writes the first `keep` survive. Comes back and replays its log.
  void CrashAndReplay(size_t keep) {
    store_.reset();
    engine_.reset();
    tasks_.clear();
    disk_.Crash(keep);
    Open();
    const uint64_t applied = store_->applied_index().value();
    Outcome ignored;
    if (applied < log_.size()) store_->Apply(std::span(log_).subspan(applied), &ignored);
    ASSERT_TRUE(store_->Commit().ok());
  }

  // One entry with these commands, applied and committed.
  Outcome Propose(std::vector<cairn::internal::Command> commands, uint64_t term = 1) {
    Outcome outcome = ApplyOnly(std::move(commands), term);
    EXPECT_TRUE(store_->Commit().ok());
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

  void Drain() {
    while (!tasks_.empty()) {
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
  void Background() {
    do Drain();
    while (store_->DoBackgroundWork(absl::Microseconds(200)) != BackgroundWork::kNone || !tasks_.empty());
  }
  void Flush() {
    engine_->Flush([](absl::Status status) { EXPECT_TRUE(status.ok()); });
    Drain();
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
  MemoryStateDisk& disk() { return disk_; }
  MemoryStateEngine& engine() { return *engine_; }
  MemoryBlobDisk& blobs() { return blob_disk_; }
  const std::vector<raft::Entry>& log() const { return log_; }
  int turns() const { return turns_; }
  void set_cold(bool cold) { cold_ = cold; }
  void set_refuse(bool refuse) { refuse_ = refuse; }

 private:
  void Open() {
    const auto post = [this](absl::AnyInvocable<void()> task) { tasks_.push_back(std::move(task)); };
    engine_ = std::make_unique<MemoryStateEngine>(
        &disk_, MemoryStateEngineOptions{post, [this] { return refuse_; }, [this] { return cold_; }});
    blob_store_ = std::make_unique<MemoryBlobStore>(&blob_disk_);
    auto store = Store::Open(options_, engine_.get(), blob_store_.get(),
                             [this](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
                               work();
                               tasks_.push_back(std::move(done));
                             });
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = std::move(*store);
  }

  StoreOptions options_;
  bool cold_ = false;
  bool refuse_ = false;
  int turns_ = 0;
  uint64_t request_id_ = 0;
  std::deque<absl::AnyInvocable<void()>> tasks_;
  std::vector<raft::Entry> log_;
  MemoryStateDisk disk_;
  MemoryBlobDisk blob_disk_;
  std::unique_ptr<MemoryStateEngine> engine_;
  std::unique_ptr<MemoryBlobStore> blob_store_;
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
