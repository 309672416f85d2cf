#include "server/watch/group_delivery.h"

#include <algorithm>
#include <utility>

#include "server/watch/watch_message.h"

namespace cairn::server {

void GroupDelivery::Start(WatchGroup* to) {
  group = to;
  events.clear();
  parts_.clear();
  parts_made_ = false;
}

std::span<const ResponsePart> GroupDelivery::PartsFrom(storage::Revision from, const ResponseLimits& limits) {
  const auto begin_at = std::partition_point(
      events.begin(), events.end(), [from](const Matched& matched) { return matched.revision < from; });
  const auto begin = static_cast<size_t>(begin_at - events.begin());
  if (parts_made_ && parts_begin_ == begin) return parts_;
  parts_.clear();
  parts_begin_ = begin;
  parts_made_ = true;
  for (size_t next = begin; next < events.size();) {
    const size_t response_begin = next;
    size_t response_bytes = 0;
    while (next < events.size()) {
      size_t revision_end = next;
      size_t revision_bytes = 0;
      for (; revision_end < events.size() && events[revision_end].revision == events[next].revision;
           ++revision_end) {
        revision_bytes += EventBytesAt(revision_end);
      }
      if (response_bytes > 0 && response_bytes + revision_bytes > limits.max_response_bytes) break;
      response_bytes += revision_bytes;
      next = revision_end;
    }
    AddResponse(response_begin, next, response_bytes, limits);
  }
  return parts_;
}

size_t GroupDelivery::EventBytesAt(size_t index) const {
  const HeldEvent& event = *events[index].event;
  return EventFieldBytes(*event.event.wire, group->wishes.prev_kv ? event.prev_kv.get() : nullptr);
}

void GroupDelivery::AddResponse(size_t begin, size_t end, size_t bytes, const ResponseLimits& limits) {
  const storage::Revision first = events[begin].revision;
  if (!group->wishes.fragment || bytes + WatchHead::kMaxBytes < limits.max_fragment_bytes) {
    return AddPart(begin, end, bytes, first);
  }
  while (begin < end) {
    size_t part_end = begin;
    size_t part_bytes = 0;
    while (part_end < end) {
      const size_t event_bytes = EventBytesAt(part_end);
      const bool fits = part_bytes + event_bytes + WatchHead::kMaxBytes < limits.max_fragment_bytes;
      if (part_end > begin && !fits) break;
      part_bytes += event_bytes;
      ++part_end;
    }
    AddPart(begin, part_end, part_bytes, first);
    begin = part_end;
    parts_.back().more_fragments = begin < end;
  }
}

void GroupDelivery::AddPart(size_t begin, size_t end, size_t bytes, storage::Revision first) {
  auto body = std::make_shared<std::string>();
  body->reserve(bytes);
  for (size_t i = begin; i < end; ++i) {
    const HeldEvent& event = *events[i].event;
    AppendEventField(*event.event.wire, group->wishes.prev_kv ? event.prev_kv.get() : nullptr, body.get());
  }
  parts_.push_back({.first = first, .bytes = std::move(body), .events = static_cast<uint32_t>(end - begin)});
}

}  // namespace cairn::server
