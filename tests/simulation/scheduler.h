// Simulated time: a queue of events, run one by one in order of time, then of scheduling. One thread, no
// system call.
//
// Invariants: equal seeds give equal runs; digest() covers every event that ran.
#ifndef CAIRN_TESTS_SIMULATION_SCHEDULER_H_
#define CAIRN_TESTS_SIMULATION_SCHEDULER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <queue>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace cairn::sim {

// A seeded source of chance. Own arithmetic, so that every standard library draws the same.
class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  uint64_t Next() { return engine_(); }
  uint64_t Below(uint64_t end) { return end == 0 ? 0 : engine_() % end; }  // [0, end)
  bool Chance(double probability) { return static_cast<double>(engine_() >> 11) * 0x1.0p-53 < probability; }
  absl::Duration Between(absl::Duration low, absl::Duration high) {
    const auto span = static_cast<uint64_t>(absl::ToInt64Nanoseconds(high - low));
    return low + absl::Nanoseconds(static_cast<int64_t>(Below(span + 1)));
  }

 private:
  std::mt19937_64 engine_;
};

class Scheduler {
 public:
  absl::Duration now() const { return now_; }
  uint64_t steps() const { return steps_; }
  uint64_t digest() const { return digest_; }

  void After(absl::Duration delay, absl::AnyInvocable<void()> fn) {
    size_t slot = actions_.size();
    if (free_slots_.empty()) {
      actions_.push_back(std::move(fn));
    } else {
      slot = free_slots_.back();
      free_slots_.pop_back();
      actions_[slot] = std::move(fn);
    }
    queue_.push(Event{now_ + std::max(delay, absl::ZeroDuration()), next_sequence_++, slot});
  }

  // Runs the next event. False: there is none.
  bool RunNext() {
    if (queue_.empty()) return false;
    const Event event = queue_.top();
    queue_.pop();
    now_ = event.at;
    ++steps_;
    Fold(static_cast<uint64_t>(absl::ToInt64Nanoseconds(now_)) ^ (event.sequence << 1));
    absl::AnyInvocable<void()> fn = std::move(actions_[event.slot]);
    free_slots_.push_back(event.slot);
    fn();
    return true;
  }

  // Mixes something that happened into the digest.
  void Fold(uint64_t value) { digest_ = (digest_ ^ value) * 0x9E3779B97F4A7C15ull + (digest_ >> 29); }

 private:
  struct Event {
    absl::Duration at;
    uint64_t sequence;
    size_t slot;                                // in actions_: the queue moves its elements a lot
    bool operator<(const Event& other) const {  // the greatest is on top
      return std::pair(other.at, other.sequence) < std::pair(at, sequence);
    }
  };

  absl::Duration now_;
  uint64_t next_sequence_ = 0;
  uint64_t steps_ = 0;
  uint64_t digest_ = 0;
  std::priority_queue<Event> queue_;
  std::vector<absl::AnyInvocable<void()>> actions_;
  std::vector<size_t> free_slots_;
};

}  // namespace cairn::sim

#endif  // CAIRN_TESTS_SIMULATION_SCHEDULER_H_
