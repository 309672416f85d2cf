// Reads and leases: what needs a quorum's word that this leader still leads.
#include <utility>

#include "server/node/node.h"

namespace cairn::server {

bool Node::RefusesLocalRead(Done& done) {
  if (!stopped_ && reads_.running() < options_.max_waiting) return false;
  storage::Result refused;
  refused.error = stopped_ ? ClientError::kStopped : ClientError::kTooManyRequests;
  done(std::move(refused));
  return true;
}

void Node::Range(etcdserverpb::RangeRequest request, Done done) {
  if (request.serializable()) {
    if (!RefusesLocalRead(done)) reads_.Range(std::move(request), std::move(done));
    return;
  }
  LinearizableBarrier(
      [this, request = std::move(request), done = std::move(done)](ClientError error) mutable {
        if (error == ClientError::kOk) return reads_.Range(std::move(request), std::move(done));
        storage::Result result;
        result.error = error;
        done(std::move(result));
      });
}

void Node::ReadTxn(etcdserverpb::TxnRequest request, Done done) {
  bool serializable = true;
  for (const auto* branch : {&request.success(), &request.failure()}) {
    for (const etcdserverpb::RequestOp& op : *branch) {
      serializable = serializable && op.has_request_range() && op.request_range().serializable();
    }
  }
  if (serializable) {
    if (!RefusesLocalRead(done)) reads_.Txn(std::move(request), std::move(done));
    return;
  }
  LinearizableBarrier(
      [this, request = std::move(request), done = std::move(done)](ClientError error) mutable {
        if (error == ClientError::kOk) return reads_.Txn(std::move(request), std::move(done));
        storage::Result result;
        result.error = error;
        done(std::move(result));
      });
}

void Node::HashKv(storage::Revision at, Done done) {
  if (!RefusesLocalRead(done)) reads_.HashKv(at, std::move(done));
}

void Node::LinearizableBarrier(ErrorDone done) {
  if (stopped_) return done(ClientError::kStopped);
  barriers_.Add(std::move(done), loop_.Now());
  ScheduleDrive();
}

void Node::StartReadRound() {
  const raft::NodeId leader = raft_->leader();
  // A question that cannot reach the leader would only be waited for in vain.
  if (leader != options_.self && !is_up(leader)) return;
  const uint64_t round = barriers_.BeginRound(loop_.Now());
  if (raft_->ReadIndex(round)) return;
  barriers_.RoundFailed(round);
  read_round_refused_ = true;
}

void Node::AbandonReadRound() {
  if (is_leader()) return;  // its round is repeated with every heartbeat, and ends with the term
  barriers_.GiveUpRoundBegunBefore(absl::InfiniteDuration());
  read_round_refused_ = true;
}

void Node::OnReadState(const raft::ReadState& state) {
  if (!state.ok) {
    barriers_.RoundFailed(state.context);
    read_round_refused_ = true;
    return;
  }
  const std::optional<absl::Duration> began = barriers_.RoundBegan(state.context);
  if (!began.has_value()) return;  // given up meanwhile
  if (CountsLeases()) lessor_.QuorumConfirmed(*began);
  barriers_.Confirmed(state.context, state.index);
  barriers_.Applied(store_.applied_index());
  ScheduleDrive();
}

// --- Leases ---

void Node::LeaseKeepAlive(storage::LeaseId id, LeaseDone done) {
  if (stopped_) return done({.error = ClientError::kStopped});
  lease_desk_.Add(id, /*keep_alive=*/true, std::move(done), loop_.Now());
  ScheduleDrive();
}

void Node::LeaseTimeToLive(storage::LeaseId id, LeaseDone done) {
  if (stopped_) return done({.error = ClientError::kStopped});
  lease_desk_.Add(id, /*keep_alive=*/false, std::move(done), loop_.Now());
  ScheduleDrive();
}

void Node::RouteLeaseCalls() {
  const raft::NodeId leader = raft_->leader();
  if (leader == raft::NodeId()) return;
  if (leader != options_.self) {
    if (!is_up(leader)) return;
    std::vector<LeaseCall> calls = lease_desk_.TakeUnsent(loop_.Now());
    std::vector<LeaseCall>& outbox = OutboxOf(leader).lease_calls;
    outbox.insert(outbox.end(), calls.begin(), calls.end());
    return;
  }
  for (const LeaseCall& call : lease_desk_.TakeUnsent(loop_.Now())) {
    AnswerLeaseCall(call, [this, alive = alive_](const LeaseAnswer& answer) {
      if (*alive) lease_desk_.OnAnswer(answer);
    });
  }
  // The calls above wait for a confirmation that begins now.
  if (barriers_.wants_round() && !read_round_refused_) StartReadRound();
}

void Node::AnswerLeaseCall(const LeaseCall& call, absl::AnyInvocable<void(const LeaseAnswer&)> answer) {
  if (!is_leader()) return answer({.call_id = call.call_id, .error = ClientError::kNotLeader});
  LinearizableBarrier([this, call, answer = std::move(answer)](ClientError error) mutable {
    LeaseAnswer result{.call_id = call.call_id};
    const storage::LeaseId id(call.lease_id);
    // A confirmed round may be read in the turn that also brings the end of the term.
    if (error != ClientError::kOk || !CountsLeases()) {
      result.error = error != ClientError::kOk ? error : ClientError::kNotLeader;
      return answer(result);
    }
    if (call.keep_alive) return KeepAliveAtLeader(call.call_id, id, std::move(answer));
    const Lessor::Time time = lessor_.TimeToLive(id);
    result.ttl_s = time.ttl_s;
    result.granted_ttl_s = time.granted_ttl_s;
    answer(result);
  });
}

void Node::KeepAliveAtLeader(uint64_t call_id, storage::LeaseId id,
                             absl::AnyInvocable<void(const LeaseAnswer&)> answer) {
  const Lessor::Renewal renewal = lessor_.Renew(id);
  LeaseAnswer result{.call_id = call_id, .ttl_s = renewal.ttl_s, .granted_ttl_s = renewal.ttl_s};
  if (!renewal.needs_clear) return answer(result);
  // A shorter remainder stands in the log: a new leader would start from it. The answer waits until it is
  // gone.
  const raft::Term term = lessor_.term();
  internal::Command command;
  command.mutable_lease_checkpoint()->set_term(term.value());
  command.mutable_lease_checkpoint()->add_leases()->set_id(id.value());
  Propose(std::move(command),
          [this, term, result, answer = std::move(answer)](storage::Result&& applied) mutable {
            result.error = applied.error;
            // In a later term the store passes the entry over: whoever leads then counts from the shorter
            // remainder. The caller asks again.
            const bool term_over = applied.error == ClientError::kOk && store_.applied_term() != term;
            if (term_over || applied.error == ClientError::kLeaderChanged)
              result.error = ClientError::kNotLeader;
            answer(result);
          });
}

void Node::DriveLessor() {
  if (!CountsLeases() || lessor_.lease_count() == 0) return;
  // Time counts only while a quorum goes on confirming this leader.
  if (!barriers_.wants_round()) LinearizableBarrier([](ClientError) {});
  if (raft_->transferring()) return;
  for (std::vector<storage::LeaseId> expired = lessor_.TakeExpired(); !expired.empty();
       expired = lessor_.TakeExpired()) {
    internal::Command command;
    command.mutable_lease_expire()->set_term(raft_->term().value());
    for (storage::LeaseId id : expired) command.mutable_lease_expire()->add_ids(id.value());
    if (!ProposeOwn(command)) return lessor_.ExpiryRefused(expired);
  }
  for (std::vector<Lessor::Remaining> due = lessor_.TakeCheckpoints(); !due.empty();
       due = lessor_.TakeCheckpoints()) {
    internal::Command command;
    command.mutable_lease_checkpoint()->set_term(raft_->term().value());
    for (const Lessor::Remaining& lease : due) {
      auto* remaining = command.mutable_lease_checkpoint()->add_leases();
      remaining->set_id(lease.id.value());
      remaining->set_remaining_ttl_s(lease.remaining_ttl_s);
    }
    if (!ProposeOwn(command)) return lessor_.CheckpointRefused(due);
  }
}

}  // namespace cairn::server
