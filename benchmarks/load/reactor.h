// One thread's epoll loop for the load generator: sockets, timers, and a list of what is to be written when
// all that has arrived is handled, so that a turn costs one write for each connection.
//
// Thread safety: none.
#ifndef CAIRN_BENCHMARKS_LOAD_REACTOR_H_
#define CAIRN_BENCHMARKS_LOAD_REACTOR_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace cairn::load {

using Clock = std::chrono::steady_clock;

class Reactor {
 public:
  class Handler {
   public:
    virtual void OnReadable() = 0;
    virtual void OnWritable() = 0;
    // Asked for with FlushSoon.
    virtual void Flush() = 0;

   protected:
    ~Handler() = default;
  };

  Reactor();
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // `handler` outlives its registration. Edge-triggered: read and write until the socket refuses.
  void Add(int fd, Handler* handler);
  void Remove(int fd, Handler* handler);

  // Once for each call: the handler keeps a flag of its own.
  void FlushSoon(Handler* handler) { dirty_.push_back(handler); }

  void At(Clock::time_point when, absl::AnyInvocable<void()> fn) { timers_.emplace(when, std::move(fn)); }

  // Runs until Stop(), or until `deadline`. False: the deadline came first.
  bool Run(Clock::time_point deadline);
  void Stop() { stopped_ = true; }

 private:
  void FlushAll();
  int MillisecondsToWait(Clock::time_point deadline) const;
  void RunTimers();

  const int epoll_;
  bool stopped_ = false;
  std::vector<Handler*> dirty_;
  std::multimap<Clock::time_point, absl::AnyInvocable<void()>> timers_;
};

}  // namespace cairn::load

#endif  // CAIRN_BENCHMARKS_LOAD_REACTOR_H_
