// Linearizable reads without a log entry: Raft paper §8, thesis §6.4.
#include <utility>

#include "raft/check.h"
#include "raft/raft.h"

namespace cairn::raft {

bool Raft::ReadIndex(uint64_t context) {
  if (leader_ == NodeId(0)) return false;
  if (read_queue_.size() + forwarded_.size() >= options_.max_pending_reads) {
    reads_.push_back({context, LogIndex(0), false});
    return true;
  }
  if (role_ == Role::kLeader) {
    read_queue_.Add({options_.self, context});
    return true;
  }
  Message request = MessageTo(leader_, MessageType::kReadIndex);
  request.context = forwarded_.Add(context, now_);
  Send(std::move(request));
  return true;
}

void Raft::HandleReadIndex(const Message& message) {
  const ReadIndexQueue::Request request = {message.from, message.context};
  if (role_ != Role::kLeader || read_queue_.size() >= options_.max_pending_reads) {
    Refuse(request);
    return;
  }
  read_queue_.Add(request);
}

// A new leader does not know yet what its predecessors committed: its reads wait for its no-op.
bool Raft::MayStartReadRound() const {
  return role_ == Role::kLeader && log_.commit() >= first_of_term_ && read_queue_.MayStartRound();
}

void Raft::StartReadRound() {
  read_queue_.StartRound(log_.commit());
  BroadcastHeartbeat();
  AnswerConfirmedReads();  // a single voter needs no one else
}

void Raft::AnswerConfirmedReads() {
  ReadIndexQueue::Confirmed confirmed = read_queue_.TakeConfirmed(quorum_, options_.self);
  for (const ReadIndexQueue::Request& request : confirmed.requests) {
    if (request.from == options_.self) {
      reads_.push_back({request.context, confirmed.index, true});
      continue;
    }
    Message reply = MessageTo(request.from, MessageType::kReadIndexReply);
    reply.context = request.context;
    reply.index = confirmed.index;
    Send(std::move(reply));
  }
}

void Raft::Refuse(const ReadIndexQueue::Request& request) {
  if (request.from == options_.self) {
    reads_.push_back({request.context, LogIndex(0), false});
    return;
  }
  Message reply = MessageTo(request.from, MessageType::kReadIndexReply);
  reply.context = request.context;
  reply.reject = true;
  Send(std::move(reply));
}

void Raft::HandleReadIndexReply(const Message& message) {
  if (leader_ != message.from || role_ != Role::kFollower) return;
  const std::optional<uint64_t> context = forwarded_.Take(message.context);
  if (!context.has_value()) return;
  const bool ok = !message.reject;
  reads_.push_back({*context, ok ? message.index : LogIndex(0), ok});
}

// The leader or the term changed. No answer may be taken over: the new leader's log may be ahead of the index
// that the old one vouched for.
void Raft::DropReads() {
  for (const ReadIndexQueue::Request& request : read_queue_.Drop()) Refuse(request);
  for (uint64_t context : forwarded_.Drop()) reads_.push_back({context, LogIndex(0), false});
}

}  // namespace cairn::raft
