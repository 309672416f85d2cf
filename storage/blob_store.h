// Whole files written once and read back: index checkpoints. In two forms: a directory on disk and memory for
// simulation.
//
// Thread safety: a writer or reader is used by one thread at a time; the store's own calls from any thread.
#ifndef CAIRN_STORAGE_BLOB_STORE_H_
#define CAIRN_STORAGE_BLOB_STORE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cairn::storage {

class BlobWriter {
 public:
  virtual ~BlobWriter() = default;  // without Commit() the blob is dropped
  virtual absl::Status Append(std::string_view bytes) = 0;
  // Makes the blob durable and visible under its name, atomically.
  virtual absl::Status Commit() = 0;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;
  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> Create(std::string_view name) = 0;
  virtual absl::StatusOr<std::string> Read(std::string_view name) const = 0;
  virtual absl::Status Remove(std::string_view name) = 0;
  virtual std::vector<std::string> List() const = 0;  // sorted
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_BLOB_STORE_H_
