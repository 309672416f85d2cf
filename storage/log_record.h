// How one log entry stands in the database (docs/formats.md, "Log entry").
//
// Thread safety: pure functions.
#ifndef CAIRN_STORAGE_LOG_RECORD_H_
#define CAIRN_STORAGE_LOG_RECORD_H_

#include <array>
#include <string_view>

#include "absl/status/statusor.h"
#include "raft/types.h"

namespace cairn::storage {

inline constexpr size_t kLogKeySize = 8;
inline constexpr size_t kLogHeaderSize = 17;

using LogKey = std::array<char, kLogKeySize>;
using LogHeader = std::array<char, kLogHeaderSize>;

LogKey EncodeLogKey(raft::LogIndex index);

// The bytes before the payload.
LogHeader EncodeLogHeader(const raft::Entry& entry);

// DATA_LOSS when the checksum, which covers index, term, type and payload, does not fit.
// A payload of no bytes comes back as nullptr.
absl::StatusOr<raft::Entry> DecodeLogRecord(std::string_view key, std::string_view value);

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_LOG_RECORD_H_
