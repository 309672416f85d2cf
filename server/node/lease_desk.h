// Keep-alives and questions for a lease's remaining time, on their way to the leader and back.
//
// The member that takes a call keeps it until there is an answer; both kinds may be asked again, so a call
// that got lost with a connection or a leader is simply sent once more, until its time limit.
//
// Thread safety: none; belongs to the core loop.
#ifndef CAIRN_SERVER_NODE_LEASE_DESK_H_
#define CAIRN_SERVER_NODE_LEASE_DESK_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/time/time.h"
#include "server/kernel/kernel.h"
#include "server/ports.h"

namespace cairn::server {

class LeaseDesk {
 public:
  struct Limits {
    size_t max_waiting = 50'000;
    absl::Duration time_limit = absl::Seconds(7);
    absl::Duration resend_after = absl::Seconds(1);
  };

  LeaseDesk(uint64_t first_call_id, const Limits& limits) : limits_(limits), next_call_id_(first_call_id) {}

  // At the limit `done` is called at once with kTooManyRequests.
  void Add(storage::LeaseId id, bool keep_alive, Kernel::LeaseDone done, absl::Duration now);

  bool has_unsent() const { return !unsent_.empty(); }

  // The calls to be sent (again) now.
  std::vector<LeaseCall> TakeUnsent(absl::Duration now);

  // An answer; one that says "not the leader" leaves the call here, to be sent again after a while.
  void OnAnswer(const LeaseAnswer& answer);

  // The leader changed or the connection to it broke: everything is unsent again.
  void ResendAll();

  // Time passes: calls long without an answer are unsent again, calls past their limit fail.
  void Tick(absl::Duration now);

  void FailAll(ClientError error);

  size_t waiting() const { return calls_.size(); }

 private:
  struct Call {
    storage::LeaseId lease_id;
    bool keep_alive = false;
    bool sent = false;
    absl::Duration sent_at;
    absl::Duration deadline;
    Kernel::LeaseDone done;
  };

  const Limits limits_;
  uint64_t next_call_id_;
  std::map<uint64_t, Call> calls_;  // by id, so in order of arrival
  std::vector<uint64_t> unsent_;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_NODE_LEASE_DESK_H_
