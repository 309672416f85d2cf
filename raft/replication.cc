// Replication: Raft paper §5.3, §5.4.2; pipelining and the leader's parallel disk write (thesis §10.2).
#include <algorithm>
#include <tuple>
#include <utility>

#include "raft/check.h"
#include "raft/raft.h"

namespace cairn::raft {
namespace {

// A probe is often refused; it carries little.
constexpr size_t kMaxProbeBytes = 64 << 10;

}  // namespace

ProposeResult Raft::Propose(std::vector<Payload> batch) {
  if (role_ != Role::kLeader) return ProposeResult::kNotLeader;
  if (transferring()) return ProposeResult::kTransferring;
  size_t bytes = 0;
  for (const Payload& payload : batch) {
    CAIRN_CHECK(payload != nullptr) << "a proposal without bytes: only a new leader appends a no-op";
    bytes += payload->size();
  }
  // A batch larger than the limit still passes alone; else it could never be proposed.
  if (uncommitted_bytes_ > 0 && uncommitted_bytes_ + bytes > options_.max_uncommitted_bytes) {
    return ProposeResult::kTooMuchUncommitted;
  }
  uncommitted_bytes_ += bytes;
  AppendOwn(std::move(batch));
  return ProposeResult::kAccepted;
}

void Raft::AppendOwn(std::vector<Payload> batch) {
  for (Payload& payload : batch) {
    log_.Append({term_, log_.last_index() + 1, EntryType::kCommand, std::move(payload)});
  }
  appends_due_ = true;
}

// Raft paper §5.3, §5.4.2 and figure 8: the highest index durable on a quorum, if it is of this term.
void Raft::AdvanceCommit() {
  const LogIndex index = quorum_.Highest([this](NodeId id) {
    if (id == options_.self) return log_.persisted();
    const Peer* peer = FindPeer(id);
    return peer == nullptr ? LogIndex(0) : peer->progress.match();
  });
  if (index < first_of_term_ || index <= log_.commit()) return;
  log_.CommitTo(index);
  appends_due_ = true;
}

void Raft::PeerUnreachable(NodeId id) {
  Peer* peer = FindPeer(id);
  if (peer == nullptr) return;
  peer->progress.Lost();
}

void Raft::BroadcastHeartbeat() {
  heartbeat_elapsed_ = 0;
  for (const Peer& peer : peers_) {
    Message heartbeat = MessageTo(peer.id, MessageType::kHeartbeat);
    // Beyond match the follower's log may differ: it must not take that for committed.
    heartbeat.commit = std::min(peer.progress.match(), log_.commit());
    heartbeat.context = read_queue_.round();
    Send(std::move(heartbeat));
  }
}

bool Raft::AnyWantsSend() const {
  for (const Peer& peer : peers_) {
    if (peer.progress.MaySend() && peer.progress.WantsSend(log_.last_index(), log_.commit())) return true;
  }
  return false;
}

// Once per Ready, so that proposals and acknowledgements that came together share their messages.
void Raft::SendAppends() {
  appends_due_ = false;
  for (Peer& peer : peers_) SendAppendsTo(peer);
}

void Raft::SendAppendsTo(Peer& peer) {
  Progress& progress = peer.progress;
  while (progress.MaySend() && progress.WantsSend(log_.last_index(), log_.commit())) {
    Message append = MessageTo(peer.id, MessageType::kAppend);
    append.index = progress.next() - 1;
    const std::optional<Term> log_term = log_.TermAt(append.index);
    // Cut away: only a snapshot can help this follower.
    if (!log_term.has_value()) return;
    append.log_term = *log_term;
    append.commit = log_.commit();
    size_t bytes = 0;
    if (progress.next() <= log_.last_index()) {
      const size_t max_bytes = progress.replicating() ? options_.max_append_bytes
                                                      : std::min(options_.max_append_bytes, kMaxProbeBytes);
      absl::StatusOr<std::vector<Entry>> entries =
          log_.Entries(progress.next(), log_.last_index() + 1, max_bytes);
      // Being loaded (EntriesLoaded() comes back here), or cut away.
      if (!entries.ok()) return;
      append.entries = *std::move(entries);
      for (const Entry& entry : append.entries) bytes += entry.size_bytes();
    }
    progress.Sent(append.entries.size(), bytes, append.commit);
    Send(std::move(append));
  }
}

// True: the sender leads this term, and this member follows it.
bool Raft::FollowLeaderOf(const Message& message) {
  // Two leaders in one term: the other one is broken (Raft paper §5.2).
  if (role_ == Role::kLeader || (leader_ != NodeId(0) && leader_ != message.from)) {
    ++refused_count_;
    return false;
  }
  if (role_ != Role::kFollower || leader_ == NodeId(0)) BecomeFollower(term_, message.from);
  election_elapsed_ = 0;
  leader_unreachable_ = false;
  return true;
}

void Raft::HandleAppend(Message message) {
  if (!FollowLeaderOf(message)) return;
  if (!log_.Matches(message.index, message.log_term)) {
    // A leader has every committed entry, and never changes its log (Raft paper §5.3, §5.4).
    if (message.index <= std::max(log_.commit(), matched_)) {
      ++refused_count_;
      return;
    }
    Message reply = MessageTo(leader_, MessageType::kAppendReply);
    reply.reject = true;
    reply.index = message.index;
    std::tie(reply.reject_hint, reply.reject_term) = log_.LastAtMost(message.index, message.log_term);
    if (reply.reject_hint < log_.commit()) {
      // What is committed is in the leader's log too.
      reply.reject_hint = log_.commit();
      reply.reject_term = log_.TermAt(log_.commit()).value_or(Term(0));
    }
    // Nothing is promised by a refusal: no disk to wait for.
    Send(std::move(reply));
    return;
  }
  const bool has_entries = !message.entries.empty();
  const LogIndex end = message.index + message.entries.size();
  if (!log_.Merge(std::move(message.entries), matched_)) {
    ++refused_count_;
    return;
  }
  matched_ = std::max(matched_, end);
  const LogIndex commit_before = log_.commit();
  log_.CommitTo(std::min(message.commit, matched_));
  // At most `persisted` is acknowledged. What is not yet durable is acknowledged by Persisted(). A message
  // that only moved the commit index needs no answer: if the acknowledgement it relies on was lost, the
  // leader asks again after a heartbeat, and then it moves nothing.
  const bool only_commit = !has_entries && log_.commit() > commit_before && end <= acknowledged_;
  if (!only_commit && std::min(matched_, log_.persisted()) >= end) ack_due_ = true;
  AcknowledgeIfNew();
}

void Raft::AcknowledgeIfNew() {
  if (leader_ == NodeId(0)) return;
  if (std::min(matched_, log_.persisted()) > acknowledged_) ack_due_ = true;
}

// One acknowledgement for all appends since the last Ready.
void Raft::EmitAcknowledgement() {
  ack_due_ = false;
  if (role_ != Role::kFollower || leader_ == NodeId(0)) return;
  acknowledged_ = std::max(acknowledged_, std::min(matched_, log_.persisted()));
  Message reply = MessageTo(leader_, MessageType::kAppendReply);
  reply.index = acknowledged_;
  if (term_durable_) {
    Send(std::move(reply));
    return;
  }
  // Having lost this term in a crash, the member could help elect a leader of an older one that replaces what
  // is acknowledged here.
  need_persist_ = true;
  SendAfterPersist(std::move(reply));
}

void Raft::HandleAppendReply(const Message& message) {
  Peer* peer = FindPeer(message.from);
  if (role_ != Role::kLeader || peer == nullptr) return;
  peer->progress.Heard(now_);
  if (message.index > log_.last_index()) {
    ++refused_count_;
    return;
  }
  if (message.reject) {
    const LogIndex retry = log_.LastAtMost(message.reject_hint, message.reject_term).first;
    if (peer->progress.Refused(message.index, retry)) appends_due_ = true;
    return;
  }
  const bool news = peer->progress.Accepted(message.index);
  appends_due_ = true;
  if (!news) return;
  AdvanceCommit();
  if (transfer_target_ == peer->id) TryFinishTransfer();
}

void Raft::HandleHeartbeat(const Message& message) {
  if (message.commit > log_.last_index()) {
    ++refused_count_;  // it is at most what this member acknowledged
    return;
  }
  if (!FollowLeaderOf(message)) return;
  log_.CommitTo(message.commit);
  Message reply = MessageTo(leader_, MessageType::kHeartbeatReply);
  reply.context = message.context;
  Send(std::move(reply));
}

void Raft::HandleHeartbeatReply(const Message& message) {
  Peer* peer = FindPeer(message.from);
  if (role_ != Role::kLeader || peer == nullptr) return;
  peer->progress.Heard(now_);
  peer->progress.HeartbeatAnswered(log_.last_index(), now_);
  appends_due_ = true;
  read_queue_.Acknowledge(message.from, message.context);
  AnswerConfirmedReads();
}

}  // namespace cairn::raft
