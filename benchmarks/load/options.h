// What to do, from the command line of the load generator.
#ifndef CAIRN_BENCHMARKS_LOAD_OPTIONS_H_
#define CAIRN_BENCHMARKS_LOAD_OPTIONS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::load {

struct Options {
  std::string workload;
  std::vector<std::string> endpoints;
  std::vector<pid_t> pids;  // of the members: their CPU time is taken over the measured part

  int connections = 8;   // spread over the endpoints in turn
  int outstanding = 64;  // calls under way at any time, over all connections
  int streams = 10;      // watch: streams, spread over the connections in turn
  int watchers = 1000;   // watch: watchers, spread over the streams in turn
  double rate = 0;       // watch: puts a second; 0 = as fast as they are answered, `outstanding` at a time

  double warmup_s = 0.5;
  double seconds = 5;
  uint64_t operations = 0;  // not 0: so many instead of `seconds`, and no warm-up

  uint64_t keys = 100'000;
  size_t key_bytes = 16;
  size_t value_bytes = 256;
  uint64_t seed = 1;

  pid_t kill_pid = 0;  // failover: the member to kill
};

}  // namespace cairn::load

#endif  // CAIRN_BENCHMARKS_LOAD_OPTIONS_H_
