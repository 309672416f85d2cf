// A cluster of real processes (cairnd, or etcd for comparison) on loopback, for tests written in C++.
// Its Python twin, tests/harness/cluster.py, also pauses, restarts and shows logs; this one starts and stops.
//
// Thread safety: none. Start from the thread that outlives the cluster: the kernel kills the members when it
//                ends.
// Ownership:     owns the processes, their data and their logs; the destructor ends and removes all of them.
#ifndef CAIRN_TESTS_HARNESS_CLUSTER_H_
#define CAIRN_TESTS_HARNESS_CLUSTER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cairn::testing {

struct ClusterOptions {
  std::string program;  // path of cairnd or of etcd; both take etcd's flag names
  int members = 3;
  std::vector<std::string> flags;  // added to every member's command line
  absl::Duration start_timeout = absl::Seconds(60);
};

class Cluster {
 public:
  // Returns when every member answers a linearizable read and knows all members.
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(const ClusterOptions& options);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // host:port of each member's client door.
  const std::vector<std::string>& endpoints() const { return endpoints_; }
  // The last lines each member wrote, for failure messages.
  std::string Logs(size_t bytes_per_member = 4000) const;

 private:
  Cluster() = default;
  absl::Status Launch(const ClusterOptions& options);
  absl::Status WaitUntilReady(absl::Time deadline);
  absl::Status CheckAlive();

  std::string directory_;
  std::vector<pid_t> pids_;  // 0 = ended and reaped
  std::vector<std::string> endpoints_;
};

}  // namespace cairn::testing

#endif  // CAIRN_TESTS_HARNESS_CLUSTER_H_
