// A member's data directory: who may use it, whose it is, and where its parts lie.
//
//   <data-dir>/LOCK          held while a process uses the directory; holds its pid
//   <data-dir>/INITIALISING  only while the first start makes the rest; what it finds half made it makes anew
//   <data-dir>/identity      format, cluster, member, incarnation (docs/formats.md)
//   <data-dir>/raft/         RocksDB: log, hard state, the name of the current state directory
//   <data-dir>/state.N/      the replicated state: db/ (RocksDB) and index/ (index checkpoints)
//
// Thread safety: none.
// Lifetime:      the lock is held while the DataDir lives (or until the process ends).
// Survives a crash: the identity, once Open has returned; it never changes afterwards.
#ifndef CAIRN_STORAGE_DATA_DIR_H_
#define CAIRN_STORAGE_DATA_DIR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "raft/types.h"
#include "storage/file_blob_store.h"
#include "storage/file_util.h"
#include "storage/rocksdb_log_store.h"
#include "storage/rocksdb_state_engine.h"

namespace cairn::storage {

struct Identity {
  uint64_t cluster_id = 0;
  raft::NodeId member_id;
  uint64_t incarnation_id = 0;  // random, chosen when the directory is made

  bool operator==(const Identity&) const = default;
};

class DataDir {
 public:
  // Makes the directory (mode 0700) if there is none, locks it, and compares the identity it holds with
  // `expected` (whose incarnation id is used only for a new directory). FAILED_PRECONDITION, with the values
  // and the next step, when it is in use, was written by a newer version, or belongs to another cluster or
  // member.
  static absl::StatusOr<std::unique_ptr<DataDir>> Open(const std::string& path, const Identity& expected);

  const std::string& path() const { return path_; }
  const Identity& identity() const { return identity_; }
  // The first start has not been completed: the parts are to be made.
  bool is_new() const { return is_new_; }

  std::string raft_path() const { return path_ + "/raft"; }
  std::string state_path(const std::string& state_directory) const { return path_ + "/" + state_directory; }

  // All parts are durable: the next start refuses if one is missing.
  absl::Status FinishFirstStart();

  // Removes state directories other than `current`: leftovers of a switch that a crash cut short.
  absl::Status RemoveOtherStates(const std::string& current) const;

 private:
  DataDir(std::string path, FileDescriptor lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  absl::Status LoadIdentity(const Identity& expected);
  absl::Status BeginFirstStart(const Identity& identity);
  absl::Status Compare(const Identity& expected) const;

  const std::string path_;
  const FileDescriptor lock_;
  Identity identity_;
  bool is_new_ = false;
};

struct StorageOptions {
  std::string path;
  Identity identity;  // as for DataDir::Open
  // `path` and `create` are filled in by OpenStorage.
  RocksDbLogStoreOptions log;
  RocksDbStateEngineOptions state;
};

// Everything a member keeps on disk, opened. Ends in the reverse order: the lock last.
struct Storage {
  std::unique_ptr<DataDir> directory;
  std::unique_ptr<RocksDbLogStore> log;
  std::unique_ptr<RocksDbStateEngine> state;
  std::unique_ptr<FileBlobStore> checkpoints;
};

// Opens or, at the first start, makes the whole directory. A part that should be there and is not is an
// error, never made anew: that would forget votes or acknowledged writes.
absl::StatusOr<Storage> OpenStorage(StorageOptions options);

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_DATA_DIR_H_
