// The key index: every key with its newest version and the older ones that a reader may still ask for, in an
// ordered tree with counts, and by hash. It also keeps, in the order of revisions, which change made an older
// version unreadable-to-be, so that compaction finds dead revisions without looking at the living.
//
// Thread safety: none; belongs to the store's thread.
// Invariants:    changes come in ascending order of position.
#ifndef CAIRN_STORAGE_MVCC_KEY_INDEX_H_
#define CAIRN_STORAGE_MVCC_KEY_INDEX_H_

#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "storage/mvcc/counted_tree.h"
#include "storage/mvcc/key_record.h"
#include "storage/mvcc/key_table.h"

namespace cairn::storage {

// Revisions that nobody can read any more, oldest change first.
struct DeadRevisions {
  std::deque<EventPosition> puts;
  std::deque<EventPosition> tombstones;
  size_t size() const { return puts.size() + tombstones.size(); }
  bool empty() const { return size() == 0; }
};

class KeyIndex {
 public:
  const KeyRecord* Find(std::string_view key) const { return table_.Find(key); }
  CountedTree::Cursor Seek(std::string_view key) const { return tree_.Seek(key); }

  // Makes `version` the newest of `key` (a tombstone when its `version` is 0). Returns the record.
  KeyRecord* Apply(std::string_view key, const KeyVersion& version);
  // The same for a key that was just found.
  void Apply(const KeyRecord* known, const KeyVersion& version);

  uint64_t CountLive(std::string_view begin, std::string_view end, bool to_the_end) const {
    return tree_.CountLive(begin, end, to_the_end);
  }
  uint64_t live_keys() const { return tree_.live(); }
  uint64_t live_bytes() const { return live_bytes_; }  // of keys and values

  // Forgets what readers at `threshold` and later do not need, at most `max` changes. Returns how many it
  // took.
  size_t Prune(int64_t threshold, size_t max, DeadRevisions* dead);
  // Nothing is left to forget for readers at `threshold` and later.
  bool Pruned(int64_t threshold) const { return changes_.empty() || changes_.front().main > threshold; }

  // Replaces everything by these records, ascending, each complete with its history.
  void Load(std::vector<KeyRecord*> sorted);

 private:
  // A change that superseded an older version of `record`, or ended its life.
  struct Change {
    int64_t main;
    uint32_t sub;
    KeyRecord* record;
  };

  void Supersede(KeyRecord* record, bool fresh, const KeyVersion& version);

  CountedTree tree_;
  KeyTable table_;  // of the tree's records
  std::deque<Change> changes_;
  uint64_t live_bytes_ = 0;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_KEY_INDEX_H_
