// The replicated state's engine on RocksDB (docs/formats.md, "state.N/db/"): no write-ahead log, atomic
// flushes.
//
// Thread safety: as StateEngine. Flushes and compactions run on threads of the engine's own, started when
//                first needed; RocksDB has its own.
// Ownership:     after destruction nothing is called back. Iterators and batches must be gone before. A clean
//                end flushes what is in memory.
// Survives a crash: everything written before the last completed flush, possibly more; always whole writes, a
//                   prefix of them.
#ifndef CAIRN_STORAGE_ROCKSDB_STATE_ENGINE_H_
#define CAIRN_STORAGE_ROCKSDB_STATE_ENGINE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rocksdb/db.h"
#include "storage/post.h"
#include "storage/serial_worker.h"
#include "storage/state_engine.h"

namespace cairn::storage {

struct RocksDbStateEngineOptions {
  std::string path;
  bool create = false;          // make a new one; false: refuse if there is none
  rocksdb::Env* env = nullptr;  // nullptr: the operating system's
  PostFn post;

  // On the core loop: an error in the background that writing again cannot mend. The member must end. A full
  // disk is none: writes answer UNAVAILABLE until there is room.
  std::function<void(absl::Status)> on_fatal;

  size_t block_cache_bytes = 64 << 20;
  size_t memtable_bytes = 16 << 20;  // of all families; a flush starts by itself when they are full
  uint64_t background_bytes_per_second = 64 << 20;  // flushes and compactions together
  int max_open_files = 256;
};

class RocksDbStateEngine : public StateEngine {
 public:
  // Blocks.
  static absl::StatusOr<std::unique_ptr<RocksDbStateEngine>> Open(RocksDbStateEngineOptions options);
  ~RocksDbStateEngine() override;

  std::unique_ptr<StateBatch> NewBatch() override;
  absl::Status Write(StateBatch& batch, uint64_t entries) override;
  absl::Status Get(Family family, std::string_view key, ReadTier tier, std::string* value) const override;
  std::vector<absl::Status> MultiGet(Family family, std::span<const std::string_view> keys, ReadTier tier,
                                     std::vector<std::string>* values) const override;
  std::unique_ptr<StateIterator> Scan(Family family, std::string_view begin,
                                      std::string_view end) const override;
  void Flush(absl::AnyInvocable<void(absl::Status)> done) override;
  void CompactRange(Family family, std::string_view begin, std::string_view end,
                    absl::AnyInvocable<void(absl::Status)> done) override;
  uint64_t disk_bytes() const override;

  // Log entries that a crash now might have to replay.
  uint64_t unflushed_entries() const { return written_entries_ - flushed_entries_; }

 private:
  using Families = std::array<rocksdb::ColumnFamilyHandle*, kFamilyCount>;

  RocksDbStateEngine(const RocksDbStateEngineOptions& options, std::shared_ptr<bool> alive, rocksdb::DB* db,
                     const std::vector<rocksdb::ColumnFamilyHandle*>& handles);

  absl::Status Prepare(const RocksDbStateEngineOptions& options);
  rocksdb::ColumnFamilyHandle* handle(Family family) const { return families_[static_cast<size_t>(family)]; }

  const PostFn post_;
  const std::shared_ptr<bool> alive_;  // what is posted may come after the end
  const std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* const default_family_;  // destroyed by the destructor, like families_
  Families families_{};
  std::atomic<bool> cancel_compaction_{false};
  uint64_t written_entries_ = 0;  // log entries, since opening
  uint64_t flushed_entries_ = 0;

  // Two, so that a flush never waits behind a compaction.
  SerialWorker flusher_;
  SerialWorker compactor_;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_ROCKSDB_STATE_ENGINE_H_
