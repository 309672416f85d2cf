#include "raft/raft_log.h"

#include <algorithm>

#include "raft/check.h"

namespace cairn::raft {

RaftLog::RaftLog(LogReader* reader, LogIndex commit, LogIndex applied, size_t max_apply_bytes)
    : reader_(reader),
      unstable_(reader->LastIndex()),
      commit_(std::max(commit, applied)),
      handed_out_(applied),
      applied_(applied),
      max_apply_bytes_(max_apply_bytes) {
  CAIRN_CHECK(commit_ <= last_index()) << "commit index " << commit << " and applied index " << applied
                                       << " of a log that ends at " << last_index() << ": its tail was lost";
}

Term RaftLog::last_term() const {
  const std::optional<Term> term = TermAt(last_index());
  CAIRN_CHECK(term.has_value()) << "no term for the last index " << last_index();
  return *term;
}

std::optional<Term> RaftLog::TermAt(LogIndex index) const {
  if (const Entry* entry = unstable_.Find(index)) return entry->term;
  // What the reader has beyond the durable part may have been overwritten here since.
  if (index > unstable_.persisted()) return std::nullopt;
  const absl::StatusOr<Term> term = reader_->TermAt(index);
  if (!term.ok()) return std::nullopt;
  return *term;
}

bool RaftLog::Matches(LogIndex index, Term term) const {
  const std::optional<Term> own = TermAt(index);
  if (own.has_value()) return *own == term;
  return index <= commit_;
}

bool RaftLog::IsUpToDate(Term term, LogIndex index) const {
  const Term own = last_term();
  return term > own || (term == own && index >= last_index());
}

std::pair<LogIndex, Term> RaftLog::LastAtMost(LogIndex index, Term term) const {
  // Terms never decrease along the log, so halving finds it, however long the log is.
  LogIndex low = reader_->FirstIndex() - 1;
  LogIndex high = std::min(index, last_index());
  if (high <= low) return {high, TermAt(high).value_or(Term(0))};
  while (low < high) {
    const LogIndex middle = low + (high - low + 1) / 2;
    if (TermAt(middle).value_or(Term(0)) <= term) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return {low, TermAt(low).value_or(Term(0))};
}

absl::StatusOr<std::vector<Entry>> RaftLog::Entries(LogIndex begin, LogIndex end, size_t max_bytes) const {
  CAIRN_CHECK(begin < end && end <= last_index() + 1)
      << "entries [" << begin << ", " << end << ") of a log up to " << last_index();
  std::vector<Entry> entries;
  size_t bytes = 0;
  if (begin <= unstable_.persisted()) {
    const LogIndex durable_end = std::min(end, unstable_.persisted() + 1);
    absl::StatusOr<std::vector<Entry>> durable = reader_->Entries(begin, durable_end, max_bytes);
    if (!durable.ok()) return durable.status();
    entries = *std::move(durable);
    CAIRN_CHECK(!entries.empty() && entries.front().index == begin) << "the log gave no entry " << begin;
    begin = entries.back().index + 1;
    for (const Entry& entry : entries) bytes += entry.size_bytes();
    if (begin < durable_end) return entries;
  } else {
    entries.reserve(std::min<size_t>(end - begin, 1024));
  }
  for (; begin < end && (entries.empty() || bytes < max_bytes); ++begin) {
    const Entry* entry = unstable_.Find(begin);
    entries.push_back(*entry);
    bytes += entry->size_bytes();
  }
  return entries;
}

bool RaftLog::Merge(std::vector<Entry> entries, LogIndex settled) {
  auto fresh = entries.begin();
  if (fresh != entries.end() && fresh->index <= last_index()) {
    fresh = std::find_if(entries.begin(), entries.end(),
                         [this](const Entry& entry) { return !Matches(entry.index, entry.term); });
  }
  if (fresh == entries.end()) return true;
  if (fresh->index <= std::max(commit_, settled)) return false;
  if (fresh->index <= last_index()) unstable_.TruncateFrom(fresh->index);
  for (; fresh != entries.end(); ++fresh) unstable_.Append(std::move(*fresh));
  return true;
}

void RaftLog::CommitTo(LogIndex index) {
  if (index <= commit_) return;
  CAIRN_CHECK(index <= last_index()) << "commit index " << index << " beyond the last index " << last_index();
  commit_ = index;
}

LogIndex RaftLog::ApplicableTo() const { return std::min(commit_, unstable_.persisted()); }

bool RaftLog::MayApply() const {
  return handed_out_ < ApplicableTo() && !apply_blocked_ && applying_bytes_ < max_apply_bytes_;
}

std::vector<Entry> RaftLog::TakeCommitted() {
  if (!MayApply()) return {};
  absl::StatusOr<std::vector<Entry>> entries =
      Entries(handed_out_ + 1, ApplicableTo() + 1, max_apply_bytes_ - applying_bytes_);
  if (!entries.ok()) {
    CAIRN_CHECK(absl::IsUnavailable(entries.status()))
        << "committed entry " << (handed_out_ + 1) << " cannot be read: " << entries.status().ToString();
    apply_blocked_ = true;
    return {};
  }
  size_t bytes = 0;
  for (const Entry& entry : *entries) bytes += entry.size_bytes();
  handed_out_ = entries->back().index;
  applying_bytes_ += bytes;
  applying_.emplace_back(handed_out_, bytes);
  return *std::move(entries);
}

void RaftLog::Applied(LogIndex index) {
  CAIRN_CHECK(index <= handed_out_) << "applied " << index << ", but handed out only up to " << handed_out_;
  if (index <= applied_) return;
  applied_ = index;
  while (!applying_.empty() && applying_.front().first <= index) {
    applying_bytes_ -= applying_.front().second;
    applying_.pop_front();
  }
}

}  // namespace cairn::raft
