// Events of recently written or read revisions, kept in memory under a budget of bytes, for reads and for the
// previous values of watchers. What nobody asked for since the last round goes first (second chance).
//
// Thread safety: none.
#ifndef CAIRN_STORAGE_MVCC_VALUE_CACHE_H_
#define CAIRN_STORAGE_MVCC_VALUE_CACHE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "storage/mvcc/store.h"

namespace cairn::storage {

using SharedWire = std::shared_ptr<const std::string>;

class ValueCache {
 public:
  explicit ValueCache(size_t budget_bytes) : budget_(budget_bytes) {}

  // nullptr when it is not here.
  const SharedWire* Find(EventPosition position) {
    auto it = entries_.find(KeyOf(position));
    if (it == entries_.end()) return nullptr;
    it->second.asked = true;
    return &it->second.wire;
  }

  void Insert(EventPosition position, SharedWire wire) {
    const size_t bytes = Cost(*wire);
    if (bytes > budget_ / 4) return;
    auto [it, fresh] = entries_.try_emplace(KeyOf(position));
    if (!fresh) return;
    it->second.wire = std::move(wire);
    bytes_ += bytes;
    order_.push_back(it->first);
    while (bytes_ > budget_) EvictOne();
  }

  size_t bytes() const { return bytes_; }

 private:
  using Key = std::pair<int64_t, int64_t>;
  struct Entry {
    SharedWire wire;
    bool asked = false;
  };

  static Key KeyOf(EventPosition position) { return {position.main.value(), position.sub}; }
  // The string, its control block, the table's slot and the queue's.
  static size_t Cost(const std::string& wire) { return wire.capacity() + 144; }

  void EvictOne() {
    const Key key = order_.front();
    order_.pop_front();
    auto it = entries_.find(key);
    if (it->second.asked) {
      it->second.asked = false;
      order_.push_back(key);
      return;
    }
    bytes_ -= Cost(*it->second.wire);
    entries_.erase(it);
  }

  const size_t budget_;
  size_t bytes_ = 0;
  absl::flat_hash_map<Key, Entry> entries_;
  std::deque<Key> order_;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_VALUE_CACHE_H_
