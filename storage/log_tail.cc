#include "storage/log_tail.h"

#include <algorithm>

#include "raft/check.h"

namespace cairn::storage {

using raft::Entry;
using raft::LogIndex;
using raft::Term;

LogTail::LogTail(LogIndex last, Term term) : first_(last + 1), runs_{{last, term}} {}

std::optional<Term> LogTail::TermAt(LogIndex index) const {
  if (index < runs_.front().start || index > last_index()) return std::nullopt;
  auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                [](LogIndex i, const TermRun& run) { return i < run.start; });
  return std::prev(after)->term;
}

std::vector<Entry> LogTail::Entries(LogIndex begin, LogIndex end, size_t max_bytes) const {
  CAIRN_CHECK(first_ <= begin && begin < end && end <= last_index() + 1)
      << "[" << begin << ", " << end << ") of [" << first_ << ", " << last_index() << "]";
  auto from = entries_.begin() + (begin - first_);
  auto to = from;
  const auto limit = from + (end - begin);
  for (size_t bytes = 0; to != limit && bytes < max_bytes; ++to) bytes += to->size_bytes();
  if (to == from) ++to;
  return {from, to};
}

void LogTail::Append(std::span<const Entry> entries) {
  if (entries.empty()) return;
  CAIRN_CHECK(entries.front().index <= last_index() + 1)
      << "gap: entry " << entries.front().index << " after " << last_index();
  CAIRN_CHECK(entries.front().index > runs_.front().start)
      << "entry " << entries.front().index << " would replace history before " << runs_.front().start;
  TruncateFrom(entries.front().index);
  for (const Entry& entry : entries) {
    CAIRN_CHECK(entry.index == last_index() + 1) << entry.index << " after " << last_index();
    CAIRN_CHECK(entry.term >= runs_.back().term) << "term goes back at " << entry.index;
    if (entry.term != runs_.back().term) runs_.push_back({entry.index, entry.term});
    memory_bytes_ += CostOf(entry);
    entries_.push_back(entry);
  }
}

void LogTail::Evict(size_t max_bytes, LogIndex up_to) {
  while (memory_bytes_ > max_bytes && !entries_.empty() && first_ <= up_to) {
    memory_bytes_ -= CostOf(entries_.front());
    entries_.pop_front();
    ++first_;
  }
}

size_t LogTail::CostOf(const Entry& entry) {
  // The entry, the string object with its control block, and the allocator's share.
  constexpr size_t kOverheadBytes = sizeof(Entry) + 64;
  return kOverheadBytes + entry.size_bytes();
}

void LogTail::TruncateFrom(LogIndex index) {
  while (!entries_.empty() && entries_.back().index >= index) {
    memory_bytes_ -= CostOf(entries_.back());
    entries_.pop_back();
  }
  if (entries_.empty()) first_ = std::min(first_, index);
  while (runs_.size() > 1 && runs_.back().start >= index) runs_.pop_back();
}

}  // namespace cairn::storage
