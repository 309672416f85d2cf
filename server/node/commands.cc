// Commands: from the queue into the log, or to the leader.
#include <algorithm>
#include <utility>

#include "server/node/node.h"

namespace cairn::server {
namespace {

// How long commands wait for a quorum to have the entry before theirs.
constexpr absl::Duration kShareEntry = absl::Milliseconds(1);

}  // namespace

void Node::Propose(internal::Command command, Done done) {
  storage::Result refused;
  if (stopped_) {
    refused.error = ClientError::kStopped;
    return done(std::move(refused));
  }
  if (raft_->commit() - store_.applied_index() > options_.max_unapplied_entries) {
    refused.error = ClientError::kTooManyRequests;
    return done(std::move(refused));
  }
  proposals_.Add(command, std::move(done), loop_.Now());
  ScheduleDrive();
}

bool Node::ProposalGateOpen() const {
  // One entry of commands is on its way at a time: what arrives meanwhile shares the next one, and a turn of
  // messages and syncs costs the same for one command as for a hundred. It is through when a quorum has it;
  // a quorum that takes long is not waited for once this disk has it, so that distance costs no throughput,
  // nor a leader's slow disk.
  if (raft_->commit() >= last_proposed_) return true;
  return persisted_ >= last_proposed_ && loop_.Now() - last_proposed_at_ >= kShareEntry;
}

void Node::ProposeQueued() {
  const raft::NodeId leader = raft_->leader();
  if (leader == raft::NodeId()) return;  // they wait for one, until their time limit
  if (leader != options_.self) return ForwardQueued();
  if (raft_->transferring()) return;
  if (!ProposalGateOpen()) {
    // What opens it by itself is the time; a commit or a finished write drives anyway.
    if (persisted_ >= last_proposed_ && gate_timer_ == nullptr) {
      gate_timer_ = loop_.After(last_proposed_at_ + kShareEntry - loop_.Now(), [this] {
        gate_timer_.reset();
        ScheduleDrive();
      });
    }
    return;
  }

  std::vector<raft::Payload> batches;
  if (proposals_.has_queued()) {
    raft::Payload own = proposals_.TakeBatch(raft_->term(), /*forwarded=*/false);
    if (own != nullptr) batches.push_back(std::move(own));
  }
  std::vector<ForwardedBatch> taken;
  size_t bytes = batches.empty() ? 0 : batches.front()->size();
  const size_t max_bytes = Proposals::Limits().max_batch_bytes;
  while (!forwarded_.empty() && (bytes == 0 || bytes + forwarded_.front().commands->size() <= max_bytes)) {
    bytes += forwarded_.front().commands->size();
    forwarded_bytes_ -= forwarded_.front().commands->size();
    batches.push_back(forwarded_.front().commands);
    taken.push_back(std::move(forwarded_.front()));
    forwarded_.pop_front();
  }
  if (batches.empty()) return;

  // CommandBatches put one behind the other are one CommandBatch. A lone one is passed on as it is.
  raft::Payload entry = batches.front();
  if (batches.size() > 1) {
    auto joined = std::make_shared<std::string>();
    joined->reserve(bytes);
    for (const raft::Payload& batch : batches) joined->append(*batch);
    entry = std::move(joined);
  }
  if (raft_->Propose({std::move(entry)}) == raft::ProposeResult::kAccepted) {
    last_proposed_ = raft_->last_index();
    last_proposed_at_ = loop_.Now();
    return;
  }
  // The only refusal left: too much is uncommitted. Nothing happened.
  if (taken.size() < batches.size())
    RefuseForwarded(options_.self, batches.front(), ClientError::kTooManyRequests);
  for (const ForwardedBatch& batch : taken) {
    RefuseForwarded(batch.from, batch.commands, ClientError::kTooManyRequests);
  }
}

void Node::ForwardQueued() {
  const raft::NodeId leader = raft_->leader();
  if (!is_up(leader)) return;
  PeerBatch& outbox = OutboxOf(leader);
  outbox.forward_term = raft_->term();
  while (proposals_.has_queued()) {
    raft::Payload batch = proposals_.TakeBatch(raft_->term(), /*forwarded=*/true);
    if (batch != nullptr) outbox.forward.push_back(std::move(batch));
  }
}

void Node::OnForwarded(raft::NodeId from, raft::Term term, std::vector<raft::Payload> batches) {
  const bool may_append = is_leader() && raft_->term() == term;
  for (raft::Payload& batch : batches) {
    if (!may_append) {
      RefuseForwarded(from, batch, ClientError::kLeaderChanged);
    } else if (forwarded_bytes_ + batch->size() > Proposals::Limits().max_queued_bytes) {
      RefuseForwarded(from, batch, ClientError::kTooManyRequests);
    } else {
      forwarded_bytes_ += batch->size();
      forwarded_.push_back({from, std::move(batch)});
    }
  }
}

void Node::RefuseForwarded(raft::NodeId from, const raft::Payload& batch, ClientError error) {
  internal::CommandBatch commands;
  if (!commands.ParseFromString(*batch)) return;  // not from a correct peer: nobody waits for it
  for (const internal::Command& command : commands.commands()) {
    if (from == options_.self) {
      storage::Result result;
      result.error = error;
      proposals_.Complete(command.request_id(), std::move(result));
    } else {
      OutboxOf(from).refused.push_back({command.request_id(), error});
    }
  }
}

void Node::RefuseAllForwarded(ClientError error) {
  for (const ForwardedBatch& batch : std::exchange(forwarded_, {}))
    RefuseForwarded(batch.from, batch.commands, error);
  forwarded_bytes_ = 0;
}

bool Node::ProposeOwn(const internal::Command& command) {
  internal::CommandBatch batch;
  *batch.add_commands() = command;
  return raft_->Propose({std::make_shared<const std::string>(batch.SerializeAsString())}) ==
         raft::ProposeResult::kAccepted;
}

void Node::PublishAttributes() {
  if (published_ || publishing_ || raft_->leader() == raft::NodeId()) return;
  MemberInfo self;
  for (const MemberInfo& member : options_.members) {
    if (member.id == options_.self) self = member;
  }
  for (const internal::MemberAttributes& known : store_.MemberAttributes()) {
    if (known.member_id() != options_.self.value() || known.name() != self.name) continue;
    if (!std::equal(known.client_urls().begin(), known.client_urls().end(), options_.client_urls.begin(),
                    options_.client_urls.end())) {
      continue;
    }
    published_ = true;
    observer_.OnPublished();
    return;
  }
  internal::Command command;
  internal::MemberAttributes* attributes = command.mutable_member_attributes();
  attributes->set_member_id(options_.self.value());
  attributes->set_name(self.name);
  for (const std::string& url : options_.client_urls) attributes->add_client_urls(url);
  publishing_ = true;
  Propose(std::move(command), [this, alive = alive_](storage::Result&& result) {
    if (!*alive) return;
    publishing_ = false;
    // After an error the next tick tries again.
    if (result.error == ClientError::kOk && !stopped_) PublishAttributes();
  });
}

}  // namespace cairn::server
