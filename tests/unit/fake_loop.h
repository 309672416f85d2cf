// A core loop for tests: time stands still until the test moves it, posted work runs when the test says so.
//
// Thread safety: none, Post included: for tests of one thread.
#ifndef CAIRN_TESTS_UNIT_FAKE_LOOP_H_
#define CAIRN_TESTS_UNIT_FAKE_LOOP_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "server/ports.h"

namespace cairn::server {

class FakeLoop final : public Loop {
 public:
  absl::Duration Now() const override { return now_; }

  std::unique_ptr<Timer> After(absl::Duration delay, absl::AnyInvocable<void()> fn) override {
    const TimerKey key{now_ + std::max(delay, absl::ZeroDuration()), next_timer_++};
    timers_->emplace(key, std::move(fn));
    return std::make_unique<FakeTimer>(timers_, key);
  }

  void Post(absl::AnyInvocable<void()> fn) override { posted_.push_back(std::move(fn)); }

  // The work waits, as on a slow disk, until RunOffloaded.
  void Offload(absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) override {
    offloaded_.emplace_back(std::move(work), std::move(done));
  }

  // Runs what has been posted before the call: one turn. True if there was anything.
  bool RunTurn() {
    const bool any = !posted_.empty();
    for (size_t left = posted_.size(); left > 0; --left) {
      absl::AnyInvocable<void()> fn = std::move(posted_.front());
      posted_.pop_front();
      fn();
    }
    return any;
  }

  // Turns until nothing is posted any more.
  void RunUntilIdle() {
    while (RunTurn()) {
    }
  }

  // Does the oldest offloaded work; its `done` is posted. False if there is none.
  bool RunOffloaded() {
    if (offloaded_.empty()) return false;
    auto [work, done] = std::move(offloaded_.front());
    offloaded_.pop_front();
    work();
    Post(std::move(done));
    return true;
  }

  // Everything posted and offloaded, without moving the time.
  void Settle() {
    do {
      RunUntilIdle();
    } while (RunOffloaded());
  }

  // Moves the time on, firing what falls due in order of time and settling after each.
  void Advance(absl::Duration by) {
    const absl::Duration end = now_ + by;
    while (!timers_->empty() && timers_->begin()->first.first <= end) {
      auto due = timers_->extract(timers_->begin());
      now_ = std::max(now_, due.key().first);
      due.mapped()();
      Settle();
    }
    now_ = end;
  }

  size_t pending_timers() const { return timers_->size(); }
  size_t pending_posts() const { return posted_.size(); }

 private:
  using TimerKey = std::pair<absl::Duration, uint64_t>;  // when, then order of starting
  using Timers = std::map<TimerKey, absl::AnyInvocable<void()>>;

  class FakeTimer final : public Timer {
   public:
    FakeTimer(std::shared_ptr<Timers> timers, TimerKey key) : timers_(std::move(timers)), key_(key) {}
    ~FakeTimer() override { timers_->erase(key_); }

   private:
    std::shared_ptr<Timers> timers_;  // shared: a timer may outlive the loop
    TimerKey key_;
  };

  absl::Duration now_;
  uint64_t next_timer_ = 0;
  std::shared_ptr<Timers> timers_ = std::make_shared<Timers>();
  std::deque<absl::AnyInvocable<void()>> posted_;
  std::deque<std::pair<absl::AnyInvocable<void()>, absl::AnyInvocable<void()>>> offloaded_;
};

}  // namespace cairn::server

#endif  // CAIRN_TESTS_UNIT_FAKE_LOOP_H_
