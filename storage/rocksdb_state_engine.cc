#include "storage/rocksdb_state_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "rocksdb/cache.h"
#include "rocksdb/convenience.h"
#include "rocksdb/listener.h"
#include "rocksdb/rate_limiter.h"
#include "rocksdb/table.h"
#include "rocksdb/write_batch.h"
#include "storage/rocksdb_util.h"

namespace cairn::storage {
namespace {

constexpr uint32_t kFormat = 1;
constexpr std::array<const char*, kFamilyCount> kFamilyNames = {"events", "meta", "lease"};

// Tells of errors in the background after which the database can no longer be trusted to write.
class FatalErrors : public rocksdb::EventListener {
 public:
  FatalErrors(PostFn post, std::function<void(absl::Status)> on_fatal, std::weak_ptr<bool> alive)
      : post_(std::move(post)), on_fatal_(std::move(on_fatal)), alive_(std::move(alive)) {}

  void OnBackgroundError(rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status* error) override {
    if (error->IsNoSpace() || !on_fatal_) return;
    post_([alive = alive_, on_fatal = on_fatal_, status = FromRocksDb(*error, "writing the state")] {
      if (!alive.expired()) on_fatal(status);
    });
  }

 private:
  const PostFn post_;
  const std::function<void(absl::Status)> on_fatal_;
  const std::weak_ptr<bool> alive_;
};

rocksdb::Options DatabaseOptions(const RocksDbStateEngineOptions& options, std::weak_ptr<bool> alive) {
  rocksdb::Options db(CommonDbOptions(options.env), rocksdb::ColumnFamilyOptions());
  db.create_if_missing = options.create;
  db.create_missing_column_families = options.create;
  db.atomic_flush = true;
  db.db_write_buffer_size = options.memtable_bytes;
  db.max_open_files = options.max_open_files;
  db.rate_limiter.reset(
      rocksdb::NewGenericRateLimiter(static_cast<int64_t>(options.background_bytes_per_second)));
  db.listeners.push_back(std::make_shared<FatalErrors>(options.post, options.on_fatal, std::move(alive)));
  return db;
}

rocksdb::ColumnFamilyOptions FamilyOptions(const RocksDbStateEngineOptions& options,
                                           const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.block_size = 8 << 10;
  rocksdb::ColumnFamilyOptions family;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  family.compression = rocksdb::kNoCompression;
  family.write_buffer_size = options.memtable_bytes;
  family.max_write_buffer_number = 3;
  // Events come in the order of their keys: a flushed file is moved from level 0 to level 1, once, and
  // rewritten only when CompactRange or deleted history asks for it.
  family.target_file_size_base = 32 << 20;
  family.max_bytes_for_level_base = uint64_t{1} << 40;
  return family;
}

class RocksDbStateBatch : public StateBatch {
 public:
  explicit RocksDbStateBatch(const std::array<rocksdb::ColumnFamilyHandle*, kFamilyCount>& families)
      : families_(families) {}

  // A batch in memory without a size limit refuses nothing: the statuses are always OK.
  void Put(Family family, std::string_view key, std::string_view value) override {
    batch_.Put(families_[static_cast<size_t>(family)], ToSlice(key), ToSlice(value));
  }
  void Delete(Family family, std::string_view key) override {
    batch_.Delete(families_[static_cast<size_t>(family)], ToSlice(key));
  }
  void Clear() override { batch_.Clear(); }
  size_t size_bytes() const override { return batch_.GetDataSize(); }

  rocksdb::WriteBatch* batch() { return &batch_; }

 private:
  const std::array<rocksdb::ColumnFamilyHandle*, kFamilyCount> families_;
  rocksdb::WriteBatch batch_;
};

class RocksDbStateIterator : public StateIterator {
 public:
  RocksDbStateIterator(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, std::string_view begin,
                       std::string_view end)
      : end_(end), end_slice_(end_) {
    rocksdb::ReadOptions read;
    read.fill_cache = false;  // a long scan would push out what is read again and again
    if (!end_.empty()) read.iterate_upper_bound = &end_slice_;
    at_.reset(db->NewIterator(read, family));
    at_->Seek(ToSlice(begin));
  }

  bool Valid() const override { return at_->Valid(); }
  void Next() override { at_->Next(); }
  std::string_view key() const override { return ToView(at_->key()); }
  std::string_view value() const override { return ToView(at_->value()); }
  absl::Status status() const override { return FromRocksDb(at_->status(), "scanning the state"); }

 private:
  const std::string end_;
  const rocksdb::Slice end_slice_;
  std::unique_ptr<rocksdb::Iterator> at_;
};

rocksdb::ReadOptions ReadOptionsFor(ReadTier tier) {
  rocksdb::ReadOptions read;
  if (tier == ReadTier::kMemoryOnly) read.read_tier = rocksdb::kBlockCacheTier;
  return read;
}

absl::Status ReadStatus(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsNotFound()) return absl::NotFoundError("no such key");
  if (status.IsIncomplete()) return absl::UnavailableError("not in memory");
  return FromRocksDb(status, "reading the state");
}

}  // namespace

absl::StatusOr<std::unique_ptr<RocksDbStateEngine>> RocksDbStateEngine::Open(
    RocksDbStateEngineOptions options) {
  auto alive = std::make_shared<bool>(true);
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, FamilyOptions(options, cache)}};
  for (const char* name : kFamilyNames) families.emplace_back(name, FamilyOptions(options, cache));
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  rocksdb::Status opened =
      rocksdb::DB::Open(DatabaseOptions(options, alive), options.path, families, &handles, &db);
  if (!opened.ok()) return FromRocksDb(opened, absl::StrCat("opening the state in ", options.path));
  std::unique_ptr<RocksDbStateEngine> engine(new RocksDbStateEngine(options, std::move(alive), db, handles));
  if (absl::Status status = engine->Prepare(options); !status.ok()) return status;
  return engine;
}

RocksDbStateEngine::RocksDbStateEngine(const RocksDbStateEngineOptions& options, std::shared_ptr<bool> alive,
                                       rocksdb::DB* db,
                                       const std::vector<rocksdb::ColumnFamilyHandle*>& handles)
    : post_(options.post), alive_(std::move(alive)), db_(db), default_family_(handles[0]) {
  for (int i = 0; i < kFamilyCount; ++i) families_[i] = handles[i + 1];
}

RocksDbStateEngine::~RocksDbStateEngine() {
  // The workers use the database: they end first. Then the handles, then (as a member) the database.
  flusher_.Stop();
  cancel_compaction_ = true;
  // Flushes what is in memory, then ends the compaction: after an error in the background nothing else would
  // (tried: it is tried again every second, for ever).
  rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/false);
  compactor_.Stop();
  db_->DestroyColumnFamilyHandle(default_family_);
  for (rocksdb::ColumnFamilyHandle* family : families_) db_->DestroyColumnFamilyHandle(family);
}

absl::Status RocksDbStateEngine::Prepare(const RocksDbStateEngineOptions& options) {
  if (options.create && db_->GetLatestSequenceNumber() == 0) {
    rocksdb::WriteOptions write;
    write.disableWAL = true;
    if (absl::Status status = StampFormat(db_.get(), write, kFormat); !status.ok()) return status;
    std::vector<rocksdb::ColumnFamilyHandle*> all(families_.begin(), families_.end());
    all.push_back(default_family_);
    absl::Status flushed = FromRocksDb(db_->Flush(rocksdb::FlushOptions(), all), "making the state database");
    if (!flushed.ok()) return flushed;
  }
  return CheckFormat(db_.get(), options.path, kFormat);
}

std::unique_ptr<StateBatch> RocksDbStateEngine::NewBatch() {
  return std::make_unique<RocksDbStateBatch>(families_);
}

absl::Status RocksDbStateEngine::Write(StateBatch& batch, uint64_t entries) {
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  write.no_slowdown = true;
  const rocksdb::Status status = db_->Write(write, static_cast<RocksDbStateBatch&>(batch).batch());
  if (status.ok()) {
    written_entries_ += entries;
    return absl::OkStatus();
  }
  if (status.IsNoSpace())
    return absl::UnavailableError(absl::StrCat("the disk is full: ", status.ToString()));
  return FromRocksDb(status, "writing the state");
}

absl::Status RocksDbStateEngine::Get(Family family, std::string_view key, ReadTier tier,
                                     std::string* value) const {
  rocksdb::PinnableSlice pinned(value);
  const rocksdb::Status status = db_->Get(ReadOptionsFor(tier), handle(family), ToSlice(key), &pinned);
  if (status.ok() && pinned.IsPinned()) value->assign(pinned.data(), pinned.size());
  return ReadStatus(status);
}

std::vector<absl::Status> RocksDbStateEngine::MultiGet(Family family, std::span<const std::string_view> keys,
                                                       ReadTier tier,
                                                       std::vector<std::string>* values) const {
  values->resize(keys.size());
  std::vector<absl::Status> statuses;
  statuses.reserve(keys.size());
  if (tier == ReadTier::kMemoryOnly) {
    // RocksDB's MultiGet reads blocks from the disk whatever the tier says (tried).
    for (size_t i = 0; i < keys.size(); ++i) statuses.push_back(Get(family, keys[i], tier, &(*values)[i]));
    return statuses;
  }
  std::vector<rocksdb::Slice> slices;
  slices.reserve(keys.size());
  for (std::string_view key : keys) slices.push_back(ToSlice(key));
  std::vector<rocksdb::PinnableSlice> pinned(keys.size());
  std::vector<rocksdb::Status> found(keys.size());
  db_->MultiGet(ReadOptionsFor(tier), handle(family), keys.size(), slices.data(), pinned.data(), found.data(),
                /*sorted_input=*/true);
  for (size_t i = 0; i < keys.size(); ++i) {
    statuses.push_back(ReadStatus(found[i]));
    if (found[i].ok()) (*values)[i].assign(pinned[i].data(), pinned[i].size());
  }
  return statuses;
}

std::unique_ptr<StateIterator> RocksDbStateEngine::Scan(Family family, std::string_view begin,
                                                        std::string_view end) const {
  return std::make_unique<RocksDbStateIterator>(db_.get(), handle(family), begin, end);
}

void RocksDbStateEngine::Flush(absl::AnyInvocable<void(absl::Status)> done) {
  flusher_.Post([this, covered = written_entries_, done = std::move(done)]() mutable {
    const std::vector<rocksdb::ColumnFamilyHandle*> all = {default_family_, families_[0], families_[1],
                                                           families_[2]};
    absl::Status status = FromRocksDb(db_->Flush(rocksdb::FlushOptions(), all), "flushing the state");
    post_([this, alive = std::weak_ptr<bool>(alive_), covered, done = std::move(done),
           status = std::move(status)]() mutable {
      if (alive.expired()) return;
      if (status.ok()) flushed_entries_ = std::max(flushed_entries_, covered);
      done(std::move(status));
    });
  });
}

void RocksDbStateEngine::CompactRange(Family family, std::string_view begin, std::string_view end,
                                      absl::AnyInvocable<void(absl::Status)> done) {
  compactor_.Post(
      [this, family, begin = std::string(begin), end = std::string(end), done = std::move(done)]() mutable {
        rocksdb::CompactRangeOptions compact;
        compact.exclusive_manual_compaction = false;
        // Deleted keys give their space back only when the last level is rewritten.
        compact.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
        compact.canceled = &cancel_compaction_;
        const rocksdb::Slice from(begin);
        const rocksdb::Slice to(end);
        const rocksdb::Status status =
            db_->CompactRange(compact, handle(family), &from, end.empty() ? nullptr : &to);
        post_([alive = std::weak_ptr<bool>(alive_), done = std::move(done),
               status = FromRocksDb(status, "compacting the state")]() mutable {
          if (!alive.expired()) done(status);
        });
      });
}

uint64_t RocksDbStateEngine::disk_bytes() const {
  uint64_t bytes = 0;
  db_->GetAggregatedIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &bytes);
  return bytes;
}

}  // namespace cairn::storage
