// The log store in memory, for simulation: a disk that forgets what was not synced, and the store on top of
// it.
//
// Thread safety: none; everything on the simulator's thread.
// Survives a crash: the disk, which outlives the store as a disk outlives its process, keeps what was
//                   completed and the first few (Crash says how many) of the writes that were under way, in
//                   order.
#ifndef CAIRN_STORAGE_MEMORY_LOG_STORE_H_
#define CAIRN_STORAGE_MEMORY_LOG_STORE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "storage/log_store.h"
#include "storage/log_tail.h"

namespace cairn::storage {

class MemoryLogDisk {
 public:
  // After the store is gone: of the writes submitted and not completed the first `keep` reach the disk, the
  // rest is forgotten.
  void Crash(size_t keep);

  // Writes submitted and not completed.
  size_t pending_writes() const { return pending_.size(); }
  uint64_t syncs() const { return syncs_; }
  raft::LogIndex durable_index() const { return durable_.last_index(); }
  raft::HardState durable_hard_state() const { return hard_state_; }

 private:
  friend class MemoryLogStore;

  void ApplyFirst(size_t count);

  raft::HardState hard_state_;
  LogTail durable_;
  std::deque<LogWrite> pending_;
  uint64_t syncs_ = 0;
};

struct MemoryLogStoreOptions {
  PostFn schedule;                      // runs the completion of one sync, later; the delay is the disk's
  std::function<absl::Status()> fault;  // optional: the result of each sync; an error stays for ever
  // Optional: true makes a read answer UNAVAILABLE, as if it were not in memory.
  std::function<bool(raft::LogIndex)> cold;
};

class MemoryLogStore : public LogStore {
 public:
  // `disk` must outlive the store.
  MemoryLogStore(MemoryLogDisk* disk, MemoryLogStoreOptions options);

  raft::HardState initial_hard_state() const override { return initial_hard_state_; }
  void Append(LogWrite write, absl::AnyInvocable<void(absl::Status)> done) override;
  void SetOnEntriesLoaded(std::function<void()> callback) override { on_loaded_ = std::move(callback); }

  raft::LogIndex FirstIndex() const override { return raft::LogIndex(1); }
  raft::LogIndex LastIndex() const override { return tail_.last_index(); }
  absl::StatusOr<raft::Term> TermAt(raft::LogIndex index) const override;
  absl::StatusOr<std::vector<raft::Entry>> Entries(raft::LogIndex begin, raft::LogIndex end,
                                                   size_t max_bytes) override;

 private:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  void StartSync();
  void FinishSync(size_t count);

  MemoryLogDisk* const disk_;
  const MemoryLogStoreOptions options_;
  const raft::HardState initial_hard_state_;
  LogTail tail_;
  std::deque<Done> waiting_;  // of disk_->pending_, in the same order
  bool syncing_ = false;
  bool loading_ = false;
  absl::Status failed_;
  std::function<void()> on_loaded_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // a scheduled completion may come too late
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MEMORY_LOG_STORE_H_
