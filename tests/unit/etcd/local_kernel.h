// A kernel of one member that commits everything at once: the real store on the memory twins, no Raft. Leases
// have the TTLs that the test sets. Renewals can be held, to be answered in any order.
//
// Thread safety: one thread, as the kernel itself.
#ifndef CAIRN_TESTS_UNIT_ETCD_LOCAL_KERNEL_H_
#define CAIRN_TESTS_UNIT_ETCD_LOCAL_KERNEL_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/kernel/kernel.h"
#include "server/watch/watch_hub.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/mvcc/store_fixture.h"

namespace cairn::server {

class LocalKernel final : public Kernel {
 public:
  static constexpr uint64_t kCluster = 0xc1;
  static constexpr uint64_t kTerm = 5;

  LocalKernel() : hub_(std::make_unique<WatchHub>(loop_, harness_.store(), HubOptions())) {}

  // --- For tests ---
  FakeLoop& fake_loop() { return loop_; }
  // Everything posted, offloaded or waiting for the store's disk.
  void Settle() {
    do {
      loop_.Settle();
      harness_.Drain();
    } while (loop_.pending_posts() > 0);
  }
  void set_leader(raft::NodeId leader) { leader_ = leader; }
  void set_time_without_leader(absl::Duration time) { time_without_leader_ = time; }
  void set_failure(ClientError failure) { failure_ = failure; }  // of everything that needs a quorum
  // Time that passes while a proposal is under way.
  void set_proposal_time(absl::Duration time) { proposal_time_ = time; }
  int proposals() const { return proposals_; }
  int read_txns() const { return read_txns_; }
  int barriers() const { return barriers_; }

  void HoldRenewals() { hold_renewals_ = true; }
  size_t held_renewals() const { return held_.size(); }
  // Answers the held renewal at this place.
  void Answer(size_t place, LeaseTime time) {
    LeaseDone done = std::move(held_[place]);
    held_[place] = nullptr;
    done(time);
  }

  // --- Kernel ---
  uint64_t cluster_id() const override { return kCluster; }
  raft::NodeId self() const override { return raft::NodeId(storage::kSelf); }
  Loop& loop() override { return loop_; }

  void Propose(internal::Command command, Done done) override {
    ++proposals_;
    loop_.Advance(proposal_time_);
    if (failure_ != ClientError::kOk) return done({failure_, {}, {}});
    std::vector<internal::Command> commands;
    commands.push_back(std::move(command));
    storage::Outcome outcome = harness_.Propose(std::move(commands));
    hub_->OnApplied(std::move(outcome.events));
    if (outcome.compacted != storage::Revision(0)) hub_->OnCompacted(outcome.compacted);
    done(std::move(outcome.results.at(0).result));
  }
  void Range(etcdserverpb::RangeRequest request, Done done) override {
    done(harness_.Run(store().StartRange(request)));
  }
  void ReadTxn(etcdserverpb::TxnRequest request, Done done) override {
    ++read_txns_;
    done(harness_.Run(store().StartReadTxn(request)));
  }
  void LinearizableBarrier(ErrorDone done) override {
    ++barriers_;
    done(failure_);
  }
  void HashKv(storage::Revision at, Done done) override { done(harness_.Run(store().StartHashKv(at))); }
  void LeaseKeepAlive(storage::LeaseId id, LeaseDone done) override {
    if (hold_renewals_) return held_.push_back(std::move(done));
    done(TimeOf(id, 0));
  }
  void LeaseTimeToLive(storage::LeaseId id, LeaseDone done) override { done(TimeOf(id, -1)); }
  WatchHub& watches() override { return *hub_; }
  std::vector<MemberInfo> Members() const override {
    return {{self(), "m1", {"http://127.0.0.1:2380"}, {"http://127.0.0.1:2379"}, false},
            {raft::NodeId(8), "", {"http://127.0.0.1:3380"}, {}, true}};
  }
  KernelStatus GetStatus() const override {
    KernelStatus status;
    status.leader = leader_;
    status.term = term();
    status.last_index = raft::LogIndex(103);
    status.committed_index = raft::LogIndex(102);
    status.applied_index = raft::LogIndex(101);
    status.disk_bytes = 2000;
    status.live_bytes = 1000;
    status.problems = {"etcdserver: no leader"};
    return status;
  }
  raft::Term term() const override { return raft::Term(kTerm); }
  raft::NodeId leader() const override { return leader_; }
  void MoveLeader(raft::NodeId to, ErrorDone done) override {
    done(to == raft::NodeId(8) ? ClientError::kOk : ClientError::kBadLeaderTransferee);
  }
  absl::Duration TimeWithoutLeader() const override { return time_without_leader_; }
  storage::Store& store() override { return harness_.store(); }

 private:
  static WatchHubOptions HubOptions() {
    WatchHubOptions options;
    options.cluster_id = kCluster;
    options.member_id = storage::kSelf;
    options.term = [] { return raft::Term(kTerm); };
    return options;
  }
  LeaseTime TimeOf(storage::LeaseId id, int64_t unknown) {
    storage::LeaseInfo lease;
    if (failure_ != ClientError::kOk) return {failure_, 0, 0};
    if (!store().FindLease(id, &lease)) return {ClientError::kOk, unknown, 0};
    return {ClientError::kOk, lease.granted_ttl_s, lease.granted_ttl_s};
  }

  FakeLoop loop_;
  storage::StoreHarness harness_;
  std::unique_ptr<WatchHub> hub_;
  raft::NodeId leader_{storage::kSelf};
  ClientError failure_ = ClientError::kOk;
  absl::Duration proposal_time_;
  absl::Duration time_without_leader_;
  bool hold_renewals_ = false;
  std::vector<LeaseDone> held_;
  int proposals_ = 0;
  int read_txns_ = 0;
  int barriers_ = 0;
};

}  // namespace cairn::server

#endif  // CAIRN_TESTS_UNIT_ETCD_LOCAL_KERNEL_H_
