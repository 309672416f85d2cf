#include "storage/file_blob_store.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "raft/check.h"
#include "storage/coding.h"
#include "storage/file_util.h"
#include "storage/rocksdb_util.h"

namespace cairn::storage {
namespace {

constexpr std::string_view kMagic = "CAIRNBLB";
constexpr uint32_t kFormat = 1;
constexpr size_t kHeaderSize = 16;
constexpr size_t kTrailerSize = 8;
constexpr std::string_view kTemporarySuffix = ".tmp";

bool IsTemporary(std::string_view name) { return name.ends_with(kTemporarySuffix); }

absl::Status CheckName(std::string_view name) {
  if (name.empty() || name.front() == '.' || IsTemporary(name) || name.find('/') != name.npos) {
    return absl::InvalidArgumentError(absl::StrCat("\"", std::string(name), "\" is no name for a blob"));
  }
  return absl::OkStatus();
}

struct HashStateFree {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

class FileBlobWriter : public BlobWriter {
 public:
  FileBlobWriter(std::string directory, std::string_view name, FileDescriptor file)
      : directory_(std::move(directory)),
        path_(directory_ + "/" + std::string(name)),
        temporary_(path_ + std::string(kTemporarySuffix)),
        file_(std::move(file)),
        hash_(XXH3_createState()) {
    XXH3_64bits_reset(hash_.get());
  }
  ~FileBlobWriter() override {
    if (!committed_) unlink(temporary_.c_str());
  }

  absl::Status Append(std::string_view bytes) override {
    XXH3_64bits_update(hash_.get(), bytes.data(), bytes.size());
    return WriteAll(file_.get(), bytes, temporary_);
  }

  absl::Status Commit() override {
    CAIRN_CHECK(!committed_) << "blob " << path_ << " committed twice";
    char trailer[kTrailerSize];
    StoreLittle64(trailer, XXH3_64bits_digest(hash_.get()));
    if (auto status = WriteAll(file_.get(), {trailer, sizeof trailer}, temporary_); !status.ok())
      return status;
    if (fsync(file_.get()) != 0) return ErrnoStatus(errno, "syncing", temporary_);
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
      return ErrnoStatus(errno, "renaming", temporary_);
    committed_ = true;
    return SyncDirectory(directory_);
  }

 private:
  const std::string directory_;
  const std::string path_;
  const std::string temporary_;
  FileDescriptor file_;
  const std::unique_ptr<XXH3_state_t, HashStateFree> hash_;  // of header and content
  bool committed_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FileBlobStore>> FileBlobStore::Open(std::string directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return ErrnoStatus(error.value(), "making", directory);
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (IsTemporary(entry.path().filename().string())) unlink(entry.path().c_str());
  }
  if (error) return ErrnoStatus(error.value(), "listing", directory);
  return std::unique_ptr<FileBlobStore>(new FileBlobStore(std::move(directory)));
}

absl::StatusOr<std::unique_ptr<BlobWriter>> FileBlobStore::Create(std::string_view name) {
  if (absl::Status status = CheckName(name); !status.ok()) return status;
  const std::string temporary =
      absl::StrCat(directory_, "/", std::string(name), std::string(kTemporarySuffix));
  FileDescriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) return ErrnoStatus(errno, "creating", temporary);
  auto writer = std::make_unique<FileBlobWriter>(directory_, name, std::move(file));
  std::string header(kMagic);
  header.resize(kHeaderSize);
  StoreLittle32(header.data() + kMagic.size(), kFormat);
  if (absl::Status status = writer->Append(header); !status.ok()) return status;
  return writer;
}

absl::StatusOr<std::string> FileBlobStore::Read(std::string_view name) const {
  if (absl::Status status = CheckName(name); !status.ok()) return status;
  const std::string path = absl::StrCat(directory_, "/", std::string(name));
  absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  if (bytes->size() < kHeaderSize + kTrailerSize || !bytes->starts_with(kMagic)) {
    return absl::DataLossError(
        absl::StrCat(path, " is no blob of cairn: it is too short or begins with other bytes"));
  }
  const uint32_t format = LoadLittle32(bytes->data() + kMagic.size());
  if (format > kFormat) return NewerFormatError(path, format, kFormat);
  const size_t hashed = bytes->size() - kTrailerSize;
  if (LoadLittle64(bytes->data() + hashed) != XXH3_64bits(bytes->data(), hashed)) {
    return absl::DataLossError(absl::StrCat(path,
                                            " does not match its checksum: the disk gave back other bytes "
                                            "than were written"));
  }
  bytes->resize(hashed);
  bytes->erase(0, kHeaderSize);
  return bytes;
}

absl::Status FileBlobStore::Remove(std::string_view name) {
  if (absl::Status status = CheckName(name); !status.ok()) return status;
  const std::string path = absl::StrCat(directory_, "/", std::string(name));
  if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, "removing", path);
  return SyncDirectory(directory_);
}

std::vector<std::string> FileBlobStore::List() const {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    std::string name = entry.path().filename().string();
    if (!IsTemporary(name)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace cairn::storage
