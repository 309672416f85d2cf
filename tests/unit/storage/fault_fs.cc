#include "tests/unit/storage/fault_fs.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace cairn::storage {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

namespace {

constexpr uint64_t kSectorSize = 512;

std::string DirectoryOf(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

std::string Normal(const std::string& path) {
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  if (normal.ends_with('/')) normal.pop_back();
  return normal;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

class FaultWritableFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultWritableFile(FaultFs* fs, std::string path, std::unique_ptr<FSWritableFile> target)
      : FSWritableFileOwnerWrapper(std::move(target)), fs_(fs), path_(std::move(path)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = fs_->Before(FaultFs::Operation::kAppend, path_);
    if (status.ok()) status = FSWritableFileOwnerWrapper::Append(data, options, debug);
    if (status.ok()) fs_->OnAppended(path_, data.size());
    return status;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = fs_->Before(FaultFs::Operation::kSync, path_);
    // Pushes the program's buffer down; the "disk" is OnSynced. A real sync would only make the tests slow.
    if (status.ok()) status = FSWritableFileOwnerWrapper::Flush(options, debug);
    if (status.ok()) fs_->OnSynced(path_);
    return status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override { return Sync(options, debug); }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    return FSWritableFileOwnerWrapper::Close(options, debug);
  }

 private:
  FaultFs* const fs_;
  const std::string path_;
};

class FaultDirectory : public rocksdb::FSDirectoryWrapper {
 public:
  FaultDirectory(FaultFs* fs, std::string path, std::unique_ptr<FSDirectory> target)
      : FSDirectoryWrapper(std::move(target)), fs_(fs), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    IOStatus status = fs_->Before(FaultFs::Operation::kSyncDirectory, path_);
    if (status.ok()) fs_->OnDirectorySynced(path_);
    return status;
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions&) override {
    return Fsync(options, debug);
  }

 private:
  FaultFs* const fs_;
  const std::string path_;
};

void FaultFs::CutPower() {
  std::lock_guard lock(mutex_);
  dead_ = true;
}

void FaultFs::LieAboutSyncs(bool lie) {
  std::lock_guard lock(mutex_);
  lie_ = lie;
}

void FaultFs::SetFault(std::function<IOStatus(Operation, const std::string&)> fault) {
  std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

uint64_t FaultFs::file_syncs() const {
  std::lock_guard lock(mutex_);
  return file_syncs_;
}

uint64_t FaultFs::bytes_appended() const {
  std::lock_guard lock(mutex_);
  return bytes_appended_;
}

void FaultFs::Crash(uint64_t seed, bool torn_sectors) {
  std::lock_guard lock(mutex_);
  std::mt19937_64 random(seed);
  for (const auto& [path, file] : files_) TakeBackBytes(path, file, torn_sectors, &random);
  // Entries of a directory reach the disk in the order of the journal: some suffix of the changes is lost.
  size_t keep = changes_.empty() ? 0 : random() % (changes_.size() + 1);
  for (; changes_.size() > keep; changes_.pop_back()) Undo(changes_.back());
  changes_.clear();
  files_.clear();
  dead_ = false;
}

void FaultFs::TakeBackBytes(const std::string& path, const File& file, bool torn_sectors,
                            std::mt19937_64* random) {
  std::error_code error;
  if (file.written == file.synced || !std::filesystem::exists(path, error)) return;
  const uint64_t kept = file.synced + (*random)() % (file.written - file.synced + 1);
  std::filesystem::resize_file(path, kept, error);
  if (!torn_sectors) return;
  std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  for (uint64_t at = file.synced; at < kept;) {
    const uint64_t end = std::min(kept, (at / kSectorSize + 1) * kSectorSize);
    if ((*random)() % 2 == 0) {
      out.seekp(static_cast<std::streamoff>(at));
      out << std::string(end - at, '\0');
    }
    at = end;
  }
}

void FaultFs::Undo(const Change& change) {
  std::error_code error;
  if (change.from.empty()) {
    std::filesystem::remove(change.to, error);
    return;
  }
  std::filesystem::rename(change.to, change.from, error);
  if (change.replaced) std::ofstream(change.to, std::ios::binary) << *change.replaced;
}

IOStatus FaultFs::Before(Operation operation, const std::string& path) {
  std::function<IOStatus(Operation, const std::string&)> fault;
  {
    std::lock_guard lock(mutex_);
    if (dead_) return IOStatus::IOError("the power is cut");
    fault = fault_;
  }
  return fault ? fault(operation, path) : IOStatus::OK();
}

void FaultFs::OnCreated(const std::string& path) {
  std::lock_guard lock(mutex_);
  files_[path] = File();
  changes_.push_back({DirectoryOf(path), "", path, std::nullopt});
}

void FaultFs::OnAppended(const std::string& path, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  files_[path].written += bytes;
  bytes_appended_ += bytes;
}

void FaultFs::OnSynced(const std::string& path) {
  std::lock_guard lock(mutex_);
  ++file_syncs_;
  if (!lie_) files_[path].synced = files_[path].written;
}

void FaultFs::OnDirectorySynced(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (lie_) return;
  std::erase_if(changes_, [&](const Change& change) { return change.directory == path; });
}

IOStatus FaultFs::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                  std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) {
  if (IOStatus status = Before(Operation::kCreate, path); !status.ok()) return status;
  const bool existed = target()->FileExists(path, IOOptions(), debug).ok();
  std::unique_ptr<rocksdb::FSWritableFile> real;
  if (IOStatus status = target()->NewWritableFile(path, options, &real, debug); !status.ok()) return status;
  if (existed) {
    std::lock_guard lock(mutex_);
    files_[Normal(path)] = File();
  } else {
    OnCreated(Normal(path));
  }
  *file = std::make_unique<FaultWritableFile>(this, Normal(path), std::move(real));
  return IOStatus::OK();
}

// RocksDB needs neither with the options that cairn sets; a silent hole in the bookkeeping would be worse.
IOStatus FaultFs::ReopenWritableFile(const std::string&, const rocksdb::FileOptions&,
                                     std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) {
  return IOStatus::NotSupported("FaultFs does not reopen files");
}
IOStatus FaultFs::ReuseWritableFile(const std::string&, const std::string&, const rocksdb::FileOptions&,
                                    std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) {
  return IOStatus::NotSupported("FaultFs does not reuse files");
}

IOStatus FaultFs::NewDirectory(const std::string& path, const IOOptions& options,
                               std::unique_ptr<rocksdb::FSDirectory>* directory, IODebugContext* debug) {
  std::unique_ptr<rocksdb::FSDirectory> real;
  if (IOStatus status = target()->NewDirectory(path, options, &real, debug); !status.ok()) return status;
  *directory = std::make_unique<FaultDirectory>(this, Normal(path), std::move(real));
  return IOStatus::OK();
}

IOStatus FaultFs::DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* debug) {
  if (IOStatus status = Before(Operation::kCreate, path); !status.ok()) return status;
  IOStatus status = target()->DeleteFile(path, options, debug);
  if (status.ok()) {
    std::lock_guard lock(mutex_);
    files_.erase(Normal(path));
    std::erase_if(changes_,
                  [&](const Change& change) { return change.to == Normal(path) && change.from.empty(); });
  }
  return status;
}

IOStatus FaultFs::RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                             IODebugContext* debug) {
  if (IOStatus status = Before(Operation::kRename, to); !status.ok()) return status;
  Change change{DirectoryOf(Normal(to)), Normal(from), Normal(to), std::nullopt};
  if (target()->FileExists(to, options, debug).ok()) change.replaced = ReadAll(to);
  IOStatus status = target()->RenameFile(from, to, options, debug);
  if (status.ok()) {
    std::lock_guard lock(mutex_);
    if (auto node = files_.extract(change.from)) {
      node.key() = change.to;
      files_.erase(change.to);
      files_.insert(std::move(node));
    }
    changes_.push_back(std::move(change));
  }
  return status;
}

}  // namespace cairn::storage
