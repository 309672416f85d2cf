// What the Raft core asks of a log. `storage/` implements it.
#ifndef CAIRN_RAFT_LOG_READER_H_
#define CAIRN_RAFT_LOG_READER_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/types.h"

namespace cairn::raft {

// The entries handed over for persisting (durable or on their way), read by the core on its own thread.
// No call may block on a disk.
class LogReader {
 public:
  virtual ~LogReader() = default;

  // Index of the oldest entry kept; LastIndex() + 1 for an empty log.
  virtual LogIndex FirstIndex() const = 0;
  virtual LogIndex LastIndex() const = 0;

  // Term of the entry at `index`; also answers FirstIndex() - 1 (the position of the last cut, 0 at the
  // beginning). OUT_OF_RANGE: cut away or not there yet.
  virtual absl::StatusOr<Term> TermAt(LogIndex index) const = 0;

  // Entries of [begin, end), stopping after the one that reaches `max_bytes` (at least one entry).
  // OUT_OF_RANGE: cut away or not there. UNAVAILABLE: not in memory; a read has been started off this
  // thread, and the owner of the log tells when to ask again.
  virtual absl::StatusOr<std::vector<Entry>> Entries(LogIndex begin, LogIndex end, size_t max_bytes) = 0;
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_LOG_READER_H_
