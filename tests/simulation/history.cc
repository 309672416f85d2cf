#include "tests/simulation/history.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace cairn::sim {
namespace {

std::string Describe(const Write& write) {
  const char* kind = write.kind == Write::Kind::kPut      ? "put"
                     : write.kind == Write::Kind::kDelete ? "delete"
                     : write.kind == Write::Kind::kMany   ? "transaction"
                                                          : "compare-and-put";
  return absl::StrCat(kind, " key=", write.key, " value=", write.value, " revision=", write.revision,
                      " floor=", write.floor);
}

// The lease that a key is named after; 0 = none.
int64_t LeaseOfKey(std::string_view key) {
  if (key.substr(0, 6) != "lease-") return 0;
  int64_t id = 0;
  for (const char c : key.substr(6, key.rfind('-') - 6)) id = id * 10 + (c - '0');
  return id;
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
    const int64_t id = LeaseOfKey(change.key);
    auto lease = leases_.find(id);
    if (change.value.has_value() || lease == leases_.end() || lease->second.revoked) continue;
    lease->second.gone_at = now;
    if (now < lease->second.until && violation_.empty()) {
      violation_ =
          absl::StrCat("key ", change.key, " went with its lease at ", absl::FormatDuration(now),
                       ", but a keep-alive promised it until ", absl::FormatDuration(lease->second.until));
    }
  }
}

std::string History::LeaseKeyPrefix(int64_t lease) { return absl::StrCat("lease-", lease, "-"); }

void History::LeaseAlive(int64_t lease, int64_t ttl_s, absl::Duration until) {
  LeasePromise& promise = leases_[lease];
  promise.ttl_s = ttl_s;
  promise.until = std::max(promise.until, until);
  if (promise.gone_at.has_value() && *promise.gone_at < until && violation_.empty()) {
    violation_ = absl::StrCat("a keep-alive promised lease ", lease, " until ", absl::FormatDuration(until),
                              ", but it had gone at ", absl::FormatDuration(*promise.gone_at));
  }
}

void History::LeaseRevoked(int64_t lease) { leases_[lease].revoked = true; }

void History::LeaseTimeLeft(int64_t lease, int64_t ttl_s, absl::Duration now) {
  auto it = leases_.find(lease);
  if (it == leases_.end() || it->second.revoked) return;
  // Whole seconds, rounded down.
  const absl::Duration at_most = ttl_s < 0 ? now : now + absl::Seconds(ttl_s + 1);
  if (at_most < it->second.until && violation_.empty()) {
    violation_ =
        absl::StrCat("lease ", lease, " was said to have ", ttl_s, " s left at ", absl::FormatDuration(now),
                     ", but is promised until ", absl::FormatDuration(it->second.until));
  }
}

std::string History::Check() const {
  if (!violation_.empty()) return violation_;
  Before before;
  std::string broken = CheckLogIsWhole();
  if (broken.empty()) broken = CheckLogFollows(&before);
  if (broken.empty()) broken = CheckWrites();
  if (broken.empty()) broken = CheckReadsAndCompares();
  if (broken.empty()) broken = CheckWatches(before);
  return broken;
}

State History::FinalState() const {
  State state;
  for (const auto& [revision, changes] : log_) Apply(revision, changes, &state);
  return state;
}

std::string History::CheckLeasesEnd(absl::Duration healed, absl::Duration now) const {
  // A leader is there within two election timeouts or so; at worst it counts the whole TTL again. What an
  // expiry takes beyond that: a confirmation, an entry, its way here.
  constexpr absl::Duration kElection = absl::Seconds(3);
  constexpr absl::Duration kSlack = absl::Milliseconds(1500);
  for (const auto& [key, state] : FinalState()) {
    auto it = leases_.find(state.lease);
    if (it == leases_.end() || it->second.revoked) continue;
    const absl::Duration due =
        std::max(it->second.until, healed + kElection + absl::Seconds(it->second.ttl_s)) + kSlack;
    if (due < now) {
      return absl::StrCat("key ", key, " is still there at ", absl::FormatDuration(now),
                          ", its lease was due at ", absl::FormatDuration(due));
    }
  }
  return "";
}

// The log, change by change: does each follow from those before?
std::string History::CheckLogFollows(Before* before) const {
  State state;
  for (const auto& [revision, changes] : log_) {
    std::vector<std::optional<KeyState>>& previous = (*before)[revision];
    std::set<std::string> deleted;
    std::set<int64_t> ended_leases;
    for (const Change& change : changes) {
      auto it = state.find(change.key);
      if (it == state.end()) {
        previous.emplace_back();
      } else {
        previous.emplace_back(it->second);
      }
      const bool fresh = it == state.end();
      if (!change.value.has_value()) {
        if (fresh)
          return absl::StrCat("revision ", revision, " deletes ", change.key, ", which is not there");
        deleted.insert(change.key);
        if (LeaseOfKey(change.key) == 0) continue;
        if (it->second.lease == 0) {
          return absl::StrCat("revision ", revision, " takes ", change.key,
                              ", which no lease holds any more");
        }
        ended_leases.insert(it->second.lease);
        continue;
      }
      const int64_t create = fresh ? revision : it->second.create_revision;
      const int64_t version = fresh ? 1 : it->second.version + 1;
      if (change.create_revision != create || change.version != version) {
        return absl::StrCat("revision ", revision, " puts ", change.key, " with create revision ",
                            change.create_revision, ", version ", change.version, "; expected ", create, ", ",
                            version);
      }
    }
    if (!ended_leases.empty()) {
      for (const auto& [key, held] : state) {
        if (ended_leases.contains(held.lease) && !deleted.contains(key)) {
          return absl::StrCat("revision ", revision, " ends lease ", held.lease, " and leaves its key ", key);
        }
      }
    }
    Apply(revision, changes, &state);
  }
  return "";
}

// All changes in one revision, or none.
std::string History::CheckMany(const Write& write,
                               const std::map<std::string, std::vector<int64_t>>& where) const {
  std::set<int64_t> revisions;
  size_t written = 0;
  for (const auto& [key, value] : write.puts) {
    auto it = where.find(value);
    if (it == where.end()) continue;
    if (it->second.size() > 1) return absl::StrCat("written twice: ", key, " ", value);
    revisions.insert(it->second.front());
    ++written;
  }
  if (written == 0 && write.outcome != Outcome::kOk) return "";
  if (write.outcome == Outcome::kRefused) return absl::StrCat("refused, yet written: ", Describe(write));
  if (written != write.puts.size() || revisions.size() != 1) {
    return absl::StrCat("a transaction was applied in part: ", written, " of ", write.puts.size(),
                        " puts in ", revisions.size(), " revisions");
  }
  const int64_t revision = *revisions.begin();
  if (write.outcome == Outcome::kOk && write.revision != revision) {
    return absl::StrCat("acknowledged at revision ", write.revision, ", written at ", revision);
  }
  if (revision <= write.floor) return absl::StrCat("its revision had been seen before it began: ", revision);
  for (const Change& change : log_.at(revision)) {
    const bool ours =
        change.value.has_value()
            ? std::find(write.puts.begin(), write.puts.end(), std::pair(change.key, *change.value)) !=
                  write.puts.end()
            : std::find(write.deletes.begin(), write.deletes.end(), change.key) != write.deletes.end();
    if (!ours) return absl::StrCat("revision ", revision, " of a transaction also changes ", change.key);
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
    if (write.kind == Write::Kind::kMany) {
      std::string broken = CheckMany(write, revisions_of_value);
      if (!broken.empty()) return broken;
    } else if (write.kind != Write::Kind::kDelete) {
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
    if (write.kind == Write::Kind::kMany && write.outcome == Outcome::kOk) {
      questions.push_back({write.revision - 1, nullptr, &write});
    }
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
    if (question.write->kind == Write::Kind::kMany) {
      for (const std::string& key : question.write->deletes) {
        const Changes& changes = log_.at(question.write->revision);
        const bool deleted = std::any_of(changes.begin(), changes.end(), [&](const Change& change) {
          return change.key == key && !change.value.has_value();
        });
        if (deleted != state.contains(key)) {
          return absl::StrCat("a transaction did ", deleted ? "" : "not ", "delete ", key, " at revision ",
                              question.write->revision);
        }
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

std::string History::CheckWatches(const Before& before) const {
  for (const WatchLog& watch : watches_) {
    std::string broken = CheckWatch(watch, before);
    if (!broken.empty()) return absl::StrCat("watch of ", watch.key, " from ", watch.start, " ", broken);
  }
  return "";
}

std::string History::CheckWatch(const WatchLog& watch, const Before& before) const {
  int64_t last = watch.start - 1;
  for (const Delivery& delivery : watch.delivered) {
    if (delivery.revision <= last) return absl::StrCat("delivered ", delivery.revision, " after ", last);
    last = delivery.revision;
  }
  auto delivered = watch.delivered.begin();
  const int64_t until = std::max(last, watch.promised);
  for (auto it = log_.lower_bound(watch.start); it != log_.end() && it->first <= until; ++it) {
    Changes expected;
    std::vector<std::optional<KeyState>> previous;
    for (size_t i = 0; i < it->second.size(); ++i) {
      const Change& change = it->second[i];
      if (!InRange(change.key, watch.key, watch.range_end)) continue;
      if (change.value.has_value() ? watch.no_put : watch.no_delete) continue;
      expected.push_back(change);
      previous.push_back(before.at(it->first)[i]);
    }
    if (expected.empty()) continue;
    if (delivered == watch.delivered.end() || delivered->revision != it->first ||
        delivered->changes != expected) {
      return absl::StrCat("missed or changed revision ", it->first, " (promised up to ", watch.promised, ")");
    }
    for (size_t i = 0; watch.prev_kv && i < expected.size(); ++i) {
      if (delivered->previous[i] == previous[i]) continue;
      const bool may_be_gone =
          !delivered->previous[i].has_value() && it->first - 1 < delivered->compact_revision;
      if (!may_be_gone) return absl::StrCat("shows a wrong value before revision ", it->first);
    }
    ++delivered;
  }
  if (delivered != watch.delivered.end()) {
    return absl::StrCat("delivered revision ", delivered->revision, ", which changed nothing in it");
  }
  return "";
}

}  // namespace cairn::sim
