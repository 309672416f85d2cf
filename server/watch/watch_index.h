// Who watches a key? Watchers of the same range with the same wishes form a group, which gets one set of
// bytes; the index finds the groups of a key. Single keys are found by hash, ranges in a balanced tree of
// intervals, so the cost of an event does not depend on the watchers that it does not concern.
//
// Thread safety: none; belongs to the watch hub.
#ifndef CAIRN_SERVER_WATCH_WATCH_INDEX_H_
#define CAIRN_SERVER_WATCH_WATCH_INDEX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace cairn::server {

struct Watcher;
struct GroupDelivery;

// A range of keys.
struct WatchRange {
  enum class Kind : uint8_t { kSingleKey, kBounded, kFromKey };
  Kind kind = Kind::kSingleKey;
  std::string_view key;
  std::string_view end;  // kBounded: the first key behind it

  bool Contains(std::string_view candidate) const;
};

// What makes two watchers of one range get different bytes.
struct WatchWishes {
  bool no_put = false;
  bool no_delete = false;
  bool prev_kv = false;
  bool fragment = false;
  bool operator==(const WatchWishes&) const = default;
};

// All watchers with the same range and wishes.
struct WatchGroup {
  WatchRange range() const;

  std::string bytes;       // the key, then the end of the range: one allocation at most
  uint32_t key_bytes = 0;  // of them, the key
  WatchRange::Kind kind = WatchRange::Kind::kSingleKey;
  WatchWishes wishes;
  uint32_t watchers = 0;                  // synced or not
  Watcher* synced = nullptr;              // head of the list of those that have got everything
  WatchGroup* next_same_range = nullptr;  // another group of this range, with other wishes
  GroupDelivery* delivery = nullptr;      // set while events are being handed out
};

class WatchIndex {
 public:
  WatchIndex();
  ~WatchIndex();
  WatchIndex(const WatchIndex&) = delete;
  WatchIndex& operator=(const WatchIndex&) = delete;

  // The group for one more watcher. Stays where it is until its last watcher is released.
  WatchGroup* Acquire(const WatchRange& range, WatchWishes wishes);
  // One watcher less; the last one takes the group with it.
  void Release(WatchGroup* group);

  // Appends the groups whose range contains `key`: first those of the single key, then in order of range.
  void Find(std::string_view key, std::vector<WatchGroup*>* groups) const;

 private:
  class RangeTree;
  struct KeyHash {
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
  };

  // Where the list of groups of this range begins, made if need be.
  WatchGroup*& ListOf(const WatchRange& range);

  // Keys point into the first group of the list. Never iterated.
  absl::flat_hash_map<std::string_view, WatchGroup*, KeyHash> single_keys_;
  std::unique_ptr<RangeTree> ranges_;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_WATCH_WATCH_INDEX_H_
