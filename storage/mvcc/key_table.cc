#include "storage/mvcc/key_table.h"

#include <sys/mman.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "raft/check.h"

namespace cairn::storage {
namespace {

constexpr size_t kMinCapacity = 1024;
constexpr int kTagShift = 48;
constexpr uint64_t kAddressMask = (uint64_t{1} << kTagShift) - 1;
// An insertion moves so many slots. The new table has room for a multiple of what is still to be moved by
// then.
constexpr size_t kMoveAtOnce = 16;

}  // namespace

void KeyTable::Unmap::operator()(Slot* slots) const { munmap(slots, bytes); }

// Mapped, not allocated: the system hands out zeroed pages as they are touched, so that a large table costs
// nothing at once.
KeyTable::Slots::Slots(size_t wanted) : capacity(wanted) {
  const size_t bytes = capacity * sizeof(Slot);
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CAIRN_CHECK(mapped != MAP_FAILED) << "no memory for a table of " << capacity << " keys";
  slots = std::unique_ptr<Slot[], Unmap>(static_cast<Slot*>(mapped), Unmap{bytes});
}

KeyTable::Slot* KeyTable::Slots::Find(std::string_view key, uint64_t hash) const {
  if (capacity == 0) return nullptr;
  for (size_t at = hash & (capacity - 1); slots[at] != kEmpty; at = (at + 1) & (capacity - 1)) {
    const Slot slot = slots[at];
    if (slot != kGone && slot >> kTagShift == hash >> kTagShift && RecordOf(slot)->key() == key)
      return &slots[at];
  }
  return nullptr;
}

void KeyTable::Slots::Insert(uint64_t hash, KeyRecord* record) {
  size_t at = hash & (capacity - 1);
  while (slots[at] != kEmpty) at = (at + 1) & (capacity - 1);
  slots[at] = (hash >> kTagShift << kTagShift) | reinterpret_cast<uintptr_t>(record);
  ++used;
}

KeyTable::KeyTable() : current_(kMinCapacity) {}

uint64_t KeyTable::HashOf(std::string_view key) { return XXH3_64bits(key.data(), key.size()); }

KeyRecord* KeyTable::RecordOf(Slot slot) { return reinterpret_cast<KeyRecord*>(slot & kAddressMask); }

size_t KeyTable::CapacityFor(size_t records) {
  return std::max(kMinCapacity, std::bit_ceil(records + records / 2 + 1));
}

KeyRecord* KeyTable::Find(std::string_view key) const {
  const uint64_t hash = HashOf(key);
  if (const Slot* slot = current_.Find(key, hash)) return RecordOf(*slot);
  const Slot* slot = old_.Find(key, hash);
  return slot == nullptr ? nullptr : RecordOf(*slot);
}

void KeyTable::Insert(KeyRecord* record) {
  CAIRN_CHECK(reinterpret_cast<uintptr_t>(record) <= kAddressMask) << "an address of more than 48 bits";
  if (current_.full()) {
    Move(old_.capacity);
    old_ = std::move(current_);
    moved_ = 0;
    // As large as before when many of its slots are gone.
    current_ = Slots(CapacityFor(2 * size_));
  }
  current_.Insert(HashOf(record->key()), record);
  ++size_;
  Move(kMoveAtOnce);
}

void KeyTable::Move(size_t slots) {
  const size_t end = std::min(old_.capacity, moved_ + slots);
  for (; moved_ < end; ++moved_) {
    Slot& slot = old_.slots[moved_];
    if (slot != kEmpty && slot != kGone) {
      KeyRecord* record = RecordOf(slot);
      current_.Insert(HashOf(record->key()), record);
    }
    // A probe that begins before this slot goes on behind it.
    if (slot != kEmpty) slot = kGone;
  }
  if (moved_ == old_.capacity) old_ = Slots();
}

void KeyTable::Erase(const KeyRecord* record) {
  const uint64_t hash = HashOf(record->key());
  Slot* slot = current_.Find(record->key(), hash);
  if (slot == nullptr) slot = old_.Find(record->key(), hash);
  CAIRN_CHECK(slot != nullptr) << "erased key is not in the table";
  *slot = kGone;
  --size_;
}

void KeyTable::Reset(size_t records) {
  old_ = Slots();
  current_ = Slots(CapacityFor(records));
  moved_ = 0;
  size_ = 0;
}

}  // namespace cairn::storage
