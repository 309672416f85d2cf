// The events that one group of watchers gets in one round, made into the bytes of responses: once, for all of
// them.
//
// Thread safety: none; belongs to the watch hub.
#ifndef CAIRN_SERVER_WATCH_GROUP_DELIVERY_H_
#define CAIRN_SERVER_WATCH_GROUP_DELIVERY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "server/watch/event_ring.h"
#include "server/watch/watch_index.h"
#include "storage/types.h"

namespace cairn::server {

// The events of one response, or of one fragment of it.
struct ResponsePart {
  storage::Revision first;  // of the events of the whole response
  std::shared_ptr<const std::string> bytes;
  uint32_t events = 0;
  bool more_fragments = false;  // the next part belongs to the same response
};

struct ResponseLimits {
  size_t max_response_bytes = 0;  // revisions share a response up to here; one revision alone may be larger
  size_t max_fragment_bytes = 0;  // larger responses are split where the group asked for fragments
};

struct GroupDelivery {
  struct Matched {
    storage::Revision revision;
    HeldEvent* event = nullptr;
  };

  void Start(WatchGroup* to);

  // The responses that bring the events from revision `from` on. Kept until another `from` is asked for:
  // watchers that stand at the same place share them.
  std::span<const ResponsePart> PartsFrom(storage::Revision from, const ResponseLimits& limits);

  WatchGroup* group = nullptr;
  std::vector<Matched> events;  // in order

 private:
  size_t EventBytesAt(size_t index) const;
  void AddResponse(size_t begin, size_t end, size_t bytes, const ResponseLimits& limits);
  void AddPart(size_t begin, size_t end, size_t bytes, storage::Revision first);

  std::vector<ResponsePart> parts_;
  size_t parts_begin_ = 0;  // index of the first event in parts_
  bool parts_made_ = false;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_WATCH_GROUP_DELIVERY_H_
