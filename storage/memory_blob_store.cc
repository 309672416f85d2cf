#include "storage/memory_blob_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "raft/check.h"

namespace cairn::storage {
namespace {

class MemoryBlobWriter : public BlobWriter {
 public:
  MemoryBlobWriter(MemoryBlobDisk* disk, std::function<absl::Status()> fault, std::string_view name)
      : disk_(disk), fault_(std::move(fault)), name_(name) {}

  absl::Status Append(std::string_view bytes) override {
    content_ += bytes;
    return absl::OkStatus();
  }
  absl::Status Commit() override {
    CAIRN_CHECK(!committed_) << "blob " << name_ << " committed twice";
    committed_ = true;
    if (fault_) {
      if (absl::Status status = fault_(); !status.ok()) return status;
    }
    disk_->insert_or_assign(name_, std::move(content_));
    return absl::OkStatus();
  }

 private:
  MemoryBlobDisk* const disk_;
  const std::function<absl::Status()> fault_;
  const std::string name_;
  std::string content_;
  bool committed_ = false;
};

}  // namespace

MemoryBlobStore::MemoryBlobStore(MemoryBlobDisk* disk, std::function<absl::Status()> fault)
    : disk_(disk), fault_(std::move(fault)) {}

absl::StatusOr<std::unique_ptr<BlobWriter>> MemoryBlobStore::Create(std::string_view name) {
  return std::make_unique<MemoryBlobWriter>(disk_, fault_, name);
}

absl::StatusOr<std::string> MemoryBlobStore::Read(std::string_view name) const {
  auto at = disk_->find(name);
  if (at == disk_->end()) return absl::NotFoundError(absl::StrCat("no blob ", std::string(name)));
  return at->second;
}

absl::Status MemoryBlobStore::Remove(std::string_view name) {
  auto at = disk_->find(name);
  if (at == disk_->end()) return absl::NotFoundError(absl::StrCat("no blob ", std::string(name)));
  disk_->erase(at);
  return absl::OkStatus();
}

std::vector<std::string> MemoryBlobStore::List() const {
  std::vector<std::string> names;
  for (const auto& [name, content] : *disk_) names.push_back(name);
  return names;
}

}  // namespace cairn::storage
