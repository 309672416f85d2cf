#include "storage/rocksdb_util.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace cairn::storage {
namespace {
constexpr std::string_view kFormatKey = "format";
absl::string_view Absl(std::string_view s) { return {s.data(), s.size()}; }
}  // namespace

absl::Status FromRocksDb(const rocksdb::Status& status, std::string_view doing) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = absl::StrCat(Absl(doing), ": ", status.ToString());
  if (status.IsNotFound()) return absl::NotFoundError(message);
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(message);
  if (status.IsIncomplete() || status.IsBusy() || status.IsTimedOut() || status.IsTryAgain()) {
    return absl::UnavailableError(message);
  }
  if (status.IsCorruption()) return absl::DataLossError(message);
  return absl::InternalError(message);
}

rocksdb::DBOptions CommonDbOptions(rocksdb::Env* env) {
  rocksdb::DBOptions options;
  if (env != nullptr) options.env = env;
  // A sync that failed may have lost what it should have written although the next one succeeds: no second
  // try.
  options.max_bgerror_resume_count = 0;
  // One thread writes; without these RocksDB pays for synchronising many.
  options.allow_concurrent_memtable_write = false;
  options.enable_write_thread_adaptive_yield = false;
  options.max_background_jobs = 2;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.skip_stats_update_on_db_open = true;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.max_log_file_size = 1 << 20;
  options.keep_log_file_num = 2;
  options.bytes_per_sync = 1 << 20;  // background writes reach the disk evenly instead of in one burst
  return options;
}

absl::Status StampFormat(rocksdb::DB* db, const rocksdb::WriteOptions& options, uint32_t format) {
  return FromRocksDb(db->Put(options, ToSlice(kFormatKey), absl::StrCat(format)), "writing the format stamp");
}

absl::Status CheckFormat(rocksdb::DB* db, std::string_view path, uint32_t newest_known) {
  std::string text;
  rocksdb::Status read = db->Get(rocksdb::ReadOptions(), ToSlice(kFormatKey), &text);
  if (!read.ok() && !read.IsNotFound()) return FromRocksDb(read, "reading the format stamp");
  uint32_t format = 0;
  if (!absl::SimpleAtoi(text, &format) || format == 0) {
    return absl::DataLossError(absl::StrCat(Absl(path), ": the database has no valid format stamp (found \"",
                                            text,
                                            "\"): it is damaged or not cairn's; restore it from a backup"));
  }
  if (format > newest_known) return NewerFormatError(path, format, newest_known);
  return absl::OkStatus();
}

absl::Status NewerFormatError(std::string_view path, uint64_t found, uint64_t newest_known) {
  return absl::FailedPreconditionError(absl::StrCat(Absl(path), " was written by a newer version: format ",
                                                    found, ", this cairnd reads up to ", newest_known,
                                                    ": start the newer cairnd on it"));
}

}  // namespace cairn::storage
