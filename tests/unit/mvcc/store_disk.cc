#include "tests/unit/mvcc/store_disk.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "raft/check.h"
#include "storage/file_blob_store.h"
#include "storage/memory_blob_store.h"
#include "storage/memory_state_engine.h"
#include "storage/rocksdb_state_engine.h"
#include "tests/unit/storage/fault_fs.h"
#include "tests/unit/storage/storage_test_util.h"

namespace cairn::storage {
namespace {

class MemoryDisk : public StoreDisk {
 public:
  std::unique_ptr<StateEngine> OpenEngine() override {
    return std::make_unique<MemoryStateEngine>(
        &state_, MemoryStateEngineOptions{post(), [this] { return refuse; }, [this] { return cold; }});
  }
  std::unique_ptr<BlobStore> OpenBlobs() override { return std::make_unique<MemoryBlobStore>(&blobs_); }
  void CutPower() override {}
  void Crash(uint64_t seed) override {
    Drain();
    state_.Crash(seed % (state_.unflushed_writes() + 1));
  }
  std::vector<std::string> BlobNames() override {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : blobs_) names.push_back(name);
    return names;
  }
  void EditBlob(const std::string& name, const std::function<void(std::string*)>& edit) override {
    edit(&blobs_.find(name)->second);
  }

 private:
  MemoryStateDisk state_;
  MemoryBlobDisk blobs_;
};

// RocksDB with the faults that the memory twin has by itself.
class FaultyEngine : public StateEngine {
 public:
  FaultyEngine(std::unique_ptr<RocksDbStateEngine> engine, const StoreDisk* faults)
      : engine_(std::move(engine)), faults_(faults) {}

  std::unique_ptr<StateBatch> NewBatch() override { return engine_->NewBatch(); }
  absl::Status Write(StateBatch& batch, uint64_t entries) override {
    return faults_->refuse ? absl::UnavailableError("refused") : engine_->Write(batch, entries);
  }
  absl::Status Get(Family family, std::string_view key, ReadTier tier, std::string* value) const override {
    if (tier == ReadTier::kMemoryOnly && faults_->cold) return absl::UnavailableError("cold");
    return engine_->Get(family, key, tier, value);
  }
  std::vector<absl::Status> MultiGet(Family family, std::span<const std::string_view> keys, ReadTier tier,
                                     std::vector<std::string>* values) const override {
    if (tier == ReadTier::kMemoryOnly && faults_->cold) {
      values->resize(keys.size());
      return std::vector<absl::Status>(keys.size(), absl::UnavailableError("cold"));
    }
    return engine_->MultiGet(family, keys, tier, values);
  }
  std::unique_ptr<StateIterator> Scan(Family family, std::string_view begin,
                                      std::string_view end) const override {
    return engine_->Scan(family, begin, end);
  }
  void Flush(absl::AnyInvocable<void(absl::Status)> done) override { engine_->Flush(std::move(done)); }
  void CompactRange(Family family, std::string_view begin, std::string_view end,
                    absl::AnyInvocable<void(absl::Status)> done) override {
    engine_->CompactRange(family, begin, end, std::move(done));
  }
  uint64_t disk_bytes() const override { return engine_->disk_bytes(); }

 private:
  const std::unique_ptr<RocksDbStateEngine> engine_;
  const StoreDisk* const faults_;
};

class RocksDbDisk : public StoreDisk {
 public:
  std::unique_ptr<StateEngine> OpenEngine() override {
    RocksDbStateEngineOptions options;
    options.path = directory_.path() + "/db";
    options.create = !opened_;
    opened_ = true;
    options.env = env_.get();
    options.post = post();
    options.memtable_bytes = 128 << 10;
    options.background_bytes_per_second = 1 << 30;
    auto engine = RocksDbStateEngine::Open(std::move(options));
    CAIRN_CHECK(engine.ok()) << engine.status().ToString();
    return std::make_unique<FaultyEngine>(*std::move(engine), this);
  }
  std::unique_ptr<BlobStore> OpenBlobs() override {
    auto blobs = FileBlobStore::Open(directory_.path() + "/index");
    CAIRN_CHECK(blobs.ok()) << blobs.status().ToString();
    return *std::move(blobs);
  }
  void CutPower() override { fs_->CutPower(); }
  void Crash(uint64_t seed) override {
    Drain();
    fs_->Crash(seed);
  }
  std::vector<std::string> BlobNames() override { return OpenBlobs()->List(); }
  void EditBlob(const std::string& name, const std::function<void(std::string*)>& edit) override {
    const std::string path = directory_.path() + "/index/" + name;
    std::ifstream in(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    edit(&bytes);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }

 private:
  const TempDir directory_;
  const std::shared_ptr<FaultFs> fs_ = std::make_shared<FaultFs>();
  const std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(fs_);
  bool opened_ = false;
};

}  // namespace

std::unique_ptr<StoreDisk> MakeStoreDisk(Form form) {
  if (form == Form::kMemory) return std::make_unique<MemoryDisk>();
  return std::make_unique<RocksDbDisk>();
}

}  // namespace cairn::storage
