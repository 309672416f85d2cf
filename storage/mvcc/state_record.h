// The one record of the meta family that says how far the state has come. It is written in the same batch as
// the effects it stands for.
//
// Thread safety: value type.
#ifndef CAIRN_STORAGE_MVCC_STATE_RECORD_H_
#define CAIRN_STORAGE_MVCC_STATE_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace cairn::storage {

inline constexpr std::string_view kStateKey = "state";
inline constexpr std::string_view kPhysicalKey = "physically_compacted";
inline constexpr std::string_view kMemberPrefix = "member/";

struct StateRecord {
  uint64_t applied_index = 0;
  uint64_t applied_term = 0;
  int64_t revision = 1;
  int64_t compact_revision = -1;  // -1 = never; etcd shows it so in HashKV
  uint64_t state_hash = 0;        // chain over the effects of every entry applied so far
};

std::string EncodeStateRecord(const StateRecord& record);
absl::Status DecodeStateRecord(std::string_view bytes, StateRecord* record);

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_STATE_RECORD_H_
