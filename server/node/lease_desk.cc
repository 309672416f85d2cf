#include "server/node/lease_desk.h"

#include <utility>

namespace cairn::server {

void LeaseDesk::Add(storage::LeaseId id, bool keep_alive, Kernel::LeaseDone done, absl::Duration now) {
  if (calls_.size() >= limits_.max_waiting) {
    done({.error = ClientError::kTooManyRequests});
    return;
  }
  const uint64_t call_id = next_call_id_++;
  calls_.emplace_hint(
      calls_.end(), call_id,
      Call{id, keep_alive, false, absl::Duration(), now + limits_.time_limit, std::move(done)});
  unsent_.push_back(call_id);
}

std::vector<LeaseCall> LeaseDesk::TakeUnsent(absl::Duration now) {
  std::vector<LeaseCall> result;
  result.reserve(unsent_.size());
  for (uint64_t call_id : unsent_) {
    auto it = calls_.find(call_id);
    if (it == calls_.end() || it->second.sent) continue;
    it->second.sent = true;
    it->second.sent_at = now;
    result.push_back({call_id, it->second.lease_id.value(), it->second.keep_alive});
  }
  unsent_.clear();
  return result;
}

void LeaseDesk::OnAnswer(const LeaseAnswer& answer) {
  auto it = calls_.find(answer.call_id);
  if (it == calls_.end()) return;
  if (answer.error == ClientError::kNotLeader) {
    // Sent again by Tick: the leader may not know yet that it is one.
    return;
  }
  Kernel::LeaseDone done = std::move(it->second.done);
  calls_.erase(it);
  done({answer.error, answer.ttl_s, answer.granted_ttl_s});
}

void LeaseDesk::ResendAll() {
  for (auto& [call_id, call] : calls_) {
    if (!call.sent) continue;
    call.sent = false;
    unsent_.push_back(call_id);
  }
}

void LeaseDesk::Tick(absl::Duration now) {
  std::vector<Kernel::LeaseDone> late;
  while (!calls_.empty() && calls_.begin()->second.deadline <= now) {
    late.push_back(std::move(calls_.begin()->second.done));
    calls_.erase(calls_.begin());
  }
  if (!late.empty()) {
    // Without a leader nobody takes them: they must not gather.
    std::erase_if(unsent_, [this](uint64_t call_id) { return !calls_.contains(call_id); });
  }
  for (auto& [call_id, call] : calls_) {
    if (!call.sent || call.sent_at + limits_.resend_after > now) continue;
    call.sent = false;
    unsent_.push_back(call_id);
  }
  for (Kernel::LeaseDone& done : late) done({.error = ClientError::kTimeout});
}

void LeaseDesk::FailAll(ClientError error) {
  std::map<uint64_t, Call> failed;
  failed.swap(calls_);
  unsent_.clear();
  for (auto& [call_id, call] : failed) call.done({.error = error});
}

}  // namespace cairn::server
