#include "storage/serial_worker.h"

#include <utility>

namespace cairn::storage {

void SerialWorker::Stop() {
  std::deque<absl::AnyInvocable<void()>> dropped;  // destroyed outside the lock
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    dropped.swap(waiting_);
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void SerialWorker::Post(absl::AnyInvocable<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (stop_) return;
    waiting_.push_back(std::move(work));
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  }
  changed_.notify_one();
}

void SerialWorker::Run() {
  for (;;) {
    absl::AnyInvocable<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
      if (stop_) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
  }
}

}  // namespace cairn::storage
