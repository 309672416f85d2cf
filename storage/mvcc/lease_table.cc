#include "storage/mvcc/lease_table.h"

#include <xxhash.h>

#include <algorithm>

#include "raft/check.h"
#include "storage/coding.h"

namespace cairn::storage {

namespace {
constexpr char kFormat = 1;
constexpr size_t kLeaseBytes = 1 + 8 + 8 + 4;
// Negative ids sort before positive ones, as numbers do.
constexpr uint64_t kSignBit = uint64_t{1} << 63;
}  // namespace

Lease* LeaseTable::Grant(int64_t id, int64_t ttl_s) {
  Lease* lease = &leases_[id];
  lease->granted_ttl_s = ttl_s;
  return lease;
}

void LeaseTable::Move(const KeyRecord* record, int64_t from, int64_t to) {
  if (from == to) return;
  if (from != 0) {
    if (Lease* lease = Find(from)) lease->keys.erase(record);
  }
  if (to != 0) {
    Lease* lease = Find(to);
    CAIRN_CHECK(lease != nullptr) << "key attached to lease " << to << ", which does not exist";
    lease->keys.insert(record);
  }
}

std::vector<std::string> LeaseTable::SortedKeys(int64_t id) const {
  std::vector<std::string> keys;
  if (const Lease* lease = Find(id)) {
    for (const KeyRecord* record : lease->keys) keys.emplace_back(record->key());
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

std::string EncodeLeaseKey(int64_t id) {
  std::string key(8, '\0');
  StoreBig64(key.data(), static_cast<uint64_t>(id) ^ kSignBit);
  return key;
}

std::string EncodeLease(const Lease& lease) {
  std::string value(kLeaseBytes, kFormat);
  StoreLittle64(value.data() + 1, static_cast<uint64_t>(lease.granted_ttl_s));
  StoreLittle64(value.data() + 9, static_cast<uint64_t>(lease.remaining_ttl_s));
  StoreLittle32(value.data() + 17, static_cast<uint32_t>(XXH3_64bits(value.data(), 17)));
  return value;
}

absl::Status DecodeLease(std::string_view key, std::string_view value, int64_t* id, Lease* lease) {
  if (key.size() != 8 || value.size() != kLeaseBytes ||
      LoadLittle32(value.data() + 17) != static_cast<uint32_t>(XXH3_64bits(value.data(), 17))) {
    return absl::DataLossError(
        "a lease in the state database is damaged: rebuild this member from the others");
  }
  if (value[0] != kFormat)
    return absl::FailedPreconditionError("a lease has an unknown format: made by a newer version");
  *id = static_cast<int64_t>(LoadBig64(key.data()) ^ kSignBit);
  lease->granted_ttl_s = static_cast<int64_t>(LoadLittle64(value.data() + 1));
  lease->remaining_ttl_s = static_cast<int64_t>(LoadLittle64(value.data() + 9));
  return absl::OkStatus();
}

}  // namespace cairn::storage
