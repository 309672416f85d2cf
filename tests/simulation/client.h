// Clients of the simulated cluster: each does one operation after the other against a member of its choice
// and writes down what it saw.
#ifndef CAIRN_TESTS_SIMULATION_CLIENT_H_
#define CAIRN_TESTS_SIMULATION_CLIENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/history.h"
#include "tests/simulation/member.h"
#include "tests/simulation/scheduler.h"

namespace cairn::sim {

// What clients may reach: the members that run and are not paused.
using MemberPicker = std::function<Member*()>;

class Client {
 public:
  // Gives an operation up (its outcome unknown) after so long.
  static constexpr absl::Duration kPatience = absl::Seconds(9);

  struct Workload {
    int keys = 12;  // few, so that operations meet
    absl::Duration pause = absl::Milliseconds(40);
    bool compact = true;
  };

  Client(int number, Scheduler& scheduler, uint64_t seed, History& history, MemberPicker pick,
         const Workload& workload);

  void Start() { Next(); }
  // Begins nothing new.
  void Finish() { finished_ = true; }
  bool idle() const { return !busy_; }
  uint64_t operations() const { return operations_; }
  uint64_t acknowledged() const { return acknowledged_; }

 private:
  struct Lease {
    int64_t id = 0;
    int64_t ttl_s = 0;
    std::string Key(int number) const { return History::LeaseKeyPrefix(id) + std::to_string(number); }
  };
  static constexpr int kKeysOfLease = 2;

  void Next();
  void Step();
  void Put(Member& member);
  void Delete(Member& member);
  void CompareAndPut(Member& member);
  void ChangeMany(Member& member);
  void Range(Member& member);
  void Compact(Member& member);
  // `kept`: to be kept alive; the others are left to expire.
  void GrantLease(Member& member, bool kept);
  // Many at once, to expire together.
  void GrantManyLeases(Member& member);
  // In the background: puts a key of the lease, attached to it or not.
  void PutLeaseKey(const Lease& lease, int number, bool attach);
  void KeepAlive(Member& member);
  void AskTimeToLive(Member& member);
  void RevokeLease(Member& member);

  // Proposes and calls `answered` with the result, or with nullptr when this client has given up or the
  // member's process ended.
  void Propose(Member& member, internal::Command command,
               std::function<void(const storage::Result*)> answered);
  // Arms patience for one operation; the returned function is true once, for whoever comes first.
  std::shared_ptr<bool> Begin();
  void End(bool acknowledged);

  std::string Key() { return "k" + std::to_string(dice_.Below(static_cast<uint64_t>(workload_.keys))); }
  std::string Value() { return "c" + std::to_string(number_) + "-" + std::to_string(++values_); }
  static Outcome OutcomeOf(const storage::Result* result);

  const int number_;
  Scheduler& scheduler_;
  Dice dice_;
  History& history_;
  MemberPicker pick_;
  const Workload workload_;

  bool finished_ = false;
  bool busy_ = false;
  uint64_t operations_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t values_ = 0;
  int64_t next_lease_ = 1;
  std::vector<Lease> leases_;
  std::map<std::string, int64_t> known_mod_revision_;
};

}  // namespace cairn::sim

#endif  // CAIRN_TESTS_SIMULATION_CLIENT_H_
