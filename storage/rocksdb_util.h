// What both databases share: status mapping, the common options, the format stamp.
//
// Thread safety: pure functions.
#ifndef CAIRN_STORAGE_ROCKSDB_UTIL_H_
#define CAIRN_STORAGE_ROCKSDB_UTIL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "rocksdb/db.h"
#include "rocksdb/options.h"
#include "rocksdb/slice.h"
#include "rocksdb/status.h"

namespace cairn::storage {

inline rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToView(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

// `doing` begins the message, as in "writing the log". NOT_FOUND; UNAVAILABLE: refused for now, nothing
// happened; RESOURCE_EXHAUSTED: the disk is full; DATA_LOSS: what is stored is damaged; INTERNAL: the rest.
absl::Status FromRocksDb(const rocksdb::Status& status, std::string_view doing);

// Options of both databases: no threads that wake by themselves, short logs of RocksDB's own, and no second
// try after a failed write or sync. `env` nullptr: the operating system's.
rocksdb::DBOptions CommonDbOptions(rocksdb::Env* env);

// The number of the format a database was written in stands in its default family under "format", as decimal
// text. Stamp: written (not synced) into a database just made. Check: FAILED_PRECONDITION for a newer one,
// DATA_LOSS for none.
absl::Status StampFormat(rocksdb::DB* db, const rocksdb::WriteOptions& options, uint32_t format);
absl::Status CheckFormat(rocksdb::DB* db, std::string_view path, uint32_t newest_known);

// FAILED_PRECONDITION with the values and what to do; also for other files than databases.
absl::Status NewerFormatError(std::string_view path, uint64_t found, uint64_t newest_known);

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_ROCKSDB_UTIL_H_
