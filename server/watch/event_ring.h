// The recent past in memory: the last revisions with their events, without a gap, up to a number of bytes.
//
// Thread safety: none; belongs to the watch hub. References into it stay valid until Trim or Reset.
#ifndef CAIRN_SERVER_WATCH_EVENT_RING_H_
#define CAIRN_SERVER_WATCH_EVENT_RING_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "storage/mvcc/store.h"
#include "storage/types.h"

namespace cairn::server {

// An event and what has been fetched for it.
struct HeldEvent {
  storage::Event event;
  std::shared_ptr<const std::string> prev_kv;  // null: not fetched, or there is none
  bool prev_kv_known = false;
};

struct HeldRevision {
  storage::Revision revision;
  std::vector<HeldEvent> events;
  size_t bytes = 0;  // about what it takes in memory
};

// Takes the events over.
HeldRevision Hold(storage::RevisionEvents&& events);

class EventRing {
 public:
  explicit EventRing(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Forgets everything; the next revision appended will be `next`.
  void Reset(storage::Revision next);
  // `events.revision` is next().
  HeldRevision& Append(storage::RevisionEvents&& events);
  // Forgets the oldest until the size is within the limit.
  void Trim();

  storage::Revision first() const { return first_; }  // the oldest held; next() when empty
  storage::Revision next() const { return first_ + static_cast<int64_t>(revisions_.size()); }
  // `revision` in [first(), next()).
  HeldRevision& at(storage::Revision revision);
  size_t bytes() const { return bytes_; }

 private:
  const size_t max_bytes_;
  storage::Revision first_;
  std::deque<HeldRevision> revisions_;
  size_t bytes_ = 0;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_WATCH_EVENT_RING_H_
