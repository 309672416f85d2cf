// Keeps a lease alive in a thread of its own: renews it every third of its TTL, at whichever member answers,
// until it is destroyed or the lease is lost.
//
// Thread safety: the callbacks come from the keeper's thread, and never after the destructor; they must not
//                destroy the keeper.
// Lifetime:      borrows the client. Destroying the keeper does not revoke the lease.
#ifndef CAIRN_CLIENT_LEASE_KEEPER_H_
#define CAIRN_CLIENT_LEASE_KEEPER_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "client/client.h"

namespace cairn::client {

class LeaseKeeper {
 public:
  struct Callbacks {
    std::function<void(const etcdserverpb::LeaseKeepAliveResponse&)> on_renewed;  // may be unset
    // Once: NOT_FOUND, the lease is gone; or the last error, when its TTL has passed without a renewal.
    std::function<void(const absl::Status&)> on_lost;
  };

  LeaseKeeper(Client& client, int64_t id, Callbacks callbacks);
  ~LeaseKeeper();

  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

 private:
  void Run();
  // True: told to stop.
  bool WaitFor(absl::Duration time);

  Client& client_;
  const int64_t id_;
  const Callbacks callbacks_;

  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_LEASE_KEEPER_H_
