// The replicated log and the hard state in a RocksDB of their own (docs/formats.md, "raft/").
//
// Thread safety: as LogStore. One thread of the store's own writes and syncs: all writes that wait while a
//                sync runs share one write batch and the next sync. A second one, started when first needed,
//                reads entries that are no longer in memory.
// Ownership:     after destruction nothing is called back. The destructor finishes the write that is running
//                and drops those that wait: their callers were told nothing.
// Survives a crash: every write whose `done` ran with OK; of later ones a prefix.
#ifndef CAIRN_STORAGE_ROCKSDB_LOG_STORE_H_
#define CAIRN_STORAGE_ROCKSDB_LOG_STORE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rocksdb/db.h"
#include "rocksdb/write_batch.h"
#include "storage/log_store.h"
#include "storage/log_tail.h"
#include "storage/serial_worker.h"

namespace cairn::storage {

// Since opening.
struct LogStats {
  uint64_t syncs = 0;
  uint64_t writes = 0;  // calls of Append; writes / syncs = how many shared one
  uint64_t entries = 0;
  uint64_t bytes = 0;  // of write batches
  absl::Duration sync_time;
  absl::Duration longest_sync;
};

struct RocksDbLogStoreOptions {
  std::string path;
  bool create = false;          // make a new one if there is none; false: refuse
  rocksdb::Env* env = nullptr;  // nullptr: the operating system's
  PostFn post;

  size_t tail_bytes = 32 << 20;    // newest entries kept in memory, once durable
  size_t loaded_bytes = 16 << 20;  // older ones, read for slow followers and kept for a while

  absl::Duration slow_sync = absl::Milliseconds(100);
  std::function<void(absl::Duration)> on_slow_sync;  // optional, on the core loop: a sync took longer
};

class RocksDbLogStore : public LogStore {
 public:
  // Reads and verifies the newest entries, up to tail_bytes of them. Blocks.
  static absl::StatusOr<std::unique_ptr<RocksDbLogStore>> Open(RocksDbLogStoreOptions options);
  ~RocksDbLogStore() override;

  raft::HardState initial_hard_state() const override { return initial_hard_state_; }
  void Append(LogWrite write, absl::AnyInvocable<void(absl::Status)> done) override;
  void SetOnEntriesLoaded(std::function<void()> callback) override { on_loaded_ = std::move(callback); }

  raft::LogIndex FirstIndex() const override { return first_index_; }
  raft::LogIndex LastIndex() const override { return tail_.last_index(); }
  // Of an entry older than all read since opening: one read of the disk.
  absl::StatusOr<raft::Term> TermAt(raft::LogIndex index) const override;
  absl::StatusOr<std::vector<raft::Entry>> Entries(raft::LogIndex begin, raft::LogIndex end,
                                                   size_t max_bytes) override;

  // The name of the directory that holds the state this log goes with; empty in a new log.
  const std::string& state_directory() const { return state_directory_; }
  // Durable on return. Blocks: only before the first Append.
  absl::Status SetStateDirectory(std::string_view name);

  const LogStats& stats() const { return stats_; }

 private:
  using Done = absl::AnyInvocable<void(absl::Status)>;
  struct Submitted {
    LogWrite write;
    raft::LogIndex old_last;  // before the write; entries from the new end up to it are deleted
    Done done;
  };
  // Older entries that a read has brought in.
  struct Chunk {
    raft::LogIndex begin() const { return entries.front().index; }
    raft::LogIndex end() const { return entries.back().index + 1; }
    std::vector<raft::Entry> entries;
    size_t bytes = 0;
  };
  struct SyncResult {
    absl::Status status;
    uint64_t entries = 0;
    uint64_t bytes = 0;
    absl::Duration took;
  };

  RocksDbLogStore(RocksDbLogStoreOptions options, std::unique_ptr<rocksdb::DB> db,
                  std::vector<rocksdb::ColumnFamilyHandle*> families);

  absl::Status Load();
  absl::Status LoadMeta();
  absl::Status LoadTail();

  // The log-sync thread.
  void RunSyncs();
  SyncResult WriteAndSync(const std::vector<Submitted>& writes, rocksdb::WriteBatch* batch);
  void AddToBatch(const Submitted& submitted, rocksdb::WriteBatch* batch) const;

  // The core loop.
  void OnSynced(std::vector<Submitted> writes, const SyncResult& result);
  void EvictDurable();
  const Chunk* FindChunk(raft::LogIndex index) const;
  void StartLoad(raft::LogIndex begin, raft::LogIndex end, size_t max_bytes);
  void OnLoaded(raft::LogIndex begin, uint64_t generation, absl::StatusOr<Chunk> chunk);

  // Any thread.
  absl::StatusOr<Chunk> ReadChunk(raft::LogIndex begin, raft::LogIndex end, size_t max_bytes) const;

  const RocksDbLogStoreOptions options_;
  const std::unique_ptr<rocksdb::DB> db_;
  const std::unique_ptr<rocksdb::ColumnFamilyHandle> meta_;
  const std::unique_ptr<rocksdb::ColumnFamilyHandle> log_;

  // Set by Load, constant afterwards.
  raft::HardState initial_hard_state_;
  raft::LogIndex first_index_{1};
  raft::Term term_before_first_;
  std::string state_directory_;

  // The core loop's.
  LogTail tail_;
  std::deque<raft::LogIndex> unsynced_;  // first index of each write with entries that is not durable yet
  std::list<Chunk> chunks_;              // newest use first
  std::vector<raft::LogIndex> loading_;  // where the reads under way begin
  uint64_t generation_ = 0;              // grows when entries older than the tail are replaced
  absl::Status load_error_;
  std::function<void()> on_loaded_;
  LogStats stats_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what is posted may come after the end

  // Between the core loop and the log-sync thread.
  std::mutex mutex_;
  std::condition_variable submitted_;
  std::vector<Submitted> queue_;  // guarded by mutex_
  bool stop_ = false;             // guarded by mutex_

  std::thread sync_thread_;
  SerialWorker reader_;  // last: its work uses the rest
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_ROCKSDB_LOG_STORE_H_
