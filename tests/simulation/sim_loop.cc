#include "tests/simulation/sim_loop.h"

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
  scheduler_.After(delay, [life = life_, fn = std::move(fn)]() mutable { Run(life, std::move(fn)); });
}

void SimLoop::Run(const std::shared_ptr<Life>& life, absl::AnyInvocable<void()> fn) {
  if (life->dead) return;
  if (life->paused) {
    life->waiting.push_back(std::move(fn));
    return;
  }
  fn();
}

void SimLoop::Resume() {
  life_->paused = false;
  for (absl::AnyInvocable<void()>& fn : std::exchange(life_->waiting, {}))
    Schedule(absl::ZeroDuration(), std::move(fn));
}

}  // namespace cairn::sim
