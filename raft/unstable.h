// The tail of the log that is not known to be durable: entries not yet handed over, and entries whose write
// is on its way.
//
//       durable (read from the LogReader) │ handed over, write under way │ new
//     ────────────────────────────────────┼──────────────────────────────┼─────────
//                              persisted ─┘                 handed_over ─┘          last
//
// Writes complete in order, and each reports its last entry once. A report may be out of date: an entry of it
// was overwritten since, perhaps by one that was overwritten in its turn by the same term and index again.
// So a write under way remembers up to where it still counts, instead of comparing (term, index) at the end.
//
// Thread safety: none; belongs to the Raft core.
// Invariants:    entries are contiguous from persisted + 1; persisted <= handed_over <= last.
#ifndef CAIRN_RAFT_UNSTABLE_H_
#define CAIRN_RAFT_UNSTABLE_H_

#include <deque>
#include <optional>
#include <vector>

#include "raft/types.h"

namespace cairn::raft {

class Unstable {
 public:
  // `last`: the last index of the durable log.
  explicit Unstable(LogIndex last) : persisted_(last), handed_over_(last) {}

  LogIndex persisted() const { return persisted_; }
  LogIndex last() const { return persisted_ + entries_.size(); }
  bool has_new() const { return handed_over_ < last(); }

  // The entry, if it is here. The pointer is good until the next change.
  const Entry* Find(LogIndex index) const;

  // Adds at the end: `entry.index` is last() + 1.
  void Append(Entry entry);

  // Forgets the entries from `index` on, durable ones too: others take their place.
  void TruncateFrom(LogIndex index);

  // The new entries, for a write that also makes a hard state of `term` durable.
  std::vector<Entry> HandOver(Term term);

  // The oldest write that ends with this entry is durable, and so are those before it. Answers the highest
  // term whose hard state that made durable; nullopt for a write nobody waits for.
  std::optional<Term> Persisted(Term term, LogIndex index);

 private:
  struct Write {
    LogIndex index;  // of its last entry, with `term`: what the report will say
    Term term;
    Term hard_state_term;
    LogIndex valid_to;  // what of it was not overwritten since
  };

  LogIndex persisted_;
  LogIndex handed_over_;
  std::deque<Entry> entries_;
  std::deque<Write> writes_;
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_UNSTABLE_H_
