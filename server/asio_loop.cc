#include "server/asio_loop.h"

#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "server/worker_pool.h"

namespace cairn::server {

AsioLoop::AsioLoop(int offload_threads)
    : keep_running_(boost::asio::make_work_guard(io_)),
      timer_(io_),
      workers_(std::make_unique<WorkerPool>(offload_threads)) {}

AsioLoop::~AsioLoop() { Quiesce(); }

absl::Duration AsioLoop::Now() const {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

std::unique_ptr<Timer> AsioLoop::After(absl::Duration delay, absl::AnyInvocable<void()> fn) {
  std::unique_ptr<Timer> timer = timers_.Insert(Now() + delay, std::move(fn));
  ArmTimer();
  return timer;
}

void AsioLoop::Post(absl::AnyInvocable<void()> fn) {
  bool first;
  {
    std::lock_guard lock(mutex_);
    if (quiet_) return;
    first = posted_.empty();
    posted_.push_back(std::move(fn));
  }
  if (first) boost::asio::post(io_, [this] { RunPosted(); });
}

void AsioLoop::Offload(absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
  if (workers_ == nullptr) return;
  workers_->Submit([this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    Post(std::move(done));
  });
}

void AsioLoop::Run() { io_.run(); }

void AsioLoop::Stop() { io_.stop(); }

void AsioLoop::Quiesce() {
  workers_.reset();
  std::vector<absl::AnyInvocable<void()>> dropped;
  {
    std::lock_guard lock(mutex_);
    quiet_ = true;
    dropped.swap(posted_);
  }
  // Destroyed here, outside the lock: what they hold may post once more.
}

void AsioLoop::RunPosted() {
  {
    std::lock_guard lock(mutex_);
    running_.swap(posted_);
  }
  for (absl::AnyInvocable<void()>& fn : running_) {
    fn();
    fn = nullptr;  // what it holds is released in its own turn, not after the whole batch
  }
  running_.clear();
}

void AsioLoop::ArmTimer() {
  const absl::Duration next = timers_.NextDeadline();
  if (running_timers_ || next >= armed_for_) return;
  armed_for_ = next;
  timer_.expires_at(std::chrono::steady_clock::time_point(absl::ToChronoNanoseconds(next)));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) OnTimer();
  });
}

void AsioLoop::OnTimer() {
  armed_for_ = absl::InfiniteDuration();
  // While timers run, each new one would arm by itself; once at the end is enough.
  running_timers_ = true;
  timers_.RunDue(Now());
  running_timers_ = false;
  ArmTimer();
}

}  // namespace cairn::server
