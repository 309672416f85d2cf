// What the store costs on RocksDB, beside the engine's own write: applying puts, reads of a hot and of a cold
// key, counts and pages over a million keys, compaction slice by slice, opening after a restart, and the
// longest single changes (a range of a million keys deleted, a lease with a million keys revoked).
//
// Keys have 64 bytes, values 256. Memory figures are of the whole process: run those alone
// (--benchmark_filter). Counters of time are CPU time of the core loop's thread.

#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "raft/check.h"
#include "storage/file_blob_store.h"
#include "storage/mvcc/store.h"
#include "storage/rocksdb_state_engine.h"
#include "storage/serial_worker.h"

namespace cairn::storage {
namespace {

using Clock = std::chrono::steady_clock;
using internal::Command;
using internal::CommandBatch;

double SecondsSince(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

// Spread over the key space as hashes are, so that neighbours in time are no neighbours in the index.
std::string KeyOf(uint64_t i) {
  char key[80];
  std::snprintf(key, sizeof key, "/registry/services/%016llx/endpoints/%018llu",
                static_cast<unsigned long long>(i * 0x9E3779B97F4A7C15u), static_cast<unsigned long long>(i));
  return key;
}

// Of this thread: what other programs do on the machine is not in it.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double ResidentMib() {
  std::ifstream statm("/proc/self/statm");
  uint64_t pages = 0;
  statm >> pages >> pages;
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// A store on a directory of its own, as a member has it, without Raft.
class Member {
 public:
  Member() {
    mallopt(M_MXFAST, 0);  // as the server does
    std::string name = (std::filesystem::temp_directory_path() / "cairn-mvcc-bench-XXXXXX").string();
    CAIRN_CHECK(mkdtemp(name.data()) != nullptr) << "cannot make a temporary directory";
    path_ = name;
    Open(true);
  }
  ~Member() {
    Close();
    std::filesystem::remove_all(path_);
  }

  // Returns the seconds that loading the store took.
  double Open(bool create) {
    RocksDbStateEngineOptions options;
    options.path = path_ + "/db";
    options.create = create;
    options.post = [this](absl::AnyInvocable<void()> fn) { Post(std::move(fn)); };
    auto engine = RocksDbStateEngine::Open(std::move(options));
    CAIRN_CHECK(engine.ok()) << engine.status().ToString();
    engine_ = *std::move(engine);
    auto blobs = FileBlobStore::Open(path_ + "/index");
    CAIRN_CHECK(blobs.ok()) << blobs.status().ToString();
    blobs_ = *std::move(blobs);
    worker_ = std::make_unique<SerialWorker>();
    const auto began = Clock::now();
    auto store =
        Store::Open({.self = 1}, engine_.get(), blobs_.get(),
                    [this](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
                      worker_->Post([this, work = std::move(work), done = std::move(done)]() mutable {
                        work();
                        Post(std::move(done));
                      });
                    });
    CAIRN_CHECK(store.ok()) << store.status().ToString();
    const double seconds = SecondsSince(began);
    store_ = *std::move(store);
    store_->SetOnBackgroundWork([this] { work_waits_ = true; });
    return seconds;
  }
  void Close() {
    Settle();
    worker_->Stop();
    store_.reset();
    engine_.reset();
    posted_.clear();
  }

  static Command Put(std::string key, int64_t lease = 0) {
    Command command;
    command.set_origin(1);
    command.mutable_put()->set_key(std::move(key));
    command.mutable_put()->set_value(std::string(256, 'v'));
    command.mutable_put()->set_lease(lease);
    return command;
  }
  raft::Entry EntryOf(const CommandBatch& batch) {
    return {raft::Term(1), raft::LogIndex(++index_), raft::EntryType::kCommand,
            std::make_shared<const std::string>(batch.SerializeAsString())};
  }
  raft::Entry EntryOf(Command command) {
    CommandBatch batch;
    *batch.add_commands() = std::move(command);
    return EntryOf(batch);
  }
  void ApplyAndCommit(const raft::Entry& entry) {
    Outcome outcome;
    store_->Apply({&entry, 1}, &outcome);
    Commit();
  }
  void Commit() {
    for (;;) {
      const absl::Status status = store_->Commit();
      if (status.ok()) return;
      CAIRN_CHECK(absl::IsUnavailable(status)) << status.ToString();
      ++refusals_;
      RunPosted(std::chrono::milliseconds(1));
    }
  }

  // Puts keys [from, to) as a loaded member would: in batches, with its background work between them.
  void Load(uint64_t from, uint64_t to, int64_t lease = 0) {
    while (from < to) {
      CommandBatch batch;
      for (int i = 0; i < 256 && from < to; ++i) *batch.add_commands() = Put(KeyOf(from++), lease);
      ApplyAndCommit(EntryOf(batch));
      Background(false);
    }
  }

  // One slice, or slices until nothing is left. Notes the longest.
  void Background(bool all) {
    for (;;) {
      RunPosted(std::chrono::milliseconds(0));
      const double began = CpuSeconds();
      const BackgroundWork left = store_->DoBackgroundWork(absl::Milliseconds(1));
      longest_slice_ = std::max(longest_slice_, CpuSeconds() - began);
      if (!all) return;
      if (left == BackgroundWork::kRefused) RunPosted(std::chrono::milliseconds(1));
      if (left != BackgroundWork::kNone) continue;
      // A checkpoint may be on its way to the disk, or a flush that the removal waits for.
      work_waits_ = false;
      RunPosted(std::chrono::milliseconds(100));
      if (!work_waits_) return;
    }
  }
  // Until all background work is done and what it started on other threads.
  void Settle() {
    Background(true);
    for (Family family : {Family::kEvents}) {
      bool done = false;
      engine_->Flush([&](const absl::Status& status) {
        CAIRN_CHECK(status.ok()) << status.ToString();
        done = true;
      });
      while (!done) RunPosted(std::chrono::milliseconds(100));
      done = false;
      // Behind the one that the store has asked for.
      engine_->CompactRange(family, "a", "b", [&](const absl::Status&) { done = true; });
      while (!done) RunPosted(std::chrono::milliseconds(100));
    }
    Background(true);
  }

  Result Read(std::unique_ptr<ReadRun> run) {
    for (;;) {
      const ReadRun::Step step = run->Resume(absl::Milliseconds(1), [] {});
      if (step == ReadRun::Step::kDone) return run->TakeResult();
      if (step == ReadRun::Step::kWait) RunPosted(std::chrono::milliseconds(100));
    }
  }

  Store& store() { return *store_; }
  RocksDbStateEngine& engine() { return *engine_; }
  double TakeLongestSlice() { return std::exchange(longest_slice_, 0); }
  int refusals() const { return refusals_; }

 private:
  void Post(absl::AnyInvocable<void()> fn) {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(fn));
    changed_.notify_one();
  }
  void RunPosted(std::chrono::milliseconds wait) {
    std::deque<absl::AnyInvocable<void()>> now;
    {
      std::unique_lock lock(mutex_);
      if (wait.count() > 0) changed_.wait_for(lock, wait, [this] { return !posted_.empty(); });
      now.swap(posted_);
    }
    for (auto& fn : now) fn();
  }

  std::string path_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<absl::AnyInvocable<void()>> posted_;  // guarded by mutex_
  std::unique_ptr<RocksDbStateEngine> engine_;
  std::unique_ptr<FileBlobStore> blobs_;
  std::unique_ptr<SerialWorker> worker_;
  std::unique_ptr<Store> store_;
  uint64_t index_ = 0;
  bool work_waits_ = false;
  double longest_slice_ = 0;
  int refusals_ = 0;
};

// The engine alone: what a put writes, without the store.
void BM_EngineWrite(benchmark::State& state) {
  Member member;
  auto batch = member.engine().NewBatch();
  const std::string value(64 + 256 + 40, 'v');
  uint64_t revision = 1;
  for (auto _ : state) {
    batch->Clear();
    for (int64_t i = 0; i < state.range(0); ++i) {
      const uint64_t big_endian = __builtin_bswap64(++revision);
      char key[12] = {};
      std::copy_n(reinterpret_cast<const char*>(&big_endian), 8, key);
      batch->Put(Family::kEvents, {key, sizeof key}, value);
    }
    batch->Put(Family::kMeta, "state", std::string(52, 's'));
    benchmark::DoNotOptimize(member.engine().Write(*batch, 1));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_EngineWrite)->Arg(1)->Arg(16)->Arg(64)->Iterations(3000);

// Apply and commit of puts to random known keys; range(0) a batch, range(1) keys.
void BM_Put(benchmark::State& state) {
  Member member;
  const auto keys = static_cast<uint64_t>(state.range(1));
  member.Load(0, keys);
  member.Settle();
  std::mt19937_64 random(1);
  double apply = 0, commit = 0;
  for (auto _ : state) {
    state.PauseTiming();
    CommandBatch batch;
    for (int64_t i = 0; i < state.range(0); ++i) *batch.add_commands() = Member::Put(KeyOf(random() % keys));
    const raft::Entry entry = member.EntryOf(batch);
    member.Background(false);
    state.ResumeTiming();
    Outcome outcome;
    const double began = CpuSeconds();
    member.store().Apply({&entry, 1}, &outcome);
    const double applied = CpuSeconds();
    member.Commit();
    commit += CpuSeconds() - applied;
    apply += applied - began;
  }
  const auto puts = static_cast<double>(state.iterations() * state.range(0));
  state.SetItemsProcessed(static_cast<int64_t>(puts));
  state.counters["apply_us"] = apply * 1e6 / puts;
  state.counters["commit_us"] = commit * 1e6 / puts;
}
BENCHMARK(BM_Put)
    ->ArgsProduct({{1, 16, 64}, {100'000, 1'000'000}})
    ->Iterations(3000)
    ->Unit(benchmark::kMicrosecond);

etcdserverpb::RangeRequest Everything() {
  etcdserverpb::RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_range_end(std::string(1, '\0'));
  return request;
}

// All reads over one store of a million keys, which takes a while to fill.
class MillionKeys : public benchmark::Fixture {
 public:
  void SetUp(const benchmark::State& /*state*/) override {
    if (member != nullptr) return;
    member = std::make_unique<Member>();
    member->Load(0, 1'000'000);
    member->Settle();
  }
  std::unique_ptr<Member> member;
};

BENCHMARK_DEFINE_F(MillionKeys, RangeHot)(benchmark::State& state) {
  etcdserverpb::RangeRequest request;
  std::mt19937_64 random(1);
  for (uint64_t i = 0; i < 1000; ++i) {
    request.set_key(KeyOf(i));
    member->Read(member->store().StartRange(request));
  }
  for (auto _ : state) {
    request.set_key(KeyOf(random() % 1000));
    benchmark::DoNotOptimize(member->Read(member->store().StartRange(request)));
  }
}
BENCHMARK_REGISTER_F(MillionKeys, RangeHot)->Iterations(200'000);

BENCHMARK_DEFINE_F(MillionKeys, RangeAnyKey)(benchmark::State& state) {
  etcdserverpb::RangeRequest request;
  std::mt19937_64 random(1);
  for (auto _ : state) {
    request.set_key(KeyOf(random() % 1'000'000));
    benchmark::DoNotOptimize(member->Read(member->store().StartRange(request)));
  }
}
BENCHMARK_REGISTER_F(MillionKeys, RangeAnyKey)->Iterations(20'000);

BENCHMARK_DEFINE_F(MillionKeys, CountAll)(benchmark::State& state) {
  etcdserverpb::RangeRequest request = Everything();
  request.set_count_only(true);
  for (auto _ : state) benchmark::DoNotOptimize(member->Read(member->store().StartRange(request)));
}
BENCHMARK_REGISTER_F(MillionKeys, CountAll)->Iterations(10'000);

// The first range(0) keys with their values, and the count of all.
BENCHMARK_DEFINE_F(MillionKeys, FirstWithCount)(benchmark::State& state) {
  etcdserverpb::RangeRequest request = Everything();
  request.set_limit(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(member->Read(member->store().StartRange(request)));
}
BENCHMARK_REGISTER_F(MillionKeys, FirstWithCount)
    ->Arg(500)
    ->Arg(1000)
    ->Iterations(500)
    ->Unit(benchmark::kMicrosecond);

// A restart: the newest checkpoint, then what came after it.
BENCHMARK_DEFINE_F(MillionKeys, Open)(benchmark::State& state) {
  double seconds = 0;
  for (auto _ : state) {
    member->Close();
    malloc_trim(0);
    seconds += member->Open(false);
  }
  state.counters["open_s"] = seconds / static_cast<double>(state.iterations());
  state.counters["rss_mib"] = ResidentMib();
}
BENCHMARK_REGISTER_F(MillionKeys, Open)->Iterations(3)->Unit(benchmark::kMillisecond);

void BM_MemoryOfAMillionKeys(benchmark::State& state) {
  for (auto _ : state) {
    Member member;
    const double before = ResidentMib();
    member.Load(0, 1'000'000);
    state.counters["rss_mib"] = ResidentMib();
    state.counters["before_mib"] = before;
    state.counters["longest_slice_ms"] = member.TakeLongestSlice() * 1e3;
    state.counters["refusals"] = member.refusals();
  }
}
BENCHMARK(BM_MemoryOfAMillionKeys)->Iterations(1)->Unit(benchmark::kMillisecond);

// 200,000 superseded revisions of 100,000 keys beside 100,000 keys that stay as they are.
void BM_CompactSuperseded(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    Member member;
    member.Load(100'000, 200'000);
    for (int round = 0; round < 3; ++round) member.Load(0, 100'000);
    member.Settle();
    const uint64_t before = member.engine().disk_bytes();
    member.TakeLongestSlice();
    state.ResumeTiming();
    Command command;
    command.mutable_compact()->set_revision(member.store().revision().value());
    member.ApplyAndCommit(member.EntryOf(std::move(command)));
    const double began = CpuSeconds();
    member.Background(true);
    state.counters["core_loop_ms"] = (CpuSeconds() - began) * 1e3;
    state.counters["longest_slice_ms"] = member.TakeLongestSlice() * 1e3;
    member.Settle();
    state.counters["disk_mib_before"] = static_cast<double>(before) / (1 << 20);
    state.counters["disk_mib_after"] = static_cast<double>(member.engine().disk_bytes()) / (1 << 20);
  }
}
BENCHMARK(BM_CompactSuperseded)->Iterations(1)->Unit(benchmark::kMillisecond);

// Not cut into slices: the figure says how long the core loop stands still.
void BM_DeleteRangeOfAMillion(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    Member member;
    member.Load(0, 1'000'000);
    Command command;
    command.mutable_delete_range()->set_key(std::string(1, '\0'));
    command.mutable_delete_range()->set_range_end(std::string(1, '\0'));
    const raft::Entry entry = member.EntryOf(std::move(command));
    state.ResumeTiming();
    Outcome outcome;
    const double began = CpuSeconds();
    member.store().Apply({&entry, 1}, &outcome);
    state.counters["apply_ms"] = (CpuSeconds() - began) * 1e3;
    const double applied = CpuSeconds();
    member.Commit();
    state.counters["commit_ms"] = (CpuSeconds() - applied) * 1e3;
    state.PauseTiming();
    outcome = Outcome();
    state.ResumeTiming();
  }
}
BENCHMARK(BM_DeleteRangeOfAMillion)->Iterations(1)->Unit(benchmark::kMillisecond);

void BM_RevokeOfAMillion(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    Member member;
    Command grant;
    grant.mutable_lease_grant()->set_id(5);
    grant.mutable_lease_grant()->set_ttl_s(60);
    member.ApplyAndCommit(member.EntryOf(std::move(grant)));
    member.Load(0, 1'000'000, 5);
    Command command;
    command.mutable_lease_revoke()->set_id(5);
    const raft::Entry entry = member.EntryOf(std::move(command));
    state.ResumeTiming();
    Outcome outcome;
    const double began = CpuSeconds();
    member.store().Apply({&entry, 1}, &outcome);
    state.counters["apply_ms"] = (CpuSeconds() - began) * 1e3;
    const double applied = CpuSeconds();
    member.Commit();
    state.counters["commit_ms"] = (CpuSeconds() - applied) * 1e3;
  }
}
BENCHMARK(BM_RevokeOfAMillion)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cairn::storage
