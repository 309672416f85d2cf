// A file system below RocksDB that can lose power: real files in a directory, of which a crash keeps what was
// synced and some of the rest.
//
// At a crash, decided by the seed for each file on its own:
//   - of bytes appended since the last sync any prefix stays, cut anywhere (with `torn_sectors` any subset of
//     the 512-byte sectors, the others read as zeros);
//   - a file made, or renamed, since its directory was last synced may be gone, or stand under the old name
//     again with the file that the rename replaced.
// After CutPower every call fails until Crash has put the directory into that state.
//
// Thread safety: all calls from any thread.
#ifndef CAIRN_TESTS_UNIT_STORAGE_FAULT_FS_H_
#define CAIRN_TESTS_UNIT_STORAGE_FAULT_FS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

namespace cairn::storage {

class FaultFs : public rocksdb::FileSystemWrapper {
 public:
  enum class Operation { kAppend, kSync, kCreate, kRename, kSyncDirectory };

  FaultFs() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FaultFs"; }

  // From now on nothing reaches the disk and every operation fails.
  void CutPower();
  // After the database is closed: takes back what the crash loses, then works again.
  void Crash(uint64_t seed, bool torn_sectors = false);

  // A sync answers OK and does nothing: a disk or a program that lies.
  void LieAboutSyncs(bool lie);
  // Asked before each write operation; a status that is not OK becomes its result. nullptr: none.
  void SetFault(std::function<rocksdb::IOStatus(Operation, const std::string& path)> fault);

  uint64_t file_syncs() const;
  uint64_t bytes_appended() const;

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* directory,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;

 private:
  friend class FaultWritableFile;
  friend class FaultDirectory;

  struct File {
    uint64_t written = 0;
    uint64_t synced = 0;
  };
  // A change of a directory that is not durable yet; undone in reverse order.
  struct Change {
    std::string directory;
    std::string from;  // empty: the file was made, not renamed
    std::string to;
    std::optional<std::string> replaced;  // content of the file that the rename replaced
  };

  rocksdb::IOStatus Before(Operation operation, const std::string& path);
  void OnCreated(const std::string& path);
  void OnAppended(const std::string& path, uint64_t bytes);
  void OnSynced(const std::string& path);
  void OnDirectorySynced(const std::string& path);

  void TakeBackBytes(const std::string& path, const File& file, bool torn_sectors, std::mt19937_64* random);
  static void Undo(const Change& change);

  mutable std::mutex mutex_;
  bool dead_ = false;  // guarded by mutex_, as all below
  bool lie_ = false;
  std::function<rocksdb::IOStatus(Operation, const std::string&)> fault_;
  std::map<std::string, File> files_;  // those written to since the start
  std::vector<Change> changes_;
  uint64_t file_syncs_ = 0;
  uint64_t bytes_appended_ = 0;
};

}  // namespace cairn::storage

#endif  // CAIRN_TESTS_UNIT_STORAGE_FAULT_FS_H_
