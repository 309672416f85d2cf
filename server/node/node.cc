#include "server/node/node.h"

#include <algorithm>
#include <utility>

#include "raft/check.h"

namespace cairn::server {
namespace {

constexpr absl::Duration kDispatchMargin =
    absl::Seconds(5);  // etcd's: a request may take 5 s + 2 election timeouts

absl::Duration TimeLimit(const NodeOptions& options) {
  return kDispatchMargin + 2 * options.election_timeout;
}

Proposals::Limits ProposalLimits(const NodeOptions& options) {
  Proposals::Limits limits;
  limits.max_waiting = options.max_waiting;
  limits.max_command_bytes = options.max_request_bytes;
  limits.time_limit = TimeLimit(options);
  return limits;
}

Lessor::Options LessorOptions(const NodeOptions& options) {
  Lessor::Options lessor;
  lessor.election_timeout = options.election_timeout;
  return lessor;
}

WatchHubOptions HubOptions(const NodeOptions& options, std::function<raft::Term()> term) {
  WatchHubOptions hub = options.watch;
  hub.cluster_id = options.cluster_id;
  hub.member_id = options.self.value();
  hub.term = std::move(term);
  return hub;
}

}  // namespace

Node::Node(NodeOptions options, const Dependencies& dependencies)
    : options_(std::move(options)),
      loop_(dependencies.loop),
      net_(dependencies.net),
      random_(dependencies.random),
      log_(dependencies.log),
      store_(dependencies.store),
      observer_(dependencies.observer),
      proposals_(options_.self, random_.Next() >> 1, ProposalLimits(options_)),
      barriers_({.max_waiting = options_.max_waiting, .time_limit = TimeLimit(options_)}),
      reads_(loop_, store_),
      lease_desk_(random_.Next() >> 1, {.max_waiting = options_.max_waiting,
                                        .time_limit = TimeLimit(options_),
                                        .resend_after = options_.election_timeout}),
      lessor_(loop_, LessorOptions(options_)) {
  raft::Options raft_options;
  raft_options.self = options_.self;
  raft_options.election_ticks = static_cast<int>(options_.election_timeout / options_.heartbeat_interval);
  raft_options.heartbeat_ticks = 1;
  raft_options.seed = random_.Next();
  raft_ = std::make_unique<raft::Raft>(raft_options, log_.initial_hard_state(), options_.configuration,
                                       store_.applied_index(), &log_);
  watches_ =
      std::make_unique<WatchHub>(loop_, store_, HubOptions(options_, [this] { return raft_->term(); }));
  persisted_ = log_.LastIndex();
  newest_applied_term_ = store_.applied_term();
  for (const MemberInfo& member : options_.members) {
    if (member.id != options_.self) peer_up_[member.id] = false;
  }
}

Node::~Node() {
  *alive_ = false;
  Stop();
}

void Node::Start() {
  CAIRN_CHECK(!started_) << "Start is called once";
  started_ = true;
  leader_lost_at_ = loop_.Now();
  log_.SetOnEntriesLoaded([this, alive = alive_] {
    if (!*alive || stopped_) return;
    raft_->EntriesLoaded();
    ScheduleDrive();
  });
  store_.SetOnPhysicallyCompacted([this, alive = alive_] {
    if (*alive && !stopped_) AnswerPhysicalCompactions();
  });
  store_.SetOnBackgroundWork([this, alive = alive_] {
    if (*alive && !stopped_) RunStoreBackground();
  });
  ArmTick();
  if (options_.configuration.voters.size() == 1 && options_.configuration.voters.front() == options_.self) {
    raft_->Campaign();  // nobody else could lead: no need to wait
  } else {
    // A leader that lives is heard within a few heartbeats. If there is none, the whole cluster has just
    // started: an election timeout would be wasted. Where there is one, the pre-vote disturbs nobody.
    CampaignAfter(2 * options_.heartbeat_interval, 4 * options_.heartbeat_interval, options_.self);
  }
  ScheduleDrive();
  RunStoreBackground();
}

void Node::Stop() {
  if (stopped_) return;
  stopped_ = true;
  tick_timer_.reset();
  failover_timer_.reset();
  engine_retry_timer_.reset();
  gate_timer_.reset();
  background_retry_timer_.reset();
  RefuseAllForwarded(ClientError::kStopped);
  for (PhysicalCompaction& compaction : physical_compactions_) {
    compaction.result.error = ClientError::kStopped;
    proposals_.Complete(compaction.request_id, std::move(compaction.result));
  }
  physical_compactions_.clear();
  proposals_.FailAll(ClientError::kStopped);
  barriers_.FailAll(ClientError::kStopped);
  reads_.FailAll(ClientError::kStopped);
  lease_desk_.FailAll(ClientError::kStopped);
  for (LeaderMove& move : std::exchange(leader_moves_, {})) move.done(ClientError::kStopped);
  if (hand_over_done_) std::exchange(hand_over_done_, nullptr)();
}

void Node::Fail(const absl::Status& reason) {
  if (stopped_) return;
  observer_.OnFatal(reason);
  Stop();
}

bool Node::is_up(raft::NodeId peer) const {
  auto it = peer_up_.find(peer);
  return it != peer_up_.end() && it->second;
}

// --- The turn ---

void Node::ScheduleDrive() {
  if (drive_scheduled_ || stopped_) return;
  drive_scheduled_ = true;
  loop_.Post([this, alive = alive_] {
    if (!*alive) return;
    drive_scheduled_ = false;
    Drive();
  });
}

void Node::Drive() {
  if (stopped_) return;
  if (proposals_.has_queued() || !forwarded_.empty()) ProposeQueued();
  if (barriers_.wants_round() && !read_round_refused_) StartReadRound();
  if (lease_desk_.has_unsent()) RouteLeaseCalls();
  while (!stopped_ && raft_->HasReady()) HandleReady(raft_->TakeReady());
  if (!to_apply_.empty() && !apply_again_posted_) ApplySome();
  SendOutbox();
}

void Node::ArmTick() {
  tick_timer_ = loop_.After(options_.heartbeat_interval, [this] { Tick(); });
}

void Node::Tick() {
  const absl::Duration now = loop_.Now();
  raft_->Tick();
  read_round_refused_ = false;
  // The question or the answer was lost, though the connection stood. Not sooner: where members are far apart
  // a round takes some heartbeats, and each one given up would have to begin anew.
  barriers_.GiveUpRoundBegunBefore(now - options_.election_timeout);
  proposals_.Expire(now, raft_->leader() != raft::NodeId());
  barriers_.Expire(now);
  lease_desk_.Tick(now);
  std::vector<ErrorDone> late_moves;
  std::erase_if(leader_moves_, [&](LeaderMove& move) {
    if (move.deadline > now) return false;
    late_moves.push_back(std::move(move.done));
    return true;
  });
  for (ErrorDone& done : late_moves) done(ClientError::kTimeout);
  if (hand_over_done_ && hand_over_deadline_ <= now) std::exchange(hand_over_done_, nullptr)();
  if (stopped_) return;
  WatchForStalledDisk();
  DriveLessor();
  PublishAttributes();
  ArmTick();
  Drive();
}

void Node::HandleReady(raft::Ready ready) {
  for (raft::Message& message : ready.messages) OutboxOf(message.to).raft.push_back(std::move(message));
  WriteLog(ready);
  if (!ready.committed.empty()) {
    to_apply_.insert(to_apply_.end(), std::make_move_iterator(ready.committed.begin()),
                     std::make_move_iterator(ready.committed.end()));
  }
  for (const raft::ReadState& state : ready.reads) OnReadState(state);
  if (ready.leadership_changed) OnLeadershipChanged();
}

void Node::WriteLog(raft::Ready& ready) {
  if (ready.hard_state.has_value()) unwritten_hard_state_ = ready.hard_state;
  if (!ready.must_persist && ready.entries.empty()) {
    SendPersisted(std::move(ready.messages_after_persist));
    return;
  }
  LogWriteInFlight in_flight;
  if (!ready.entries.empty()) {
    in_flight.last_entry = LogPosition{ready.entries.back().term, ready.entries.back().index};
    persisted_ = std::min(persisted_, ready.entries.front().index - 1);
  }
  in_flight.messages = std::move(ready.messages_after_persist);
  in_flight.began = loop_.Now();
  log_writes_.push_back(std::move(in_flight));
  storage::LogWrite write;
  write.hard_state = std::exchange(unwritten_hard_state_, std::nullopt);
  write.entries = std::move(ready.entries);
  log_.Append(std::move(write), [this, alive = alive_](const absl::Status& status) {
    if (*alive && !stopped_) OnLogWritten(status);
  });
}

void Node::OnLogWritten(const absl::Status& status) {
  if (!status.ok()) {
    // After a failed sync nobody knows what is on the disk: going on could acknowledge what is not there.
    Fail(status);
    return;
  }
  LogWriteInFlight written = std::move(log_writes_.front());
  log_writes_.pop_front();
  if (written.last_entry.has_value()) {
    const LogPosition last = *written.last_entry;
    absl::StatusOr<raft::Term> term = log_.TermAt(last.index);
    if (term.ok() && *term == last.term) persisted_ = std::max(persisted_, last.index);
    raft_->Persisted(last.term, last.index);
  }
  SendPersisted(std::move(written.messages));
  ScheduleDrive();
}

void Node::SendPersisted(std::vector<raft::Message> messages) {
  for (raft::Message& message : messages) {
    if (message.to == options_.self) {
      raft_->Step(std::move(message));
      ScheduleDrive();
    } else {
      OutboxOf(message.to).raft.push_back(std::move(message));
    }
  }
}

void Node::SendOutbox() {
  for (auto& [peer, batch] : outbox_) {
    if (batch.empty()) continue;
    PeerBatch sending = std::exchange(batch, PeerBatch());
    const bool had_raft = !sending.raft.empty();
    const std::vector<raft::Payload> forwarded = sending.forward;  // shared, to name what was not sent
    if (net_.Send(peer, std::move(sending))) continue;
    if (had_raft) raft_->PeerUnreachable(peer);
    if (had_raft && peer == raft_->leader()) AbandonReadRound();
    for (const raft::Payload& commands : forwarded)
      RefuseForwarded(options_.self, commands, ClientError::kTooManyRequests);
    // Lease calls and answers: asked again after a while.
  }
}

// --- Leadership ---

void Node::OnLeadershipChanged() {
  const raft::NodeId leader = raft_->leader();
  read_round_refused_ = false;
  if (lessor_.leading() && (!is_leader() || lessor_.term() != raft_->term())) lessor_.StepDown();
  if (!is_leader()) RefuseAllForwarded(ClientError::kLeaderChanged);
  if (leader == known_leader_ && raft_->term() == known_leader_term_) return;
  if (leader != raft::NodeId()) {
    failover_timer_.reset();
    lease_desk_.ResendAll();
  } else if (known_leader_ != raft::NodeId()) {
    leader_lost_at_ = loop_.Now();
  }
  const bool leader_was_known = known_leader_ != raft::NodeId();
  known_leader_ = leader;
  known_leader_term_ = raft_->term();
  if (leader != raft::NodeId() || leader_was_known) observer_.OnLeader(leader, raft_->term());

  std::vector<ErrorDone> moved;
  std::erase_if(leader_moves_, [&](LeaderMove& move) {
    if (move.to != leader) return false;
    moved.push_back(std::move(move.done));
    return true;
  });
  for (ErrorDone& done : moved) done(ClientError::kOk);
  if (hand_over_done_ && !is_leader() && leader != raft::NodeId()) std::exchange(hand_over_done_, nullptr)();
  ScheduleDrive();
}

void Node::WatchForStalledDisk() {
  // A leader whose own sync takes this long, or whose state takes no writes (a full disk), can't do its work:
  // let somebody else lead.
  if (!is_leader() || raft_->transferring()) return;
  const absl::Duration limit = options_.election_timeout / 2;
  const absl::Duration now = loop_.Now();
  const bool log_stalls = !log_writes_.empty() && now - log_writes_.front().began >= limit;
  const bool state_stalls = engine_refuses_since_ && now - *engine_refuses_since_ >= limit;
  if (!log_stalls && !state_stalls) return;
  const raft::NodeId successor = BestSuccessor();
  if (successor != raft::NodeId()) raft_->TransferLeadership(successor);
}

raft::NodeId Node::BestSuccessor() const {
  raft::NodeId best;
  raft::LogIndex best_match;
  for (const raft::PeerStatus& peer : raft_->peers()) {
    if (peer.id == options_.self || peer.learner || !peer.active || !is_up(peer.id)) continue;
    if (best != raft::NodeId() && peer.match <= best_match) continue;
    best = peer.id;
    best_match = peer.match;
  }
  return best;
}

void Node::HandOver(absl::AnyInvocable<void()> done) {
  const raft::NodeId successor = is_leader() ? BestSuccessor() : raft::NodeId();
  if (stopped_ || successor == raft::NodeId()) {
    done();
    return;
  }
  hand_over_done_ = std::move(done);
  hand_over_deadline_ = loop_.Now() + options_.election_timeout;
  raft_->TransferLeadership(successor);
  ScheduleDrive();
}

void Node::MoveLeader(raft::NodeId to, ErrorDone done) {
  if (stopped_) return done(ClientError::kStopped);
  if (!is_leader()) return done(ClientError::kNotLeader);
  const std::vector<raft::NodeId>& voters = raft_->configuration().voters;
  if (std::find(voters.begin(), voters.end(), to) == voters.end())
    return done(ClientError::kBadLeaderTransferee);
  if (to == options_.self) return done(ClientError::kOk);
  if (leader_moves_.size() >= options_.max_waiting) return done(ClientError::kTooManyRequests);
  leader_moves_.push_back({to, loop_.Now() + options_.election_timeout * 3, std::move(done)});
  raft_->TransferLeadership(to);
  ScheduleDrive();
}

absl::Duration Node::TimeWithoutLeader() const {
  if (raft_->leader() != raft::NodeId()) return absl::ZeroDuration();
  // At least a moment: the caller asks whether there is a leader.
  return std::max(loop_.Now() - leader_lost_at_, absl::Nanoseconds(1));
}

// --- Peers ---

void Node::OnPeerBatch(raft::NodeId from, PeerBatch batch) {
  if (stopped_) return;
  for (raft::Message& message : batch.raft) {
    if (message.from == from && message.to == options_.self) raft_->Step(std::move(message));
  }
  if (!batch.forward.empty()) OnForwarded(from, batch.forward_term, std::move(batch.forward));
  for (const ForwardRefused& refused : batch.refused) {
    storage::Result result;
    result.error = refused.error;
    proposals_.Complete(refused.request_id, std::move(result));
  }
  for (const LeaseCall& call : batch.lease_calls) {
    AnswerLeaseCall(call, [this, from, alive = alive_](const LeaseAnswer& answer) {
      if (!*alive || stopped_) return;
      OutboxOf(from).lease_answers.push_back(answer);
      ScheduleDrive();
    });
  }
  for (const LeaseAnswer& answer : batch.lease_answers) lease_desk_.OnAnswer(answer);
  ScheduleDrive();
}

void Node::OnPeerUp(raft::NodeId peer) {
  peer_up_[peer] = true;
  read_round_refused_ = false;
  ScheduleDrive();
}

void Node::OnPeerDown(raft::NodeId peer) {
  peer_up_[peer] = false;
  if (stopped_) return;
  raft_->PeerUnreachable(peer);
  if (peer == raft_->leader()) {
    proposals_.FailForwarded(ClientError::kTimeoutConnectionLost);
    lease_desk_.ResendAll();
    AbandonReadRound();
    raft_->LeaderUnreachable();
    // The leader's process is most likely dead. The random part keeps the others from splitting the vote.
    CampaignAfter(absl::ZeroDuration(), options_.failover_delay, peer);
  }
  if (hand_over_done_ && BestSuccessor() == raft::NodeId()) std::exchange(hand_over_done_, nullptr)();
  ScheduleDrive();
}

void Node::CampaignAfter(absl::Duration low, absl::Duration high, raft::NodeId lost) {
  const auto range_us = static_cast<uint64_t>(absl::ToInt64Microseconds(high - low));
  const auto random_us = static_cast<int64_t>(random_.Next() % (range_us + 1));
  failover_timer_ = loop_.After(low + absl::Microseconds(random_us), [this, lost] {
    if (raft_->leader() != lost && raft_->leader() != raft::NodeId()) return;  // somebody leads
    if (is_up(lost)) return;                                                   // it was the connection only
    // Never into an election under way: on a slow network or disk none would ever end.
    if (raft_->role() == raft::Role::kFollower) raft_->Campaign();
    // Who had not noticed the loss yet has refused; by then it will have.
    CampaignAfter(2 * options_.heartbeat_interval, 4 * options_.heartbeat_interval, raft::NodeId());
    ScheduleDrive();
  });
}

// --- What it is asked ---

std::vector<MemberInfo> Node::Members() const {
  std::vector<MemberInfo> members = options_.members;
  for (const internal::MemberAttributes& attributes : store_.MemberAttributes()) {
    for (MemberInfo& member : members) {
      if (member.id.value() != attributes.member_id()) continue;
      member.name = attributes.name();
      member.client_urls.assign(attributes.client_urls().begin(), attributes.client_urls().end());
    }
  }
  std::sort(members.begin(), members.end(),
            [](const MemberInfo& a, const MemberInfo& b) { return a.id < b.id; });
  return members;
}

KernelStatus Node::GetStatus() const {
  KernelStatus status;
  status.leader = raft_->leader();
  status.term = raft_->term();
  status.last_index = raft_->last_index();
  status.committed_index = raft_->commit();
  status.applied_index = store_.applied_index();
  status.disk_bytes = store_.disk_bytes();
  status.live_bytes = store_.live_bytes();
  if (status.leader == raft::NodeId()) status.problems.emplace_back(InfoOf(ClientError::kNoLeader).text);
  return status;
}

}  // namespace cairn::server
