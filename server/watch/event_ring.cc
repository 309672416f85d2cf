#include "server/watch/event_ring.h"

#include <utility>

#include "raft/check.h"

namespace cairn::server {

HeldRevision Hold(storage::RevisionEvents&& events) {
  HeldRevision held{.revision = events.revision, .events = {}, .bytes = sizeof(HeldRevision)};
  held.events.reserve(events.events.size());
  for (storage::Event& event : events.events) {
    // The string object and its reference count beside the bytes.
    held.bytes += sizeof(HeldEvent) + sizeof(std::string) + 16 + event.wire->size();
    held.events.push_back({.event = std::move(event), .prev_kv = nullptr});
  }
  return held;
}

void EventRing::Reset(storage::Revision next) {
  revisions_.clear();
  bytes_ = 0;
  first_ = next;
}

HeldRevision& EventRing::Append(storage::RevisionEvents&& events) {
  CAIRN_CHECK(events.revision == next()) << "revision " << events.revision << " follows " << next() - 1;
  HeldRevision& held = revisions_.emplace_back(Hold(std::move(events)));
  bytes_ += held.bytes;
  return held;
}

void EventRing::Trim() {
  while (bytes_ > max_bytes_) {
    bytes_ -= revisions_.front().bytes;
    revisions_.pop_front();
    ++first_;
  }
}

HeldRevision& EventRing::at(storage::Revision revision) {
  CAIRN_CHECK(revision >= first_ && revision < next())
      << revision << " is not in [" << first_ << ", " << next() << ")";
  return revisions_[static_cast<size_t>(revision - first_)];
}

}  // namespace cairn::server
