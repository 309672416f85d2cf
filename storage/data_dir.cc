#include "storage/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "storage/rocksdb_util.h"

namespace cairn::storage {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFormat = 1;
constexpr const char* kFirstLine = "cairn data directory";
constexpr const char* kFirstState = "state.1";

std::string Hex(uint64_t value) { return absl::StrCat(absl::Hex(value, absl::kZeroPad16)); }

std::string LockPath(const std::string& path) { return path + "/LOCK"; }
std::string MarkerPath(const std::string& path) { return path + "/INITIALISING"; }
std::string IdentityPath(const std::string& path) { return path + "/identity"; }

std::string EncodeIdentity(const Identity& identity) {
  std::string text =
      absl::StrCat(kFirstLine, "\nformat: ", kFormat, "\ncluster_id: ", Hex(identity.cluster_id),
                   "\nmember_id: ", Hex(identity.member_id.value()),
                   "\nincarnation_id: ", Hex(identity.incarnation_id), "\n");
  absl::StrAppend(&text, "checksum: ", Hex(XXH3_64bits(text.data(), text.size())), "\n");
  return text;
}

std::optional<uint64_t> HexField(absl::string_view line, absl::string_view name) {
  const std::string prefix = absl::StrCat(name, ": ");
  uint64_t value = 0;
  if (line.substr(0, prefix.size()) != prefix || !absl::SimpleHexAtoi(line.substr(prefix.size()), &value)) {
    return std::nullopt;
  }
  return value;
}

absl::StatusOr<Identity> DecodeIdentity(const std::string& text, const std::string& path) {
  const absl::Status damaged = absl::DataLossError(absl::StrCat(
      path, " is damaged or not cairn's: restore the directory from a backup, or replace the member"));
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  // The first two lines keep their form in every format, so that an old program can tell what it has before
  // it.
  uint64_t format = 0;
  if (lines.size() < 2 || lines[0] != kFirstLine || lines[1].substr(0, 8) != "format: " ||
      !absl::SimpleAtoi(lines[1].substr(8), &format)) {
    return damaged;
  }
  if (format > kFormat) return NewerFormatError(path, format, kFormat);
  if (lines.size() != 7) return damaged;
  const std::optional<uint64_t> cluster = HexField(lines[2], "cluster_id");
  const std::optional<uint64_t> member = HexField(lines[3], "member_id");
  const std::optional<uint64_t> incarnation = HexField(lines[4], "incarnation_id");
  if (!cluster || !member || !incarnation) return damaged;
  const Identity identity{*cluster, raft::NodeId(*member), *incarnation};
  if (EncodeIdentity(identity) != text) return damaged;  // the checksum too
  return identity;
}

absl::StatusOr<FileDescriptor> Lock(const std::string& path) {
  const std::string lock_path = LockPath(path);
  FileDescriptor file(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.valid()) return ErrnoStatus(errno, "opening", lock_path);
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "locking", lock_path);
    char pid[24] = {};
    const ssize_t got = pread(file.get(), pid, sizeof pid - 1, 0);
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is in use by another cairnd (pid ", got > 0 ? pid : "unknown",
                     "): stop that one first, or give this one another --data-dir"));
  }
  const std::string pid = absl::StrCat(getpid());
  if (ftruncate(file.get(), 0) != 0) return ErrnoStatus(errno, "writing", lock_path);
  if (absl::Status status = WriteAll(file.get(), pid, lock_path); !status.ok()) return status;
  return file;
}

bool IsStateDirectory(const std::string& name) { return name.starts_with("state."); }

absl::Status RemoveAll(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? ErrnoStatus(error.value(), "removing", path.string()) : absl::OkStatus();
}

// What the first start makes, all but LOCK and INITIALISING.
absl::StatusOr<std::vector<fs::path>> Parts(const std::string& path) {
  std::vector<fs::path> parts;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    if (name == "raft" || name == "identity" || name == "identity.tmp" || IsStateDirectory(name)) {
      parts.push_back(entry.path());
    }
  }
  if (error) return ErrnoStatus(error.value(), "listing", path);
  return parts;
}

absl::Status MissingPart(const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat(
      path,
      " is missing although this member has run before: a part of the data directory was removed "
      "or its disk is not mounted; put it back, or remove the member from the cluster and add a "
      "new one with an empty directory"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDir>> DataDir::Open(const std::string& path, const Identity& expected) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    fs::create_directories(fs::path(path).parent_path(), error);
    if (mkdir(path.c_str(), 0700) != 0) return ErrnoStatus(errno, "making", path);
    const fs::path parent = fs::absolute(path).parent_path();
    if (absl::Status status = SyncDirectory(parent.string()); !status.ok()) return status;
  }
  if (chmod(path.c_str(), 0700) != 0) return ErrnoStatus(errno, "setting the mode of", path);
  absl::StatusOr<FileDescriptor> lock = Lock(path);
  if (!lock.ok()) return lock.status();
  std::unique_ptr<DataDir> directory(new DataDir(path, *std::move(lock)));
  if (absl::Status status = directory->LoadIdentity(expected); !status.ok()) return status;
  return directory;
}

absl::Status DataDir::LoadIdentity(const Identity& expected) {
  std::error_code error;
  const bool half_made = fs::exists(MarkerPath(path_), error);
  absl::StatusOr<std::string> text = ReadFile(IdentityPath(path_));
  if (half_made || absl::IsNotFound(text.status())) {
    absl::StatusOr<std::vector<fs::path>> parts = Parts(path_);
    if (!parts.ok()) return parts.status();
    if (!half_made && !parts->empty()) return MissingPart(IdentityPath(path_));
    return BeginFirstStart(expected);
  }
  if (!text.ok()) return text.status();
  absl::StatusOr<Identity> identity = DecodeIdentity(*text, IdentityPath(path_));
  if (!identity.ok()) return identity.status();
  identity_ = *identity;
  return Compare(expected);
}

absl::Status DataDir::BeginFirstStart(const Identity& identity) {
  is_new_ = true;
  identity_ = identity;
  if (absl::Status status = WriteFileDurably(MarkerPath(path_), ""); !status.ok()) return status;
  // Nothing was promised to anybody before the marker goes: what an earlier try left may go.
  absl::StatusOr<std::vector<fs::path>> parts = Parts(path_);
  if (!parts.ok()) return parts.status();
  for (const fs::path& part : *parts) {
    if (absl::Status status = RemoveAll(part); !status.ok()) return status;
  }
  return WriteFileDurably(IdentityPath(path_), EncodeIdentity(identity));
}

absl::Status DataDir::Compare(const Identity& expected) const {
  const char* next =
      "check --data-dir, --name, --initial-cluster and --initial-cluster-token, or use an empty directory";
  if (identity_.cluster_id != expected.cluster_id) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " holds data of cluster ", Hex(identity_.cluster_id),
                     ", this member is of cluster ", Hex(expected.cluster_id), ": ", next));
  }
  if (identity_.member_id != expected.member_id) {
    return absl::FailedPreconditionError(absl::StrCat(path_, " holds data of member ",
                                                      Hex(identity_.member_id.value()), ", this is member ",
                                                      Hex(expected.member_id.value()), ": ", next));
  }
  return absl::OkStatus();
}

absl::Status DataDir::FinishFirstStart() {
  if (absl::Status status = SyncDirectory(path_); !status.ok()) return status;
  if (unlink(MarkerPath(path_).c_str()) != 0) return ErrnoStatus(errno, "removing", MarkerPath(path_));
  is_new_ = false;
  return SyncDirectory(path_);
}

absl::Status DataDir::RemoveOtherStates(const std::string& current) const {
  absl::StatusOr<std::vector<fs::path>> parts = Parts(path_);
  if (!parts.ok()) return parts.status();
  for (const fs::path& part : *parts) {
    const std::string name = part.filename().string();
    if (!IsStateDirectory(name) || name == current) continue;
    if (absl::Status status = RemoveAll(part); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<Storage> OpenStorage(StorageOptions options) {
  Storage storage;
  absl::StatusOr<std::unique_ptr<DataDir>> directory = DataDir::Open(options.path, options.identity);
  if (!directory.ok()) return directory.status();
  storage.directory = *std::move(directory);
  const bool is_new = storage.directory->is_new();

  std::error_code error;
  options.log.path = storage.directory->raft_path();
  options.log.create = is_new;
  if (!is_new && !fs::exists(options.log.path + "/CURRENT", error)) return MissingPart(options.log.path);
  absl::StatusOr<std::unique_ptr<RocksDbLogStore>> log = RocksDbLogStore::Open(std::move(options.log));
  if (!log.ok()) return log.status();
  storage.log = *std::move(log);

  const std::string state_directory = is_new ? kFirstState : storage.log->state_directory();
  const std::string state_path = storage.directory->state_path(state_directory);
  options.state.path = state_path + "/db";
  options.state.create = is_new;
  if (is_new) {
    if (mkdir(state_path.c_str(), 0700) != 0) return ErrnoStatus(errno, "making", state_path);
  } else if (state_directory.empty() || !fs::exists(options.state.path + "/CURRENT", error)) {
    return MissingPart(options.state.path);
  }
  absl::StatusOr<std::unique_ptr<RocksDbStateEngine>> state =
      RocksDbStateEngine::Open(std::move(options.state));
  if (!state.ok()) return state.status();
  storage.state = *std::move(state);
  absl::StatusOr<std::unique_ptr<FileBlobStore>> checkpoints = FileBlobStore::Open(state_path + "/index");
  if (!checkpoints.ok()) return checkpoints.status();
  storage.checkpoints = *std::move(checkpoints);

  if (is_new) {
    if (absl::Status status = SyncDirectory(state_path); !status.ok()) return status;
    if (absl::Status status = storage.log->SetStateDirectory(state_directory); !status.ok()) return status;
    if (absl::Status status = storage.directory->FinishFirstStart(); !status.ok()) return status;
  } else if (absl::Status status = storage.directory->RemoveOtherStates(state_directory); !status.ok()) {
    return status;
  }
  return storage;
}

}  // namespace cairn::storage
