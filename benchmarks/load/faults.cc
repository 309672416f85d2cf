// Workloads about members that go and come: who leads, fail-over, the first read after a start.
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmarks/load/pool.h"
#include "benchmarks/load/workload.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::load {
namespace {

constexpr auto kPutInterval = std::chrono::milliseconds(5);
constexpr auto kWarmUp = std::chrono::milliseconds(300);
constexpr auto kRetry = std::chrono::milliseconds(2);
constexpr auto kPatience = std::chrono::seconds(60);
constexpr auto kAnswerWithin = std::chrono::seconds(5);

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// Puts on a clock, not one after the other: a put that is lost in the fall of a leader may be held for
// seconds, and a client that waits for it would measure its own patience.
class Failover {
 public:
  Failover(const Options& options, Meter& meter) : options_(options), meter_(meter) {}

  absl::Status Run() {
    if (absl::Status status = pool_.Connect(options_.endpoints, static_cast<int>(options_.endpoints.size()));
        !status.ok()) {
      return status;
    }
    put_.set_key("failover/key");
    put_.set_value(std::string(options_.value_bytes, 'v'));
    PutEverywhere();
    reactor_.Run(Clock::now() + kWarmUp);
    if (acknowledged_ == 0) return absl::UnavailableError("no put is acknowledged before the kill");
    if (kill(options_.kill_pid, SIGKILL) != 0) return absl::ErrnoToStatus(errno, "kill");
    killed_at_ = Clock::now();
    killed_ = true;
    if (!reactor_.Run(killed_at_ + kPatience)) return absl::DeadlineExceededError("no put after the kill");
    meter_.Set("failover_ms", Milliseconds(acknowledged_at_ - killed_at_));
    return absl::OkStatus();
  }

 private:
  void PutEverywhere() {
    const std::string message = put_.SerializeAsString();
    for (size_t i = 0; i < pool_.size(); ++i) {
      if (pool_[i].broken()) continue;
      pool_[i].Call("/etcdserverpb.KV/Put", message, [this, after = killed_](int code, std::string_view) {
        if (code != kOk) return;
        ++acknowledged_;
        if (!after || acknowledged_at_ != Clock::time_point()) return;
        acknowledged_at_ = Clock::now();
        reactor_.Stop();
      });
    }
    reactor_.At(Clock::now() + kPutInterval, [this] { PutEverywhere(); });
  }

  const Options& options_;
  Meter& meter_;
  Reactor reactor_;
  Pool pool_{reactor_};
  etcdserverpb::PutRequest put_;
  bool killed_ = false;
  uint64_t acknowledged_ = 0;
  Clock::time_point killed_at_;
  Clock::time_point acknowledged_at_;
};

}  // namespace

absl::Status RunFailover(const Options& options, Meter& meter) { return Failover(options, meter).Run(); }

absl::Status RunFirstGet(const Options& options, Meter& meter) {
  const Clock::time_point deadline = Clock::now() + kPatience;
  etcdserverpb::RangeRequest request;
  request.set_key("key/");
  while (Clock::now() < deadline) {
    Reactor reactor;
    auto channel = Channel::Connect(reactor, options.endpoints.front());
    if (channel.ok()) {
      bool read = false;
      (*channel)->Call("/etcdserverpb.KV/Range", request.SerializeAsString(),
                       [&](int code, std::string_view) {
                         read = code == kOk;
                         reactor.Stop();
                       });
      reactor.Run(Clock::now() + kAnswerWithin);
      if (read) {
        meter.Set("monotonic_s", std::chrono::duration<double>(Clock::now().time_since_epoch()).count());
        return absl::OkStatus();
      }
    }
    reactor.Run(Clock::now() + kRetry);
  }
  return absl::DeadlineExceededError("no answer");
}

absl::Status RunStatus(const Options& options, Meter& meter) {
  Reactor reactor;
  std::vector<etcdserverpb::StatusResponse> answers(options.endpoints.size());
  std::vector<std::unique_ptr<Channel>> channels;
  size_t answered = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    auto channel = Channel::Connect(reactor, options.endpoints[i]);
    if (!channel.ok()) return channel.status();
    channels.push_back(*std::move(channel));
    channels.back()->Call("/etcdserverpb.Maintenance/Status", "", [&, i](int code, std::string_view reply) {
      if (code == kOk) answers[i].ParseFromArray(reply.data(), static_cast<int>(reply.size()));
      if (++answered == answers.size()) reactor.Stop();
    });
  }
  if (!reactor.Run(Clock::now() + kAnswerWithin)) return absl::DeadlineExceededError("no answer");
  int leader = -1;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].leader() == 0 || answers[i].leader() != answers[0].leader()) {
      return absl::UnavailableError("the members do not agree on a leader");
    }
    if (answers[i].header().member_id() == answers[i].leader()) leader = static_cast<int>(i);
  }
  meter.Set("leader", leader);
  return leader >= 0 ? absl::OkStatus() : absl::UnavailableError("the leader is none of the endpoints");
}

}  // namespace cairn::load
