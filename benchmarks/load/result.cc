#include "benchmarks/load/result.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"

namespace cairn::load {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

double Percentile(const std::vector<float>& sorted, double part) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))];
}

}  // namespace

double CpuSeconds(const std::vector<pid_t>& pids) {
  const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  double sum = 0;
  for (pid_t pid : pids) {
    std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    // The second field, the name in parentheses, may hold anything; utime and stime are the 14th and 15th.
    const size_t after_name = text.rfind(") ");
    if (after_name == std::string::npos) continue;
    const std::vector<std::string> fields = absl::StrSplit(text.substr(after_name + 2), ' ');
    for (size_t at : {size_t{11}, size_t{12}}) {
      double ticks = 0;
      if (at < fields.size() && absl::SimpleAtod(fields[at], &ticks)) sum += ticks / ticks_per_second;
    }
  }
  return sum;
}

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

void Meter::Open() {
  open_ = true;
  opened_at_ = Clock::now();
  cpu_ = CpuSeconds(pids_);
  own_cpu_ = OwnCpuSeconds();
}

void Meter::Close() {
  if (!open_) return;
  open_ = false;
  seconds_ = std::chrono::duration<double>(Clock::now() - opened_at_).count();
  cpu_ = CpuSeconds(pids_) - cpu_;
  own_cpu_ = OwnCpuSeconds() - own_cpu_;
}

std::string Meter::Json(const std::string& workload) {
  Close();
  std::sort(times_.begin(), times_.end());
  const double operations = static_cast<double>(std::max<uint64_t>(operations_, 1));
  nlohmann::json json = {{"workload", workload},
                         {"operations", operations_},
                         {"errors", errors_},
                         {"seconds", seconds_},
                         {"per_second", seconds_ > 0 ? static_cast<double>(operations_) / seconds_ : 0.0},
                         {"p50_us", Percentile(times_, 0.50)},
                         {"p99_us", Percentile(times_, 0.99)},
                         {"client_cpu_us", 1e6 * own_cpu_ / operations}};
  if (!pids_.empty()) {
    json["server_cpu_us"] = 1e6 * cpu_ / operations;
    json["server_cpu_s"] = cpu_;
  }
  for (const auto& [name, value] : more_) json[name] = value;
  return json.dump();
}

}  // namespace cairn::load
