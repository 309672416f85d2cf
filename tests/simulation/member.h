// A simulated member: disks that outlive it, and one life of its process after the other.
#ifndef CAIRN_TESTS_SIMULATION_MEMBER_H_
#define CAIRN_TESTS_SIMULATION_MEMBER_H_

#include <functional>
#include <memory>
#include <string>

#include "server/node/node.h"
#include "storage/memory_blob_store.h"
#include "storage/memory_log_store.h"
#include "storage/memory_state_engine.h"
#include "tests/simulation/network.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/sim_loop.h"

namespace cairn::sim {

struct DiskFaults {
  absl::Duration sync = absl::Microseconds(200);
  double slow_sync = 0.005;
  absl::Duration slow_sync_time = absl::Milliseconds(300);
  double refuse = 0;   // share of state writes that the engine refuses for the moment
  double cold = 0.05;  // share of reads that are not in memory
};

class Member final : public server::NodeObserver {
 public:
  Member(Scheduler& scheduler, Network& network, Dice& dice, server::NodeOptions options,
         const DiskFaults& faults);
  ~Member() override;

  void Start();
  // The process ends between two operations. Of the writes under way a prefix reaches the disks.
  void Crash(bool silent);
  void SetFaults(const DiskFaults& faults) { faults_ = faults; }
  // Until then no sync ends, or the engine takes no write.
  void StallDisk(absl::Duration until) { stalled_until_ = until; }
  void RefuseWrites(absl::Duration until) { refuse_until_ = until; }
  void Pause() { life_->loop.Pause(); }
  void Resume() { life_->loop.Resume(); }

  bool running() const { return life_ != nullptr; }
  bool paused() const { return life_ != nullptr && life_->loop.paused(); }
  raft::NodeId id() const { return options_.self; }
  server::Node& node() { return *life_->node; }
  storage::Store& store() { return *life_->store; }
  const storage::LogStore& log() const { return *life_->log; }
  SimLoop& loop() { return life_->loop; }
  uint64_t lives() const { return lives_; }
  uint64_t elections_won() const { return elections_won_; }

  // Set by the cluster: called when a member can't go on.
  std::function<void(const absl::Status&)> on_fatal;
  std::function<void(raft::NodeId leader, raft::Term term)> on_leader;

  // NodeObserver
  void OnLeader(raft::NodeId leader, raft::Term term) override;
  void OnPublished() override {}
  void OnFatal(const absl::Status& reason) override;

 private:
  class MemberRandom final : public server::Random {
   public:
    explicit MemberRandom(uint64_t seed) : dice_(seed) {}
    uint64_t Next() override { return dice_.Next(); }

   private:
    Dice dice_;
  };
  struct Life {
    Life(Scheduler& scheduler, Dice& dice, Network& network, raft::NodeId self)
        : loop(scheduler, dice), net(network, self), random(dice.Next()) {}
    SimLoop loop;
    SimNet net;
    MemberRandom random;
    std::unique_ptr<storage::MemoryLogStore> log;
    std::unique_ptr<storage::MemoryStateEngine> engine;
    std::unique_ptr<storage::MemoryBlobStore> blobs;
    std::unique_ptr<storage::Store> store;
    std::unique_ptr<server::Node> node;
  };

  storage::PostFn DiskDelay();

  Scheduler& scheduler_;
  Network& network_;
  Dice& dice_;
  const server::NodeOptions options_;
  DiskFaults faults_;
  absl::Duration stalled_until_;
  absl::Duration refuse_until_;

  storage::MemoryLogDisk log_disk_;
  storage::MemoryStateDisk state_disk_;
  storage::MemoryBlobDisk blob_disk_;
  std::unique_ptr<Life> life_;
  uint64_t lives_ = 0;
  uint64_t elections_won_ = 0;
};

}  // namespace cairn::sim

#endif  // CAIRN_TESTS_SIMULATION_MEMBER_H_
