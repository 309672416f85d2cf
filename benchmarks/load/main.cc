// cairn-load: puts a known load on a cluster that speaks the etcd v3 API and prints what it measured as JSON.
// Exit code 0 only if every operation succeeded.
#include <sys/resource.h>

#include <functional>
#include <iostream>
#include <map>
#include <string>

#include "CLI/CLI.hpp"
#include "benchmarks/load/workload.h"

int main(int argc, char** argv) {
  using namespace cairn::load;
  using Run = std::function<absl::Status(const Options&, Meter&)>;
  const std::map<std::string, Run> workloads = {
      {"put", RunCalls},
      {"get-serializable", RunCalls},
      {"get-linearizable", RunCalls},
      {"txn", RunCalls},
      {"lease-grant", RunCalls},
      {"fill", RunCalls},
      {"count", RunCalls},
      {"page", RunCalls},
      {"keep-alive", RunKeepAlive},
      {"watch", RunWatch},
      {"failover", RunFailover},
      {"first-get", RunFirstGet},
      {"status", RunStatus},
  };
  Options options;
  CLI::App app("Puts a load on a cluster that speaks the etcd v3 API.");
  app.add_option("workload", options.workload, "What to do")->required()->check(CLI::IsMember(workloads));
  app.add_option("--endpoints", options.endpoints, "Addresses, as 127.0.0.1:2379")
      ->required()
      ->delimiter(',');
  app.add_option("--pids", options.pids, "The members' processes, for their CPU time")->delimiter(',');
  app.add_option("--connections", options.connections, "Spread over the endpoints in turn");
  app.add_option("--outstanding", options.outstanding, "Calls under way at any time, over all connections");
  app.add_option("--streams", options.streams, "watch: spread over the connections in turn");
  app.add_option("--watchers", options.watchers, "watch: spread over the streams in turn");
  app.add_option("--rate", options.rate,
                 "watch: puts a second; 0 = full speed, -1 = none: only hold the watches");
  app.add_option("--warmup", options.warmup_s, "Seconds before measuring");
  app.add_option("--seconds", options.seconds, "Seconds of measuring");
  app.add_option("--operations", options.operations, "So many operations instead of --seconds");
  app.add_option("--keys", options.keys, "Number of keys");
  app.add_option("--key-bytes", options.key_bytes, "Length of a key");
  app.add_option("--value-bytes", options.value_bytes, "Length of a value")->check(CLI::Range(32, 1 << 20));
  app.add_option("--seed", options.seed, "Of the random keys");
  app.add_option("--kill-pid", options.kill_pid, "failover: the process to kill");
  CLI11_PARSE(app, argc, argv);

  // A thousand connections and more.
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  Meter meter(options.pids);
  const absl::Status status = workloads.at(options.workload)(options, meter);
  if (!status.ok()) {
    std::cerr << "cairn-load " << options.workload << ": " << status.message() << "\n";
    return 1;
  }
  std::cout << meter.Json(options.workload) << std::endl;
  if (meter.errors() > 0)
    std::cerr << "cairn-load " << options.workload << ": " << meter.errors() << " errors\n";
  return meter.errors() == 0 ? 0 : 1;
}
