// The core loop of one life of a simulated member. After Kill() nothing of it runs any more; while the
// process is paused (SIGSTOP), what falls due waits and then runs in order. Work takes time: now and then the
// clock moves on between two looks at it, so that slices end, and what falls due meanwhile waits as well.
#ifndef CAIRN_TESTS_SIMULATION_SIM_LOOP_H_
#define CAIRN_TESTS_SIMULATION_SIM_LOOP_H_

#include <deque>
#include <memory>

#include "server/ports.h"
#include "tests/simulation/scheduler.h"

namespace cairn::sim {

class SimLoop final : public server::Loop {
 public:
  // Work that may block takes between these.
  static constexpr absl::Duration kMinOffload = absl::Microseconds(20);
  static constexpr absl::Duration kMaxOffload = absl::Milliseconds(5);

  SimLoop(Scheduler& scheduler, Dice& dice)
      : scheduler_(scheduler), dice_(dice), life_(std::make_shared<Life>()) {}
  ~SimLoop() override { Kill(); }

  absl::Duration Now() const override;
  std::unique_ptr<server::Timer> After(absl::Duration delay, absl::AnyInvocable<void()> fn) override;
  void Post(absl::AnyInvocable<void()> fn) override { Schedule(absl::ZeroDuration(), std::move(fn)); }
  void Offload(absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) override;

  // Runs `fn` after `delay` if this life still lasts then.
  void Schedule(absl::Duration delay, absl::AnyInvocable<void()> fn);

  void Kill() { life_->dead = true; }
  void Pause() { life_->paused = true; }
  void Resume();
  bool paused() const { return life_->paused; }

 private:
  // One look at the clock in so many finds that work took up to so long.
  static constexpr double kBusy = 0.002;
  static constexpr absl::Duration kMaxBusy = absl::Milliseconds(6);

  struct Life {
    bool dead = false;
    bool paused = false;
    absl::Duration busy_until;
    bool wake_scheduled = false;  // at the end of the busy time
    std::deque<absl::AnyInvocable<void()>> waiting;
  };
  static void Run(Scheduler& scheduler, const std::shared_ptr<Life>& life, absl::AnyInvocable<void()> fn);
  static void RunWaiting(Scheduler& scheduler, const std::shared_ptr<Life>& life);
  static void WakeWhenFree(Scheduler& scheduler, const std::shared_ptr<Life>& life);

  Scheduler& scheduler_;
  Dice& dice_;
  std::shared_ptr<Life> life_;  // shared with the events that are scheduled
};

}  // namespace cairn::sim

#endif  // CAIRN_TESTS_SIMULATION_SIM_LOOP_H_
