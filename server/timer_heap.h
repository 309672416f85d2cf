// Many timers on one: an indexed binary heap of deadlines. Insertion of a deadline later than all others, the
// usual case, costs a push; cancelling costs O(log n) and frees at once (a request timeout of ten seconds at
// 100,000 requests/s would otherwise leave a million dead entries).
//
// Thread safety: none; belongs to one loop.
// Ownership:     the caller owns the Timer; the heap borrows it until it fires or is destroyed. Timers may
//                outlive the heap: they then never fire.
#ifndef CAIRN_SERVER_TIMER_HEAP_H_
#define CAIRN_SERVER_TIMER_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "server/ports.h"

namespace cairn::server {

class TimerHeap {
 public:
  TimerHeap() = default;
  TimerHeap(const TimerHeap&) = delete;
  TimerHeap& operator=(const TimerHeap&) = delete;
  ~TimerHeap();

  std::unique_ptr<Timer> Insert(absl::Duration deadline, absl::AnyInvocable<void()> fn);

  // The earliest deadline; InfiniteDuration without timers.
  absl::Duration NextDeadline() const;

  // Calls, in order of deadline and then of insertion, every timer due at `now` that was inserted before this
  // call.
  void RunDue(absl::Duration now);

  size_t size() const { return heap_.size(); }

 private:
  class Entry;

  static bool Before(const Entry& a, const Entry& b);
  void Place(Entry* entry, size_t position);
  void SiftUp(size_t position);
  void SiftDown(size_t position);
  void Remove(size_t position);

  std::vector<Entry*> heap_;
  uint64_t next_sequence_ = 0;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_TIMER_HEAP_H_
