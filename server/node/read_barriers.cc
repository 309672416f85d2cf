#include "server/node/read_barriers.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace cairn::server {

void ReadBarriers::Add(Kernel::ErrorDone done, absl::Duration now) {
  if (waiting_ >= limits_.max_waiting) {
    done(ClientError::kTooManyRequests);
    return;
  }
  arrived_.push_back({std::move(done), now + limits_.time_limit});
  ++waiting_;
}

uint64_t ReadBarriers::BeginRound(absl::Duration now) {
  round_id_ = ++last_round_id_;
  round_began_ = now;
  in_round_.swap(arrived_);
  return round_id_;
}

std::optional<absl::Duration> ReadBarriers::RoundBegan(uint64_t id) const {
  if (round_id_ == 0 || id != round_id_) return std::nullopt;
  return round_began_;
}

void ReadBarriers::Confirmed(uint64_t id, raft::LogIndex index) {
  if (round_id_ == 0 || id != round_id_) return;  // given up meanwhile: its reads are in a later round
  round_id_ = 0;
  confirmed_.push_back({index, std::move(in_round_)});
  in_round_.clear();
}

void ReadBarriers::RoundFailed(uint64_t id) {
  if (round_id_ == 0 || id != round_id_) return;
  round_id_ = 0;
  // The older ones first, so that time limits stay in order.
  in_round_.insert(in_round_.end(), std::make_move_iterator(arrived_.begin()),
                   std::make_move_iterator(arrived_.end()));
  arrived_.swap(in_round_);
  in_round_.clear();
}

void ReadBarriers::GiveUpRoundBegunBefore(absl::Duration before) {
  if (round_id_ != 0 && round_began_ < before) RoundFailed(round_id_);
}

void ReadBarriers::Applied(raft::LogIndex index) {
  // Indexes of successive rounds do not decrease within a term, but may over a change of leader: look at all.
  for (size_t i = 0; i < confirmed_.size();) {
    if (confirmed_[i].index > index) {
      ++i;
      continue;
    }
    std::vector<Waiter> ready = std::move(confirmed_[i].waiters);
    confirmed_.erase(confirmed_.begin() + static_cast<ptrdiff_t>(i));
    waiting_ -= ready.size();
    for (Waiter& waiter : ready) waiter.done(ClientError::kOk);
  }
}

void ReadBarriers::ExpireIn(std::vector<Waiter>& waiters, absl::Duration now,
                            std::vector<Kernel::ErrorDone>* late) {
  auto first_in_time = std::find_if(waiters.begin(), waiters.end(),
                                    [now](const Waiter& waiter) { return waiter.deadline > now; });
  for (auto it = waiters.begin(); it != first_in_time; ++it) late->push_back(std::move(it->done));
  waiters.erase(waiters.begin(), first_in_time);
}

void ReadBarriers::Expire(absl::Duration now) {
  std::vector<Kernel::ErrorDone> unconfirmed;
  std::vector<Kernel::ErrorDone> unapplied;
  ExpireIn(in_round_, now, &unconfirmed);
  ExpireIn(arrived_, now, &unconfirmed);
  for (Confirmation& confirmation : confirmed_) ExpireIn(confirmation.waiters, now, &unapplied);
  waiting_ -= unconfirmed.size() + unapplied.size();
  Call(std::move(unconfirmed), ClientError::kTimeout);
  Call(std::move(unapplied), ClientError::kTimeoutWaitApplied);
}

void ReadBarriers::FailAll(ClientError error) {
  std::vector<Kernel::ErrorDone> all;
  for (std::vector<Waiter>* waiters : {&in_round_, &arrived_}) {
    for (Waiter& waiter : *waiters) all.push_back(std::move(waiter.done));
    waiters->clear();
  }
  for (Confirmation& confirmation : confirmed_) {
    for (Waiter& waiter : confirmation.waiters) all.push_back(std::move(waiter.done));
  }
  confirmed_.clear();
  round_id_ = 0;
  waiting_ -= all.size();
  Call(std::move(all), error);
}

void ReadBarriers::Call(std::vector<Kernel::ErrorDone> all, ClientError error) {
  for (Kernel::ErrorDone& done : all) done(error);
}

}  // namespace cairn::server
