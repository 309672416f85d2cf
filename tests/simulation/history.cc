#include "tests/simulation/history.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace cairn::sim {
namespace {

std::string Describe(const Write& write) {
  const char* kind = write.kind == Write::Kind::kPut      ? "put"
                     : write.kind == Write::Kind::kDelete ? "delete"
                                                          : "compare-and-put";
  return absl::StrCat(kind, " key=", write.key, " value=", write.value, " revision=", write.revision,
                      " floor=", write.floor);
}

void Apply(int64_t revision, const Changes& changes, State* state) {
  for (const Change& change : changes) {
    if (!change.value.has_value()) {
      state->erase(change.key);
      continue;
    }
    (*state)[change.key] = {*change.value, change.create_revision, revision, change.version, change.lease};
  }
}

State Slice(const State& state, const std::string& key, const std::string& end) {
  State slice;
  for (auto it = state.lower_bound(key); it != state.end() && InRange(it->first, key, end); ++it)
    slice.insert(*it);
  return slice;
}

}  // namespace

bool InRange(const std::string& key, const std::string& begin, const std::string& end) {
  if (end.empty()) return key == begin;
  if (end == std::string(1, '\0')) return key >= begin;
  return key >= begin && key < end;
}

void History::OnEvents(int64_t revision, const Changes& changes, absl::Duration now) {
  Saw(revision);
  auto [it, fresh] = log_.try_emplace(revision, changes);
  if (!fresh) {
    if (it->second != changes && violation_.empty()) {
      violation_ = absl::StrCat("two members deliver different changes at revision ", revision);
    }
    return;
  }
  for (const Change& change : changes) {
    auto lease = leases_.find(change.key);
    if (change.value.has_value() || lease == leases_.end() || lease->second.revoked) continue;
    lease->second.gone_at = now;
    if (now < lease->second.until && violation_.empty()) {
      violation_ =
          absl::StrCat("key ", change.key, " went with its lease at ", absl::FormatDuration(now),
                       ", but a keep-alive promised it until ", absl::FormatDuration(lease->second.until));
    }
  }
}

void History::LeaseAlive(const std::string& key, absl::Duration until) {
  LeasePromise& promise = leases_[key];
  promise.until = std::max(promise.until, until);
  if (promise.gone_at.has_value() && *promise.gone_at < until && violation_.empty()) {
    violation_ = absl::StrCat("a keep-alive promised key ", key, " until ", absl::FormatDuration(until),
                              ", but it had gone with its lease at ", absl::FormatDuration(*promise.gone_at));
  }
}

void History::LeaseRevoked(const std::string& key) { leases_[key].revoked = true; }

std::string History::Check() const {
  if (!violation_.empty()) return violation_;
  for (const auto& check : {&History::CheckLogIsWhole, &History::CheckWrites, &History::CheckReadsAndCompares,
                            &History::CheckWatches}) {
    std::string broken = (this->*check)();
    if (!broken.empty()) return broken;
  }
  return "";
}

std::string History::CheckLogIsWhole() const {
  int64_t expected = 2;
  for (const auto& [revision, changes] : log_) {
    if (revision != expected) return absl::StrCat("revision ", expected, " was delivered by nobody");
    ++expected;
  }
  if (seen_ >= expected)
    return absl::StrCat("a client saw revision ", seen_, ", the log ends at ", expected - 1);
  return "";
}

std::string History::CheckWrites() const {
  std::map<std::string, std::vector<int64_t>> revisions_of_value;
  for (const auto& [revision, changes] : log_) {
    for (const Change& change : changes) {
      if (change.value.has_value()) revisions_of_value[*change.value].push_back(revision);
    }
  }
  for (const Write& write : writes_) {
    if (write.kind != Write::Kind::kDelete) {
      auto it = revisions_of_value.find(write.value);
      const size_t times = it == revisions_of_value.end() ? 0 : it->second.size();
      if (times > 1) return absl::StrCat("written twice: ", Describe(write));
      const bool wrote =
          write.outcome == Outcome::kOk && (write.kind == Write::Kind::kPut || write.succeeded);
      if (wrote && (times == 0 || it->second.front() != write.revision)) {
        return absl::StrCat("acknowledged and not in the log at its revision: ", Describe(write));
      }
      const bool must_not = write.outcome == Outcome::kRefused || (write.outcome == Outcome::kOk && !wrote);
      if (must_not && times != 0) return absl::StrCat("refused, yet written: ", Describe(write));
      if (wrote && write.revision <= write.floor) {
        return absl::StrCat("its revision had been seen before it began: ", Describe(write));
      }
    } else if (write.outcome == Outcome::kOk) {
      if (write.revision < write.floor)
        return absl::StrCat("older than what had been seen: ", Describe(write));
      if (write.deleted == 0) continue;
      auto it = log_.find(write.revision);
      if (it == log_.end()) return absl::StrCat("acknowledged and not in the log: ", Describe(write));
      const bool found = std::any_of(it->second.begin(), it->second.end(), [&](const Change& change) {
        return change.key == write.key && !change.value.has_value();
      });
      if (!found) return absl::StrCat("acknowledged and not in the log at its revision: ", Describe(write));
    }
  }
  return "";
}

std::string History::CheckReadsAndCompares() const {
  // Everything that speaks of the state at a revision, in order of revision; the log is replayed once.
  struct Question {
    int64_t revision;
    const Read* read;
    const Write* write;
  };
  std::vector<Question> questions;
  for (const Read& read : reads_) {
    if (read.linearizable && read.at_revision == 0 && read.revision < read.floor) {
      return absl::StrCat("linearizable read of ", read.key, " at revision ", read.revision, " after ",
                          read.floor, " had been seen");
    }
    questions.push_back({read.at_revision == 0 ? read.revision : read.at_revision, &read, nullptr});
  }
  for (const Write& write : writes_) {
    if (write.kind != Write::Kind::kCompareAndPut || write.outcome != Outcome::kOk) continue;
    // A compare that succeeded saw the revision before its own; one that failed wrote nothing and saw its
    // own.
    questions.push_back({write.succeeded ? write.revision - 1 : write.revision, nullptr, &write});
  }
  std::stable_sort(questions.begin(), questions.end(),
                   [](const Question& a, const Question& b) { return a.revision < b.revision; });
  State state;
  auto next = log_.begin();
  for (const Question& question : questions) {
    for (; next != log_.end() && next->first <= question.revision; ++next)
      Apply(next->first, next->second, &state);
    if (question.read != nullptr) {
      if (Slice(state, question.read->key, question.read->range_end) != question.read->result) {
        return absl::StrCat("a read of ", question.read->key, " (", question.read->result.size(),
                            " keys) does not show the state at revision ", question.revision);
      }
      continue;
    }
    auto it = state.find(question.write->key);
    const int64_t actual = it == state.end() ? 0 : it->second.mod_revision;
    if ((actual == question.write->expected_mod_revision) != question.write->succeeded) {
      return absl::StrCat("took the wrong branch (mod revision was ", actual, ", expected ",
                          question.write->expected_mod_revision, "): ", Describe(*question.write));
    }
  }
  return "";
}

std::string History::CheckWatches() const {
  for (const WatchLog& watch : watches_) {
    int64_t last = watch.start - 1;
    for (const auto& [revision, changes] : watch.delivered) {
      if (revision <= last) {
        return absl::StrCat("watch of ", watch.key, " from ", watch.start, " delivered ", revision, " after ",
                            last);
      }
      last = revision;
    }
    auto delivered = watch.delivered.begin();
    const int64_t until = std::max(last, watch.promised);
    for (auto it = log_.lower_bound(watch.start); it != log_.end() && it->first <= until; ++it) {
      Changes expected;
      for (const Change& change : it->second) {
        if (InRange(change.key, watch.key, watch.range_end)) expected.push_back(change);
      }
      if (expected.empty()) continue;
      if (delivered == watch.delivered.end() || delivered->first != it->first ||
          delivered->second != expected) {
        return absl::StrCat("watch of ", watch.key, " from ", watch.start, " missed or changed revision ",
                            it->first, " (promised up to ", watch.promised, ")");
      }
      ++delivered;
    }
    if (delivered != watch.delivered.end()) {
      return absl::StrCat("watch of ", watch.key, " delivered revision ", delivered->first,
                          ", which changed nothing in it");
    }
  }
  return "";
}

}  // namespace cairn::sim
