// What clients saw, and whether a correct store could have shown it. Revisions give the order: every answer
// names one, so the check is linear, not a search.
//
// Rules (a broken one is reported with the operation):
//   - the log of events is one: whoever delivers revision r delivers the same changes;
//   - an acknowledged write stands in the log at its revision, with its content, and nowhere else; a write
//   that was
//     refused as "nothing happened" stands nowhere; one without an answer at most once;
//   - an operation that begins after another has ended sees a later (write) or no earlier (linearizable read)
//   revision;
//   - a read shows exactly the state at its revision; a transaction took the branch that the state before it
//   asks for;
//   - a watch delivers every event of its range from its start on, in order, none twice, no revision in
//   parts; a
//     progress mark at r comes after all events up to r;
//   - a lease whose keep-alive was acknowledged has not expired before the TTL counted from that keep-alive's
//   begin.
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
  enum class Kind : uint8_t { kPut, kDelete, kCompareAndPut } kind = Kind::kPut;
  std::string key;
  std::string value;  // unique in the run for puts
  int64_t expected_mod_revision =
      0;  // kCompareAndPut: writes only if the key is at this revision (0 = absent)
  Outcome outcome = Outcome::kUnknown;
  bool succeeded = false;  // kCompareAndPut: the branch taken
  int64_t deleted = 0;     // kDelete
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

struct WatchLog {
  std::string key;
  std::string range_end;
  int64_t start = 0;                                   // first revision wanted
  std::vector<std::pair<int64_t, Changes>> delivered;  // one entry a revision, as it came
  int64_t promised = 0;                                // highest progress mark
};

class History {
 public:
  // --- What happens; violations found at once are kept ---
  // A revision as some member's watcher delivered it.
  void OnEvents(int64_t revision, const Changes& changes, absl::Duration now);
  void Add(Write write) { writes_.push_back(std::move(write)); }
  void Add(Read read) { reads_.push_back(std::move(read)); }
  void Add(WatchLog watch) { watches_.push_back(std::move(watch)); }
  // The lease must live until `until`, unless a client revoked it. `key` is attached to it and no client
  // deletes it.
  void LeaseAlive(const std::string& key, absl::Duration until);
  void LeaseRevoked(const std::string& key);

  // Highest revision that any answer or event has shown: a floor for what begins now.
  int64_t seen() const { return seen_; }
  void Saw(int64_t revision) { seen_ = std::max(seen_, revision); }

  // --- The verdict ---
  // All rules over everything added; the first broken one, or empty.
  std::string Check() const;
  // Highest revision of the log of events.
  int64_t last_revision() const { return log_.empty() ? 1 : log_.rbegin()->first; }

  size_t write_count() const { return writes_.size(); }
  size_t read_count() const { return reads_.size(); }
  size_t watch_count() const { return watches_.size(); }

 private:
  std::string CheckLogIsWhole() const;
  std::string CheckWrites() const;
  std::string CheckReadsAndCompares() const;
  std::string CheckWatches() const;

  std::map<int64_t, Changes> log_;
  std::string violation_;  // the first one found while the run went on
  int64_t seen_ = 1;
  std::vector<Write> writes_;
  std::vector<Read> reads_;
  std::vector<WatchLog> watches_;
  struct LeasePromise {
    absl::Duration until;
    bool revoked = false;
    std::optional<absl::Duration> gone_at;
  };
  std::map<std::string, LeasePromise> leases_;
};

// Is `key` in the range of etcd's convention (empty end: the key itself; "\0": from the key on)?
bool InRange(const std::string& key, const std::string& begin, const std::string& end);

}  // namespace cairn::sim

#endif  // CAIRN_TESTS_SIMULATION_HISTORY_H_
