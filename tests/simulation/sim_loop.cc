#include "tests/simulation/sim_loop.h"

#include <algorithm>
#include <utility>

namespace cairn::sim {
namespace {

class SimTimer final : public server::Timer {
 public:
  explicit SimTimer(std::shared_ptr<bool> cancelled) : cancelled_(std::move(cancelled)) {}
  ~SimTimer() override { *cancelled_ = true; }

 private:
  std::shared_ptr<bool> cancelled_;
};

}  // namespace

std::unique_ptr<server::Timer> SimLoop::After(absl::Duration delay, absl::AnyInvocable<void()> fn) {
  auto cancelled = std::make_shared<bool>(false);
  Schedule(delay, [cancelled, fn = std::move(fn)]() mutable {
    if (!*cancelled) fn();
  });
  return std::make_unique<SimTimer>(std::move(cancelled));
}

void SimLoop::Offload(absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
  Schedule(dice_.Between(kMinOffload, kMaxOffload),
           [work = std::move(work), done = std::move(done)]() mutable {
             work();
             done();
           });
}

void SimLoop::Schedule(absl::Duration delay, absl::AnyInvocable<void()> fn) {
  scheduler_.After(delay, [&scheduler = scheduler_, life = life_, fn = std::move(fn)]() mutable {
    Run(scheduler, life, std::move(fn));
  });
}

absl::Duration SimLoop::Now() const {
  const absl::Duration now = std::max(scheduler_.now(), life_->busy_until);
  if (!dice_.Chance(kBusy)) return now;
  life_->busy_until = now + dice_.Between(absl::ZeroDuration(), kMaxBusy);
  return life_->busy_until;
}

void SimLoop::Run(Scheduler& scheduler, const std::shared_ptr<Life>& life, absl::AnyInvocable<void()> fn) {
  if (life->dead) return;
  const bool free = !life->paused && life->waiting.empty() && life->busy_until <= scheduler.now();
  if (free) return fn();
  life->waiting.push_back(std::move(fn));
  WakeWhenFree(scheduler, life);
}

void SimLoop::WakeWhenFree(Scheduler& scheduler, const std::shared_ptr<Life>& life) {
  if (life->paused || life->wake_scheduled) return;
  life->wake_scheduled = true;
  scheduler.After(life->busy_until - scheduler.now(), [&scheduler, life] {
    life->wake_scheduled = false;
    RunWaiting(scheduler, life);
  });
}

void SimLoop::RunWaiting(Scheduler& scheduler, const std::shared_ptr<Life>& life) {
  while (!life->dead && !life->paused && !life->waiting.empty() && life->busy_until <= scheduler.now()) {
    absl::AnyInvocable<void()> fn = std::move(life->waiting.front());
    life->waiting.pop_front();
    fn();
  }
  if (!life->dead && !life->waiting.empty()) WakeWhenFree(scheduler, life);
}

void SimLoop::Resume() {
  life_->paused = false;
  WakeWhenFree(scheduler_, life_);
}

}  // namespace cairn::sim
