#include "server/node/read_runner.h"

#include <utility>

namespace cairn::server {

ReadRunner::~ReadRunner() { *alive_ = false; }

void ReadRunner::Range(etcdserverpb::RangeRequest request, Kernel::Done done) {
  Job* job = NewJob(std::move(done));
  job->range.Swap(&request);
  job->run = store_.StartRange(job->range);
  Resume(job);
}

void ReadRunner::Txn(etcdserverpb::TxnRequest request, Kernel::Done done) {
  Job* job = NewJob(std::move(done));
  job->txn.Swap(&request);
  job->run = store_.StartReadTxn(job->txn);
  Resume(job);
}

void ReadRunner::HashKv(storage::Revision at, Kernel::Done done) {
  Job* job = NewJob(std::move(done));
  job->run = store_.StartHashKv(at);
  Resume(job);
}

ReadRunner::Job* ReadRunner::NewJob(Kernel::Done done) {
  if (spare_.empty()) {
    jobs_.emplace_front();
  } else {
    jobs_.splice(jobs_.begin(), spare_, spare_.begin());
  }
  Job* job = &jobs_.front();
  job->self = jobs_.begin();
  job->done = std::move(done);
  return job;
}

void ReadRunner::Resume(Job* job) {
  // The runner may be gone when a disk read comes back; then the job is, too.
  auto wake = [this, job, alive = alive_] {
    if (*alive) Resume(job);
  };
  switch (job->run->Resume(kSlice, wake)) {
    case storage::ReadRun::Step::kWait:
      return;
    case storage::ReadRun::Step::kYield:
      loop_.Post(std::move(wake));
      return;
    case storage::ReadRun::Step::kDone:
      break;
  }
  storage::Result result = job->run->TakeResult();
  Kernel::Done done = std::move(job->done);
  job->run.reset();
  if (spare_.empty()) {
    spare_.splice(spare_.begin(), jobs_, job->self);
  } else {
    jobs_.erase(job->self);
  }
  done(std::move(result));
}

void ReadRunner::FailAll(ClientError error) {
  std::list<Job> failed;
  failed.swap(jobs_);
  *alive_ = false;  // wake-ups under way are for jobs that are no more
  alive_ = std::make_shared<bool>(true);
  for (Job& job : failed) {
    storage::Result result;
    result.error = error;
    job.done(std::move(result));
  }
}

}  // namespace cairn::server
