// The Raft core of one member: election, replication, linearizable reads (Raft paper; thesis of D. Ongaro).
//
// A pure state machine: ticks, messages and proposals go in; TakeReady() gives what follows from them: what
// to persist, to send, to apply. No I/O, clock, thread or random device. Equal calls give equal results.
//
// The driving loop:
//   1. call Tick / Step / Propose / ReadIndex / … as things happen;
//   2. while HasReady(): take a Ready; send `messages`; start the write of `hard_state` and `entries`; apply
//      `committed`; answer `reads`;
//   3. when that write is durable: Persisted(term and index of its last entry), if it had entries, then send
//      `messages_after_persist`; when a batch is applied: Applied(its last index).
// Writes may overlap with everything else, but become durable in order. Persisted is called once for each
// Ready that had entries, in the same order.
//
// Thread safety: none; one thread owns it.
// Ownership:     entries' payloads are shared, never copied. The LogReader is borrowed for the whole life.
// Survives a crash: what was durable of hard_state and entries; it is given to the constructor again.
// Invariants:    term, commit and applied index never decrease; a committed entry never changes; at most one
//                leader a term; commit <= last index; entries are contiguous. A break ends the process
//                (CAIRN_CHECK). Messages that no correct peer sends are counted (refused_count) and ignored.
#ifndef CAIRN_RAFT_RAFT_H_
#define CAIRN_RAFT_RAFT_H_

#include <cstdint>
#include <vector>

#include "raft/forwarded_reads.h"
#include "raft/log_reader.h"
#include "raft/options.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/raft_log.h"
#include "raft/read_index_queue.h"
#include "raft/ready.h"
#include "raft/types.h"
#include "raft/votes.h"

namespace cairn::raft {

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

enum class ProposeResult : uint8_t {
  kAccepted,            // in the leader's log; whether it commits is seen in Ready.committed
  kNotLeader,           //
  kTransferring,        // leadership is being handed over
  kTooMuchUncommitted,  // Options.max_uncommitted_bytes; nothing of the batch was taken
};

// How far one other member is, as its leader sees it.
struct PeerStatus {
  NodeId id;
  LogIndex match;  // known to be durable there and equal to ours
  LogIndex next;   // the next entry to send
  bool learner = false;
  bool replicating = false;  // entries are pipelined; false: the leader still looks for the common position
  bool active = false;       // heard within the last election timeout
};

class Raft {
 public:
  // `applied`: the index up to which the state machine already is; at most the log's last index.
  Raft(const Options& options, const HardState& hard_state, const Configuration& configuration,
       LogIndex applied, LogReader* log);

  // One tick of the clock: election timeout, heartbeats, check-quorum.
  void Tick();

  // A message for this member. `from` must be the sender that the transport authenticated, and this member's
  // own id only on messages_after_persist. Ignores what is stale, not for it, or impossible.
  void Step(Message message);

  // Appends a batch; none of the payloads is null. Sent to the followers with the next Ready.
  ProposeResult Propose(std::vector<Payload> batch);

  // Asks for a linearizable read position; the answer comes in Ready.reads (thesis §6.4). On any member.
  // `context` names the request; unique among those waiting. False: no leader is known; nothing was begun.
  bool ReadIndex(uint64_t context);

  // Leader: brings the voter `to` up to date and lets it campaign at once (thesis §3.10). Proposals are
  // refused meanwhile. Given up after an election timeout. Nothing happens if this is no leader or `to` no
  // other voter.
  void TransferLeadership(NodeId to);

  // This follower's own connection to the leader broke. Until the leader is heard again, stickiness no longer
  // keeps this member from granting votes.
  void LeaderUnreachable();

  // Starts a pre-vote now instead of at the election timeout. Nothing happens on a leader or a learner.
  void Campaign();

  // Messages to the peer were lost: its window is emptied, and the leader looks for its position anew as soon
  // as it answers a heartbeat.
  void PeerUnreachable(NodeId peer);

  // A leader that cannot do its work (its disk stalls) becomes a follower of the same term.
  void StepDown();

  bool HasReady() const;
  Ready TakeReady();

  void Persisted(Term term, LogIndex index);
  void Applied(LogIndex index);
  // Entries of the log that a read found UNAVAILABLE are in memory now: sending and applying go on.
  void EntriesLoaded();

  Role role() const { return role_; }
  Term term() const { return term_; }
  NodeId leader() const { return leader_; }  // 0: none known
  LogIndex commit() const { return log_.commit(); }
  LogIndex applied() const { return log_.applied(); }
  LogIndex last_index() const { return log_.last_index(); }
  const Configuration& configuration() const { return configuration_; }
  // Leader: a quorum was heard within the last election timeout. False on all others.
  bool quorum_active() const;
  bool transferring() const { return transfer_target_ != NodeId(0); }
  std::vector<PeerStatus> peers() const;                     // empty unless leader
  uint64_t refused_count() const { return refused_count_; }  // messages that no correct peer sends

 private:
  struct Peer {
    NodeId id;
    bool learner;
    Progress progress;
  };

  // raft.cc: roles, terms, dispatch.
  void BecomeFollower(Term term, NodeId leader);
  void SetLeader(NodeId leader);
  void ResetForRole();
  bool IsPlausible(const Message& message) const;
  bool AcceptTerm(const Message& message);
  void Dispatch(Message message);
  void Send(Message message);
  void SendAfterPersist(Message message);
  Message MessageTo(NodeId to, MessageType type) const;
  Peer* FindPeer(NodeId id);
  bool HasDurableTermChange() const;
  bool Heard(const Peer& peer) const;

  // election.cc
  void StartPreVote();
  void StartElection(bool force);
  void TallyVotes();
  void BecomeLeader();
  bool IsSticky() const;
  void HandleVoteRequest(const Message& message);
  void HandleVoteReply(const Message& message);
  void HandleTimeoutNow(const Message& message);
  void TryFinishTransfer();
  int DrawElectionTimeout();

  // replication.cc
  void HandleAppend(Message message);
  void HandleAppendReply(const Message& message);
  void HandleHeartbeat(const Message& message);
  void HandleHeartbeatReply(const Message& message);
  bool FollowLeaderOf(const Message& message);
  void AppendOwn(std::vector<Payload> batch);
  void AdvanceCommit();
  void BroadcastHeartbeat();
  bool AnyWantsSend() const;
  void SendAppends();
  void SendAppendsTo(Peer& peer);
  void AcknowledgeIfNew();
  void EmitAcknowledgement();

  // reads.cc
  void HandleReadIndex(const Message& message);
  void HandleReadIndexReply(const Message& message);
  bool MayStartReadRound() const;
  void StartReadRound();
  void AnswerConfirmedReads();
  void Refuse(const ReadIndexQueue::Request& request);
  void DropReads();

  // Constant after construction.
  const Options options_;
  const Configuration configuration_;
  const Quorum quorum_;

  // What the hard state holds; commit is the log's.
  RaftLog log_;
  Term term_;
  NodeId vote_;
  HardState handed_over_;      // as of the last Ready that carried one
  bool term_durable_ = true;   // a hard state of term_ is known to be on disk
  bool need_persist_ = false;  // a message of this Ready waits for a hard state not known to be durable

  Role role_ = Role::kFollower;
  NodeId leader_;
  bool leader_unreachable_ = false;
  uint64_t now_ = 0;  // ticks since the start
  uint64_t random_;
  int election_elapsed_ = 0;  // ticks since the leader was heard, or the campaign or role began
  int election_timeout_ = 0;

  // Campaigning.
  Votes votes_;

  // Following, within this term.
  LogIndex matched_;       // the log equals the leader's up to here
  LogIndex acknowledged_;  // told the leader that it is durable up to here
  bool ack_due_ = false;

  // Leading.
  std::vector<Peer> peers_;
  LogIndex first_of_term_;  // the no-op
  size_t uncommitted_bytes_ = 0;
  int heartbeat_elapsed_ = 0;
  NodeId transfer_target_;
  int transfer_elapsed_ = 0;
  bool appends_due_ = false;
  ReadIndexQueue read_queue_;

  ForwardedReads forwarded_;

  // For the next Ready.
  std::vector<Message> messages_;
  std::vector<Message> messages_after_persist_;
  std::vector<ReadState> reads_;
  Role shown_role_ = Role::kFollower;
  NodeId shown_leader_;
  Term shown_term_;

  uint64_t refused_count_ = 0;
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_RAFT_H_
