// Index checkpoints: written in slices as of one revision while applying goes on, two of them kept; read at
// the start.
#include "storage/mvcc/checkpointing.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace cairn::storage {

namespace {
constexpr size_t kCheckpointsKept = 2;
constexpr size_t kWriteBytes = 1 << 20;
}  // namespace

absl::Status StoreImpl::LoadIndex() {
  std::vector<std::string> names;
  for (std::string& name : blobs_->List()) {
    CheckpointHeader header;
    if (ParseCheckpointName(name, &header)) names.push_back(std::move(name));
  }
  int64_t revision = 0;
  // The newest that fits; what cannot be used is dropped, so that it holds nothing back.
  while (!names.empty()) {
    CheckpointHeader header;
    std::vector<KeyRecord*> records;
    DeadRevisions dead;
    absl::StatusOr<std::string> bytes = blobs_->Read(names.back());
    absl::Status status = bytes.status();
    if (status.ok()) status = DecodeCheckpoint(*bytes, options_.database_id, &header, &records, &dead);
    if (status.ok() && header.applied_index <= applied_.applied_index) {
      index_.Load(std::move(records));
      dead_ = std::move(dead);
      revision = header.revision;
      break;
    }
    for (KeyRecord* record : records) KeyRecord::Delete(record);
    status = blobs_->Remove(names.back());
    if (!status.ok()) return status;
    names.pop_back();
  }
  checkpoints_ = std::move(names);
  return ReplayEvents(revision);
}

// A tombstone younger than a kept checkpoint stays: that checkpoint has its key alive.
int64_t StoreImpl::TombstoneBound() const {
  int64_t bound = std::numeric_limits<int64_t>::max();
  if (checkpointing_ != nullptr) bound = checkpointing_->header.revision;
  CheckpointHeader oldest;
  if (!checkpoints_.empty() && ParseCheckpointName(checkpoints_.front(), &oldest)) {
    bound = std::min(bound, oldest.revision);
  }
  return bound;
}

bool StoreImpl::CheckpointDue() const {
  return checkpointing_ == nullptr && batch_entries_ == 0 &&
         events_since_checkpoint_ >= std::max(options_.checkpoint_min_events, index_.live_keys() / 2);
}

void StoreImpl::StartCheckpoint() {
  const CheckpointHeader header{options_.database_id, committed_.applied_index, committed_.revision};
  events_since_checkpoint_ = 0;
  auto writer = blobs_->Create(CheckpointName(header));
  if (!writer.ok()) return;  // the disk may be full: the next one is due after as many events again
  checkpointing_ = std::make_shared<Checkpointing>(header);
  checkpoint_pin_ = std::make_unique<Pin>(this, header.revision);
  checkpointing_->writer = std::move(*writer);
  checkpointing_->dead = dead_;
  for (auto [from, to] : {std::pair(&held_.puts, &checkpointing_->dead.puts),
                          std::pair(&held_.tombstones, &checkpointing_->dead.tombstones)}) {
    to->insert(to->end(), from->begin(), from->end());
  }
}

bool StoreImpl::CheckpointSlice(WorkBudget* budget) {
  Checkpointing* c = checkpointing_.get();
  if (c == nullptr || c->writing) return false;
  auto cursor = index_.Seek(c->next_key);
  while (cursor.Valid() && !budget->spent() && c->encoder.pending_bytes() < kWriteBytes) {
    c->encoder.Add(*cursor.record());
    budget->Spend(kEncodeKeyNs);
    cursor.Next();
  }
  if (cursor.Valid()) {
    c->next_key.assign(cursor.record()->key());
    if (c->encoder.pending_bytes() < kWriteBytes) return true;
  } else {
    c->all_visited = true;
  }
  c->writing = true;
  auto status = std::make_shared<absl::Status>();
  offload_(
      [c = checkpointing_, status] {
        // There may be millions of dead revisions: too many for a slice.
        if (c->all_visited) c->encoder.Finish(c->dead);
        *status = c->writer->Append(c->encoder.Take());
        if (status->ok() && c->all_visited) *status = c->writer->Commit();
      },
      [this, alive = std::weak_ptr<int>(alive_), status] {
        if (alive.expired()) return;
        checkpointing_->writing = false;
        if (!status->ok() || checkpointing_->all_visited) FinishCheckpoint(status->ok());
        WakeBackground();
      });
  return false;
}

void StoreImpl::FinishCheckpoint(bool ok) {
  if (ok) checkpoints_.push_back(CheckpointName(checkpointing_->header));
  checkpoint_pin_.reset();
  checkpointing_.reset();
  if (ok) DropOldCheckpoint();
}

void StoreImpl::DropOldCheckpoint() {
  if (dropping_checkpoint_ || checkpoints_.size() <= kCheckpointsKept) return;
  dropping_checkpoint_ = true;
  auto status = std::make_shared<absl::Status>();
  offload_([blobs = blobs_, name = checkpoints_.front(), status] { *status = blobs->Remove(name); },
           [this, alive = std::weak_ptr<int>(alive_), status] {
             if (alive.expired()) return;
             dropping_checkpoint_ = false;
             // One that cannot be removed goes on to count as kept; the next round tries again.
             if (!status->ok()) return;
             checkpoints_.erase(checkpoints_.begin());
             DropOldCheckpoint();
             WakeBackground();  // its tombstones are due
           });
}

}  // namespace cairn::storage
