// The log as the core sees it: the durable part behind the LogReader, the tail in Unstable, and how far it is
// committed, handed out for applying, and applied.
//
//     applied <= handed_out <= min(commit, persisted),  commit <= last
//
// Thread safety: none; belongs to the Raft core.
// Invariants:    a committed entry never changes; the indexes above never decrease, but `last` and
//                `persisted` do when a follower's uncommitted tail is replaced.
#ifndef CAIRN_RAFT_RAFT_LOG_H_
#define CAIRN_RAFT_RAFT_LOG_H_

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/log_reader.h"
#include "raft/types.h"
#include "raft/unstable.h"

namespace cairn::raft {

class RaftLog {
 public:
  RaftLog(LogReader* reader, LogIndex commit, LogIndex applied, size_t max_apply_bytes);

  LogIndex last_index() const { return unstable_.last(); }
  Term last_term() const;
  LogIndex persisted() const { return unstable_.persisted(); }
  LogIndex commit() const { return commit_; }
  LogIndex applied() const { return applied_; }

  // nullopt: cut away or not there yet.
  std::optional<Term> TermAt(LogIndex index) const;

  // Is (term, index) a position of this log? A committed one that was cut away is taken on trust.
  bool Matches(LogIndex index, Term term) const;

  // Is a log that ends at (term, index) at least as complete as this one (Raft paper §5.4.1)?
  bool IsUpToDate(Term term, LogIndex index) const;

  // The last position at or before `index` whose term is at most `term`: where the logs of two members may
  // agree (Raft paper §5.3, end; here by index and term, so that one message skips a whole term).
  std::pair<LogIndex, Term> LastAtMost(LogIndex index, Term term) const;

  // Entries of [begin, end), stopping after the one that reaches `max_bytes`; at least one. Errors:
  // LogReader.
  absl::StatusOr<std::vector<Entry>> Entries(LogIndex begin, LogIndex end, size_t max_bytes) const;

  // Adds at the end.
  void Append(Entry entry) { unstable_.Append(std::move(entry)); }

  // Entries that follow on a matching position: skips those already here, replaces a tail that differs.
  // False, with nothing changed: a committed entry would change, or one up to `settled`.
  bool Merge(std::vector<Entry> entries, LogIndex settled);

  // Moves the commit index, never back.
  void CommitTo(LogIndex index);

  bool has_new() const { return unstable_.has_new(); }
  std::vector<Entry> HandOver(Term term) { return unstable_.HandOver(term); }
  std::optional<Term> Persisted(Term term, LogIndex index) { return unstable_.Persisted(term, index); }

  // Entries to apply next, within the bytes that may be under way.
  bool MayApply() const;
  std::vector<Entry> TakeCommitted();
  void Applied(LogIndex index);
  void EntriesLoaded() { apply_blocked_ = false; }

 private:
  LogIndex ApplicableTo() const;

  LogReader* reader_;
  Unstable unstable_;
  LogIndex commit_;
  LogIndex handed_out_;
  LogIndex applied_;
  size_t max_apply_bytes_;
  size_t applying_bytes_ = 0;
  std::deque<std::pair<LogIndex, size_t>> applying_;  // batches handed out, by their last index
  bool apply_blocked_ = false;                        // the next entries are not in memory
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_RAFT_LOG_H_
