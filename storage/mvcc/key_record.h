// What the key index knows of one key: its newest version, and the older ones that can still be read.
//
// Thread safety: none; belongs to the key index.
// Memory:        one allocation a key, the key's bytes inline; a History only for keys that have one.
#ifndef CAIRN_STORAGE_MVCC_KEY_RECORD_H_
#define CAIRN_STORAGE_MVCC_KEY_RECORD_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "storage/mvcc/store.h"

namespace cairn::storage {

// One change of one key, without the value. `version` 0 is a tombstone: the key does not exist from here on.
struct KeyVersion {
  int64_t mod = 0;
  int64_t create = 0;
  int64_t version = 0;
  int64_t lease = 0;
  uint32_t sub = 0;  // position within the revision `mod`
  uint32_t value_bytes = 0;

  bool live() const { return version != 0; }
  EventPosition position() const { return {Revision(mod), sub}; }
  bool operator==(const KeyVersion&) const = default;
};

// Older versions, oldest first. The front goes away as compaction advances.
class History {
 public:
  const KeyVersion* begin() const { return entries_.data() + head_; }
  const KeyVersion* end() const { return entries_.data() + entries_.size(); }
  bool empty() const { return head_ == entries_.size(); }
  void Push(const KeyVersion& version) { entries_.push_back(version); }
  void PopFront() {
    ++head_;
    // The dropped front is given back once it is the larger part, so a hot key's pruning stays linear.
    if (head_ * 2 > entries_.size()) {
      entries_.erase(entries_.begin(), entries_.begin() + static_cast<int64_t>(head_));
      entries_.shrink_to_fit();
      head_ = 0;
    }
  }

 private:
  std::vector<KeyVersion> entries_;
  size_t head_ = 0;
};

struct KeyRecord {
  KeyVersion newest;  // version 0 and mod 0: a record that was just made
  History* history = nullptr;
  uint32_t key_bytes = 0;

  // Allocates the record with a copy of the key behind it.
  static KeyRecord* New(std::string_view key);
  static void Delete(KeyRecord* record);

  std::string_view key() const {
    return {reinterpret_cast<const char*>(this) + sizeof(KeyRecord), key_bytes};
  }

  // The version a reader at `revision` sees, tombstones included; nullptr when the key was not yet born.
  const KeyVersion* At(int64_t revision) const {
    if (newest.mod <= revision) return newest.mod == 0 ? nullptr : &newest;
    return AtOlder(revision);
  }

 private:
  const KeyVersion* AtOlder(int64_t revision) const;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_KEY_RECORD_H_
