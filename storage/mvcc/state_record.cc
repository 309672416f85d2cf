#include "storage/mvcc/state_record.h"

#include <xxhash.h>

#include "storage/coding.h"

namespace cairn::storage {

namespace {
constexpr uint32_t kFormat = 1;
constexpr size_t kBytes = 4 + 5 * 8 + 8;
constexpr size_t kChecksumOffset = kBytes - 8;
}  // namespace

std::string EncodeStateRecord(const StateRecord& record) {
  std::string bytes(kBytes, '\0');
  char* to = bytes.data();
  StoreLittle32(to, kFormat);
  StoreLittle64(to + 4, record.applied_index);
  StoreLittle64(to + 12, record.applied_term);
  StoreLittle64(to + 20, static_cast<uint64_t>(record.revision));
  StoreLittle64(to + 28, static_cast<uint64_t>(record.compact_revision));
  StoreLittle64(to + 36, record.state_hash);
  StoreLittle64(to + kChecksumOffset, XXH3_64bits(to, kChecksumOffset));
  return bytes;
}

absl::Status DecodeStateRecord(std::string_view bytes, StateRecord* record) {
  if (bytes.size() >= 4 && LoadLittle32(bytes.data()) > kFormat) {
    return absl::FailedPreconditionError(
        "the state database has a newer format: use the version that wrote it");
  }
  if (bytes.size() != kBytes ||
      LoadLittle64(bytes.data() + kChecksumOffset) != XXH3_64bits(bytes.data(), kChecksumOffset)) {
    return absl::DataLossError("the state record is damaged: rebuild this member from the others");
  }
  const char* from = bytes.data();
  record->applied_index = LoadLittle64(from + 4);
  record->applied_term = LoadLittle64(from + 12);
  record->revision = static_cast<int64_t>(LoadLittle64(from + 20));
  record->compact_revision = static_cast<int64_t>(LoadLittle64(from + 28));
  record->state_hash = LoadLittle64(from + 36);
  return absl::OkStatus();
}

}  // namespace cairn::storage
