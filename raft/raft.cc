#include "raft/raft.h"

#include <algorithm>
#include <utility>

#include "raft/check.h"

namespace cairn::raft {
namespace {

// No honest log or term comes near; beyond it arithmetic could wrap.
constexpr uint64_t kMaxNumber = uint64_t{1} << 62;

// One step of SplitMix64; mixes weak seeds such as 1, 2, 3.
uint64_t Mix(uint64_t seed) {
  seed += 0x9e3779b97f4a7c15;
  seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
  seed = (seed ^ (seed >> 27)) * 0x94d049bb133111eb;
  return seed ^ (seed >> 31);
}

}  // namespace

Raft::Raft(const Options& options, const HardState& hard_state, const Configuration& configuration,
           LogIndex applied, LogReader* log)
    : options_(options),
      configuration_(configuration),
      quorum_(configuration),
      log_(log, hard_state.commit, applied, options.max_apply_bytes),
      term_(hard_state.term),
      vote_(hard_state.vote),
      handed_over_(hard_state),
      random_(Mix(options.seed)),
      forwarded_(Mix(random_)),
      shown_term_(hard_state.term) {
  CAIRN_CHECK(options.self != NodeId(0)) << "a member needs an id";
  CAIRN_CHECK(options.heartbeat_ticks > 0 && options.election_ticks > options.heartbeat_ticks)
      << "election_ticks " << options.election_ticks << " must exceed heartbeat_ticks "
      << options.heartbeat_ticks;
  CAIRN_CHECK(log_.last_term() <= term_)
      << "the log's last term " << log_.last_term() << " is beyond the hard state's term " << term_;
  election_timeout_ = DrawElectionTimeout();
}

void Raft::Tick() {
  ++now_;
  ++election_elapsed_;
  // No answer for so long: the request or the answer was lost, or the leader is not one any more.
  if (forwarded_.size() > 0) {
    const uint64_t patience = static_cast<uint64_t>(options_.election_ticks);
    for (uint64_t context : forwarded_.DropBefore(now_ < patience ? 0 : now_ - patience)) {
      reads_.push_back({context, LogIndex(0), false});
    }
  }
  if (role_ != Role::kLeader) {
    if (election_elapsed_ >= election_timeout_ && quorum_.IsVoter(options_.self)) StartPreVote();
    return;
  }
  // Check-quorum (thesis §6.2): a leader cut off from its quorum must not keep clients waiting for ever.
  if (!quorum_active()) {
    BecomeFollower(term_, NodeId(0));
    return;
  }
  if (transferring() && ++transfer_elapsed_ >= options_.election_ticks) transfer_target_ = NodeId(0);
  if (++heartbeat_elapsed_ >= options_.heartbeat_ticks) BroadcastHeartbeat();
}

void Raft::Step(Message message) {
  if (message.to != options_.self) return;
  if (!IsPlausible(message)) {
    ++refused_count_;
    return;
  }
  if (AcceptTerm(message)) Dispatch(std::move(message));
}

// Whether a correct sender could have made the message at all, whatever the state here.
bool Raft::IsPlausible(const Message& message) const {
  if (message.from == NodeId(0)) return false;
  // To itself a candidate sends nothing but its vote.
  if (message.from == options_.self && message.type != MessageType::kVoteReply) return false;
  for (uint64_t number : {message.term.value(), message.log_term.value(), message.index.value(),
                          message.commit.value(), message.reject_hint.value(), message.reject_term.value()}) {
    if (number > kMaxNumber) return false;
  }
  if (message.type != MessageType::kAppend) return true;
  if (message.index == LogIndex(0) && message.log_term != Term(0)) return false;
  LogIndex index = message.index;
  Term term = message.log_term;
  for (const Entry& entry : message.entries) {
    if (entry.index != index + 1 || entry.term < term || entry.term == Term(0)) return false;
    index = entry.index;
    term = entry.term;
  }
  return term <= message.term;
}

// The rules for terms (Raft paper §5.1). True: the message is for the current term, or a pre-vote, and is to
// be handled.
bool Raft::AcceptTerm(const Message& message) {
  const bool pre_vote = message.type == MessageType::kPreVote;
  if (message.term < term_) {
    // Without an answer a sender left behind would never learn of this term: its heartbeats would be ignored
    // here, while pre-votes from here are refused by those who hear it.
    if (message.type == MessageType::kAppend || message.type == MessageType::kHeartbeat) {
      Message reply = MessageTo(message.from, MessageType::kAppendReply);
      reply.reject = true;
      Send(std::move(reply));
    } else if (pre_vote || message.type == MessageType::kVote) {
      HandleVoteRequest(message);
    }
    return false;
  }
  if (message.term == term_ || pre_vote) return true;
  // A granted pre-vote carries the term of the future election; no term has changed yet.
  if (message.type == MessageType::kPreVoteReply && !message.reject) return true;
  if (message.type == MessageType::kVote && !message.force && IsSticky()) return false;
  const bool from_leader = message.type == MessageType::kAppend || message.type == MessageType::kHeartbeat ||
                           message.type == MessageType::kSnapshot;
  BecomeFollower(message.term, from_leader ? message.from : NodeId(0));
  return true;
}

void Raft::Dispatch(Message message) {
  switch (message.type) {
    case MessageType::kAppend:
      return HandleAppend(std::move(message));
    case MessageType::kAppendReply:
      return HandleAppendReply(message);
    case MessageType::kHeartbeat:
      return HandleHeartbeat(message);
    case MessageType::kHeartbeatReply:
      return HandleHeartbeatReply(message);
    case MessageType::kPreVote:
    case MessageType::kVote:
      return HandleVoteRequest(message);
    case MessageType::kPreVoteReply:
    case MessageType::kVoteReply:
      return HandleVoteReply(message);
    case MessageType::kTimeoutNow:
      return HandleTimeoutNow(message);
    case MessageType::kReadIndex:
      return HandleReadIndex(message);
    case MessageType::kReadIndexReply:
      return HandleReadIndexReply(message);
    case MessageType::kSnapshot:
      break;  // no leader sends one: no log is cut yet
  }
  ++refused_count_;
}

void Raft::StepDown() {
  if (role_ == Role::kLeader) BecomeFollower(term_, NodeId(0));
}

void Raft::BecomeFollower(Term term, NodeId leader) {
  CAIRN_CHECK(term >= term_) << "term " << term << " after " << term_;
  if (term > term_) {
    term_ = term;
    vote_ = NodeId(0);
    term_durable_ = false;
    matched_ = LogIndex(0);
    acknowledged_ = LogIndex(0);
    ack_due_ = false;
    // A new term may have another leader, or the same one after an interruption: no answer of before counts.
    SetLeader(NodeId(0));
  }
  ResetForRole();
  role_ = Role::kFollower;
  SetLeader(leader);
}

void Raft::SetLeader(NodeId leader) {
  if (leader_ == leader) return;
  leader_ = leader;
  leader_unreachable_ = false;
  DropReads();
}

// Ends what belongs to the role until now.
void Raft::ResetForRole() {
  if (role_ == Role::kLeader) {
    DropReads();
    peers_.clear();
    transfer_target_ = NodeId(0);
    appends_due_ = false;
    uncommitted_bytes_ = 0;
  }
  votes_.Clear();
  election_elapsed_ = 0;
  election_timeout_ = DrawElectionTimeout();
}

bool Raft::quorum_active() const {
  if (role_ != Role::kLeader) return false;
  return quorum_.Has([this](NodeId id) {
    if (id == options_.self) return true;
    const auto peer = std::find_if(peers_.begin(), peers_.end(), [id](const Peer& p) { return p.id == id; });
    return peer != peers_.end() && Heard(*peer);
  });
}

bool Raft::Heard(const Peer& peer) const {
  return now_ - peer.progress.heard_tick() < static_cast<uint64_t>(options_.election_ticks);
}

std::vector<PeerStatus> Raft::peers() const {
  std::vector<PeerStatus> status;
  status.reserve(peers_.size());
  for (const Peer& peer : peers_) {
    status.push_back({peer.id, peer.progress.match(), peer.progress.next(), peer.learner,
                      peer.progress.replicating(), Heard(peer)});
  }
  return status;
}

Raft::Peer* Raft::FindPeer(NodeId id) {
  for (Peer& peer : peers_) {
    if (peer.id == id) return &peer;
  }
  return nullptr;
}

Message Raft::MessageTo(NodeId to, MessageType type) const {
  Message message;
  message.type = type;
  message.from = options_.self;
  message.to = to;
  message.term = term_;
  return message;
}

void Raft::Send(Message message) { messages_.push_back(std::move(message)); }

void Raft::SendAfterPersist(Message message) { messages_after_persist_.push_back(std::move(message)); }

bool Raft::HasDurableTermChange() const { return handed_over_.term != term_ || handed_over_.vote != vote_; }

bool Raft::HasReady() const {
  return !messages_.empty() || !messages_after_persist_.empty() || log_.has_new() || HasDurableTermChange() ||
         log_.MayApply() || ack_due_ || !reads_.empty() || MayStartReadRound() ||
         (appends_due_ && AnyWantsSend()) || shown_role_ != role_ || shown_leader_ != leader_ ||
         shown_term_ != term_;
}

Ready Raft::TakeReady() {
  if (MayStartReadRound()) StartReadRound();
  if (appends_due_) SendAppends();
  if (ack_due_) EmitAcknowledgement();

  Ready ready;
  ready.entries = log_.HandOver(term_);
  ready.must_persist = HasDurableTermChange() || need_persist_ || !ready.entries.empty();
  const HardState hard_state = {term_, vote_, log_.commit()};
  if (hard_state != handed_over_ || need_persist_) {
    ready.hard_state = hard_state;
    handed_over_ = hard_state;
  }
  need_persist_ = false;
  ready.messages = std::exchange(messages_, {});
  ready.messages_after_persist = std::exchange(messages_after_persist_, {});
  ready.reads = std::exchange(reads_, {});
  ready.committed = log_.TakeCommitted();
  if (role_ == Role::kLeader) {
    for (const Entry& entry : ready.committed) {
      if (entry.index >= first_of_term_) uncommitted_bytes_ -= entry.size_bytes();
    }
  }
  ready.leadership_changed = shown_role_ != role_ || shown_leader_ != leader_ || shown_term_ != term_;
  shown_role_ = role_;
  shown_leader_ = leader_;
  shown_term_ = term_;
  return ready;
}

void Raft::Persisted(Term term, LogIndex index) {
  const std::optional<Term> hard_state_term = log_.Persisted(term, index);
  if (!hard_state_term.has_value()) return;
  if (*hard_state_term == term_) term_durable_ = true;
  if (role_ == Role::kLeader) {
    AdvanceCommit();
  } else {
    AcknowledgeIfNew();
  }
}

void Raft::Applied(LogIndex index) { log_.Applied(index); }

void Raft::EntriesLoaded() {
  log_.EntriesLoaded();
  if (role_ == Role::kLeader) appends_due_ = true;
}

}  // namespace cairn::raft
