// Elections: Raft paper §5.2 and §5.4.1, pre-vote (thesis §9.6), stickiness (§4.2.3), transfer (§3.10).
#include <algorithm>
#include <utility>

#include "raft/check.h"
#include "raft/raft.h"

namespace cairn::raft {

int Raft::DrawElectionTimeout() {
  // xorshift64*; the constructor made the state non-zero for all practical purposes, and 0 would only mean a
  // constant timeout.
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  const uint64_t draw = (random_ * 0x2545f4914f6cdd1d) >> 32;
  return options_.election_ticks + static_cast<int>(draw % static_cast<uint64_t>(options_.election_ticks));
}

void Raft::Campaign() {
  if (role_ != Role::kLeader && quorum_.IsVoter(options_.self)) StartPreVote();
}

void Raft::LeaderUnreachable() {
  if (role_ == Role::kFollower && leader_ != NodeId(0)) leader_unreachable_ = true;
}

// Asks whether an election could be won, without disturbing anyone: no term and no vote changes.
void Raft::StartPreVote() {
  ResetForRole();
  role_ = Role::kPreCandidate;
  SetLeader(NodeId(0));
  votes_.Record(options_.self, true);
  for (const std::vector<NodeId>* half : {&configuration_.voters, &configuration_.voters_outgoing}) {
    for (NodeId id : *half) {
      if (id == options_.self) continue;
      Message request = MessageTo(id, MessageType::kPreVote);
      request.term = term_ + 1;
      request.index = log_.last_index();
      request.log_term = log_.last_term();
      Send(std::move(request));
    }
  }
  TallyVotes();
}

void Raft::StartElection(bool force) {
  BecomeFollower(term_ + 1, NodeId(0));
  role_ = Role::kCandidate;
  vote_ = options_.self;
  // The requests wait for the disk too. They promise a log up to the last index in this term; after a crash
  // that loses the term or that tail, the member could campaign in the same term again with a shorter log,
  // and late answers to the first requests would elect it.
  for (const std::vector<NodeId>* half : {&configuration_.voters, &configuration_.voters_outgoing}) {
    for (NodeId id : *half) {
      if (id == options_.self) continue;
      Message request = MessageTo(id, MessageType::kVote);
      request.index = log_.last_index();
      request.log_term = log_.last_term();
      request.force = force;
      SendAfterPersist(std::move(request));
    }
  }
  SendAfterPersist(MessageTo(options_.self, MessageType::kVoteReply));
}

void Raft::TallyVotes() {
  const VoteResult result = votes_.Result(quorum_);
  if (result == VoteResult::kLost) {
    BecomeFollower(term_, NodeId(0));
  } else if (result == VoteResult::kWon && role_ == Role::kPreCandidate) {
    StartElection(false);
  } else if (result == VoteResult::kWon && votes_.Of(options_.self).has_value()) {
    // Not before its own vote is durable: after a crash it would be a second leader in the same term.
    BecomeLeader();
  }
}

void Raft::BecomeLeader() {
  CAIRN_CHECK(role_ == Role::kCandidate && vote_ == options_.self) << "a leader that was no candidate";
  ResetForRole();
  role_ = Role::kLeader;
  term_durable_ = true;
  heartbeat_elapsed_ = 0;
  uncommitted_bytes_ = 0;
  SetLeader(options_.self);
  const LogIndex next = log_.last_index() + 1;
  const auto add = [&](NodeId id, bool learner) {
    if (id == options_.self || FindPeer(id) != nullptr) return;
    peers_.push_back(
        {id, learner,
         Progress(next, now_, Inflights(options_.max_inflight_appends, options_.max_inflight_bytes))});
  };
  for (NodeId id : configuration_.voters) add(id, false);
  for (NodeId id : configuration_.voters_outgoing) add(id, false);
  for (NodeId id : configuration_.learners) add(id, true);
  // Raft paper §5.4.2, §8: only an entry of its own term commits what came before and tells the leader where
  // the commit index is.
  first_of_term_ = next;
  AppendOwn({nullptr});
}

// A follower that heard its leader lately helps no one depose it (thesis §4.2.3); a leader stays until it
// misses its quorum. A broken connection to the leader lifts this.
bool Raft::IsSticky() const {
  if (role_ == Role::kLeader) return true;
  return leader_ != NodeId(0) && !leader_unreachable_ && election_elapsed_ < options_.election_ticks;
}

void Raft::HandleVoteRequest(const Message& message) {
  const bool pre_vote = message.type == MessageType::kPreVote;
  Message reply = MessageTo(message.from, pre_vote ? MessageType::kPreVoteReply : MessageType::kVoteReply);
  // In the current term: one vote, and none once the term has a leader. A future term's vote is still free.
  const bool free =
      message.term > term_ ||
      (message.term == term_ && (vote_ == message.from || (vote_ == NodeId(0) && leader_ == NodeId(0))));
  const bool held_back = pre_vote && IsSticky();
  if (message.term < term_ || !free || held_back || !log_.IsUpToDate(message.log_term, message.index)) {
    // A refusal counts for nothing, so it needs no disk.
    reply.reject = true;
    Send(std::move(reply));
    return;
  }
  if (pre_vote) {
    reply.term = message.term;
    Send(std::move(reply));
    return;
  }
  vote_ = message.from;
  election_elapsed_ = 0;
  need_persist_ = true;
  SendAfterPersist(std::move(reply));
}

void Raft::HandleVoteReply(const Message& message) {
  const bool pre_vote = message.type == MessageType::kPreVoteReply;
  if (role_ != (pre_vote ? Role::kPreCandidate : Role::kCandidate)) return;
  if (pre_vote && !message.reject && message.term != term_ + 1) return;
  if (!quorum_.IsVoter(message.from)) return;
  votes_.Record(message.from, !message.reject);
  TallyVotes();
}

void Raft::HandleTimeoutNow(const Message& message) {
  if (role_ == Role::kLeader || !quorum_.IsVoter(options_.self)) return;
  if (leader_ != message.from) return;
  StartElection(true);
}

void Raft::TransferLeadership(NodeId to) {
  if (role_ != Role::kLeader || to == transfer_target_) return;
  const Peer* peer = FindPeer(to);
  if (peer == nullptr || peer->learner) return;
  transfer_target_ = to;
  transfer_elapsed_ = 0;
  appends_due_ = true;
  TryFinishTransfer();
}

void Raft::TryFinishTransfer() {
  const Peer* target = FindPeer(transfer_target_);
  if (target == nullptr || target->progress.match() < log_.last_index()) return;
  Send(MessageTo(transfer_target_, MessageType::kTimeoutNow));
}

}  // namespace cairn::raft
