// One member: drives the Raft core, its disk, its peers and the store, and serves the kernel to the doors.
//
// A turn of the loop collects what comes in (commands, reads, messages, finished disk writes); one Drive() at
// its end does everything that follows from it, so that batches form by themselves: one log entry for all
// waiting commands, one confirmation round for all waiting reads, one frame for each peer.
//
//   Propose ─▶ Proposals ─▶ raft ─▶ LogStore (sync) ─┐          ┌─▶ Proposals (answers)
//                             └───▶ Net (followers) ─┴▶ committed ─▶ Store ─▶ WatchHub, Lessor
//   Range ─▶ ReadBarriers ─▶ raft ReadIndex ─▶ applied far enough ─▶ ReadRunner
//
// Thread safety: none; everything on the core loop. Deterministic given its ports.
// Survives a crash: nothing of its own; LogStore and StateEngine hold it all. Nothing is answered before a
//                quorum has it on disk, nothing is applied before this member has it on disk.
#ifndef CAIRN_SERVER_NODE_NODE_H_
#define CAIRN_SERVER_NODE_NODE_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/raft.h"
#include "server/kernel/kernel.h"
#include "server/lease/lessor.h"
#include "server/node/lease_desk.h"
#include "server/node/proposals.h"
#include "server/node/read_barriers.h"
#include "server/node/read_runner.h"
#include "server/ports.h"
#include "server/watch/watch_hub.h"
#include "storage/log_store.h"
#include "storage/mvcc/store.h"

namespace cairn::server {

struct NodeOptions {
  uint64_t cluster_id = 0;
  raft::NodeId self;
  raft::Configuration configuration;
  std::vector<MemberInfo> members;       // as the initial configuration names them
  std::vector<std::string> client_urls;  // this member's own, to be told to the others

  absl::Duration heartbeat_interval = absl::Milliseconds(100);
  absl::Duration election_timeout = absl::Seconds(1);
  // A follower that loses its connection to the leader campaigns after a random part of this.
  absl::Duration failover_delay = absl::Milliseconds(50);

  size_t max_request_bytes = 1536 << 10;
  size_t max_waiting = 50'000;  // calls of each kind
  uint64_t max_unapplied_entries =
      5'000;              // committed but not applied; more is answered with kTooManyRequests
  WatchHubOptions watch;  // ids and term are filled in here
};

// What the node tells the outside, for logs. Called on the core loop; must not call back.
class NodeObserver {
 public:
  virtual ~NodeObserver() = default;
  // `leader` 0 = none known.
  virtual void OnLeader(raft::NodeId leader, raft::Term term) = 0;
  // Once: this member knows a leader and has told the others of itself.
  virtual void OnPublished() = 0;
  // The member can't go on (a sync failed, the engine broke): end the process with this reason.
  virtual void OnFatal(const absl::Status& reason) = 0;
  // The engine has taken nothing for a while (a full disk, most often); then that it takes entries again. The
  // member lives on, but whatever waits for its apply waits too.
  virtual void OnApplyStalled(const absl::Status& /*reason*/) {}
  virtual void OnApplyResumed(absl::Duration /*after*/) {}
};

class Node final : public Kernel, public NetEvents {
 public:
  struct Dependencies {  // all outlive the node
    Loop& loop;
    Net& net;
    Random& random;
    storage::LogStore& log;
    storage::Store& store;
    NodeObserver& observer;
  };

  Node(NodeOptions options, const Dependencies& dependencies);
  ~Node() override;

  // Starts ticking. To be called once, before anything else.
  void Start();

  // Hands leadership over if this member leads (for an election timeout at most), then calls `done`. Calls
  // that come meanwhile are still served.
  void HandOver(absl::AnyInvocable<void()> done);

  // Answers everything that waits with kStopped and does nothing any more.
  void Stop();

  // --- Kernel ---
  uint64_t cluster_id() const override { return options_.cluster_id; }
  raft::NodeId self() const override { return options_.self; }
  Loop& loop() override { return loop_; }
  void Propose(internal::Command command, Done done) override;
  void Range(etcdserverpb::RangeRequest request, Done done) override;
  void ReadTxn(etcdserverpb::TxnRequest request, Done done) override;
  void LinearizableBarrier(ErrorDone done) override;
  void HashKv(storage::Revision at, Done done) override;
  void LeaseKeepAlive(storage::LeaseId id, LeaseDone done) override;
  void LeaseTimeToLive(storage::LeaseId id, LeaseDone done) override;
  WatchHub& watches() override { return *watches_; }
  std::vector<MemberInfo> Members() const override;
  KernelStatus GetStatus() const override;
  raft::Term term() const override { return raft_->term(); }
  raft::NodeId leader() const override { return raft_->leader(); }
  void MoveLeader(raft::NodeId to, ErrorDone done) override;
  absl::Duration TimeWithoutLeader() const override;
  storage::Store& store() override { return store_; }

  // --- NetEvents ---
  void OnPeerBatch(raft::NodeId from, PeerBatch batch) override;
  void OnPeerUp(raft::NodeId peer) override;
  void OnPeerDown(raft::NodeId peer) override;

  // For invariants and metrics.
  const raft::Raft& raft() const { return *raft_; }

 private:
  struct LogPosition {
    raft::Term term;
    raft::LogIndex index;  // 0 = the write had no entries
  };
  // A write of the log under way, and what waits for it.
  struct LogWriteInFlight {
    std::optional<LogPosition> last_entry;
    std::vector<raft::Message> messages;
    absl::Duration began;
  };
  struct ForwardedBatch {
    raft::NodeId from;
    raft::Payload commands;
  };

  bool is_leader() const { return raft_->role() == raft::Role::kLeader; }
  bool is_up(raft::NodeId peer) const;
  // Leads, and in this very term has taken the leases over.
  bool CountsLeases() const { return is_leader() && lessor_.leading() && lessor_.term() == raft_->term(); }
  void Fail(const absl::Status& reason);

  // --- The turn (node.cc) ---
  void ScheduleDrive();
  void Drive();
  void Tick();
  void ArmTick();
  void HandleReady(raft::Ready ready);
  void WriteLog(raft::Ready& ready);
  void OnLogWritten(const absl::Status& status);
  void SendPersisted(std::vector<raft::Message> messages);
  void SendOutbox();
  void OnLeadershipChanged();
  void WatchForStalledDisk();
  // Starts a pre-vote after a random time between the two, unless somebody else than `lost` leads by then or
  // the connection to `lost` is back; again after some heartbeats, until somebody leads.
  void CampaignAfter(absl::Duration low, absl::Duration high, raft::NodeId lost);
  PeerBatch& OutboxOf(raft::NodeId peer) { return outbox_[peer]; }
  // The other voter with the longest log, preferring one whose connection stands; 0 = none.
  raft::NodeId BestSuccessor() const;

  // --- Commands (commands.cc) ---
  bool ProposalGateOpen() const;
  void ProposeQueued();
  void ForwardQueued();
  void OnForwarded(raft::NodeId from, raft::Term term, std::vector<raft::Payload> batches);
  void RefuseForwarded(raft::NodeId from, const raft::Payload& batch, ClientError error);
  void RefuseAllForwarded(ClientError error);
  // A command of the leader itself that nobody waits for. False: not accepted now.
  bool ProposeOwn(const internal::Command& command);
  void PublishAttributes();

  // --- Applying (apply.cc) ---
  void ApplySome();
  bool CommitStore();
  void PublishOutcome();
  void RunStoreBackground();
  void AnswerPhysicalCompactions();

  // --- Reads and leases (reads.cc) ---
  // True: `done` was called, with kStopped or kTooManyRequests.
  bool RefusesLocalRead(Done& done);
  void StartReadRound();
  // The question to the leader, or its answer, was lost.
  void AbandonReadRound();
  void OnReadState(const raft::ReadState& state);
  void RouteLeaseCalls();
  void AnswerLeaseCall(const LeaseCall& call, absl::AnyInvocable<void(const LeaseAnswer&)> answer);
  void KeepAliveAtLeader(uint64_t call_id, storage::LeaseId id,
                         absl::AnyInvocable<void(const LeaseAnswer&)> answer);
  void DriveLessor();

  // --- Constant after construction ---
  NodeOptions options_;
  Loop& loop_;
  Net& net_;
  Random& random_;
  storage::LogStore& log_;
  storage::Store& store_;
  NodeObserver& observer_;

  std::unique_ptr<raft::Raft> raft_;
  std::unique_ptr<WatchHub> watches_;
  Proposals proposals_;
  ReadBarriers barriers_;
  ReadRunner reads_;
  LeaseDesk lease_desk_;
  Lessor lessor_;

  bool started_ = false;
  bool stopped_ = false;
  bool drive_scheduled_ = false;
  bool published_ = false;
  bool publishing_ = false;
  std::unique_ptr<Timer> tick_timer_;
  std::unique_ptr<Timer> failover_timer_;

  // Peers.
  std::map<raft::NodeId, bool> peer_up_;
  std::map<raft::NodeId, PeerBatch> outbox_;  // ordered, so that runs can be replayed

  // The log.
  std::deque<LogWriteInFlight> log_writes_;
  std::optional<raft::HardState>
      unwritten_hard_state_;      // only its commit index is new: goes with the next write
  raft::LogIndex persisted_;      // this member has everything up to here on disk
  raft::LogIndex last_proposed_;  // of the newest entry this leader appended
  absl::Duration last_proposed_at_;
  std::unique_ptr<Timer> gate_timer_;  // runs while commands wait for the time alone

  // Leadership.
  raft::NodeId known_leader_;
  raft::Term known_leader_term_;
  absl::Duration leader_lost_at_;
  struct LeaderMove {
    raft::NodeId to;
    absl::Duration deadline;
    ErrorDone done;
  };
  std::vector<LeaderMove> leader_moves_;
  absl::AnyInvocable<void()> hand_over_done_;
  absl::Duration hand_over_deadline_;

  // Commands of other members, waiting for the gate.
  std::deque<ForwardedBatch> forwarded_;
  size_t forwarded_bytes_ = 0;

  // Applying.
  std::deque<raft::Entry> to_apply_;
  storage::Outcome outcome_;  // applied in memory, not committed to the engine yet
  raft::Term newest_applied_term_;
  bool engine_refuses_ = false;  // Commit is to be tried again
  std::optional<absl::Duration> engine_refuses_since_;
  bool stall_reported_ = false;
  bool apply_again_posted_ = false;
  std::unique_ptr<Timer> engine_retry_timer_;
  struct PhysicalCompaction {
    storage::Revision revision;
    uint64_t request_id;
    storage::Result result;
  };
  std::vector<PhysicalCompaction> physical_compactions_;

  // Reads.
  bool read_round_refused_ = false;  // try again after a tick or when something has changed
  bool background_posted_ = false;
  std::unique_ptr<Timer> background_retry_timer_;

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false: callbacks that come late do nothing
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_NODE_NODE_H_
