// Does the same random operations to etcd (one member) and to cairn (three), and compares every answer and
// event.
//
//   differential --etcd=etcd --cairn=build/cairnd --mode=sequential --seed=1 --ops=100000
//
// Exit code: 0 no difference, 1 a difference or too little coverage, 2 wrong use or the servers did not
// start.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/differential/session.h"
#include "tests/harness/cluster.h"

namespace cairn::differential {
namespace {

constexpr int64_t kOperationsPerCompaction = 500;
constexpr int kClients = 16;

struct Options {
  std::string etcd = "etcd";
  std::string cairn;
  std::string mode = "sequential";
  uint64_t seed = 1;
  int64_t operations = 10000;
  int members = 3;
  int64_t max_differences = 1;
  int64_t plant_from = 0;
  int64_t least_option_uses = 0;
  int64_t least_error_uses = 0;
  bool report = false;
  bool trace = false;
};

void RunSequential(const Options& options, const Target& etcd, const Target& cairn, Coverage* coverage,
                   Differences* differences, SessionOptions session_options) {
  session_options.name = "the one client";
  session_options.seed = options.seed;
  session_options.lease_base = 1 << 20;
  Session session(session_options, etcd, cairn, coverage, differences);
  const int64_t expire_every = std::max<int64_t>(options.operations / 3, 1000);
  for (int64_t next_expiry = 1000; session.operations() < options.operations && !differences->enough();) {
    session.Run(std::min(kOperationsPerCompaction, options.operations - session.operations()));
    if (!differences->enough()) session.Compact();
    if (session.operations() >= next_expiry && !differences->enough()) {
      session.ExpireLeases();
      next_expiry += expire_every;
    }
  }
  std::printf("%lld operations; %s\n", static_cast<long long>(session.operations()),
              session.WatchSummary().c_str());
}

// What no client of its own does in a run of many: moves that need all of them to stand still.
class Coordinator {
 public:
  Coordinator(const Target& etcd, const Target& cairn, Differences* differences)
      : etcd_(etcd), cairn_(cairn), differences_(*differences) {}

  // A change of both stores, whose revisions then mean the same state.
  std::array<int64_t, 2> Mark() {
    etcdserverpb::PutRequest put;
    put.set_key("mark");
    const std::array<Outcome, 2> outcomes = Do(MakeCall(put), MakeCall(put));
    std::array<int64_t, 2> revisions = {0, 0};
    for (Side side : kSides) {
      revisions[side] =
          static_cast<const etcdserverpb::PutResponse&>(*outcomes[side].response).header().revision();
    }
    return revisions;
  }

  void Compact(std::array<int64_t, 2> revisions, bool physical) {
    std::array<etcdserverpb::CompactionRequest, 2> requests;
    for (Side side : kSides) {
      requests[side].set_revision(revisions[side]);
      requests[side].set_physical(physical);
    }
    Do(MakeCall(requests[kEtcd]), MakeCall(requests[kCairn]));
    // Every member has to have applied it: clients ask any of them next.
    for (int member = 0; member < cairn_.members(); ++member) {
      etcdserverpb::RangeRequest range;
      range.set_key("mark");
      Outcome outcome;
      caller_.Send(cairn_, member, MakeCall(range), &outcome);
      caller_.Wait();
    }
  }

 private:
  std::array<Outcome, 2> Do(const Call& etcd_call, const Call& cairn_call) {
    std::array<Outcome, 2> outcomes;
    caller_.Send(etcd_, 0, etcd_call, &outcomes[kEtcd]);
    caller_.Send(cairn_, 0, cairn_call, &outcomes[kCairn]);
    caller_.Wait();
    for (Side side : kSides) {
      if (outcomes[side].code != grpc::StatusCode::OK) {
        differences_.Add("a pause of all clients", Describe(outcomes[side]));
      }
    }
    return outcomes;
  }

  const Target& etcd_;
  const Target& cairn_;
  Differences& differences_;
  Caller caller_;
};

void RunConcurrent(const Options& options, const Target& etcd, const Target& cairn, Coverage* coverage,
                   Differences* differences, SessionOptions session_options) {
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < kClients; ++i) {
    session_options.name = absl::StrCat("client ", i);
    session_options.seed = options.seed * 1000 + i;
    session_options.prefix = absl::StrCat("c", i, "/");
    session_options.lease_base = int64_t{i + 1} << 40;
    session_options.watch_streams = 1;
    sessions.push_back(std::make_unique<Session>(session_options, etcd, cairn, coverage, differences));
  }
  const auto for_each = [&](auto work) {
    std::vector<std::thread> threads;
    for (auto& session : sessions) threads.emplace_back([&work, &session] { work(session.get()); });
    for (std::thread& thread : threads) thread.join();
  };
  const auto sum = [&](auto of) {
    int64_t total = 0;
    for (auto& session : sessions) total += of(*session);
    return total;
  };

  Coordinator coordinator(etcd, cairn, differences);
  std::array<int64_t, 2> previous = {0, 0};
  for (int64_t round = 0; !differences->enough(); ++round) {
    const int64_t done = sum([](const Session& session) { return session.operations(); });
    if (done >= options.operations) break;
    for_each([](Session* session) { session->Run(kOperationsPerCompaction / kClients + 1); });
    if (differences->enough()) break;
    for_each([](Session* session) { session->SettleWatches(); });
    if (previous[kEtcd] != 0 && !differences->enough()) {
      coordinator.Compact(previous, /*physical=*/round % 2 == 0);
      for (auto& session : sessions) session->NoteCompaction();
    }
    previous = coordinator.Mark();
    for (auto& session : sessions) session->NoteCommonRevision(previous[kEtcd], previous[kCairn]);
  }
  std::printf("%lld operations by %d clients at once; %lld events\n",
              static_cast<long long>(sum([](const Session& session) { return session.operations(); })),
              kClients, static_cast<long long>(sum([](const Session& session) { return session.events(); })));
}

// Spoils cairn's answers from one operation on, in ways a faulty server might.
void Tamper(int64_t operation, int64_t from, Outcome* outcome) {
  if (from == 0 || operation < from) return;
  if (outcome->code != grpc::StatusCode::OK) {
    outcome->text += ".";
  } else if (auto* range = dynamic_cast<etcdserverpb::RangeResponse*>(outcome->response.get())) {
    range->set_count(range->count() + 1);
  } else {
    outcome->response->Clear();
  }
}

int Main(const Options& options) {
  using testing::Cluster;
  using testing::ClusterOptions;
  auto etcd = Cluster::Start(
      ClusterOptions{options.etcd, 1, {"--logger=zap", "--log-level=error", "--log-outputs=stderr"}});
  ClusterOptions cairn_options{options.cairn, options.members, {}};
  if (absl::StrCat("/", options.cairn).ends_with("/etcd")) {
    cairn_options.flags = {"--logger=zap", "--log-level=error", "--log-outputs=stderr"};
  }
  auto cairn = Cluster::Start(cairn_options);
  for (const auto* cluster : {&etcd, &cairn}) {
    if (cluster->ok()) continue;
    std::fprintf(stderr, "a server did not start: %s\n", std::string(cluster->status().message()).c_str());
    return 2;
  }

  const Target etcd_target((*etcd)->endpoints());
  const Target cairn_target((*cairn)->endpoints());
  Coverage coverage;
  Differences differences(options.max_differences);
  SessionOptions session_options;
  session_options.trace = options.trace;
  session_options.tamper = [&options](int64_t operation, Outcome* outcome) {
    Tamper(operation, options.plant_from, outcome);
  };
  const auto begin = std::chrono::steady_clock::now();
  const auto run = options.mode == "sequential" ? RunSequential : RunConcurrent;
  run(options, etcd_target, cairn_target, &coverage, &differences, session_options);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;

  if (options.report) std::printf("%s", coverage.Report().c_str());
  std::printf("%lld differences in %.1f s, seed %llu\n", static_cast<long long>(differences.count()),
              seconds.count(), static_cast<unsigned long long>(options.seed));
  if (differences.count() > 0) {
    std::fprintf(stderr,
                 "replay: differential --etcd=%s --cairn=%s --members=%d --mode=%s --seed=%llu --ops=%lld\n",
                 options.etcd.c_str(), options.cairn.c_str(), options.members, options.mode.c_str(),
                 static_cast<unsigned long long>(options.seed), static_cast<long long>(options.operations));
    std::fprintf(stderr, "%s", (*cairn)->Logs().c_str());
    return 1;
  }
  const std::string missing = coverage.Missing(options.least_option_uses, options.least_error_uses);
  if (!missing.empty()) {
    std::fprintf(stderr, "used too little:\n%s", missing.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace cairn::differential

int main(int argc, char** argv) {
  cairn::differential::Options options;
  CLI::App app("Compares cairn with etcd, answer by answer, on random operations.");
  app.add_option("--etcd", options.etcd, "etcd's program");
  app.add_option("--cairn", options.cairn, "the program under test; it takes etcd's flags")->required();
  app.add_option("--mode", options.mode, "one client, or 16 on prefixes of their own")
      ->check(CLI::IsMember({"sequential", "concurrent"}));
  app.add_option("--seed", options.seed, "the same seed makes the same operations");
  app.add_option("--ops", options.operations, "how many operations");
  app.add_option("--members", options.members, "members of the cluster under test");
  app.add_option("--max-differences", options.max_differences, "go on until so many were found");
  app.add_option("--plant-from", options.plant_from,
                 "spoil the answers from this operation on: the run must fail");
  app.add_option("--least-option-uses", options.least_option_uses, "fail when an option was used less often");
  app.add_option("--least-error-uses", options.least_error_uses,
                 "fail when a reachable error came less often");
  app.add_flag("--trace", options.trace, "print every operation and both outcomes");
  app.add_flag("--report", options.report, "print how often each option and error was met");
  CLI11_PARSE(app, argc, argv);
  return cairn::differential::Main(options);
}
