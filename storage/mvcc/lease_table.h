// The replicated leases and the keys attached to each.
//
// Thread safety: none.
// Invariants:    a record is attached to a lease exactly while its newest version is live and names the
// lease.
#ifndef CAIRN_STORAGE_MVCC_LEASE_TABLE_H_
#define CAIRN_STORAGE_MVCC_LEASE_TABLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "storage/mvcc/key_record.h"

namespace cairn::storage {

struct Lease {
  int64_t granted_ttl_s = 0;
  int64_t remaining_ttl_s = 0;  // 0 = full
  absl::flat_hash_set<const KeyRecord*> keys;
};

class LeaseTable {
 public:
  Lease* Find(int64_t id) {
    auto it = leases_.find(id);
    return it == leases_.end() ? nullptr : &it->second;
  }
  const Lease* Find(int64_t id) const { return const_cast<LeaseTable*>(this)->Find(id); }
  Lease* Grant(int64_t id, int64_t ttl_s);
  void Remove(int64_t id) { leases_.erase(id); }

  // The key's lease goes from `from` to `to`; 0 = none.
  void Move(const KeyRecord* record, int64_t from, int64_t to);

  std::vector<std::string> SortedKeys(int64_t id) const;
  const std::map<int64_t, Lease>& all() const { return leases_; }

 private:
  std::map<int64_t, Lease> leases_;
};

// How a lease stands in the engine's lease family.
std::string EncodeLeaseKey(int64_t id);
std::string EncodeLease(const Lease& lease);
absl::Status DecodeLease(std::string_view key, std::string_view value, int64_t* id, Lease* lease);

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_LEASE_TABLE_H_
