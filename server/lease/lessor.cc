#include "server/lease/lessor.h"

#include <algorithm>

#include "raft/check.h"
#include "server/ports.h"

namespace cairn::server {
namespace {

absl::Duration WholeSecondsUp(absl::Duration d) { return absl::Ceil(d, absl::Seconds(1)); }

}  // namespace

Lessor::Lessor(Loop& loop, const Options& options) : loop_(loop), options_(options) {
  CAIRN_CHECK(options.election_timeout > absl::ZeroDuration()) << "the lessor needs an election timeout";
  CAIRN_CHECK(options.max_leases_per_command > 0) << "the lessor could never expire anything";
}

void Lessor::OnLeaseChanges(std::span<const storage::LeaseChange> changes) {
  if (!leading_) return;
  for (const storage::LeaseChange& change : changes) {
    switch (change.kind) {
      case storage::LeaseChange::Kind::kGranted:
        Add(change.id, change.granted_ttl_s, 0);
        break;
      case storage::LeaseChange::Kind::kRemoved:
        Remove(change.id);
        break;
      case storage::LeaseChange::Kind::kCheckpointed: {
        const auto found = leases_.find(change.id);
        if (found == leases_.end()) break;
        Lease& lease = found->second;
        lease.shorter_in_log = change.remaining_ttl_s > 0;
        if (lease.shorter_in_log && lease.checkpoints_pending > 0) --lease.checkpoints_pending;
        break;
      }
    }
  }
}

void Lessor::BecomeLeader(raft::Term term, std::span<const storage::LeaseInfo> leases) {
  StepDown();
  leading_ = true;
  term_ = term;
  anchor_ = loop_.Now();
  leases_.reserve(leases.size());
  for (const storage::LeaseInfo& lease : leases) Add(lease.id, lease.granted_ttl_s, lease.remaining_ttl_s);
}

void Lessor::StepDown() {
  leading_ = false;
  term_ = raft::Term();
  counted_ = absl::ZeroDuration();
  leases_.clear();
  by_expiry_.clear();
  by_checkpoint_.clear();
}

void Lessor::QuorumConfirmed(absl::Duration at) {
  if (!leading_ || at <= anchor_) return;
  const absl::Duration passed = at - anchor_;
  if (passed <= options_.election_timeout) counted_ += passed;
  anchor_ = at;
}

std::vector<storage::LeaseId> Lessor::TakeExpired() {
  CAIRN_CHECK(leading_) << "only a leader expires leases";
  std::vector<storage::LeaseId> expired;
  while (!by_expiry_.empty() && expired.size() < options_.max_leases_per_command) {
    const auto [place, id] = *by_expiry_.begin();
    if (place > counted_) break;
    Lease& lease = leases_.find(id)->second;
    by_expiry_.erase(by_expiry_.begin());
    if (lease.deadline > counted_) {  // renewed since it took this place
      lease.expiry_place = lease.deadline;
      by_expiry_.insert({lease.expiry_place, id});
      continue;
    }
    by_checkpoint_.erase({lease.checkpoint_place, id});
    lease.expiring = true;
    expired.push_back(id);
  }
  return expired;
}

void Lessor::ExpiryRefused(std::span<const storage::LeaseId> ids) {
  for (const storage::LeaseId id : ids) {
    const auto found = leases_.find(id);
    if (found == leases_.end() || !found->second.expiring) continue;
    Lease& lease = found->second;
    lease.expiring = false;
    by_expiry_.insert({lease.expiry_place, id});
    by_checkpoint_.insert({lease.checkpoint_place, id});
  }
}

std::vector<Lessor::Remaining> Lessor::TakeCheckpoints() {
  CAIRN_CHECK(leading_) << "only a leader writes checkpoints";
  std::vector<Remaining> checkpoints;
  while (!by_checkpoint_.empty() && checkpoints.size() < options_.max_leases_per_command) {
    const auto [place, id] = *by_checkpoint_.begin();
    if (place > counted_) break;
    Lease& lease = leases_.find(id)->second;
    by_checkpoint_.erase(by_checkpoint_.begin());
    if (lease.checkpoint_due <= counted_) {
      const absl::Duration left = lease.deadline - counted_;
      const int64_t left_s = absl::ToInt64Seconds(WholeSecondsUp(left));
      if (left_s > 0 && left_s < lease.granted_ttl_s) {
        checkpoints.push_back({id, left_s});
        ++lease.checkpoints_pending;
      }
      lease.checkpoint_due = counted_ + CheckpointStep(left / 4);
    }
    lease.checkpoint_place = lease.checkpoint_due;
    by_checkpoint_.insert({lease.checkpoint_place, id});
  }
  return checkpoints;
}

void Lessor::CheckpointRefused(std::span<const Remaining> leases) {
  for (const Remaining& refused : leases) {
    const auto found = leases_.find(refused.id);
    if (found != leases_.end() && found->second.checkpoints_pending > 0) --found->second.checkpoints_pending;
  }
}

std::optional<absl::Duration> Lessor::NextDeadline() const {
  if (by_expiry_.empty()) return std::nullopt;  // by_checkpoint_ holds the same leases
  const Point next = std::min(by_expiry_.begin()->first, by_checkpoint_.begin()->first);
  return anchor_ + (next - counted_);
}

Lessor::Renewal Lessor::Renew(storage::LeaseId id) {
  CAIRN_CHECK(leading_) << "only a leader renews leases";
  const auto found = leases_.find(id);
  if (found == leases_.end() || found->second.expiring) return {};
  Lease& lease = found->second;
  const Point now = Present();
  const absl::Duration ttl = absl::Seconds(lease.granted_ttl_s);
  // Present() falls back when a gap turns out not to count; a promise once given does not.
  lease.deadline = std::max(lease.deadline, now + ttl);
  lease.checkpoint_due = std::max(lease.checkpoint_due, now + CheckpointStep(ttl * 2 / 5));
  return {lease.granted_ttl_s, lease.shorter_in_log || lease.checkpoints_pending > 0};
}

Lessor::Time Lessor::TimeToLive(storage::LeaseId id) const {
  CAIRN_CHECK(leading_) << "only a leader knows the time left";
  const auto found = leases_.find(id);
  if (found == leases_.end()) return {};
  const Lease& lease = found->second;
  const absl::Duration left = std::max(lease.deadline - Present(), absl::ZeroDuration());
  return {absl::ToInt64Seconds(left), lease.granted_ttl_s};
}

// One round is under way at a time: of those still to be confirmed only one can have begun before now, and
// the one after it counts from there, so a point further than two election timeouts ahead is never reached
// before its time.
Lessor::Point Lessor::Present() const {
  return counted_ + std::clamp(loop_.Now() - anchor_, absl::ZeroDuration(), 2 * options_.election_timeout);
}

void Lessor::Add(storage::LeaseId id, int64_t granted_ttl_s, int64_t remaining_ttl_s) {
  Remove(id);
  // Without leases nobody asks the quorum: that time is no gap in anybody's.
  if (leases_.empty()) anchor_ = std::max(anchor_, loop_.Now());
  Lease& lease = leases_[id];
  const Point now = Present();
  const absl::Duration left = absl::Seconds(remaining_ttl_s > 0 ? remaining_ttl_s : granted_ttl_s);
  lease.granted_ttl_s = granted_ttl_s;
  lease.deadline = now + left;
  lease.expiry_place = lease.deadline;
  lease.shorter_in_log = remaining_ttl_s > 0;
  lease.checkpoint_due = now + CheckpointStep(lease.shorter_in_log ? left / 4 : left * 2 / 5);
  lease.checkpoint_place = lease.checkpoint_due;
  by_expiry_.insert({lease.expiry_place, id});
  by_checkpoint_.insert({lease.checkpoint_place, id});
}

void Lessor::Remove(storage::LeaseId id) {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return;
  if (!found->second.expiring) {
    by_expiry_.erase({found->second.expiry_place, id});
    by_checkpoint_.erase({found->second.checkpoint_place, id});
  }
  leases_.erase(found);
}

absl::Duration Lessor::CheckpointStep(absl::Duration unit) const {
  return std::clamp(unit, options_.min_checkpoint_step, options_.max_checkpoint_step);
}

}  // namespace cairn::server
