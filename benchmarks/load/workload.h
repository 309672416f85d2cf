// The workloads by name; each runs to its end and returns what it measured.
#ifndef CAIRN_BENCHMARKS_LOAD_WORKLOAD_H_
#define CAIRN_BENCHMARKS_LOAD_WORKLOAD_H_

#include "absl/status/status.h"
#include "benchmarks/load/options.h"
#include "benchmarks/load/result.h"

namespace cairn::load {

// One call after the other in each of `outstanding` places: put, get-serializable, get-linearizable, txn,
// lease-grant, fill, count, page.
absl::Status RunCalls(const Options& options, Meter& meter);

// One message after the other on each of `outstanding` keep-alive streams.
absl::Status RunKeepAlive(const Options& options, Meter& meter);

// watch: puts to one key that `watchers` watch; an operation is an event delivered. With rate < 0 nothing is
// put: prints "ready" when all watches stand and keeps them until the standard input ends.
absl::Status RunWatch(const Options& options, Meter& meter);

// failover: puts to every endpoint every few milliseconds; kills `kill_pid`; measures until a put that began
// after that is acknowledged.
absl::Status RunFailover(const Options& options, Meter& meter);

// first-get: tries to connect and read linearizably until it succeeds; reports the moment, as monotonic time.
absl::Status RunFirstGet(const Options& options, Meter& meter);

// status: which endpoint leads, as its place in the list; an error unless all agree.
absl::Status RunStatus(const Options& options, Meter& meter);

}  // namespace cairn::load

#endif  // CAIRN_BENCHMARKS_LOAD_WORKLOAD_H_
