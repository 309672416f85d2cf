// One thread that runs what is posted to it, in order: work that may block and is not worth a pool.
//
// Thread safety: Post from any thread. The thread starts with the first Post.
// Lifetime:      Stop, and the destructor, finish what is running, drop what waits, and join. Once, by the
// owner.
#ifndef CAIRN_STORAGE_SERIAL_WORKER_H_
#define CAIRN_STORAGE_SERIAL_WORKER_H_

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "absl/functional/any_invocable.h"

namespace cairn::storage {

class SerialWorker {
 public:
  SerialWorker() = default;
  SerialWorker(const SerialWorker&) = delete;
  SerialWorker& operator=(const SerialWorker&) = delete;
  ~SerialWorker() { Stop(); }

  void Post(absl::AnyInvocable<void()> work);  // dropped after Stop
  void Stop();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<absl::AnyInvocable<void()>> waiting_;  // guarded by mutex_
  bool stop_ = false;                               // guarded by mutex_
  std::thread thread_;                              // guarded by mutex_ until Stop
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_SERIAL_WORKER_H_
