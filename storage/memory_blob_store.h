// The blob store in memory, for simulation: a disk and the store on top of it.
//
// Thread safety: none; everything on the simulator's thread.
// Survives a crash: the disk keeps every blob whose Commit answered OK, and nothing of any other.
#ifndef CAIRN_STORAGE_MEMORY_BLOB_STORE_H_
#define CAIRN_STORAGE_MEMORY_BLOB_STORE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/blob_store.h"

namespace cairn::storage {

// Outlives the store as a disk outlives its process.
using MemoryBlobDisk = std::map<std::string, std::string, std::less<>>;

class MemoryBlobStore : public BlobStore {
 public:
  // `disk` must outlive the store and its writers. `fault`, when given, decides each Commit: an error drops
  // the blob.
  explicit MemoryBlobStore(MemoryBlobDisk* disk, std::function<absl::Status()> fault = nullptr);

  absl::StatusOr<std::unique_ptr<BlobWriter>> Create(std::string_view name) override;
  absl::StatusOr<std::string> Read(std::string_view name) const override;
  absl::Status Remove(std::string_view name) override;
  std::vector<std::string> List() const override;

 private:
  MemoryBlobDisk* const disk_;
  const std::function<absl::Status()> fault_;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MEMORY_BLOB_STORE_H_
