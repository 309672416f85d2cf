#include "storage/rocksdb_log_store.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "raft/check.h"
#include "rocksdb/memtablerep.h"
#include "rocksdb/table.h"
#include "storage/coding.h"
#include "storage/log_record.h"
#include "storage/rocksdb_util.h"
#include "xxhash.h"

namespace cairn::storage {

using raft::Entry;
using raft::HardState;
using raft::LogIndex;
using raft::Term;

namespace {

constexpr uint32_t kFormat = 1;
constexpr std::string_view kHardStateKey = "hard_state";
constexpr std::string_view kFirstKey = "first";
constexpr std::string_view kStateDirectoryKey = "state_directory";

// Read ahead for a follower that asks for less: it will come back for what follows.
constexpr size_t kMinLoadBytes = 1 << 20;

rocksdb::WriteOptions SyncedWrite() {
  rocksdb::WriteOptions options;
#ifdef CAIRN_MUTATE_NO_SYNC
  // A planted bug: tests/unit/storage proves that its crash test finds it.
  options.sync = false;
#else
  options.sync = true;
#endif
  return options;
}

rocksdb::Options DatabaseOptions(const RocksDbLogStoreOptions& options) {
  rocksdb::Options db(CommonDbOptions(options.env), rocksdb::ColumnFamilyOptions());
  db.create_if_missing = options.create;
  db.create_missing_column_families = options.create;
  // The default would open with a synced part of the log missing, silently. Only a torn end may be cut off.
  db.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // The rarely written meta family must not hold the write-ahead log back. No atomic flush for that: when the
  // next log file cannot be made it leaks references, and closing the database then aborts (tried).
  db.max_total_wal_size = 32 << 20;
  db.max_open_files = 64;
  return db;
}

rocksdb::BlockBasedTableOptions TableOptions() {
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;  // read once, in order, into chunks of our own
  table.block_size = 64 << 10;
  return table;
}

rocksdb::ColumnFamilyOptions MetaFamilyOptions() {
  rocksdb::ColumnFamilyOptions family;
  family.compression = rocksdb::kNoCompression;
  family.write_buffer_size = 4 << 20;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(TableOptions()));
  return family;
}

rocksdb::ColumnFamilyOptions LogFamilyOptions() {
  rocksdb::ColumnFamilyOptions family = MetaFamilyOptions();
  family.write_buffer_size = 16 << 20;
  // Entries come in order and are read from LogTail while they are new: an array to be sorted at the flush
  // costs less than a skip list.
  family.memtable_factory = std::make_shared<rocksdb::VectorRepFactory>();
  // Files are moved from level 0 to level 1 and stay there: nothing overlaps, so nothing is rewritten.
  family.target_file_size_base = 64 << 20;
  family.max_bytes_for_level_base = uint64_t{1} << 40;
  return family;
}

std::string EncodeHardState(const HardState& hard_state) {
  std::string bytes(32, '\0');
  StoreLittle64(bytes.data(), hard_state.term.value());
  StoreLittle64(bytes.data() + 8, hard_state.vote.value());
  StoreLittle64(bytes.data() + 16, hard_state.commit.value());
  StoreLittle64(bytes.data() + 24, XXH3_64bits(bytes.data(), 24));
  return bytes;
}

absl::StatusOr<HardState> DecodeHardState(std::string_view bytes) {
  if (bytes.size() != 32 || LoadLittle64(bytes.data() + 24) != XXH3_64bits(bytes.data(), 24)) {
    return absl::DataLossError("the stored term and vote do not match their checksum: restore this member");
  }
  return HardState{Term(LoadLittle64(bytes.data())), raft::NodeId(LoadLittle64(bytes.data() + 8)),
                   LogIndex(LoadLittle64(bytes.data() + 16))};
}

absl::Status OutOfRange(LogIndex begin, LogIndex end, LogIndex first, LogIndex last) {
  return absl::OutOfRangeError(absl::StrCat("entries [", begin.value(), ", ", end.value(),
                                            ") are not in the log [", first.value(), ", ", last.value(),
                                            "]"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RocksDbLogStore>> RocksDbLogStore::Open(RocksDbLogStoreOptions options) {
  const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, MetaFamilyOptions()}, {"log", LogFamilyOptions()}};
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const std::string doing = absl::StrCat("opening the Raft log in ", options.path);
  if (auto status = rocksdb::DB::Open(DatabaseOptions(options), options.path, families, &handles, &db);
      !status.ok()) {
    return FromRocksDb(status, doing);
  }
  std::unique_ptr<RocksDbLogStore> store(
      new RocksDbLogStore(std::move(options), std::unique_ptr<rocksdb::DB>(db), std::move(handles)));
  if (absl::Status status = store->Load(); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat(doing, ": ", status.message()));
  }
  store->sync_thread_ = std::thread([raw = store.get()] { raw->RunSyncs(); });
  return store;
}

RocksDbLogStore::RocksDbLogStore(RocksDbLogStoreOptions options, std::unique_ptr<rocksdb::DB> db,
                                 std::vector<rocksdb::ColumnFamilyHandle*> families)
    : options_(std::move(options)), db_(std::move(db)), meta_(families[0]), log_(families[1]) {}

RocksDbLogStore::~RocksDbLogStore() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  submitted_.notify_one();
  if (sync_thread_.joinable()) sync_thread_.join();
}

// --- Opening
// ---------------------------------------------------------------------------------------------------

absl::Status RocksDbLogStore::Load() {
  if (absl::Status status = LoadMeta(); !status.ok()) return status;
  if (absl::Status status = LoadTail(); !status.ok()) return status;
  if (initial_hard_state_.commit > LastIndex()) {
    return absl::DataLossError(
        absl::StrCat("the log ends at entry ", LastIndex().value(), " but entries up to ",
                     initial_hard_state_.commit.value(),
                     " were known committed: the disk lost synced data; replace this member"));
  }
  return absl::OkStatus();
}

absl::Status RocksDbLogStore::LoadMeta() {
  rocksdb::PinnableSlice value;
  rocksdb::Status found = db_->Get({}, meta_.get(), ToSlice(kHardStateKey), &value);
  if (found.ok()) {
    absl::StatusOr<HardState> hard_state = DecodeHardState(ToView(value));
    if (!hard_state.ok()) return hard_state.status();
    initial_hard_state_ = *hard_state;
  } else if (!found.IsNotFound()) {
    return FromRocksDb(found, "reading the hard state");
  } else if (options_.create) {
    // A new database, or one whose making a crash cut short.
    if (absl::Status status = StampFormat(db_.get(), SyncedWrite(), kFormat); !status.ok()) return status;
  }
  if (absl::Status status = CheckFormat(db_.get(), options_.path, kFormat); !status.ok()) return status;

  value.Reset();
  found = db_->Get({}, meta_.get(), ToSlice(kFirstKey), &value);
  if (found.ok()) {
    if (value.size() != 16)
      return absl::DataLossError("the stored first index of the log has a wrong length");
    first_index_ = LogIndex(LoadLittle64(value.data()));
    term_before_first_ = Term(LoadLittle64(value.data() + 8));
  } else if (!found.IsNotFound()) {
    return FromRocksDb(found, "reading the first index");
  }
  found = db_->Get({}, meta_.get(), ToSlice(kStateDirectoryKey), &state_directory_);
  if (!found.ok() && !found.IsNotFound())
    return FromRocksDb(found, "reading the name of the state directory");
  return absl::OkStatus();
}

absl::Status RocksDbLogStore::LoadTail() {
  std::vector<Entry> newest;  // newest first
  size_t bytes = 0;
  bool enough = false;
  Term term_before = term_before_first_;
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator({}, log_.get()));
  for (at->SeekToLast(); at->Valid(); at->Prev()) {
    absl::StatusOr<Entry> entry = DecodeLogRecord(ToView(at->key()), ToView(at->value()));
    if (!entry.ok()) return entry.status();
    if (entry->index < first_index_) break;
    if (!newest.empty() && entry->index + 1 != newest.back().index) {
      return absl::DataLossError(absl::StrCat("entries between ", entry->index.value(), " and ",
                                              newest.back().index.value(),
                                              " are missing: replace this member"));
    }
    term_before = entry->term;
    enough = bytes >= options_.tail_bytes;
    if (enough) break;
    bytes += entry->size_bytes() + sizeof(Entry);
    newest.push_back(*std::move(entry));
  }
  if (!at->status().ok()) return FromRocksDb(at->status(), "reading the newest entries");
  if (newest.empty()) {
    tail_ = LogTail(LogIndex(first_index_.value() - 1), term_before_first_);
    return absl::OkStatus();
  }
  const LogIndex begin = newest.back().index;
  if (begin == first_index_) term_before = term_before_first_;
  if (!enough && begin != first_index_) {
    return absl::DataLossError(absl::StrCat("the log begins at entry ", begin.value(), " instead of ",
                                            first_index_.value(), ": replace this member"));
  }
  tail_ = LogTail(LogIndex(begin.value() - 1), term_before);
  std::reverse(newest.begin(), newest.end());
  tail_.Append(newest);
  return absl::OkStatus();
}

absl::Status RocksDbLogStore::SetStateDirectory(std::string_view name) {
  CAIRN_CHECK(stats_.writes == 0) << "the log-sync thread owns the database by now";
  rocksdb::Status status = db_->Put(SyncedWrite(), meta_.get(), ToSlice(kStateDirectoryKey), ToSlice(name));
  if (status.ok()) state_directory_ = name;
  return FromRocksDb(status, "storing the name of the state directory");
}

// --- Writing: the core loop's side
// -------------------------------------------------------------------------------

void RocksDbLogStore::Append(LogWrite write, Done done) {
  ++stats_.writes;
  Submitted submitted{std::move(write), tail_.last_index(), std::move(done)};
  if (const std::vector<Entry>& entries = submitted.write.entries; !entries.empty()) {
    const LogIndex first = entries.front().index;
    CAIRN_CHECK(first >= first_index_)
        << "entry " << first << " stands before the log, which begins at " << first_index_;
    CAIRN_CHECK(first >= tail_.first_in_memory() || first > initial_hard_state_.commit)
        << "entry " << first << " would replace a committed one";
    if (first < tail_.first_in_memory()) {
      ++generation_;
      chunks_.clear();
    }
    tail_.Append(entries);
    unsynced_.push_back(first);
  }
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(submitted));
  }
  submitted_.notify_one();
}

void RocksDbLogStore::OnSynced(std::vector<Submitted> writes, const SyncResult& result) {
  ++stats_.syncs;
  stats_.entries += result.entries;
  stats_.bytes += result.bytes;
  stats_.sync_time += result.took;
  stats_.longest_sync = std::max(stats_.longest_sync, result.took);
  if (result.status.ok()) {
    for (const Submitted& submitted : writes) {
      if (!submitted.write.entries.empty()) unsynced_.pop_front();
    }
    EvictDurable();
  }
  std::weak_ptr<bool> alive = alive_;
  if (result.took > options_.slow_sync && options_.on_slow_sync) options_.on_slow_sync(result.took);
  for (Submitted& submitted : writes) {
    if (alive.expired()) return;  // the call before ended the member
    submitted.done(result.status);
  }
}

void RocksDbLogStore::EvictDurable() {
  if (tail_.memory_bytes() <= options_.tail_bytes) return;
  // What is not durable must stay: it cannot be read back yet.
  LogIndex durable = tail_.last_index();
  for (LogIndex first : unsynced_) durable = std::min(durable, LogIndex(first.value() - 1));
  tail_.Evict(options_.tail_bytes, durable);
}

// --- Writing: the log-sync thread
// --------------------------------------------------------------------------------

void RocksDbLogStore::RunSyncs() {
  absl::Status failed;
  rocksdb::WriteBatch batch;
  for (;;) {
    std::vector<Submitted> writes;
    {
      std::unique_lock lock(mutex_);
      submitted_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      writes.swap(queue_);
    }
    SyncResult result;
    if (failed.ok()) {
      result = WriteAndSync(writes, &batch);
      failed = result.status;
    } else {
      // Never tried again: after a failed sync nobody knows what of the earlier data is on the disk.
      result.status = failed;
    }
    options_.post([this, alive = std::weak_ptr<bool>(alive_), writes = std::move(writes), result]() mutable {
      if (!alive.expired()) OnSynced(std::move(writes), result);
    });
  }
}

RocksDbLogStore::SyncResult RocksDbLogStore::WriteAndSync(const std::vector<Submitted>& writes,
                                                          rocksdb::WriteBatch* batch) {
  const auto start = std::chrono::steady_clock::now();
  SyncResult result;
  batch->Clear();
  for (const Submitted& submitted : writes) {
    AddToBatch(submitted, batch);
    result.entries += submitted.write.entries.size();
  }
  result.bytes = batch->GetDataSize();
  result.status = FromRocksDb(db_->Write(SyncedWrite(), batch), "writing the Raft log");
  result.took = absl::FromChrono(std::chrono::steady_clock::now() - start);
  return result;
}

void RocksDbLogStore::AddToBatch(const Submitted& submitted, rocksdb::WriteBatch* batch) const {
  const LogWrite& write = submitted.write;
  // A batch in memory refuses nothing: the statuses below are always OK.
  if (write.hard_state) batch->Put(meta_.get(), ToSlice(kHardStateKey), EncodeHardState(*write.hard_state));
  for (const Entry& entry : write.entries) {
    const LogKey key = EncodeLogKey(entry.index);
    const LogHeader header = EncodeLogHeader(entry);
    const rocksdb::Slice key_part(key.data(), key.size());
    const std::array<rocksdb::Slice, 2> value_parts = {
        rocksdb::Slice(header.data(), header.size()),
        entry.data == nullptr ? rocksdb::Slice() : rocksdb::Slice(*entry.data)};
    batch->Put(log_.get(), rocksdb::SliceParts(&key_part, 1), rocksdb::SliceParts(value_parts.data(), 2));
  }
  if (write.entries.empty()) return;
  for (LogIndex gone = write.entries.back().index + 1; gone <= submitted.old_last; ++gone) {
    const LogKey key = EncodeLogKey(gone);
    batch->Delete(log_.get(), rocksdb::Slice(key.data(), key.size()));
  }
}

// --- Reading
// -----------------------------------------------------------------------------------------------------

absl::StatusOr<Term> RocksDbLogStore::TermAt(LogIndex index) const {
  if (index + 1 == first_index_) return term_before_first_;
  if (index < first_index_ || index > LastIndex())
    return OutOfRange(index, index + 1, first_index_, LastIndex());
  if (std::optional<Term> term = tail_.TermAt(index)) return *term;
  if (const Chunk* chunk = FindChunk(index)) return chunk->entries[index - chunk->begin()].term;
  absl::StatusOr<Chunk> chunk = ReadChunk(index, index + 1, 1);
  if (!chunk.ok()) return chunk.status();
  return chunk->entries.front().term;
}

absl::StatusOr<std::vector<Entry>> RocksDbLogStore::Entries(LogIndex begin, LogIndex end, size_t max_bytes) {
  if (begin < first_index_ || end > LastIndex() + 1 || begin >= end) {
    return OutOfRange(begin, end, first_index_, LastIndex());
  }
  if (begin >= tail_.first_in_memory()) return tail_.Entries(begin, end, max_bytes);
  if (!load_error_.ok()) return load_error_;
  if (const Chunk* chunk = FindChunk(begin)) {
    std::vector<Entry> entries;
    size_t bytes = 0;
    for (auto at = chunk->entries.begin() + (begin - chunk->begin());
         at != chunk->entries.end() && at->index < end && (entries.empty() || bytes < max_bytes); ++at) {
      bytes += at->size_bytes();
      entries.push_back(*at);
    }
    return entries;
  }
  StartLoad(begin, std::min(end, tail_.first_in_memory()), max_bytes);
  return absl::UnavailableError(absl::StrCat("entry ", begin.value(), " is being read from the disk"));
}

const RocksDbLogStore::Chunk* RocksDbLogStore::FindChunk(LogIndex index) const {
  for (const Chunk& chunk : chunks_) {
    if (chunk.begin() <= index && index < chunk.end()) return &chunk;
  }
  return nullptr;
}

void RocksDbLogStore::StartLoad(LogIndex begin, LogIndex end, size_t max_bytes) {
  if (std::find(loading_.begin(), loading_.end(), begin) != loading_.end()) return;
  loading_.push_back(begin);
  const size_t bytes = std::min(std::max(max_bytes, kMinLoadBytes), options_.loaded_bytes);
  reader_.Post([this, alive = std::weak_ptr<bool>(alive_), generation = generation_, begin, end, bytes] {
    options_.post([this, alive, generation, begin, chunk = ReadChunk(begin, end, bytes)]() mutable {
      if (!alive.expired()) OnLoaded(begin, generation, std::move(chunk));
    });
  });
}

void RocksDbLogStore::OnLoaded(LogIndex begin, uint64_t generation, absl::StatusOr<Chunk> chunk) {
  std::erase(loading_, begin);
  if (generation == generation_) {
    if (chunk.ok()) {
      chunks_.push_front(*std::move(chunk));
      size_t bytes = 0;
      for (const Chunk& kept : chunks_) bytes += kept.bytes;
      while (chunks_.size() > 1 && bytes > options_.loaded_bytes) {
        bytes -= chunks_.back().bytes;
        chunks_.pop_back();
      }
    } else {
      load_error_ = chunk.status();
    }
  }
  if (on_loaded_) on_loaded_();
}

absl::StatusOr<RocksDbLogStore::Chunk> RocksDbLogStore::ReadChunk(LogIndex begin, LogIndex end,
                                                                  size_t max_bytes) const {
  Chunk chunk;
  const LogKey from = EncodeLogKey(begin);
  const LogKey to = EncodeLogKey(end);
  const rocksdb::Slice upper(to.data(), to.size());
  rocksdb::ReadOptions read;
  read.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(read, log_.get()));
  LogIndex expected = begin;
  for (at->Seek(rocksdb::Slice(from.data(), from.size())); at->Valid() && chunk.bytes < max_bytes;
       at->Next()) {
    absl::StatusOr<Entry> entry = DecodeLogRecord(ToView(at->key()), ToView(at->value()));
    if (!entry.ok()) return entry.status();
    if (entry->index != expected) break;
    ++expected;
    chunk.bytes += entry->size_bytes() + sizeof(Entry);
    chunk.entries.push_back(*std::move(entry));
  }
  if (!at->status().ok()) return FromRocksDb(at->status(), "reading the Raft log");
  if (expected != end && chunk.bytes < max_bytes) {
    return absl::DataLossError(absl::StrCat("entry ", expected.value(), " is missing in the Raft log"));
  }
  return chunk;
}

}  // namespace cairn::storage
