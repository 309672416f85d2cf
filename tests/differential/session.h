// One client that does the same to both systems and compares what they say, operation by operation.
//
// Thread safety: none; one thread at a time. Sessions share the targets, the coverage and the difference
// list.
#ifndef CAIRN_TESTS_DIFFERENTIAL_SESSION_H_
#define CAIRN_TESTS_DIFFERENTIAL_SESSION_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/differential/call.h"
#include "tests/differential/coverage.h"
#include "tests/differential/generator.h"
#include "tests/differential/streams.h"
#include "tests/differential/translate.h"

namespace cairn::differential {

// What was found, shared by all sessions. Thread safety: safe.
class Differences {
 public:
  explicit Differences(int64_t limit) : limit_(limit) {}

  void Add(const std::string& where, const std::string& what);
  // True once the run should end.
  bool enough() const { return count_ >= limit_; }
  int64_t count() const { return count_; }

 private:
  const int64_t limit_;
  std::atomic<int64_t> count_{0};
  std::mutex mutex_;  // keeps reports whole on the terminal
};

struct SessionOptions {
  uint64_t seed = 1;
  std::string name;    // for reports
  std::string prefix;  // empty: the only session, which owns the whole store
  int64_t lease_base = 0;
  int watch_streams = 6;
  bool trace = false;  // print every operation and its outcome
  // Sees every outcome of the second system before it is compared; a test plants a difference with it.
  std::function<void(int64_t operation, Outcome*)> tamper;
};

class Session {
 public:
  // The references outlive the session.
  Session(SessionOptions options, const Target& etcd, const Target& cairn, Coverage* coverage,
          Differences* differences);
  ~Session();

  // Does `count` operations; stops early once there are enough differences.
  void Run(int64_t count);

  // Makes sure that every open watch has caught up with the past: a compaction would cut off one that has
  // not, or not, as it happens.
  void SettleWatches();
  // The store is about to lose, or lost, what is older than the state at these revisions.
  void NoteCommonRevision(int64_t etcd_revision, int64_t cairn_revision);
  void NoteCompaction();

  // Compacts both stores at a revision that deletes nothing (expected_differences.h, 13). Only with no
  // prefix.
  void Compact();
  // Grants short leases, leaves them alone and waits for what their end does. Only with no prefix.
  void ExpireLeases();

  int64_t operations() const { return operations_; }
  int64_t events() const;
  std::string WatchSummary() const;

 private:
  struct Watch {
    int stream;
    int64_t id;
    std::string probe_key;  // a key in its range
    bool caught_up;
    int64_t start = 0;  // first revision wanted; 0 = what comes after its creation
  };

  void Step();
  std::array<Outcome, 2> Do(const Call& call);
  void DoReads(const std::vector<Call>& calls);
  void Send(const Call& call, int cairn_member, std::array<Outcome, 2>* outcomes);
  void Finish(const Call& call, std::array<Outcome, 2>* outcomes);
  void NoteEffects(const Call& call, const std::array<Outcome, 2>& outcomes);
  // Waits until this member of cairn has applied everything acknowledged.
  void CatchUp(int cairn_member);
  int MemberFor(const Call& call);
  void KeepAlive();
  void CreateWatch();
  void CancelWatch();
  void RequestProgress();
  bool WaitsForTheFuture(int stream) const;
  void LargeCatchUp();
  void Check(const std::string& difference);
  void CheckWatches();

  SessionOptions options_;
  const Target& etcd_;
  const Target& cairn_;
  Coverage& coverage_;
  Differences& differences_;
  View view_;
  Translator names_;
  Generator generator_;
  Caller caller_;
  std::vector<std::unique_ptr<WatchPair>> streams_;
  std::vector<std::unique_ptr<KeepAlivePair>> keep_alives_;  // by cairn's member
  std::vector<Watch> watches_;
  std::vector<int64_t> creates_;        // sent, of each stream
  std::vector<int64_t> next_watch_id_;  // of those this session picks, of each stream
  std::set<int64_t> deletions_;         // revisions that deleted something
  int64_t common_revision_ = 0;
  int last_writer_ = 0;  // the member of cairn that answered the last change
  int64_t operations_ = 0;
};

}  // namespace cairn::differential

#endif  // CAIRN_TESTS_DIFFERENTIAL_SESSION_H_
