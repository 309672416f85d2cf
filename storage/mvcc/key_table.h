// Finds the record of a key by hash: one or two cache misses where the ordered tree takes twenty. It stands
// beside the tree, which keeps the order and owns the records.
//
// Grows in steps: while a larger table is being filled, each insertion moves a few slots of the old one, so
// that none takes long however many keys there are.
//
// Thread safety: none.
// Memory:        8 bytes a slot, a third to three quarters of them used; both tables while growing.
#ifndef CAIRN_STORAGE_MVCC_KEY_TABLE_H_
#define CAIRN_STORAGE_MVCC_KEY_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "storage/mvcc/key_record.h"

namespace cairn::storage {

class KeyTable {
 public:
  KeyTable();

  // nullptr when it is not here. The record stays the tree's.
  KeyRecord* Find(std::string_view key) const;
  // The record's key is not here yet.
  void Insert(KeyRecord* record);
  // The record is here.
  void Erase(const KeyRecord* record);

  // Empties the table and makes room for so many.
  void Reset(size_t records);

  size_t size() const { return size_; }

 private:
  // Open addressing with linear probing. A slot: 16 bits of the hash, 48 of the record's address.
  using Slot = uint64_t;
  static constexpr Slot kEmpty = 0;
  static constexpr Slot kGone = 1;  // erased, or moved to the newer table: probing goes on

  struct Unmap {
    size_t bytes;
    void operator()(Slot* slots) const;
  };
  struct Slots {
    explicit Slots(size_t capacity);
    Slots() = default;
    Slot* Find(std::string_view key, uint64_t hash) const;
    void Insert(uint64_t hash, KeyRecord* record);
    bool full() const { return used >= capacity / 4 * 3; }

    size_t capacity = 0;  // a power of two
    size_t used = 0;      // all slots but the empty ones
    std::unique_ptr<Slot[], Unmap> slots;
  };

  static uint64_t HashOf(std::string_view key);
  static KeyRecord* RecordOf(Slot slot);
  static size_t CapacityFor(size_t records);
  void Move(size_t slots);

  Slots current_;
  Slots old_;  // capacity 0: nothing is left to move
  size_t moved_ = 0;
  size_t size_ = 0;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_KEY_TABLE_H_
