// The simulator's command line: runs seeds, prints what was simulated, and for a failure how to see it again.
#include <sys/resource.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "CLI/CLI.hpp"
#include "tests/simulation/cluster.h"

namespace {

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void PrintFailure(const cairn::sim::RunOptions& options, const cairn::sim::RunReport& report) {
  std::printf("FAILED seed %llu at step %llu, %s: %s\n", static_cast<unsigned long long>(options.seed),
              static_cast<unsigned long long>(report.steps), absl::FormatDuration(report.simulated).c_str(),
              report.violation.c_str());
  for (const std::string& event : report.last_events) std::printf("  %s\n", event.c_str());
  std::printf("to see it again: simulate --seed %llu --members %d --verbose\n",
              static_cast<unsigned long long>(options.seed), options.members);
}

}  // namespace

int main(int argc, char** argv) {
  cairn::sim::RunOptions options;
  uint64_t seeds = 1;
  double seconds = 30;
  bool verbose = false;
  bool check_determinism = false;
  CLI::App app{
      "Runs whole cairn clusters in simulated time under seeded faults (crashes, pauses, partitions, loss, "
      "slow disks) and "
      "checks what clients saw.\nThe same seed gives the same run. Exit code 0: all seeds passed; 1: one "
      "failed; 2: wrong "
      "arguments."};
  app.add_option("--seed", options.seed, "First seed")->capture_default_str();
  app.add_option("--seeds", seeds, "How many seeds, one after the other")->capture_default_str();
  app.add_option("--members", options.members, "Members of the cluster")
      ->capture_default_str()
      ->check(CLI::Range(1, 7));
  app.add_option("--clients", options.clients, "Clients at work")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  app.add_option("--seconds", seconds, "Simulated seconds a seed; faults stop after two thirds")
      ->capture_default_str()
      ->check(CLI::Range(6.0, 100000.0));
  app.add_flag("--verbose", verbose, "A line for each seed");
  app.add_flag("--check-determinism", check_determinism,
               "Runs each seed twice and compares everything that happened");
  app.footer(
      "Examples:\n  simulate --seeds 200\n  simulate --seed 4711 --verbose\n  simulate --seeds 20 "
      "--check-determinism");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.faulty_time = absl::Seconds(seconds * 2 / 3);
  options.healing_time = absl::Seconds(seconds / 3);

  const uint64_t first = options.seed;
  uint64_t operations = 0, acknowledged = 0, elections = 0, crashes = 0, pauses = 0, cuts = 0, failed = 0;
  absl::Duration simulated;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    options.seed = seed;
    cairn::sim::RunReport report = cairn::sim::Cluster(options).Run();
    if (check_determinism && report.violation.empty()) {
      const cairn::sim::RunReport again = cairn::sim::Cluster(options).Run();
      if (again.digest != report.digest) report.violation = "two runs of the same seed differ";
    }
    if (!report.violation.empty()) {
      ++failed;
      PrintFailure(options, report);
    }
    if (verbose) {
      std::printf(
          "seed %llu: %llu steps, %llu operations (%llu acknowledged), %lld revisions, %llu elections, %llu "
          "crashes, %llu pauses, %llu cuts, digest %016llx\n",
          static_cast<unsigned long long>(seed), static_cast<unsigned long long>(report.steps),
          static_cast<unsigned long long>(report.operations),
          static_cast<unsigned long long>(report.acknowledged), static_cast<long long>(report.revisions),
          static_cast<unsigned long long>(report.elections), static_cast<unsigned long long>(report.crashes),
          static_cast<unsigned long long>(report.pauses), static_cast<unsigned long long>(report.cuts),
          static_cast<unsigned long long>(report.digest));
    }
    operations += report.operations;
    acknowledged += report.acknowledged;
    elections += report.elections;
    crashes += report.crashes;
    pauses += report.pauses;
    cuts += report.cuts;
    simulated += report.simulated;
    if (failed >= 3) break;  // enough to work on
  }
  const double cpu = CpuSeconds();
  std::printf(
      "%llu operations (%llu acknowledged), %llu elections, %llu crashes, %llu pauses, %llu cuts in %.0f "
      "simulated "
      "seconds, %.1f CPU seconds (%.0f x real time): %s\n",
      static_cast<unsigned long long>(operations), static_cast<unsigned long long>(acknowledged),
      static_cast<unsigned long long>(elections), static_cast<unsigned long long>(crashes),
      static_cast<unsigned long long>(pauses), static_cast<unsigned long long>(cuts),
      absl::ToDoubleSeconds(simulated), cpu, absl::ToDoubleSeconds(simulated) / cpu,
      failed == 0 ? "all passed" : "FAILED");
  return failed == 0 ? 0 : 1;
}
