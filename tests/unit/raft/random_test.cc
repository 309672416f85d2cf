// Random schedules: loss, duplication, reordering, crashes that lose unsynced writes, slow disks, broken
// connections. The cluster checks the safety properties of the Raft paper (figure 3) at every step. After the
// faults stop, the cluster has to elect a leader and commit.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/unit/raft/cluster.h"

namespace cairn::raft {
namespace {

class Chaos {
 public:
  Chaos(uint64_t seed, int voters) : random_(seed), cluster_(voters, 0, OptionsFor(seed)) {}

  void Run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      Event();
      if (i % 500 == 0) cluster_.CheckLogMatching();
    }
    cluster_.CheckLogMatching();
  }

  void HealAndExpectProgress() {
    for (uint64_t id = 1; id <= cluster_.size(); ++id) {
      if (!cluster_.alive(id)) cluster_.Restart(id);
      cluster_.node(id).manual_disk = false;
      cluster_.Persist(id);
      cluster_.Pump(id);
    }
    cluster_.Heal();
    for (int tick = 0; tick < 200; ++tick) {
      for (uint64_t id = 1; id <= cluster_.size(); ++id) cluster_.Tick(id);
      cluster_.Deliver();
    }
    const uint64_t leader = cluster_.Leader();
    ASSERT_NE(leader, 0u) << "no leader after the faults stopped";
    ASSERT_EQ(cluster_.Propose(leader, "last"), ProposeResult::kAccepted);
    ASSERT_TRUE(cluster_.raft(leader).ReadIndex(UINT64_MAX));
    cluster_.Pump(leader);
    cluster_.Deliver();
    for (uint64_t id = 1; id <= cluster_.size(); ++id) {
      EXPECT_EQ(cluster_.LogText(id), cluster_.LogText(leader));
      ASSERT_FALSE(cluster_.node(id).applied.empty());
      EXPECT_EQ(*cluster_.node(id).applied.back().data, "last") << "member " << id;
    }
    EXPECT_TRUE(cluster_.node(leader).reads.at(UINT64_MAX).ok);
  }

  LogIndex committed() {
    LogIndex highest;
    for (uint64_t id = 1; id <= cluster_.size(); ++id) {
      if (cluster_.alive(id)) highest = std::max(highest, cluster_.raft(id).commit());
    }
    return highest;
  }

 private:
  static Options OptionsFor(uint64_t seed) {
    Options options;
    options.election_ticks = 4;
    options.seed = seed;
    options.max_append_bytes = 20;
    options.max_inflight_appends = 3;
    options.max_apply_bytes = 16;
    return options;
  }

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool Chance(int percent) { return Below(100) < static_cast<uint64_t>(percent); }

  void Event() {
    const uint64_t id = 1 + Below(cluster_.size());
    const uint64_t kind = Below(100);
    if (kind < 55) {
      MoveMessage();
    } else if (kind < 70) {
      cluster_.Tick(id);
    } else if (kind < 78) {
      cluster_.Persist(id, 1 + Below(3));
    } else if (kind < 88) {
      const uint64_t leader = cluster_.Leader();
      if (leader != 0) cluster_.Propose(leader, "p" + std::to_string(proposals_++));
    } else if (kind < 92) {
      Read(id);
    } else {
      Disturb(id);
    }
  }

  void MoveMessage() {
    std::deque<Message>& network = cluster_.network();
    if (network.empty()) return;
    const size_t position = Chance(70) ? 0 : Below(network.size());
    if (Chance(5)) {
      network.erase(network.begin() + static_cast<ptrdiff_t>(position));
      return;
    }
    if (Chance(5)) network.push_back(Message(network[position]));
    cluster_.DeliverAt(position);
  }

  // A linearizable read must not be answered below what was committed anywhere when it was asked.
  void Read(uint64_t id) {
    for (uint64_t member = 1; member <= cluster_.size(); ++member) {
      for (const auto& [context, read] : cluster_.node(member).reads) {
        if (read.ok) {
          ASSERT_GE(read.index, asked_at_.at(context)) << "stale read " << context;
        }
      }
      cluster_.node(member).reads.clear();
    }
    if (!cluster_.alive(id)) return;
    asked_at_[++reads_] = highest_commit_ = std::max(highest_commit_, committed());
    cluster_.raft(id).ReadIndex(reads_);
    cluster_.Pump(id);
  }

  void Disturb(uint64_t id) {
    highest_commit_ = std::max(highest_commit_, committed());
    const uint64_t kind = Below(10);
    if (!cluster_.alive(id)) {
      if (kind < 7) cluster_.Restart(id);
    } else if (kind == 0) {
      cluster_.Crash(id);
    } else if (kind == 1) {
      cluster_.node(id).manual_disk = !cluster_.node(id).manual_disk;
      if (!cluster_.node(id).manual_disk) cluster_.Persist(id), cluster_.Pump(id);
    } else if (kind == 2) {
      cluster_.Isolate(id);
    } else if (kind == 3 || kind == 4) {
      cluster_.Heal();
    } else if (kind == 5) {
      cluster_.raft(id).TransferLeadership(NodeId(1 + Below(cluster_.size())));
      cluster_.Pump(id);
    } else if (kind == 6) {
      cluster_.raft(id).LeaderUnreachable();
      cluster_.Campaign(id);
    } else if (kind == 7) {
      cluster_.raft(id).PeerUnreachable(NodeId(1 + Below(cluster_.size())));
      cluster_.Pump(id);
    } else if (kind == 8 && Chance(20)) {
      cluster_.raft(id).StepDown();
      cluster_.Pump(id);
    }
  }

  std::mt19937_64 random_;
  Cluster cluster_;
  uint64_t proposals_ = 0;
  uint64_t reads_ = 0;
  LogIndex highest_commit_;
  std::map<uint64_t, LogIndex> asked_at_;
};

TEST(RandomTest, SafeUnderFaultsAndLiveAfterThem) {
  LogIndex committed;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Chaos chaos(seed, 3 + static_cast<int>(seed % 3));
    chaos.Run(3000);
    if (HasFailure()) FAIL() << "replay with seed " << seed;
    committed = std::max(committed, chaos.committed());
    chaos.HealAndExpectProgress();
    if (HasFailure()) FAIL() << "replay with seed " << seed;
  }
  EXPECT_GT(committed, LogIndex(50)) << "the schedules are too harsh to test anything";
}

}  // namespace
}  // namespace cairn::raft
