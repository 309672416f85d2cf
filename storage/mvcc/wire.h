// The bytes the store makes: protobuf fields of etcd's messages written by hand (values are copied once), and
// the records of the event log. Layouts: docs/formats.md.
//
// Thread safety: pure functions.
#ifndef CAIRN_STORAGE_MVCC_WIRE_H_
#define CAIRN_STORAGE_MVCC_WIRE_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "storage/mvcc/key_record.h"

namespace cairn::storage {

// --- Protobuf
// --------------------------------------------------------------------------------------------------

inline constexpr uint8_t VarintTag(int field) { return static_cast<uint8_t>(field << 3); }
inline constexpr uint8_t BytesTag(int field) { return static_cast<uint8_t>(field << 3 | 2); }

void AppendVarint(std::string* out, uint64_t value);
bool ReadVarint(std::string_view* in, uint64_t* value);
int VarintSize(uint64_t value);

// proto3: a zero or empty field is not written.
void AppendIntField(std::string* out, int field, int64_t value);
void AppendBytesField(std::string* out, int field, std::string_view bytes);
// Written even when empty: a message field that is set.
void AppendMessageField(std::string* out, int field, std::string_view message);
// Field 1 of every response inside a transaction.
void AppendRevisionHeader(std::string* out, int64_t revision);

// A serialized mvccpb.KeyValue as message field `field`; with `value` left out for keys_only.
void AppendKeyValueField(std::string* out, int field, std::string_view key, const KeyVersion& version,
                         std::string_view value);

// --- Events
// ----------------------------------------------------------------------------------------------------

// The serialized mvccpb.Event of a change. A put's is exactly one field 2 that holds the KeyValue, which is
// also how RangeResponse.kvs and PutResponse.prev_kv carry it.
std::string PutEventWire(std::string_view key, const KeyVersion& version, std::string_view value);
std::string DeleteEventWire(std::string_view key, int64_t mod_revision);

struct EventView {
  bool is_delete = false;
  std::string_view key_value;  // the serialized KeyValue
  std::string_view key;
  std::string_view value;
  KeyVersion version;  // without `sub`
};
// False when the bytes are not an event as made above. The views point into `wire`.
bool ParseEventWire(std::string_view wire, EventView* event);
// The key alone, of bytes known to be good.
std::string_view KeyOfEventWire(std::string_view wire);

// --- Records of the event log
// -------------------------------------------------------------------------------------

inline constexpr size_t kEventKeyBytes = 12;
using EventKey = std::array<char, kEventKeyBytes>;
EventKey EncodeEventKey(EventPosition position);
inline std::string_view View(const EventKey& key) { return {key.data(), key.size()}; }
absl::Status DecodeEventKey(std::string_view key, EventPosition* position);

struct EventRecord {
  bool is_delete = false;
  EventPosition previous;
  std::string_view wire;
};
void EncodeEventRecord(EventPosition position, const EventRecord& record, std::string* out);
// DATA_LOSS when the checksum is wrong; FAILED_PRECONDITION when the format is a newer one.
absl::Status DecodeEventRecord(EventPosition position, std::string_view bytes, EventRecord* record);

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_WIRE_H_
