#include "raft/unstable.h"

#include <algorithm>
#include <utility>

#include "raft/check.h"

namespace cairn::raft {

const Entry* Unstable::Find(LogIndex index) const {
  if (index <= persisted_ || index > last()) return nullptr;
  return &entries_[index - persisted_ - 1];
}

void Unstable::Append(Entry entry) {
  CAIRN_CHECK(entry.index == last() + 1) << "entry " << entry.index << " after " << last();
  entries_.push_back(std::move(entry));
}

void Unstable::TruncateFrom(LogIndex index) {
  CAIRN_CHECK(index > LogIndex(0) && index <= last())
      << "truncating from " << index << ", last is " << last();
  if (index <= persisted_) {
    entries_.clear();
    persisted_ = index - 1;
  } else {
    entries_.resize(index - persisted_ - 1);
  }
  handed_over_ = std::min(handed_over_, index - 1);
  for (Write& write : writes_) write.valid_to = std::min(write.valid_to, index - 1);
}

std::vector<Entry> Unstable::HandOver(Term term) {
  std::vector<Entry> fresh;
  if (!has_new()) return fresh;
  fresh.assign(entries_.begin() + static_cast<ptrdiff_t>(handed_over_ - persisted_), entries_.end());
  handed_over_ = last();
  writes_.push_back({handed_over_, fresh.back().term, term, handed_over_});
  return fresh;
}

std::optional<Term> Unstable::Persisted(Term term, LogIndex index) {
  const auto reported = std::find_if(writes_.begin(), writes_.end(), [&](const Write& write) {
    return write.index == index && write.term == term;
  });
  if (reported == writes_.end()) return std::nullopt;
  const Term hard_state_term = reported->hard_state_term;
  const LogIndex valid_to = reported->valid_to;
  writes_.erase(writes_.begin(), reported + 1);
  if (valid_to > persisted_) {
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<ptrdiff_t>(valid_to - persisted_));
    persisted_ = valid_to;
  }
  return hard_state_term;
}

}  // namespace cairn::raft
