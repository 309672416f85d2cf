// A few threads for work that may block: cold reads, log reads, event scans.
//
// Thread safety: Submit from any thread. The number of pieces waiting is bounded by its callers, each of
//                which has at most a few under way.
#ifndef CAIRN_SERVER_WORKER_POOL_H_
#define CAIRN_SERVER_WORKER_POOL_H_

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"

namespace cairn::server {

class WorkerPool {
 public:
  explicit WorkerPool(int threads);
  // Waits for what is being worked on; drops what is queued.
  ~WorkerPool();

  void Submit(absl::AnyInvocable<void()> work);

 private:
  void Work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<absl::AnyInvocable<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_WORKER_POOL_H_
