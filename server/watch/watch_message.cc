#include "server/watch/watch_message.h"

#include <cstring>

#include "raft/check.h"

namespace cairn::server {
namespace {

constexpr char kHeaderTag = (1 << 3) | 2;
constexpr char kEventsTag = (11 << 3) | 2;
constexpr char kPrevKvTag = (3 << 3) | 2;

size_t VarintBytes(uint64_t value) {
  size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

// Writes to `out`, which has room; answers the end.
char* WriteVarint(uint64_t value, char* out) {
  for (; value >= 0x80; value >>= 7) *out++ = static_cast<char>(value | 0x80);
  *out++ = static_cast<char>(value);
  return out;
}

void AppendVarint(uint64_t value, std::string* out) {
  char buffer[10];
  out->append(buffer, WriteVarint(value, buffer));
}

size_t EventBytes(std::string_view event, const std::string* prev_kv) {
  if (prev_kv == nullptr) return event.size();
  return event.size() + 1 + VarintBytes(prev_kv->size()) + prev_kv->size();
}

}  // namespace

void WatchHead::Append(std::string_view bytes) {
  CAIRN_CHECK(size_ + bytes.size() <= kMaxBytes)
      << "head of a watch response: " << size_ << " + " << bytes.size();
  std::memcpy(bytes_.data() + size_, bytes.data(), bytes.size());
  size_ = static_cast<uint8_t>(size_ + bytes.size());
}

void WatchHead::AppendVarintField(int number, uint64_t value) {
  if (value == 0) return;
  char field[11];
  field[0] = static_cast<char>(number << 3);
  Append({field, static_cast<size_t>(WriteVarint(value, field + 1) - field)});
}

WatchHead EncodeWatchHeader(uint64_t cluster_id, uint64_t member_id, storage::Revision revision,
                            uint64_t term) {
  WatchHead fields;
  fields.AppendVarintField(1, cluster_id);
  fields.AppendVarintField(2, member_id);
  fields.AppendVarintField(3, static_cast<uint64_t>(revision.value()));
  fields.AppendVarintField(4, term);
  WatchHead header;
  const char tag_and_size[] = {kHeaderTag, static_cast<char>(fields.size())};
  header.Append({tag_and_size, sizeof(tag_and_size)});
  header.Append(fields.view());
  return header;
}

void AppendEventField(std::string_view event, const std::string* prev_kv, std::string* out) {
  out->push_back(kEventsTag);
  AppendVarint(EventBytes(event, prev_kv), out);
  out->append(event);
  if (prev_kv == nullptr) return;
  out->push_back(kPrevKvTag);
  AppendVarint(prev_kv->size(), out);
  out->append(*prev_kv);
}

size_t EventFieldBytes(std::string_view event, const std::string* prev_kv) {
  const size_t bytes = EventBytes(event, prev_kv);
  return 1 + VarintBytes(bytes) + bytes;
}

}  // namespace cairn::server
