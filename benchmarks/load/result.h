// What was measured, printed as one line of JSON.
//
// Thread safety: none.
#ifndef CAIRN_BENCHMARKS_LOAD_RESULT_H_
#define CAIRN_BENCHMARKS_LOAD_RESULT_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "benchmarks/load/reactor.h"

namespace cairn::load {

// CPU time in seconds that the processes have used, user and system. Counted by the kernel in steps of 10 ms.
double CpuSeconds(const std::vector<pid_t>& pids);
// Of this process.
double OwnCpuSeconds();

// Counts operations and their times while it is open.
class Meter {
 public:
  explicit Meter(std::vector<pid_t> pids) : pids_(std::move(pids)) {}

  void Open();
  void Close();
  bool open() const { return open_; }

  void Count(uint64_t operations) {
    if (open_) operations_ += operations;
  }
  void Time(Clock::duration took) {
    if (open_) times_.push_back(std::chrono::duration<float, std::micro>(took).count());
  }
  void CountError() { ++errors_; }  // at any time
  uint64_t operations() const { return operations_; }
  uint64_t errors() const { return errors_; }

  // Anything else worth telling.
  void Set(const std::string& name, double value) { more_[name] = value; }

  std::string Json(const std::string& workload);

 private:
  std::vector<pid_t> pids_;
  bool open_ = false;
  Clock::time_point opened_at_;
  double cpu_ = 0;
  double own_cpu_ = 0;
  double seconds_ = 0;
  uint64_t operations_ = 0;
  uint64_t errors_ = 0;
  std::vector<float> times_;  // in microseconds
  std::map<std::string, double> more_;
};

}  // namespace cairn::load

#endif  // CAIRN_BENCHMARKS_LOAD_RESULT_H_
