// The newest entries of the log in memory, and the terms of all entries seen since opening.
//
// Thread safety: none; belongs to the thread of the log store that owns it.
// Invariants:    entries are contiguous; terms never decrease with the index; an entry leaves memory only by
//                Evict (oldest first), Append (replaced).
#ifndef CAIRN_STORAGE_LOG_TAIL_H_
#define CAIRN_STORAGE_LOG_TAIL_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "raft/types.h"

namespace cairn::storage {

class LogTail {
 public:
  // An empty tail behind the entry (last, term); (0, 0) at the beginning of the log.
  explicit LogTail(raft::LogIndex last = {}, raft::Term term = {});

  // Oldest entry in memory; last_index() + 1 when there is none.
  raft::LogIndex first_in_memory() const { return first_; }
  raft::LogIndex last_index() const { return first_ + entries_.size() - 1; }
  size_t memory_bytes() const { return memory_bytes_; }

  // The term of an entry, also of one that Evict has taken out of memory; nullopt when never seen.
  std::optional<raft::Term> TermAt(raft::LogIndex index) const;

  // Entries of [begin, end) up to max_bytes of payload, at least one. Needs first_in_memory() <= begin < end
  // <= last_index() + 1.
  std::vector<raft::Entry> Entries(raft::LogIndex begin, raft::LogIndex end, size_t max_bytes) const;

  // Replaces everything from the first one's index on. There must be no gap.
  void Append(std::span<const raft::Entry> entries);

  // Takes the oldest entries, none after `up_to`, out of memory until at most `max_bytes` are used.
  void Evict(size_t max_bytes, raft::LogIndex up_to);

 private:
  struct TermRun {
    raft::LogIndex start;
    raft::Term term;
  };

  static size_t CostOf(const raft::Entry& entry);
  void TruncateFrom(raft::LogIndex index);

  raft::LogIndex first_;
  std::deque<raft::Entry> entries_;
  std::vector<TermRun> runs_;  // where each term begins; never empty: begins with the entry before the tail
  size_t memory_bytes_ = 0;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_LOG_TAIL_H_
