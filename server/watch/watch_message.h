// A WatchResponse as it goes to a stream: a small head of its own, and bytes shared by all watchers that get
// the same events. head + tail, one after the other, is one serialized etcdserverpb.WatchResponse.
//
// Thread safety: value types; the tail is immutable and may be shared between threads.
#ifndef CAIRN_SERVER_WATCH_WATCH_MESSAGE_H_
#define CAIRN_SERVER_WATCH_WATCH_MESSAGE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/types.h"

namespace cairn::server {

// The fields before the events: header 1, watch_id 2, fragment 7. Never on the heap.
class WatchHead {
 public:
  // The longest one: header (2 + 4 * 11), watch_id (11), fragment (2).
  static constexpr size_t kMaxBytes = 64;

  std::string_view view() const { return {bytes_.data(), size_}; }
  size_t size() const { return size_; }

  void Append(std::string_view bytes);
  // Field `number` (below 16) as a varint; nothing when it is zero, as proto3 has it.
  void AppendVarintField(int number, uint64_t value);

 private:
  std::array<char, kMaxBytes> bytes_;
  uint8_t size_ = 0;
};

struct WatchMessage {
  WatchHead head;
  std::shared_ptr<const std::string> tail;  // may be null

  size_t size() const { return head.size() + (tail == nullptr ? 0 : tail->size()); }
};

// The serialized header field of a WatchResponse.
WatchHead EncodeWatchHeader(uint64_t cluster_id, uint64_t member_id, storage::Revision revision,
                            uint64_t term);

// Appends one element of the field `events`: an mvccpb.Event of the bytes `event`, and `prev_kv` (a
// serialized mvccpb.KeyValue) unless it is null.
void AppendEventField(std::string_view event, const std::string* prev_kv, std::string* out);

// The bytes that AppendEventField would append.
size_t EventFieldBytes(std::string_view event, const std::string* prev_kv);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_WATCH_WATCH_MESSAGE_H_
