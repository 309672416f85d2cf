// What clients saw, and whether a correct store could have shown it. Revisions give the order: every answer
// names one, so the check is linear, not a search.
//
// Rules (a broken one is reported with the operation):
//   - the log of events is one: whoever delivers revision r delivers the same changes;
//   - an acknowledged write stands in the log at its revision, with its content, and nowhere else; a write
//     that was refused as "nothing happened" stands nowhere; one without an answer at most once;
//   - an operation that begins after another has ended sees a later (write) or no earlier (linearizable read)
//   revision;
//   - a read shows exactly the state at its revision; a transaction took the branch that the state before it
//   asks for, and made all its changes in one revision or none;
//   - creation revisions and versions follow from the changes before; only what is there is deleted;
//   - a watch delivers every event of its range from its start on, in order, none twice, no revision in
//     parts; a progress mark at r comes after all events up to r;
//   - events carry the value before where that was asked for, and filtered ones are left out;
//   - a lease whose keep-alive was acknowledged has not expired before the TTL counted from that keep-alive's
//   begin, nor does anybody say that it has less time left; it takes all its keys in one revision, and none
//   that was detached from it; once nobody keeps it alive and all faults have stopped it goes.
//
// Thread safety: none.
#ifndef CAIRN_TESTS_SIMULATION_HISTORY_H_
#define CAIRN_TESTS_SIMULATION_HISTORY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace cairn::sim {

// One change of one key, as a watcher sees it.
struct Change {
  std::string key;
  std::optional<std::string> value;  // nullopt: deleted
  int64_t create_revision = 0;       // of a put
  int64_t version = 0;               // of a put
  int64_t lease = 0;                 // of a put
  bool operator==(const Change&) const = default;
};

using Changes = std::vector<Change>;

struct KeyState {
  std::string value;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
  int64_t version = 0;
  int64_t lease = 0;
  bool operator==(const KeyState&) const = default;
};

using State = std::map<std::string, KeyState>;

enum class Outcome : uint8_t { kOk, kRefused, kUnknown };  // kRefused: surely nothing happened

struct Write {
  enum class Kind : uint8_t { kPut, kDelete, kCompareAndPut, kMany } kind = Kind::kPut;
  std::string key;
  std::string value;  // unique in the run for puts
  int64_t expected_mod_revision =
      0;  // kCompareAndPut: writes only if the key is at this revision (0 = absent)
  Outcome outcome = Outcome::kUnknown;
  bool succeeded = false;  // kCompareAndPut: the branch taken
  int64_t deleted = 0;     // kDelete
  // kMany: a transaction without conditions; all keys differ. `key` and `value` are not used.
  std::vector<std::pair<std::string, std::string>> puts;
  std::vector<std::string> deletes;
  int64_t revision = 0;
  int64_t floor = 0;  // highest revision that any client had seen when it began
};

struct Read {
  std::string key;
  std::string range_end;  // empty: one key
  bool linearizable = true;
  int64_t at_revision = 0;  // asked for; 0 = now
  int64_t revision = 0;     // of the answer's header
  int64_t floor = 0;
  State result;
};

// The events of one revision, as they came.
struct Delivery {
  int64_t revision = 0;
  Changes changes;
  std::vector<std::optional<KeyState>> previous;  // of each change, if the watch asked for it
  int64_t compact_revision = 0;                   // what was before may be gone below it
};

struct WatchLog {
  std::string key;
  std::string range_end;
  bool no_put = false;
  bool no_delete = false;
  bool prev_kv = false;
  int64_t start = 0;  // first revision wanted
  std::vector<Delivery> delivered;
  int64_t promised = 0;  // highest progress mark
};

class History {
 public:
  // --- What happens; violations found at once are kept ---
  // A revision as some member's watcher delivered it.
  void OnEvents(int64_t revision, const Changes& changes, absl::Duration now);
  void Add(Write write) { writes_.push_back(std::move(write)); }
  void Add(Read read) { reads_.push_back(std::move(read)); }
  void Add(WatchLog watch) { watches_.push_back(std::move(watch)); }
  // The lease must live until `until`, unless a client revoked it. Keys are attached to it whose names begin
  // with LeaseKeyPrefix(lease), and no client deletes those.
  void LeaseAlive(int64_t lease, int64_t ttl_s, absl::Duration until);
  void LeaseRevoked(int64_t lease);
  // A question asked in [began, now] was answered: so many whole seconds are left, -1 = no such lease.
  void LeaseTimeLeft(int64_t lease, int64_t ttl_s, absl::Duration now);
  static std::string LeaseKeyPrefix(int64_t lease);

  // Something else that must not be; the first is kept.
  void Violate(std::string what) {
    if (violation_.empty()) violation_ = std::move(what);
  }

  // Highest revision that any answer or event has shown: a floor for what begins now.
  int64_t seen() const { return seen_; }
  void Saw(int64_t revision) { seen_ = std::max(seen_, revision); }

  // --- The verdict ---
  // All rules over everything added; the first broken one, or empty.
  std::string Check() const;
  // Leases that nobody keeps alive and that are still there at `now`, though no fault happened since
  // `healed`.
  std::string CheckLeasesEnd(absl::Duration healed, absl::Duration now) const;
  // Highest revision of the log of events.
  int64_t last_revision() const { return log_.empty() ? 1 : log_.rbegin()->first; }

  size_t write_count() const { return writes_.size(); }
  size_t read_count() const { return reads_.size(); }
  size_t watch_count() const { return watches_.size(); }

 private:
  using Before = std::map<int64_t, std::vector<std::optional<KeyState>>>;  // of each change of a revision
  std::string CheckLogIsWhole() const;
  std::string CheckLogFollows(Before* before) const;
  std::string CheckMany(const Write& write, const std::map<std::string, std::vector<int64_t>>& where) const;
  std::string CheckWrites() const;
  std::string CheckReadsAndCompares() const;
  std::string CheckWatches(const Before& before) const;
  std::string CheckWatch(const WatchLog& watch, const Before& before) const;
  State FinalState() const;

  std::map<int64_t, Changes> log_;
  std::string violation_;  // the first one found while the run went on
  int64_t seen_ = 1;
  std::vector<Write> writes_;
  std::vector<Read> reads_;
  std::vector<WatchLog> watches_;
  struct LeasePromise {
    int64_t ttl_s = 0;
    absl::Duration until;
    bool revoked = false;
    std::optional<absl::Duration> gone_at;
  };
  std::map<int64_t, LeasePromise> leases_;
};

// Is `key` in the range of etcd's convention (empty end: the key itself; "\0": from the key on)?
bool InRange(const std::string& key, const std::string& begin, const std::string& end);

}  // namespace cairn::sim

#endif  // CAIRN_TESTS_SIMULATION_HISTORY_H_
