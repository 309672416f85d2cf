#include "server/node/proposals.h"

#include <memory>
#include <utility>
#include <vector>

#include "google/protobuf/io/coded_stream.h"

namespace cairn::server {
namespace {

constexpr uint8_t kCommandsTag = (internal::CommandBatch::kCommandsFieldNumber << 3) | 2;

void AppendCommand(std::string_view command, std::string* batch) {
  uint8_t head[1 + 10];
  head[0] = kCommandsTag;
  uint8_t* end = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(command.size(), head + 1);
  batch->append(reinterpret_cast<const char*>(head), static_cast<size_t>(end - head));
  batch->append(command);
}

storage::Result ErrorResult(ClientError error) {
  storage::Result result;
  result.error = error;
  return result;
}

}  // namespace

Proposals::Proposals(raft::NodeId self, uint64_t first_request_id, const Limits& limits)
    : self_(self), limits_(limits), first_id_(first_request_id == 0 ? 1 : first_request_id) {}

void Proposals::Add(internal::Command& command, Kernel::Done done, absl::Duration now) {
  if (waiting_ >= limits_.max_waiting || queued_bytes_ >= limits_.max_queued_bytes) {
    done(ErrorResult(ClientError::kTooManyRequests));
    return;
  }
  const uint64_t request_id = first_id_ + waiters_.size();
  command.set_origin(self_.value());
  command.set_request_id(request_id);
  std::string bytes;
  command.SerializeToString(&bytes);
  if (bytes.size() > limits_.max_command_bytes) {
    done(ErrorResult(ClientError::kRequestTooLarge));
    return;
  }
  queued_bytes_ += bytes.size();
  queued_.push_back({request_id, std::move(bytes)});
  waiters_.push_back({State::kQueued, raft::Term(), now + limits_.time_limit, std::move(done)});
  ++waiting_;
}

raft::Payload Proposals::TakeBatch(raft::Term term, bool forwarded) {
  std::string batch;
  size_t commands = 0;
  while (!queued_.empty() && commands < limits_.max_batch_commands) {
    Queued& next = queued_.front();
    if (!batch.empty() && batch.size() + next.bytes.size() > limits_.max_batch_bytes) break;
    Waiter* waiter = Find(next.request_id);
    if (waiter != nullptr) {  // else: answered meanwhile (its time ran out), so it must not happen any more
      waiter->state = forwarded ? State::kForwarded : State::kAppended;
      waiter->term = term;
      AppendCommand(next.bytes, &batch);
      ++commands;
    }
    PopQueued();
  }
  if (batch.empty()) return nullptr;
  return std::make_shared<const std::string>(std::move(batch));
}

void Proposals::PopQueued() {
  queued_bytes_ -= queued_.front().bytes.size();
  queued_.pop_front();
}

void Proposals::Complete(uint64_t request_id, storage::Result result) {
  Waiter* waiter = Find(request_id);
  if (waiter == nullptr) return;
  Answer(waiter, std::move(result));
  DropAnswered();
}

void Proposals::FailSentBefore(raft::Term term) {
  FailIf(
      [term](const Waiter& waiter) {
        return (waiter.state == State::kAppended || waiter.state == State::kForwarded) && waiter.term < term;
      },
      ClientError::kLeaderChanged);
}

void Proposals::FailForwarded(ClientError error) {
  FailIf([](const Waiter& waiter) { return waiter.state == State::kForwarded; }, error);
}

void Proposals::Expire(absl::Duration now, bool leader_known) {
  std::vector<std::pair<Kernel::Done, ClientError>> late;
  for (Waiter& waiter : waiters_) {
    if (waiter.deadline > now) break;
    if (waiter.state == State::kAnswered) continue;
    const bool never_sent = waiter.state == State::kQueued;
    late.emplace_back(std::move(waiter.done),
                      never_sent && !leader_known ? ClientError::kNoLeader : ClientError::kTimeout);
    waiter.state = State::kAnswered;
    --waiting_;
  }
  DropAnswered();
  // Without a leader nobody takes them: what nobody waits for must not fill the queue.
  while (!queued_.empty() && Find(queued_.front().request_id) == nullptr) PopQueued();
  for (auto& [done, error] : late) done(ErrorResult(error));
}

void Proposals::FailAll(ClientError error) {
  FailIf([](const Waiter&) { return true; }, error);
  queued_.clear();
  queued_bytes_ = 0;
}

Proposals::Waiter* Proposals::Find(uint64_t request_id) {
  const uint64_t offset = request_id - first_id_;  // wraps to a huge number for ids before the first
  if (offset >= waiters_.size()) return nullptr;
  Waiter* waiter = &waiters_[offset];
  return waiter->state == State::kAnswered ? nullptr : waiter;
}

void Proposals::Answer(Waiter* waiter, storage::Result result) {
  // `done` may add a command, which moves the deque: take it out first.
  Kernel::Done done = std::move(waiter->done);
  waiter->state = State::kAnswered;
  --waiting_;
  done(std::move(result));
}

void Proposals::DropAnswered() {
  while (!waiters_.empty() && waiters_.front().state == State::kAnswered) {
    waiters_.pop_front();
    ++first_id_;
  }
}

template <typename Predicate>
void Proposals::FailIf(Predicate predicate, ClientError error) {
  std::vector<Kernel::Done> failed;
  for (Waiter& waiter : waiters_) {
    if (waiter.state == State::kAnswered || !predicate(waiter)) continue;
    failed.push_back(std::move(waiter.done));
    waiter.state = State::kAnswered;
    --waiting_;
  }
  DropAnswered();
  for (Kernel::Done& done : failed) done(ErrorResult(error));
}

}  // namespace cairn::server
