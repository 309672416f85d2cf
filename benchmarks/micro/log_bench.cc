// What the Raft log on disk costs: entries of 300 bytes appended, so many in a write, and synced. The time is
// that of the calling thread until the sync is done; the CPU counter is of all threads of the process.

#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "raft/check.h"
#include "storage/rocksdb_log_store.h"

namespace cairn::storage {
namespace {

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// A log in a directory below the current one, and the loop it posts to.
class Bench {
 public:
  Bench() : path_("log_bench." + std::to_string(getpid())) {
    RocksDbLogStoreOptions options;
    options.path = path_;
    options.create = true;
    options.post = [this](absl::AnyInvocable<void()> fn) {
      std::lock_guard lock(mutex_);
      posted_.push_back(std::move(fn));
      arrived_.notify_one();
    };
    auto log = RocksDbLogStore::Open(std::move(options));
    CAIRN_CHECK(log.ok()) << log.status().ToString();
    log_ = *std::move(log);
  }
  ~Bench() {
    log_.reset();
    std::filesystem::remove_all(path_);
  }

  void Append(int entries, const raft::Payload& data) {
    LogWrite write;
    for (int i = 0; i < entries; ++i) {
      write.entries.push_back({raft::Term(1), raft::LogIndex(++last_), raft::EntryType::kCommand, data});
    }
    write.hard_state = raft::HardState{raft::Term(1), raft::NodeId(1), raft::LogIndex(last_ - 1)};
    bool done = false;
    log_->Append(std::move(write), [&done](const absl::Status& status) {
      CAIRN_CHECK(status.ok()) << status.ToString();
      done = true;
    });
    while (!done) RunOne();
  }

 private:
  void RunOne() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return !posted_.empty(); });
    absl::AnyInvocable<void()> fn = std::move(posted_.front());
    posted_.pop_front();
    lock.unlock();
    fn();
  }

  const std::string path_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<absl::AnyInvocable<void()>> posted_;
  std::unique_ptr<RocksDbLogStore> log_;
  uint64_t last_ = 0;
};

void BM_AppendAndSync(benchmark::State& state) {
  Bench bench;
  const auto data = std::make_shared<const std::string>(300, 'e');
  const double before = CpuSeconds();
  for (auto _ : state) bench.Append(static_cast<int>(state.range(0)), data);
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["cpu_us_per_entry"] =
      1e6 * (CpuSeconds() - before) / static_cast<double>(state.iterations() * state.range(0));
}
BENCHMARK(BM_AppendAndSync)->Arg(1)->Arg(16)->Arg(64)->Arg(256)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace cairn::storage
