#include "storage/mvcc/key_record.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace cairn::storage {

KeyRecord* KeyRecord::New(std::string_view key) {
  void* memory = ::operator new(sizeof(KeyRecord) + key.size());
  auto* record = new (memory) KeyRecord();
  record->key_bytes = static_cast<uint32_t>(key.size());
  std::memcpy(static_cast<char*>(memory) + sizeof(KeyRecord), key.data(), key.size());
  return record;
}

void KeyRecord::Delete(KeyRecord* record) {
  delete record->history;
  record->~KeyRecord();
  ::operator delete(record);
}

const KeyVersion* KeyRecord::AtOlder(int64_t revision) const {
  if (history == nullptr) return nullptr;
  const KeyVersion* after =
      std::upper_bound(history->begin(), history->end(), revision,
                       [](int64_t wanted, const KeyVersion& entry) { return wanted < entry.mod; });
  return after == history->begin() ? nullptr : after - 1;
}

}  // namespace cairn::storage
