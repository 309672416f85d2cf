// The core loop in production: turns, timers and sockets on one boost::asio::io_context, run by one thread.
//
// Thread safety: Post and Stop from any thread; everything else on the thread that runs the loop (or before
// Run). Sleeps whenever there is nothing to do: no polling, no periodic wake-up of its own. Functions posted
// from other threads cost one wake-up a batch.
#ifndef CAIRN_SERVER_ASIO_LOOP_H_
#define CAIRN_SERVER_ASIO_LOOP_H_

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "server/ports.h"
#include "server/timer_heap.h"

namespace cairn::server {

class WorkerPool;

class AsioLoop final : public Loop {
 public:
  // `offload_threads` run what Offload is given.
  explicit AsioLoop(int offload_threads = 2);
  ~AsioLoop() override;  // Quiesces

  absl::Duration Now() const override;
  [[nodiscard]] std::unique_ptr<Timer> After(absl::Duration delay, absl::AnyInvocable<void()> fn) override;
  void Post(absl::AnyInvocable<void()> fn) override;
  void Offload(absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) override;

  // Runs until Stop().
  void Run();
  void Stop();

  // For the end, after Run: waits for the offload threads and drops, unrun, all that was posted or offloaded,
  // so that nothing of the loop's uses its inhabitants any more. Later calls of Post and Offload do nothing.
  void Quiesce();

  // For sockets of this loop's inhabitants.
  boost::asio::io_context& io() { return io_; }

 private:
  void RunPosted();
  void ArmTimer();
  void OnTimer();

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> keep_running_;

  TimerHeap timers_;
  boost::asio::steady_timer
      timer_;  // stands for the earliest of timers_, or an earlier one that was cancelled
  absl::Duration armed_for_ = absl::InfiniteDuration();
  bool running_timers_ = false;

  std::mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  bool quiet_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<absl::AnyInvocable<void()>> running_;  // only within RunPosted; kept for its capacity

  std::unique_ptr<WorkerPool> workers_;  // last: its threads post here
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ASIO_LOOP_H_
