#include "storage/memory_log_store.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "raft/check.h"

namespace cairn::storage {

using raft::Entry;
using raft::LogIndex;
using raft::Term;

void MemoryLogDisk::Crash(size_t keep) {
  ApplyFirst(std::min(keep, pending_.size()));
  pending_.clear();
}

void MemoryLogDisk::ApplyFirst(size_t count) {
  for (; count > 0; --count) {
    LogWrite& write = pending_.front();
    if (write.hard_state) hard_state_ = *write.hard_state;
    durable_.Append(write.entries);
    pending_.pop_front();
  }
}

MemoryLogStore::MemoryLogStore(MemoryLogDisk* disk, MemoryLogStoreOptions options)
    : disk_(disk),
      options_(std::move(options)),
      initial_hard_state_(disk->hard_state_),
      tail_(disk->durable_) {
  CAIRN_CHECK(disk->pending_.empty()) << "the store before this one was not ended by Crash()";
}

void MemoryLogStore::Append(LogWrite write, Done done) {
  tail_.Append(write.entries);
  disk_->pending_.push_back(std::move(write));
  waiting_.push_back(std::move(done));
  if (!syncing_) StartSync();
}

void MemoryLogStore::StartSync() {
  syncing_ = true;
  options_.schedule([this, alive = std::weak_ptr<bool>(alive_), count = waiting_.size()] {
    if (!alive.expired()) FinishSync(count);
  });
}

void MemoryLogStore::FinishSync(size_t count) {
  if (failed_.ok() && options_.fault) failed_ = options_.fault();
  ++disk_->syncs_;
  if (failed_.ok()) disk_->ApplyFirst(count);
  std::weak_ptr<bool> alive = alive_;
  for (; count > 0; --count) {
    Done done = std::move(waiting_.front());
    waiting_.pop_front();
    done(failed_);
    if (alive.expired()) return;  // `done` ended the member
  }
  syncing_ = false;
  if (!waiting_.empty()) StartSync();
}

absl::StatusOr<Term> MemoryLogStore::TermAt(LogIndex index) const {
  if (std::optional<Term> term = tail_.TermAt(index)) return *term;
  return absl::OutOfRangeError(
      absl::StrCat("no entry ", index.value(), ": the log ends at ", LastIndex().value()));
}

absl::StatusOr<std::vector<Entry>> MemoryLogStore::Entries(LogIndex begin, LogIndex end, size_t max_bytes) {
  if (begin < FirstIndex() || end > LastIndex() + 1 || begin >= end) {
    return absl::OutOfRangeError(absl::StrCat("entries [", begin.value(), ", ", end.value(),
                                              ") are not in the log [", FirstIndex().value(), ", ",
                                              LastIndex().value(), "]"));
  }
  if (options_.cold && options_.cold(begin)) {
    if (!loading_) {
      loading_ = true;
      options_.schedule([this, alive = std::weak_ptr<bool>(alive_)] {
        if (alive.expired()) return;
        loading_ = false;
        if (on_loaded_) on_loaded_();
      });
    }
    return absl::UnavailableError("the entries are being loaded");
  }
  return tail_.Entries(begin, end, max_bytes);
}

}  // namespace cairn::storage
