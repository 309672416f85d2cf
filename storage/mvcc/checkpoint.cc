#include "storage/mvcc/checkpoint.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "storage/coding.h"
#include "storage/mvcc/wire.h"

namespace cairn::storage {

namespace {

constexpr uint64_t kMagic = 0x78646e696e726963;  // "cirnindx"
constexpr uint32_t kFormat = 1;
constexpr size_t kHeaderBytes = 8 + 4 + 3 * 8;
constexpr size_t kChunkHeaderBytes = 4 + 8;
constexpr size_t kChunkBytes = 64 << 10;

enum ChunkKind : char {
  kHeaderChunk = 0,
  kRecordsChunk = 1,
  kDeadPutsChunk = 2,
  kDeadTombstonesChunk = 3,
  kEndChunk = 4
};

void AppendVersion(std::string* out, const KeyVersion& version) {
  AppendVarint(out, static_cast<uint64_t>(version.mod));
  AppendVarint(out, static_cast<uint64_t>(version.create));
  AppendVarint(out, static_cast<uint64_t>(version.version));
  AppendVarint(out, static_cast<uint64_t>(version.lease));
  AppendVarint(out, version.sub);
  AppendVarint(out, version.value_bytes);
}

bool ReadVersion(std::string_view* in, KeyVersion* version) {
  uint64_t fields[6];
  for (uint64_t& field : fields) {
    if (!ReadVarint(in, &field)) return false;
  }
  version->mod = static_cast<int64_t>(fields[0]);
  version->create = static_cast<int64_t>(fields[1]);
  version->version = static_cast<int64_t>(fields[2]);
  version->lease = static_cast<int64_t>(fields[3]);
  version->sub = static_cast<uint32_t>(fields[4]);
  version->value_bytes = static_cast<uint32_t>(fields[5]);
  return true;
}

bool ReadRecords(std::string_view in, std::string* last_key, std::vector<KeyRecord*>* records) {
  while (!in.empty()) {
    uint64_t shared, rest, versions;
    if (!ReadVarint(&in, &shared) || !ReadVarint(&in, &rest) || shared > last_key->size() || rest > in.size())
      return false;
    last_key->resize(shared);
    last_key->append(in.substr(0, rest));
    in.remove_prefix(rest);
    if (!ReadVarint(&in, &versions) || versions == 0) return false;
    KeyRecord* record = KeyRecord::New(*last_key);
    records->push_back(record);
    for (uint64_t i = 0; i < versions; ++i) {
      KeyVersion version;
      if (!ReadVersion(&in, &version)) return false;
      if (i + 1 == versions) {
        record->newest = version;
      } else {
        if (record->history == nullptr) record->history = new History();
        record->history->Push(version);
      }
    }
  }
  return true;
}

bool ReadPositions(std::string_view in, std::deque<EventPosition>* positions) {
  while (!in.empty()) {
    uint64_t main, sub;
    if (!ReadVarint(&in, &main) || !ReadVarint(&in, &sub)) return false;
    positions->push_back({Revision(static_cast<int64_t>(main)), static_cast<int64_t>(sub)});
  }
  return true;
}

absl::Status ReadHeader(std::string_view in, uint64_t database_id, CheckpointHeader* header) {
  if (in.size() < 12 || LoadLittle64(in.data()) != kMagic)
    return absl::DataLossError("not an index checkpoint");
  if (LoadLittle32(in.data() + 8) != kFormat || in.size() != kHeaderBytes) {
    return absl::FailedPreconditionError("index checkpoint of a newer format");
  }
  header->database_id = LoadLittle64(in.data() + 12);
  header->applied_index = LoadLittle64(in.data() + 20);
  header->revision = static_cast<int64_t>(LoadLittle64(in.data() + 28));
  if (header->database_id != database_id)
    return absl::FailedPreconditionError("index checkpoint of another database");
  return absl::OkStatus();
}

}  // namespace

std::string CheckpointName(const CheckpointHeader& header) {
  char name[64];
  std::snprintf(name, sizeof name, "index-%016llx-%016llx",
                static_cast<unsigned long long>(header.applied_index),
                static_cast<unsigned long long>(header.revision));
  return name;
}

bool ParseCheckpointName(std::string_view name, CheckpointHeader* header) {
  unsigned long long index, revision;
  if (std::sscanf(std::string(name).c_str(), "index-%16llx-%16llx", &index, &revision) != 2) return false;
  header->applied_index = index;
  header->revision = static_cast<int64_t>(revision);
  return CheckpointName(*header) == name;
}

CheckpointEncoder::CheckpointEncoder(const CheckpointHeader& header) : header_(header) {
  payload_.resize(kHeaderBytes);
  char* to = payload_.data();
  StoreLittle64(to, kMagic);
  StoreLittle32(to + 8, kFormat);
  StoreLittle64(to + 12, header.database_id);
  StoreLittle64(to + 20, header.applied_index);
  StoreLittle64(to + 28, static_cast<uint64_t>(header.revision));
  CloseChunk(kHeaderChunk);
}

// The checksum covers the chunk's number too: chunks cannot change places.
void CheckpointEncoder::CloseChunk(char kind) {
  payload_.push_back(kind);
  char header[kChunkHeaderBytes];
  StoreLittle32(header, static_cast<uint32_t>(payload_.size()));
  StoreLittle64(header + 4, XXH3_64bits_withSeed(payload_.data(), payload_.size(), chunks_++));
  out_.append(header, sizeof header);
  out_.append(payload_);
  payload_.clear();
}

void CheckpointEncoder::Add(const KeyRecord& record) {
  std::vector<KeyVersion> versions;
  if (record.history != nullptr) versions.assign(record.history->begin(), record.history->end());
  versions.push_back(record.newest);
  while (!versions.empty() && versions.back().mod > header_.revision) versions.pop_back();
  if (versions.empty()) return;
  const std::string_view key = record.key();
  const auto shared = static_cast<size_t>(
      std::mismatch(key.begin(), key.end(), last_key_.begin(), last_key_.end()).first - key.begin());
  AppendVarint(&payload_, shared);
  AppendVarint(&payload_, key.size() - shared);
  payload_.append(key.substr(shared));
  last_key_.assign(key);
  AppendVarint(&payload_, versions.size());
  for (const KeyVersion& version : versions) AppendVersion(&payload_, version);
  ++keys_;
  if (payload_.size() >= kChunkBytes) CloseChunk(kRecordsChunk);
}

void CheckpointEncoder::AddPositions(char kind, const std::deque<EventPosition>& positions) {
  for (EventPosition position : positions) {
    AppendVarint(&payload_, static_cast<uint64_t>(position.main.value()));
    AppendVarint(&payload_, static_cast<uint64_t>(position.sub));
  }
  CloseChunk(kind);
}

void CheckpointEncoder::Finish(const DeadRevisions& dead) {
  CloseChunk(kRecordsChunk);
  AddPositions(kDeadPutsChunk, dead.puts);
  AddPositions(kDeadTombstonesChunk, dead.tombstones);
  AppendVarint(&payload_, keys_);
  CloseChunk(kEndChunk);
}

std::string CheckpointEncoder::Take() { return std::exchange(out_, {}); }

absl::Status DecodeCheckpoint(std::string_view bytes, uint64_t database_id, CheckpointHeader* header,
                              std::vector<KeyRecord*>* records, DeadRevisions* dead) {
  const auto refuse = [&](absl::Status status) {
    for (KeyRecord* record : *records) KeyRecord::Delete(record);
    records->clear();
    return status;
  };
  std::string last_key;
  for (uint64_t chunk = 0;; ++chunk) {
    if (bytes.size() < kChunkHeaderBytes) return refuse(absl::DataLossError("index checkpoint is cut short"));
    const size_t size = LoadLittle32(bytes.data());
    const uint64_t checksum = LoadLittle64(bytes.data() + 4);
    bytes.remove_prefix(kChunkHeaderBytes);
    if (size == 0 || size > bytes.size() || XXH3_64bits_withSeed(bytes.data(), size, chunk) != checksum) {
      return refuse(absl::DataLossError("a chunk of the index checkpoint is damaged"));
    }
    std::string_view payload = bytes.substr(0, size - 1);
    const char kind = bytes[size - 1];
    bytes.remove_prefix(size);
    bool good = (chunk == 0) == (kind == kHeaderChunk);
    uint64_t keys = 0;
    switch (kind) {
      case kHeaderChunk: {
        absl::Status status = ReadHeader(payload, database_id, header);
        if (!status.ok()) return refuse(std::move(status));
        break;
      }
      case kRecordsChunk:
        good = good && ReadRecords(payload, &last_key, records);
        break;
      case kDeadPutsChunk:
        good = good && ReadPositions(payload, &dead->puts);
        break;
      case kDeadTombstonesChunk:
        good = good && ReadPositions(payload, &dead->tombstones);
        break;
      case kEndChunk:
        if (good && bytes.empty() && ReadVarint(&payload, &keys) && keys == records->size())
          return absl::OkStatus();
        good = false;
        break;
      default:
        good = false;
    }
    if (!good) return refuse(absl::DataLossError("index checkpoint does not make sense"));
  }
}

}  // namespace cairn::storage
