// HashKV: a hash over all that can still be read at or before a revision. It follows the index, so members
// agree whatever each has physically removed.
#include <xxhash.h>

#include <algorithm>

#include "storage/coding.h"
#include "storage/mvcc/failed_run.h"
#include "storage/mvcc/store_impl.h"
#include "storage/mvcc/wire.h"

namespace cairn::storage {

namespace {

constexpr size_t kBatchItems = 256;

class HashKvRun : public ReadRun {
 public:
  HashKvRun(StoreImpl* store, const KeyIndex* index, int64_t current, int64_t revision, int64_t compact)
      : store_(store),
        index_(index),
        pin_(store, std::max<int64_t>(compact, 0)),
        current_(current),
        revision_(revision),
        compact_(compact),
        state_(XXH3_createState(), &XXH3_freeState) {
    XXH3_64bits_reset(state_.get());
  }

  Step Resume(absl::Duration budget, std::function<void()> wake) override {
    ReadTurn turn{ReadMode::kSliced, WorkBudget(budget), std::move(wake)};
    for (;;) {
      if (!fetching_) Collect(&turn.budget);
      if (!items_.empty()) {
        fetching_ = true;
        const Step step = fetch_.Run(store_->Source().values, items_, &turn, &status_);
        if (step != Step::kDone) return step;
        if (!status_.ok()) return Step::kDone;
        fetching_ = false;
        for (const Item& item : items_) Hash(item, &turn.budget);
        items_.clear();
      }
      if (done_) return Step::kDone;
      if (turn.budget.spent()) return Step::kYield;
    }
  }

  Result TakeResult() override {
    Result result;
    result.revision = Revision(current_);
    if (!status_.ok()) {
      result.error = ClientError::kCorrupt;
      return result;
    }
    AppendIntField(&result.body, 2, static_cast<uint32_t>(XXH3_64bits_digest(state_.get())));
    AppendIntField(&result.body, 3, compact_);
    AppendIntField(&result.body, 4, revision_);
    return result;
  }

 private:
  void Collect(WorkBudget* budget) {
    auto cursor = index_->Seek(next_);
    for (; cursor.Valid(); cursor.Next()) {
      const KeyRecord* record = cursor.record();
      if (items_.size() >= kBatchItems || budget->spent()) {
        next_.assign(record->key());
        return;
      }
      budget->Spend(kVisitKeyNs);
      AddVersions(record);
    }
    done_ = true;
  }

  // Versions after the compact revision, and the one that is live at it.
  void AddVersions(const KeyRecord* record) {
    const KeyVersion* at_compact = record->At(std::max<int64_t>(compact_, 0));
    const auto add = [&](const KeyVersion& version) {
      if (version.mod > revision_) return;
      if (version.mod > compact_ || (&version == at_compact && version.live()))
        items_.push_back({record, version, nullptr});
    };
    if (record->history != nullptr) std::for_each(record->history->begin(), record->history->end(), add);
    add(record->newest);
  }

  void Hash(const Item& item, WorkBudget* budget) {
    char position[12];
    StoreLittle64(position, static_cast<uint64_t>(item.version.mod));
    StoreLittle32(position + 8, item.version.sub);
    XXH3_64bits_update(state_.get(), position, sizeof position);
    XXH3_64bits_update(state_.get(), item.wire->data(), item.wire->size());
    budget->SpendBytes(item.wire->size());
  }

  StoreImpl* const store_;
  const KeyIndex* const index_;
  const Pin pin_;
  const int64_t current_;
  const int64_t revision_;
  const int64_t compact_;
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
  std::string next_;
  std::vector<Item> items_;
  ItemFetch fetch_;
  bool fetching_ = false;
  bool done_ = false;
  absl::Status status_;
};

}  // namespace

// As in etcd, the compact revision itself cannot be hashed any more.
std::unique_ptr<ReadRun> StoreImpl::StartHashKv(Revision at) {
  const int64_t current = committed_.revision;
  if (at.value() > 0 && at.value() <= committed_.compact_revision) {
    return std::make_unique<FailedRun>(ClientError::kCompacted, Revision(current));
  }
  if (at.value() > current)
    return std::make_unique<FailedRun>(ClientError::kFutureRevision, Revision(current));
  const int64_t revision = at.value() > 0 ? at.value() : current;
  return std::make_unique<HashKvRun>(this, &index_, current, revision, committed_.compact_revision);
}

}  // namespace cairn::storage
