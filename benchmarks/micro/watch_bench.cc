// What the watch hub costs: an event to many watchers of its key, an event that concerns nobody, catching up,
// and the memory of an idle watch. The sinks count and drop, so connections are not in the figures.

#include <malloc.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "server/watch/watch_hub.h"
#include "tests/unit/fake_loop.h"
#include "tests/unit/watch/fake_store.h"

namespace cairn::server {
namespace {

class CountingSink final : public WatchSink {
 public:
  void Send(WatchMessage message) override { bytes += message.size(); }
  bool writable() const override { return true; }
  uint64_t bytes = 0;
};

struct Bench {
  explicit Bench(int streams) {
    for (int i = 0; i < streams; ++i) ids.push_back(hub.OpenStream(&sink));
  }

  static WatchHubOptions Options() {
    WatchHubOptions options;
    options.cluster_id = 0xfedcba9876543210;
    options.member_id = 0x123456789abcdef0;
    options.term = [] { return raft::Term(2); };
    return options;
  }

  void Watch(size_t stream, const std::string& key, const std::string& end, int64_t start = 0) {
    etcdserverpb::WatchRequest request;
    request.mutable_create_request()->set_key(key);
    request.mutable_create_request()->set_range_end(end);
    request.mutable_create_request()->set_start_revision(start);
    hub.Handle(ids[stream % ids.size()], request);
  }

  // One event of the key, never the same revision twice.
  std::vector<storage::RevisionEvents> Event(const std::string& key) {
    std::vector<storage::RevisionEvents> batch;
    batch.push_back(store.Put(key, std::string(256, 'v')));
    return batch;
  }

  FakeLoop loop;
  FakeStore store{&loop};
  CountingSink sink;
  WatchHub hub{loop, store, Options()};
  std::vector<WatchStreamId> ids;
};

void BM_EventToWatchersOfItsKey(benchmark::State& state) {
  Bench bench(10);
  const auto watchers = static_cast<size_t>(state.range(0));
  for (size_t i = 0; i < watchers; ++i) bench.Watch(i, "the/key", "");
  for (auto _ : state) {
    state.PauseTiming();
    auto events = bench.Event("the/key");
    state.ResumeTiming();
    bench.hub.OnApplied(std::move(events));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  benchmark::DoNotOptimize(bench.sink.bytes);
}
BENCHMARK(BM_EventToWatchersOfItsKey)->Arg(1)->Arg(1000)->Iterations(5000);

void BM_EventBesideWatchersOfOtherKeys(benchmark::State& state) {
  Bench bench(10);
  for (int64_t i = 0; i < state.range(0); ++i) {
    const std::string key = absl::StrCat("keys/", i, "/");
    bench.Watch(static_cast<size_t>(i), key, i % 2 == 0 ? "" : key.substr(0, key.size() - 1) + "0");
  }
  for (auto _ : state) {
    state.PauseTiming();
    auto events = bench.Event("keys/none");
    state.ResumeTiming();
    bench.hub.OnApplied(std::move(events));
  }
}
BENCHMARK(BM_EventBesideWatchersOfOtherKeys)->Arg(10)->Arg(100'000)->Iterations(5000);

// 100 watchers of different keys read the same 10,000 revisions.
void BM_CatchUpTogether(benchmark::State& state) {
  constexpr int kRevisions = 10'000;
  Bench bench(10);
  for (int i = 0; i < kRevisions; ++i) bench.store.Put(absl::StrCat("k", i % 100), std::string(256, 'v'));
  bench.hub.OnApplied({});
  for (auto _ : state) {
    for (size_t i = 0; i < 100; ++i) bench.Watch(i, absl::StrCat("k", i), "", 2);
    bench.loop.RunUntilIdle();
    state.PauseTiming();
    for (WatchStreamId& id : bench.ids) {
      bench.hub.CloseStream(id);
      id = bench.hub.OpenStream(&bench.sink);
    }
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kRevisions);
}
BENCHMARK(BM_CatchUpTogether)->Unit(benchmark::kMillisecond);

void BM_BytesPerIdleWatch(benchmark::State& state) {
  for (auto _ : state) {
    Bench bench(1);
    constexpr int kWatches = 50'000;
    const size_t before = mallinfo2().uordblks;
    for (int i = 0; i < kWatches; ++i) bench.Watch(0, absl::StrCat("registry/pods/", i), "");
    state.counters["bytes"] = static_cast<double>(mallinfo2().uordblks - before) / kWatches;
  }
}
BENCHMARK(BM_BytesPerIdleWatch)->Iterations(1);

}  // namespace
}  // namespace cairn::server
