#include "storage/mvcc/wire.h"

#include <xxhash.h>

#include "absl/strings/str_cat.h"
#include "storage/coding.h"

namespace cairn::storage {

namespace {

constexpr char kEventFormat = 1;
constexpr char kEtcdSpace = 0;
constexpr char kDeleteFlag = 1;
// format, space, flags, reserved, previous main, previous sub, checksum
constexpr size_t kEventHeaderBytes = 20;
constexpr size_t kChecksumOffset = 16;

int IntFieldSize(int64_t value) { return value == 0 ? 0 : 1 + VarintSize(static_cast<uint64_t>(value)); }
size_t BytesFieldSize(std::string_view bytes) {
  return bytes.empty() ? 0 : 1 + static_cast<size_t>(VarintSize(bytes.size())) + bytes.size();
}

uint32_t EventChecksum(EventPosition position, std::string_view header, std::string_view wire) {
  const uint64_t seed = static_cast<uint64_t>(position.main.value()) * 0x9E3779B97F4A7C15u +
                        static_cast<uint64_t>(position.sub);
  const uint64_t of_header = XXH3_64bits_withSeed(header.data(), header.size(), seed);
  return static_cast<uint32_t>(XXH3_64bits_withSeed(wire.data(), wire.size(), of_header));
}

}  // namespace

int VarintSize(uint64_t value) { return (70 - __builtin_clzll(value | 1)) / 7; }

void AppendVarint(std::string* out, uint64_t value) {
  char bytes[10];
  size_t n = 0;
  while (value >= 0x80) {
    bytes[n++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  bytes[n++] = static_cast<char>(value);
  out->append(bytes, n);
}

bool ReadVarint(std::string_view* in, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 70 && !in->empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(in->front());
    in->remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

void AppendIntField(std::string* out, int field, int64_t value) {
  if (value == 0) return;
  out->push_back(static_cast<char>(VarintTag(field)));
  AppendVarint(out, static_cast<uint64_t>(value));
}

void AppendMessageField(std::string* out, int field, std::string_view message) {
  out->push_back(static_cast<char>(BytesTag(field)));
  AppendVarint(out, message.size());
  out->append(message);
}

void AppendBytesField(std::string* out, int field, std::string_view bytes) {
  if (!bytes.empty()) AppendMessageField(out, field, bytes);
}

void AppendRevisionHeader(std::string* out, int64_t revision) {
  out->push_back(static_cast<char>(BytesTag(1)));
  out->push_back(static_cast<char>(IntFieldSize(revision)));
  AppendIntField(out, 3, revision);
}

void AppendKeyValueField(std::string* out, int field, std::string_view key, const KeyVersion& version,
                         std::string_view value) {
  const size_t size = BytesFieldSize(key) + static_cast<size_t>(IntFieldSize(version.create)) +
                      static_cast<size_t>(IntFieldSize(version.mod)) +
                      static_cast<size_t>(IntFieldSize(version.version)) + BytesFieldSize(value) +
                      static_cast<size_t>(IntFieldSize(version.lease));
  out->push_back(static_cast<char>(BytesTag(field)));
  AppendVarint(out, size);
  AppendBytesField(out, 1, key);
  AppendIntField(out, 2, version.create);
  AppendIntField(out, 3, version.mod);
  AppendIntField(out, 4, version.version);
  AppendBytesField(out, 5, value);
  AppendIntField(out, 6, version.lease);
}

std::string PutEventWire(std::string_view key, const KeyVersion& version, std::string_view value) {
  std::string wire;
  wire.reserve(key.size() + value.size() + 64);
  AppendKeyValueField(&wire, 2, key, version, value);
  return wire;
}

std::string DeleteEventWire(std::string_view key, int64_t mod_revision) {
  KeyVersion version;
  version.mod = mod_revision;
  std::string wire;
  AppendIntField(&wire, 1, 1);
  AppendKeyValueField(&wire, 2, key, version, {});
  return wire;
}

bool ParseEventWire(std::string_view wire, EventView* event) {
  *event = EventView();
  if (wire.size() >= 2 && wire[0] == static_cast<char>(VarintTag(1))) {
    event->is_delete = wire[1] == 1;
    wire.remove_prefix(2);
  }
  uint64_t size;
  if (wire.empty() || wire[0] != static_cast<char>(BytesTag(2))) return false;
  wire.remove_prefix(1);
  if (!ReadVarint(&wire, &size) || size != wire.size()) return false;
  event->key_value = wire;
  while (!wire.empty()) {
    const int field = static_cast<uint8_t>(wire[0]) >> 3;
    const int type = wire[0] & 7;
    wire.remove_prefix(1);
    uint64_t number;
    if (!ReadVarint(&wire, &number)) return false;
    if (type == 2) {
      if (number > wire.size()) return false;
      (field == 1 ? event->key : event->value) = wire.substr(0, number);
      wire.remove_prefix(number);
    } else {
      const auto value = static_cast<int64_t>(number);
      if (field == 2) event->version.create = value;
      if (field == 3) event->version.mod = value;
      if (field == 4) event->version.version = value;
      if (field == 6) event->version.lease = value;
    }
  }
  event->version.value_bytes = static_cast<uint32_t>(event->value.size());
  return !event->key.empty();
}

std::string_view KeyOfEventWire(std::string_view wire) {
  uint64_t size = 0;
  if (wire[0] == static_cast<char>(VarintTag(1))) wire.remove_prefix(2);
  wire.remove_prefix(1);
  ReadVarint(&wire, &size);
  wire.remove_prefix(1);
  ReadVarint(&wire, &size);
  return wire.substr(0, size);
}

EventKey EncodeEventKey(EventPosition position) {
  EventKey key;
  StoreBig64(key.data(), static_cast<uint64_t>(position.main.value()));
  StoreLittle32(key.data() + 8, __builtin_bswap32(static_cast<uint32_t>(position.sub)));
  return key;
}

absl::Status DecodeEventKey(std::string_view key, EventPosition* position) {
  if (key.size() != kEventKeyBytes) {
    return absl::DataLossError(
        absl::StrCat("a key of the event log has ", key.size(), " bytes instead of ", kEventKeyBytes));
  }
  position->main = Revision(static_cast<int64_t>(LoadBig64(key.data())));
  position->sub = __builtin_bswap32(LoadLittle32(key.data() + 8));
  return absl::OkStatus();
}

void EncodeEventRecord(EventPosition position, const EventRecord& record, std::string* out) {
  out->resize(kEventHeaderBytes);
  char* to = out->data();
  to[0] = kEventFormat;
  to[1] = kEtcdSpace;
  to[2] = record.is_delete ? kDeleteFlag : 0;
  to[3] = 0;
  StoreLittle64(to + 4, static_cast<uint64_t>(record.previous.main.value()));
  StoreLittle32(to + 12, static_cast<uint32_t>(record.previous.sub));
  StoreLittle32(to + kChecksumOffset, EventChecksum(position, {to, kChecksumOffset}, record.wire));
  out->append(record.wire);
}

absl::Status DecodeEventRecord(EventPosition position, std::string_view bytes, EventRecord* record) {
  if (bytes.size() < kEventHeaderBytes) {
    return absl::DataLossError(absl::StrCat("event of revision ", position.main.value(), " is cut short"));
  }
  const char* from = bytes.data();
  record->wire = bytes.substr(kEventHeaderBytes);
  if (LoadLittle32(from + kChecksumOffset) !=
      EventChecksum(position, bytes.substr(0, kChecksumOffset), record->wire)) {
    return absl::DataLossError(absl::StrCat("event of revision ", position.main.value(), ".", position.sub,
                                            " has a wrong checksum: rebuild this member from the others"));
  }
  if (from[0] != kEventFormat || from[1] != kEtcdSpace) {
    return absl::FailedPreconditionError(
        absl::StrCat("event of revision ", position.main.value(), " has format ", static_cast<int>(from[0]),
                     ", key space ", static_cast<int>(from[1]), ": made by a newer version"));
  }
  record->is_delete = (from[2] & kDeleteFlag) != 0;
  record->previous.main = Revision(static_cast<int64_t>(LoadLittle64(from + 4)));
  record->previous.sub = LoadLittle32(from + 12);
  return absl::OkStatus();
}

}  // namespace cairn::storage
