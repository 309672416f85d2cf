// Runs reads of the store in slices, so that a long one does not hold the core loop.
//
// Thread safety: none; belongs to the core loop.
#ifndef CAIRN_SERVER_NODE_READ_RUNNER_H_
#define CAIRN_SERVER_NODE_READ_RUNNER_H_

#include <list>
#include <memory>

#include "proto/etcd/rpc.pb.h"
#include "server/kernel/kernel.h"
#include "server/ports.h"
#include "storage/mvcc/store.h"

namespace cairn::server {

class ReadRunner {
 public:
  // A slice of a read takes about so long at most.
  static constexpr absl::Duration kSlice = absl::Milliseconds(2);

  ReadRunner(Loop& loop, storage::Store& store) : loop_(loop), store_(store) {}
  ~ReadRunner();

  void Range(etcdserverpb::RangeRequest request, Kernel::Done done);
  void Txn(etcdserverpb::TxnRequest request, Kernel::Done done);
  void HashKv(storage::Revision at, Kernel::Done done);

  // Answers what is still running with `error`.
  void FailAll(ClientError error);

  size_t running() const { return jobs_.size(); }

 private:
  struct Job {
    etcdserverpb::RangeRequest range;  // the run reads it as long as it lives
    etcdserverpb::TxnRequest txn;
    Kernel::Done done;
    std::unique_ptr<storage::ReadRun> run;
    std::list<Job>::iterator self;
  };

  Job* NewJob(Kernel::Done done);
  void Resume(Job* job);

  Loop& loop_;
  storage::Store& store_;
  std::list<Job> jobs_;
  std::list<Job> spare_;  // at most one: the common read is done in its first slice and allocates nothing
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_NODE_READ_RUNNER_H_
