// A core loop for tests of storage: what is posted runs when the test says so, on the test's thread.
#ifndef CAIRN_TESTS_UNIT_STORAGE_MANUAL_LOOP_H_
#define CAIRN_TESTS_UNIT_STORAGE_MANUAL_LOOP_H_

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "storage/post.h"

namespace cairn::storage {

class ManualLoop {
 public:
  PostFn post() {
    return [this](absl::AnyInvocable<void()> fn) {
      std::lock_guard lock(mutex_);
      posted_.push_back(std::move(fn));
      changed_.notify_one();
    };
  }

  // Waits for one and runs it.
  void RunOne() {
    absl::AnyInvocable<void()> fn;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !posted_.empty(); });
      fn = std::move(posted_.front());
      posted_.pop_front();
    }
    fn();
  }

  // Runs what is posted, also while it runs, until `done` answers true.
  template <typename Predicate>
  void RunUntil(Predicate done) {
    while (!done()) RunOne();
  }

  size_t waiting() {
    std::lock_guard lock(mutex_);
    return posted_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<absl::AnyInvocable<void()>> posted_;  // guarded by mutex_
};

}  // namespace cairn::storage

#endif  // CAIRN_TESTS_UNIT_STORAGE_MANUAL_LOOP_H_
