// What a command costs on its way from a door to the log and back to its caller: queued, put into a batch,
// answered.

#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "raft/check.h"
#include "server/node/proposals.h"

namespace cairn::server {
namespace {

void BM_QueueBatchAnswer(benchmark::State& state) {
  constexpr uint64_t kFirst = 1000;
  Proposals proposals(raft::NodeId(1), kFirst, Proposals::Limits());
  const std::string value(256, 'v');
  uint64_t next = kFirst;
  int64_t answered = 0;
  size_t bytes = 0;
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) {
      internal::Command command;
      command.mutable_put()->set_key("registry/services/some-service");
      command.mutable_put()->set_value(value);
      proposals.Add(
          command, [&answered](storage::Result&&) { ++answered; }, absl::ZeroDuration());
    }
    bytes += proposals.TakeBatch(raft::Term(1), /*forwarded=*/false)->size();
    for (int64_t i = 0; i < state.range(0); ++i) proposals.Complete(next++, storage::Result());
  }
  CAIRN_CHECK(answered == state.iterations() * state.range(0)) << "not every caller was answered";
  state.SetItemsProcessed(answered);
  benchmark::DoNotOptimize(bytes);
}
BENCHMARK(BM_QueueBatchAnswer)->Arg(1)->Arg(64)->Arg(512)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace cairn::server
