// A piece of the event log read for watchers that are behind; shared by all that ask for the same place.
//
// Thread safety: filled on a thread that may block, then handed over to the core loop (`ready`).
#ifndef CAIRN_STORAGE_MVCC_EVENT_CHUNK_H_
#define CAIRN_STORAGE_MVCC_EVENT_CHUNK_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "storage/mvcc/store.h"

namespace cairn::storage {

struct EventChunk {
  int64_t from = 0;
  int64_t end = 0;  // first revision not in it
  bool ready = false;
  absl::Status status;
  std::vector<RevisionEvents> revisions;
  std::vector<std::function<void()>> waiters;

  bool Covers(int64_t revision) const {
    return ready ? revision >= from && revision < end : revision == from;
  }
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_EVENT_CHUNK_H_
