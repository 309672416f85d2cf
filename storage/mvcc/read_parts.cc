#include "storage/mvcc/read_parts.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace cairn::storage {

using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using Step = ReadRun::Step;

namespace {

constexpr size_t kBatchItems = 256;

std::string_view ValueOf(const Item& item) {
  EventView event;
  return ParseEventWire(*item.wire, &event) ? event.value : std::string_view();
}

}  // namespace

ClientError ReadableRevision(int64_t wanted, int64_t current, int64_t compact_revision, int64_t* revision) {
  if (wanted > current) return ClientError::kFutureRevision;
  *revision = wanted <= 0 ? current : wanted;
  return *revision < compact_revision ? ClientError::kCompacted : ClientError::kOk;
}

ClientError CheckTxnRange(const RangeRequest& request, int64_t current, int64_t compact_revision) {
  if (request.revision() == 0) return ClientError::kOk;
  if (request.revision() > current) return ClientError::kFutureRevision;
  return request.revision() < compact_revision ? ClientError::kCompacted : ClientError::kOk;
}

Step ItemFetch::Run(ValueFetcher* values, std::span<Item> items, ReadTurn* turn, absl::Status* status) {
  if (turn->mode == ReadMode::kAtOnce) {
    *status = values->FetchAll(items);
    return Step::kDone;
  }
  if (cold_ != nullptr) {
    if (!cold_->ready) return Step::kWait;
    *status = values->TakeCold(*std::exchange(cold_, nullptr), items);
    return Step::kDone;
  }
  turn->budget.Spend(static_cast<int64_t>(items.size()) * kReadValueNs);
  *status = values->FetchHot(items);
  if (!absl::IsUnavailable(*status)) return Step::kDone;
  *status = absl::OkStatus();
  cold_ = values->StartCold(items, turn->wake);
  return Step::kWait;
}

void ItemScan::Run(const KeyIndex& index, size_t max, WorkBudget* budget, std::vector<Item>* items) {
  if (done_) return;
  if (range_.single) {
    const KeyRecord* record = index.Find(range_.begin);
    const KeyVersion* version = record == nullptr ? nullptr : record->At(revision_);
    if (version != nullptr && version->live()) items->push_back({record, *version, nullptr});
    budget->Spend(kVisitKeyNs);
    done_ = true;
    return;
  }
  auto cursor = index.Seek(next_);
  for (; cursor.Valid(); cursor.Next()) {
    const KeyRecord* record = cursor.record();
    if (!range_.to_the_end && record->key() >= range_.end) break;
    if (items->size() >= max || budget->spent()) {
      next_.assign(record->key());
      return;
    }
    budget->Spend(kVisitKeyNs);
    const KeyVersion* version = record->At(revision_);
    if (version != nullptr && version->live()) items->push_back({record, *version, nullptr});
  }
  done_ = true;
}

// --- Compare
// -------------------------------------------------------------------------------------------------------

CompareRead::CompareRead(const Compare* compare, int64_t revision)
    : compare_(compare), scan_(KeyRange::Of(compare->key(), compare->range_end()), revision) {}

bool CompareRead::Holds(const Item* item) const {
  const KeyVersion version = item == nullptr ? KeyVersion() : item->version;
  const auto order = [](int64_t a, int64_t b) { return a < b ? -1 : a > b ? 1 : 0; };
  int result = 0;
  switch (compare_->target()) {
    case Compare::VERSION:
      result = order(version.version, compare_->version());
      break;
    case Compare::CREATE:
      result = order(version.create, compare_->create_revision());
      break;
    case Compare::MOD:
      result = order(version.mod, compare_->mod_revision());
      break;
    case Compare::LEASE:
      result = order(version.lease, compare_->lease());
      break;
    case Compare::VALUE:
      // No value is not an empty value: nothing can be said of a key that does not exist.
      if (item == nullptr) return false;
      result = ValueOf(*item).compare(compare_->value());
      break;
    default:
      break;
  }
  switch (compare_->result()) {
    case Compare::EQUAL:
      return result == 0;
    case Compare::NOT_EQUAL:
      return result != 0;
    case Compare::GREATER:
      return result > 0;
    case Compare::LESS:
      return result < 0;
    default:
      return true;
  }
}

Step CompareRead::Run(const ReadSource& source, ReadTurn* turn, absl::Status* status) {
  for (;;) {
    if (!scanned_) {
      scan_.Run(*source.index, kBatchItems, &turn->budget, &items_);
      scanned_ = true;
    }
    if (compare_->target() == Compare::VALUE && !items_.empty()) {
      const Step step = fetch_.Run(source.values, items_, turn, status);
      if (step != Step::kDone || !status->ok()) return step;
    }
    for (const Item& item : items_) {
      any_ = true;
      holds_ = holds_ && Holds(&item);
    }
    items_.clear();
    scanned_ = false;
    if (scan_.done() || !holds_) {
      if (!any_) holds_ = Holds(nullptr);
      return Step::kDone;
    }
    if (turn->budget.spent()) return Step::kYield;
  }
}

// --- Range
// ---------------------------------------------------------------------------------------------------------

RangeRead::RangeRead(const RangeRequest* request, int64_t revision, const ReadSource& source,
                     std::string* body)
    : request_(request), body_(body), scan_(KeyRange::Of(request->key(), request->range_end()), revision) {
  const KeyRange range = KeyRange::Of(request->key(), request->range_end());
  const bool filtered = request->min_mod_revision() != 0 || request->max_mod_revision() != 0 ||
                        request->min_create_revision() != 0 || request->max_create_revision() != 0;
  const bool ordered = request->sort_order() != RangeRequest::NONE;
  sorted_ = !range.single && (ordered || request->sort_target() != RangeRequest::KEY);
  collect_max_ = std::numeric_limits<uint64_t>::max();
  // One more than the limit, to know whether there is more. Without an explicit order etcd takes the first
  // keys and sorts only those, unless there are filters.
  if (request->limit() > 0 && !ordered && !(filtered && sorted_)) {
    collect_max_ = static_cast<uint64_t>(request->limit()) + 1;
  }
  if (request->count_only()) collect_max_ = 0;
  counting_ = range.single || revision < source.newest_revision;
  if (!counting_) count_ = source.index->CountLive(range.begin, range.end, range.to_the_end);
}

bool RangeRead::PassesFilters(const KeyVersion& version) const {
  const RangeRequest& r = *request_;
  return (r.max_mod_revision() == 0 || version.mod <= r.max_mod_revision()) &&
         (r.min_mod_revision() == 0 || version.mod >= r.min_mod_revision()) &&
         (r.max_create_revision() == 0 || version.create <= r.max_create_revision()) &&
         (r.min_create_revision() == 0 || version.create >= r.min_create_revision());
}

// Collects until a batch is full or all is collected; a sorted read needs everything before it can emit.
void RangeRead::Scan(const ReadSource& source, WorkBudget* budget) {
  while (!budget->spent() && !scan_.done() && (counting_ || collected_ < collect_max_) &&
         (sorted_ || items_.size() < kBatchItems)) {
    batch_.clear();
    // At least a few at a time, so that filters which drop most keys do not make tiny batches.
    const uint64_t wanted = counting_ ? kBatchItems : std::max<uint64_t>(collect_max_ - collected_, 16);
    scan_.Run(*source.index, std::min<uint64_t>(kBatchItems, wanted), budget, &batch_);
    for (Item& item : batch_) {
      if (counting_) ++count_;
      if (collected_ < collect_max_ && PassesFilters(item.version)) {
        ++collected_;
        items_.push_back(std::move(item));
      }
    }
  }
}

void RangeRead::Sort() {
  const auto key_of = [&](const Item& item) -> int64_t {
    switch (request_->sort_target()) {
      case RangeRequest::VERSION:
        return item.version.version;
      case RangeRequest::CREATE:
        return item.version.create;
      default:
        return item.version.mod;
    }
  };
  const bool descend = request_->sort_order() == RangeRequest::DESCEND;
  const auto sort_by = [&](auto less) {
    std::stable_sort(items_.begin(), items_.end(),
                     [&](const Item& a, const Item& b) { return descend ? less(b, a) : less(a, b); });
  };
  if (request_->sort_target() == RangeRequest::KEY) {
    if (descend) std::reverse(items_.begin(), items_.end());
  } else if (request_->sort_target() == RangeRequest::VALUE) {
    sort_by([](const Item& a, const Item& b) { return ValueOf(a) < ValueOf(b); });
  } else {
    sort_by([&](const Item& a, const Item& b) { return key_of(a) < key_of(b); });
  }
}

void RangeRead::Emit(const Item& item) {
  if (request_->keys_only()) {
    AppendKeyValueField(body_, 2, item.record->key(), item.version, {});
  } else {
    body_->append(*item.wire);  // a put's event is field 2 with the KeyValue: just what `kvs` is
  }
}

Step RangeRead::Run(const ReadSource& source, ReadTurn* turn, absl::Status* status) {
  for (;;) {
    if (phase_ == Phase::kScan) {
      Scan(source, &turn->budget);
      const bool all = scan_.done() || (!counting_ && collected_ >= collect_max_);
      if (!all && (sorted_ || items_.size() < kBatchItems)) return Step::kYield;
      at_ = 0;
      if (sorted_ && request_->sort_target() == RangeRequest::VALUE) {
        phase_ = Phase::kFetchForSort;
      } else {
        if (sorted_) Sort();
        phase_ = Phase::kEmit;
      }
    }
    while (phase_ == Phase::kFetchForSort) {
      if (at_ == items_.size()) {
        Sort();
        at_ = 0;
        phase_ = Phase::kEmit;
        break;
      }
      const size_t n = std::min(kBatchItems, items_.size() - at_);
      const Step step = fetch_.Run(source.values, {items_.data() + at_, n}, turn, status);
      if (step != Step::kDone || !status->ok()) return step;
      at_ += n;
      if (turn->budget.spent()) return Step::kYield;
    }
    while (phase_ == Phase::kEmit) {
      const uint64_t limit = request_->limit() > 0 ? static_cast<uint64_t>(request_->limit())
                                                   : std::numeric_limits<uint64_t>::max();
      const size_t n = std::min<uint64_t>({kBatchItems, items_.size() - at_, limit - emitted_});
      if (n == 0) {
        if (at_ < items_.size()) more_ = true;
        items_.clear();
        at_ = 0;
        const bool all = scan_.done() || (!counting_ && collected_ >= collect_max_);
        phase_ = all ? Phase::kFinished : Phase::kScan;
        break;
      }
      if (!request_->keys_only()) {
        const Step step = fetch_.Run(source.values, {items_.data() + at_, n}, turn, status);
        if (step != Step::kDone || !status->ok()) return step;
      }
      const size_t bytes_before = body_->size();
      for (size_t i = 0; i < n; ++i) {
        Emit(items_[at_ + i]);
        items_[at_ + i].wire.reset();
      }
      turn->budget.SpendBytes(body_->size() - bytes_before);
      at_ += n;
      emitted_ += n;
      if (turn->budget.spent()) return Step::kYield;
    }
    if (phase_ == Phase::kFinished) {
      if (more_) AppendIntField(body_, 3, 1);
      AppendIntField(body_, 4, static_cast<int64_t>(count_));
      return Step::kDone;
    }
    if (turn->budget.spent()) return Step::kYield;
  }
}

}  // namespace cairn::storage
