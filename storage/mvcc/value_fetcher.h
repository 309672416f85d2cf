// Finds the events that versions of keys stand for: in memory, in the engine's memory, or on its disk.
//
// Thread safety: the store's thread; what must touch the disk goes through OffloadFn.
#ifndef CAIRN_STORAGE_MVCC_VALUE_FETCHER_H_
#define CAIRN_STORAGE_MVCC_VALUE_FETCHER_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "storage/mvcc/key_record.h"
#include "storage/mvcc/value_cache.h"
#include "storage/mvcc/wire.h"
#include "storage/state_engine.h"

namespace cairn::storage {

// One key as a reader sees it. `record` is valid while the reader's revision is pinned.
struct Item {
  const KeyRecord* record = nullptr;
  KeyVersion version;
  SharedWire wire;  // the event; nullptr until fetched
};

class ValueFetcher {
 public:
  ValueFetcher(StateEngine* engine, OffloadFn offload, size_t cache_bytes)
      : engine_(engine), offload_(std::move(offload)), cache_(cache_bytes) {}

  // A read that waits for the disk. Dropping it drops the answer.
  struct ColdRead {
    bool ready = false;
    std::vector<EventPosition> positions;  // ascending
    std::vector<std::string> values;
    std::vector<absl::Status> statuses;
  };

  // Fetches what is in memory. UNAVAILABLE: some items are cold and have no wire yet.
  absl::Status FetchHot(std::span<Item> items);
  // Fetches all, from the disk where it must: for apply, which cannot wait.
  absl::Status FetchAll(std::span<Item> items);
  // Begins to read the items without a wire. `wake` is called on the core loop once `ready`.
  std::shared_ptr<ColdRead> StartCold(std::span<const Item> items, std::function<void()> wake);
  absl::Status TakeCold(const ColdRead& cold, std::span<Item> items);

  // One event, from memory or the disk; nullptr when it is not there.
  SharedWire FetchOne(EventPosition position);

  // Events written but not yet in the engine. They stay findable until ClearPending.
  void AddPending(EventPosition position, SharedWire wire);
  void ClearPending() { pending_.clear(); }

 private:
  static constexpr size_t kFewItems = 16;  // larger reads do not push the hot values out

  SharedWire FindInMemory(EventPosition position);
  absl::Status FetchFromEngine(std::span<Item> items, ReadTier tier);
  absl::Status Fill(EventPosition position, const std::string& bytes, bool remember, SharedWire* wire);

  StateEngine* const engine_;
  const OffloadFn offload_;
  ValueCache cache_;
  std::vector<std::pair<EventPosition, SharedWire>> pending_;  // ascending
  std::vector<Item*> missing_;                                 // reused
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_VALUE_FETCHER_H_
