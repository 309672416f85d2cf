#include "storage/mvcc/value_fetcher.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace cairn::storage {

void ValueFetcher::AddPending(EventPosition position, SharedWire wire) {
  cache_.Insert(position, wire);
  pending_.emplace_back(position, std::move(wire));
}

SharedWire ValueFetcher::FindInMemory(EventPosition position) {
  if (const SharedWire* wire = cache_.Find(position)) return *wire;
  auto it = std::lower_bound(pending_.begin(), pending_.end(), position,
                             [](const auto& entry, EventPosition wanted) { return entry.first < wanted; });
  return it != pending_.end() && it->first == position ? it->second : nullptr;
}

absl::Status ValueFetcher::Fill(EventPosition position, const std::string& bytes, bool remember,
                                SharedWire* wire) {
  EventRecord record;
  absl::Status status = DecodeEventRecord(position, bytes, &record);
  if (!status.ok()) return status;
  *wire = std::make_shared<const std::string>(record.wire);
  if (remember) cache_.Insert(position, *wire);
  return status;
}

absl::Status ValueFetcher::FetchFromEngine(std::span<Item> items, ReadTier tier) {
  missing_.clear();
  for (Item& item : items) {
    if (item.wire == nullptr) item.wire = FindInMemory(item.version.position());
    if (item.wire == nullptr) missing_.push_back(&item);
  }
  if (missing_.empty()) return absl::OkStatus();
  const bool remember = missing_.size() <= kFewItems;
  if (missing_.size() == 1) {
    const EventPosition position = missing_[0]->version.position();
    const EventKey key = EncodeEventKey(position);
    std::string value;
    absl::Status status = engine_->Get(Family::kEvents, View(key), tier, &value);
    return status.ok() ? Fill(position, value, remember, &missing_[0]->wire) : status;
  }
  std::sort(missing_.begin(), missing_.end(),
            [](const Item* a, const Item* b) { return a->version.position() < b->version.position(); });
  std::vector<EventKey> keys;
  keys.reserve(missing_.size());
  std::vector<std::string_view> views;
  for (const Item* item : missing_) {
    keys.push_back(EncodeEventKey(item->version.position()));
    views.push_back(View(keys.back()));
  }
  std::vector<std::string> values;
  const std::vector<absl::Status> statuses = engine_->MultiGet(Family::kEvents, views, tier, &values);
  absl::Status result;
  for (size_t i = 0; i < missing_.size(); ++i) {
    if (absl::IsUnavailable(statuses[i])) {
      if (result.ok()) result = statuses[i];
      continue;
    }
    absl::Status status = statuses[i];
    if (status.ok()) status = Fill(missing_[i]->version.position(), values[i], remember, &missing_[i]->wire);
    if (!status.ok()) return status;
  }
  return result;
}

absl::Status ValueFetcher::FetchHot(std::span<Item> items) {
  return FetchFromEngine(items, ReadTier::kMemoryOnly);
}
absl::Status ValueFetcher::FetchAll(std::span<Item> items) { return FetchFromEngine(items, ReadTier::kAll); }

std::shared_ptr<ValueFetcher::ColdRead> ValueFetcher::StartCold(std::span<const Item> items,
                                                                std::function<void()> wake) {
  auto cold = std::make_shared<ColdRead>();
  for (const Item& item : items) {
    if (item.wire == nullptr) cold->positions.push_back(item.version.position());
  }
  std::sort(cold->positions.begin(), cold->positions.end());
  offload_(
      [cold, engine = engine_] {
        std::vector<EventKey> keys;
        keys.reserve(cold->positions.size());
        std::vector<std::string_view> views;
        for (EventPosition position : cold->positions) {
          keys.push_back(EncodeEventKey(position));
          views.push_back(View(keys.back()));
        }
        cold->statuses = engine->MultiGet(Family::kEvents, views, ReadTier::kAll, &cold->values);
      },
      [weak = std::weak_ptr<ColdRead>(cold), wake = std::move(wake)] {
        // The reader may have gone away meanwhile; nobody is to be woken then.
        if (auto still_wanted = weak.lock()) {
          still_wanted->ready = true;
          wake();
        }
      });
  return cold;
}

absl::Status ValueFetcher::TakeCold(const ColdRead& cold, std::span<Item> items) {
  const bool remember = cold.positions.size() <= kFewItems;
  for (Item& item : items) {
    if (item.wire != nullptr) continue;
    auto it = std::lower_bound(cold.positions.begin(), cold.positions.end(), item.version.position());
    const auto i = static_cast<size_t>(it - cold.positions.begin());
    absl::Status status = cold.statuses[i];
    if (status.ok()) status = Fill(item.version.position(), cold.values[i], remember, &item.wire);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

SharedWire ValueFetcher::FetchOne(EventPosition position) {
  Item item;
  item.version.mod = position.main.value();
  item.version.sub = static_cast<uint32_t>(position.sub);
  return FetchAll({&item, 1}).ok() ? item.wire : nullptr;
}

}  // namespace cairn::storage
