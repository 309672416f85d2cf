// The blob store in a directory: one file a blob, with a header, a format number and a checksum
// (docs/formats.md, "Blob").
//
// Thread safety: as BlobStore.
// Survives a crash: a blob whose Commit answered OK, whole. Of others nothing is seen; their temporary files
//                   are removed at the next opening.
#ifndef CAIRN_STORAGE_FILE_BLOB_STORE_H_
#define CAIRN_STORAGE_FILE_BLOB_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "storage/blob_store.h"

namespace cairn::storage {

class FileBlobStore : public BlobStore {
 public:
  // Makes the directory if there is none.
  static absl::StatusOr<std::unique_ptr<FileBlobStore>> Open(std::string directory);

  // Names are file names: no slash, not empty, not beginning with a dot, not ending in ".tmp".
  absl::StatusOr<std::unique_ptr<BlobWriter>> Create(std::string_view name) override;
  // NOT_FOUND; DATA_LOSS when the checksum does not fit; FAILED_PRECONDITION for a newer format.
  absl::StatusOr<std::string> Read(std::string_view name) const override;
  absl::Status Remove(std::string_view name) override;
  std::vector<std::string> List() const override;

 private:
  explicit FileBlobStore(std::string directory) : directory_(std::move(directory)) {}

  const std::string directory_;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_FILE_BLOB_STORE_H_
