// Removal of history below the compact revision: found through the index, slice by slice, then deleted from
// the event log in small batches. A crash loses nothing of the work's plan: removals become durable in the
// order they were written, and the index that comes back (checkpoint or full scan) knows all that may still
// be there.
#include <algorithm>
#include <utility>

#include "storage/mvcc/checkpointing.h"
#include "storage/mvcc/store_impl.h"
#include "storage/mvcc/wire.h"

namespace cairn::storage {

namespace {
constexpr size_t kPruneSlice = 64;
constexpr size_t kRemovalOps = 256;
constexpr size_t kManyRemovals = 1000;
}  // namespace

// History that a read under way may still ask for stays.
int64_t StoreImpl::PruneThreshold() const {
  const int64_t oldest_pin = pins_.empty() ? committed_.compact_revision : *pins_.begin();
  return std::min(committed_.compact_revision, oldest_pin);
}

// Moves what nobody can read any more from the index to `dead_`. False: the budget was not enough.
bool StoreImpl::FindDead(int64_t bound, WorkBudget* budget) {
  const int64_t compact = committed_.compact_revision;
  if (compact != held_compact_ || bound != held_bound_) {
    // What was put aside may be due now.
    held_compact_ = compact;
    held_bound_ = bound;
    for (auto [held, dead] :
         {std::pair(&held_.puts, &dead_.puts), std::pair(&held_.tombstones, &dead_.tombstones)}) {
      if (dead->empty()) dead->swap(*held);  // there may be millions
      dead->insert(dead->end(), held->begin(), held->end());
      held->clear();
    }
  }
  // A checkpoint under way relies on the index to know every dead revision that the engine may still have.
  while (checkpointing_ == nullptr && !index_.Pruned(PruneThreshold())) {
    if (budget->spent()) return false;
    const size_t forgotten = index_.Prune(PruneThreshold(), kPruneSlice, &dead_);
    budget->Spend(static_cast<int64_t>(forgotten) * kForgetNs);
  }
  return true;
}

// Puts the next deletions into `removal_`, and after the last one the word that all is removed.
void StoreImpl::FillRemoval(int64_t bound, WorkBudget* budget) {
  const int64_t compact = committed_.compact_revision;
  // Puts before tombstones: a tombstone that goes first would let its key come back.
  while (announced_ == 0 && removal_ops_ < kRemovalOps && !dead_.empty()) {
    const bool is_put = !dead_.puts.empty();
    auto& queue = is_put ? dead_.puts : dead_.tombstones;
    const EventPosition position = queue.front();
    queue.pop_front();
    const int64_t main = position.main.value();
    if (main >= compact) {
      (is_put ? held_.puts : held_.tombstones).push_back(position);  // watchers may still ask for it
    } else if (!is_put && main > bound) {
      held_.tombstones.push_back(position);  // an older checkpoint has the key alive
    } else {
      removal_->Delete(Family::kEvents, View(EncodeEventKey(position)));
      ++removal_ops_;
      removed_from_ = removed_ == 0 ? main : std::min(removed_from_, main);
      ++removed_;
    }
    budget->Spend(kWriteOpNs);
  }
  if (announced_ == 0 && index_.Pruned(compact) && dead_.empty() && physical_ < compact) {
    announced_ = compact;
    StateRecord physical;
    physical.compact_revision = compact;
    removal_->Put(Family::kMeta, kPhysicalKey, EncodeStateRecord(physical));
  }
}

BackgroundWork StoreImpl::CompactionSlice(WorkBudget* budget) {
  const int64_t bound = TombstoneBound();
  if (!FindDead(bound, budget)) return BackgroundWork::kMore;
  // Deletions that share a memtable with new events make a file that spans all between the two, and whoever
  // compacts it rewrites every live event there. So what is in memory is flushed before many deletions, and
  // CompactRange flushes again behind them.
  if (before_removal_ == BeforeRemoval::kNothing && dead_.size() >= kManyRemovals) {
    if (flushing_) return BackgroundWork::kRefused;
    before_removal_ = BeforeRemoval::kFlushing;
    StartFlush([this] {
      before_removal_ = BeforeRemoval::kFlushed;
      WakeBackground();
    });
  }
  if (before_removal_ == BeforeRemoval::kFlushing) return BackgroundWork::kNone;
  for (;;) {
    FillRemoval(bound, budget);
    if (removal_ops_ == 0 && announced_ == 0) return BackgroundWork::kNone;
    const absl::Status status = engine_->Write(*removal_, 0);
    if (absl::IsUnavailable(status)) return BackgroundWork::kRefused;
    if (!status.ok()) {
      fatal_ = status;
      return BackgroundWork::kNone;
    }
    removal_->Clear();
    removal_ops_ = 0;
    if (announced_ != 0) {
      physical_ = std::exchange(announced_, 0);
      before_removal_ = BeforeRemoval::kNothing;
      StartSpaceReclaim();
      if (on_physically_compacted_) on_physically_compacted_();
    }
    if (budget->spent()) return BackgroundWork::kMore;
  }
}

// Rewrites the events among which many were removed. For a few it would not be worth the writing.
void StoreImpl::StartSpaceReclaim() {
  if (reclaiming_ || removed_ < std::max<uint64_t>(kManyRemovals, index_.live_keys() / 16)) return;
  reclaiming_ = true;
  const EventKey begin = EncodeEventKey({Revision(removed_from_), 0});
  const EventKey end = EncodeEventKey({Revision(physical_), 0});
  removed_ = 0;
  engine_->CompactRange(Family::kEvents, View(begin), View(end),
                        [this, alive = std::weak_ptr<int>(alive_)](absl::Status status) {
                          if (alive.expired()) return;
                          reclaiming_ = false;
                          // Space is given back later if not now; the state is right either way.
                          if (status.ok()) StartSpaceReclaim();
                        });
}

}  // namespace cairn::storage
