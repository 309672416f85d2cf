// What the Raft core costs without disk and network: batches proposed, replicated and committed by three
// members, and read confirmations, all in one thread with disks that answer at once.

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "raft/check.h"
#include "raft/raft.h"

namespace cairn::raft {
namespace {

class Log final : public LogReader {
 public:
  LogIndex FirstIndex() const override { return LogIndex(1); }
  LogIndex LastIndex() const override { return LogIndex(entries_.size()); }
  absl::StatusOr<Term> TermAt(LogIndex index) const override {
    return index == LogIndex(0) ? Term(0) : entries_[index.value() - 1].term;
  }
  absl::StatusOr<std::vector<Entry>> Entries(LogIndex begin, LogIndex end, size_t) override {
    return std::vector<Entry>(entries_.begin() + static_cast<ptrdiff_t>(begin.value() - 1),
                              entries_.begin() + static_cast<ptrdiff_t>(end.value() - 1));
  }
  void Append(const std::vector<Entry>& entries) {
    if (entries.empty()) return;
    entries_.resize(entries.front().index.value() - 1);
    entries_.insert(entries_.end(), entries.begin(), entries.end());
  }

 private:
  std::vector<Entry> entries_;
};

class Members {
 public:
  explicit Members(size_t count) : logs_(count) {
    Configuration configuration;
    for (size_t i = 1; i <= count; ++i) configuration.voters.push_back(NodeId(i));
    for (size_t i = 0; i < count; ++i) {
      Options options;
      options.self = NodeId(i + 1);
      options.seed = i + 1;
      rafts_.push_back(std::make_unique<Raft>(options, HardState{}, configuration, LogIndex(0), &logs_[i]));
    }
    leader().Campaign();
    Run();
    CAIRN_CHECK(leader().role() == Role::kLeader) << "no election";
  }

  Raft& leader() { return *rafts_.front(); }
  uint64_t reads() const { return reads_; }

  // Until nothing is left to do.
  void Run() {
    for (bool busy = true; busy;) {
      busy = false;
      for (size_t i = 0; i < rafts_.size(); ++i) {
        while (rafts_[i]->HasReady()) {
          Take(i);
          busy = true;
        }
      }
      while (!network_.empty()) {
        Message message = std::move(network_.front());
        network_.pop_front();
        Raft& to = *rafts_[message.to.value() - 1];
        to.Step(std::move(message));
        busy = true;
      }
    }
  }

 private:
  void Take(size_t i) {
    Ready ready = rafts_[i]->TakeReady();
    logs_[i].Append(ready.entries);
    for (Message& message : ready.messages) network_.push_back(std::move(message));
    for (Message& message : ready.messages_after_persist) network_.push_back(std::move(message));
    if (!ready.entries.empty()) rafts_[i]->Persisted(ready.entries.back().term, ready.entries.back().index);
    if (!ready.committed.empty()) rafts_[i]->Applied(ready.committed.back().index);
    reads_ += ready.reads.size();
  }

  std::vector<Log> logs_;
  std::vector<std::unique_ptr<Raft>> rafts_;
  std::deque<Message> network_;
  uint64_t reads_ = 0;
};

void BM_ReplicateBatch(benchmark::State& state) {
  Members members(static_cast<size_t>(state.range(0)));
  const auto payload = std::make_shared<const std::string>(300, 'e');
  const LogIndex before = members.leader().commit();
  for (auto _ : state) {
    members.leader().Propose({payload});
    members.Run();
  }
  const auto committed = static_cast<int64_t>(members.leader().commit().value() - before.value());
  CAIRN_CHECK(committed == state.iterations()) << "not everything was committed";
  state.SetItemsProcessed(committed);
}
BENCHMARK(BM_ReplicateBatch)->Arg(3)->Arg(5)->Iterations(100'000)->Unit(benchmark::kMicrosecond);

void BM_ConfirmReads(benchmark::State& state) {
  Members members(static_cast<size_t>(state.range(0)));
  uint64_t context = 0;
  for (auto _ : state) {
    members.leader().ReadIndex(++context);
    members.Run();
  }
  CAIRN_CHECK(members.reads() == context) << "not every read was confirmed";
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ConfirmReads)->Arg(3)->Arg(5)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace cairn::raft
