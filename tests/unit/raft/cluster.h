// A cluster of Raft cores in one thread, for tests: the test decides when messages arrive, disks answer, and
// members crash. Raft's safety properties are checked at every step; a breach is a test failure.
#ifndef CAIRN_TESTS_UNIT_RAFT_CLUSTER_H_
#define CAIRN_TESTS_UNIT_RAFT_CLUSTER_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/raft.h"

namespace cairn::raft {

Entry MakeEntry(uint64_t term, uint64_t index, const std::string& data);

// A log in memory that keeps apart what is visible to the core and what survives a crash.
class TestLog : public LogReader {
 public:
  LogIndex FirstIndex() const override { return LogIndex(1); }
  LogIndex LastIndex() const override { return LogIndex(visible.size()); }
  absl::StatusOr<Term> TermAt(LogIndex index) const override;
  absl::StatusOr<std::vector<Entry>> Entries(LogIndex begin, LogIndex end, size_t max_bytes) override;

  // Puts `fresh` into `log`, replacing what is there from its first index on.
  static void Write(std::vector<Entry>* log, const std::vector<Entry>& fresh);

  std::vector<Entry> visible;
  std::vector<Entry> durable;
  HardState hard_state;  // durable
  bool loading = false;  // Entries answers UNAVAILABLE
};

// One Ready's work for the disk.
struct PendingWrite {
  std::optional<HardState> hard_state;
  std::vector<Entry> entries;
  std::vector<Message> then_send;
};

struct TestNode {
  std::unique_ptr<Raft> raft;  // null while crashed
  TestLog log;
  Options options;
  bool manual_disk = false;
  bool manual_apply = false;
  std::deque<PendingWrite> writes;  // only with manual_disk
  std::vector<Entry> applied;       // by this life of the member
  std::map<uint64_t, ReadState> reads;
  int syncs = 0;
  uint64_t lives = 0;
};

class Cluster {
 public:
  explicit Cluster(int voters, int learners = 0, Options options = {});

  TestNode& node(uint64_t id) { return nodes_.at(id); }
  Raft& raft(uint64_t id) { return *nodes_.at(id).raft; }
  bool alive(uint64_t id) const { return nodes_.at(id).raft != nullptr; }
  size_t size() const { return nodes_.size(); }

  // Before the first step: a member's log and hard state as if from former terms.
  void Preset(uint64_t id, HardState hard_state, std::vector<Entry> log);

  void Tick(uint64_t id, int count = 1);
  void Campaign(uint64_t id);
  ProposeResult Propose(uint64_t id, const std::string& data);
  // Hands a message to the member, if it lives, and does what follows.
  void Step(uint64_t id, Message message);

  // Does all work the member's core asks for. The other calls end with it.
  void Pump(uint64_t id);
  // Completes the oldest `count` writes.
  void Persist(uint64_t id, size_t count = SIZE_MAX);
  void Crash(uint64_t id);
  void Restart(uint64_t id);

  // Delivers until nothing is under way.
  void Deliver();
  // Delivers what is under way on one link, once; answers to it are left under way.
  void DeliverLink(uint64_t from, uint64_t to);
  void DeliverAt(size_t position);

  // Messages sent while a link is cut are lost.
  void Cut(uint64_t from, uint64_t to) { cut_.insert({from, to}); }
  void Isolate(uint64_t id);
  void Heal() { cut_.clear(); }
  // Loses what is under way on a link.
  void Lose(uint64_t from, uint64_t to);

  std::deque<Message>& network() { return network_; }

  // The log as this member sees it, entries as term:data.
  std::string LogText(uint64_t id);
  std::string AppliedText(uint64_t id);
  // The one leader with the highest term, 0 if there is none.
  uint64_t Leader();

  // Compares all logs (Raft paper, figure 3: Log Matching). Costly; called now and then.
  void CheckLogMatching();

 private:
  void Start(uint64_t id);
  void Emit(std::vector<Message>& messages);
  void Finish(uint64_t id, PendingWrite write);
  void CheckAfterStep(uint64_t id);

  Configuration configuration_;
  std::map<uint64_t, TestNode> nodes_;
  std::deque<Message> network_;
  std::set<std::pair<uint64_t, uint64_t>> cut_;

  std::map<Term, uint64_t> leaders_;  // seen so far, by term
  std::vector<Entry> committed_;      // seen so far, from index 1 on
  std::map<uint64_t, LogIndex> seen_commit_;
};

}  // namespace cairn::raft

#endif  // CAIRN_TESTS_UNIT_RAFT_CLUSTER_H_
