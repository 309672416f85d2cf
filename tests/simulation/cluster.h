// One run of the simulator: members, clients and faults from one seed, the invariants after every step, and
// the verdict.
#ifndef CAIRN_TESTS_SIMULATION_CLUSTER_H_
#define CAIRN_TESTS_SIMULATION_CLUSTER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/client.h"
#include "tests/simulation/history.h"
#include "tests/simulation/member.h"
#include "tests/simulation/network.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/watcher.h"

namespace cairn::sim {

struct RunOptions {
  uint64_t seed = 1;
  int members = 3;
  int clients = 5;
  int watchers = 4;
  absl::Duration faulty_time = absl::Seconds(20);   // how long faults go on
  absl::Duration healing_time = absl::Seconds(10);  // then everything must be well within this
};

struct RunReport {
  std::string violation;  // empty: all is well
  std::vector<std::string> last_events;
  absl::Duration simulated;
  uint64_t steps = 0;
  uint64_t operations = 0;
  uint64_t acknowledged = 0;
  uint64_t elections = 0;
  uint64_t crashes = 0;
  uint64_t pauses = 0;
  uint64_t cuts = 0;
  int64_t revisions = 0;
  uint64_t digest = 0;  // of everything that happened: equal for equal seeds
};

class Cluster {
 public:
  explicit Cluster(const RunOptions& options);
  ~Cluster();

  RunReport Run();

 private:
  void Note(std::string event);
  void Violate(std::string what);

  void StartMember(Member& member);
  void CrashMember(Member& member, bool silent);
  void NextFault();
  void LoseLeaderAndItsWitness();
  void CutOff(raft::NodeId id);
  void Heal();
  void TendWatchers();
  int64_t StartOfWatch(Member& member);
  Member* PickRunning();

  // After each step.
  void CheckInvariants();
  void CheckLeaders(Member& member);
  void CheckCommitted(Member& member);
  bool RunUntil(absl::Duration time);
  // After the healing time.
  void CheckLiveness();
  void CheckEqualState();
  void CollectWatches();

  const RunOptions options_;
  Scheduler scheduler_;
  Dice dice_;
  Network network_;
  History history_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Watcher>> watchers_;   // move between members
  std::vector<std::unique_ptr<Watcher>> observers_;  // one a member, sees all it delivers

  std::map<raft::Term, raft::NodeId> leader_of_term_;
  std::pair<raft::NodeId, raft::Term> last_leader_;         // checked last
  std::vector<raft::Term> committed_terms_;                 // by index - 1: what some member has applied
  std::map<raft::NodeId, raft::LogIndex> checked_applied_;  // of this life
  std::map<raft::LogIndex, uint64_t> state_hashes_;         // where some member's apply has stood
  std::deque<std::string> last_events_;
  std::string violation_;
  RunReport report_;
};

}  // namespace cairn::sim

#endif  // CAIRN_TESTS_SIMULATION_CLUSTER_H_
