// What a unary call costs the server: 64 calls under way on some connections, each with a message of 300
// bytes that comes back as it is. The counter is the CPU time of the server's thread alone.

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "benchmarks/load/pool.h"
#include "raft/check.h"
#include "server/rpc/server.h"

namespace cairn::rpc {
namespace {

constexpr const char* kPath = "/bench.Echo/Echo";
constexpr int kOutstanding = 64;
constexpr int kCallsAtOnce = 10'000;  // in one iteration

class EchoServer {
 public:
  EchoServer() : work_(boost::asio::make_work_guard(io_)) {
    server_.AddUnary(kPath,
                     [](CallPtr call, std::string_view request) { call->Respond(std::string(request)); });
    auto port = server_.Listen("127.0.0.1", 0);
    CAIRN_CHECK(port.ok()) << port.status().ToString();
    address_ = "127.0.0.1:" + std::to_string(*port);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~EchoServer() {
    boost::asio::post(io_, [this] { server_.Shutdown(absl::ZeroDuration(), [this] { io_.stop(); }); });
    thread_.join();
  }

  const std::string& address() const { return address_; }
  double CpuSeconds() {
    clockid_t clock;
    timespec time{};
    CAIRN_CHECK(pthread_getcpuclockid(thread_.native_handle(), &clock) == 0) << "no clock of the thread";
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  Server server_{io_, ServerOptions()};
  std::string address_;
  std::thread thread_;
};

void BM_UnaryEcho(benchmark::State& state) {
  EchoServer server;
  load::Reactor reactor;
  {
    load::Pool pool(reactor);
    const auto connections = static_cast<int>(state.range(0));
    const absl::Status connected = pool.Connect({server.address()}, connections);
    CAIRN_CHECK(connected.ok()) << connected.ToString();
    const std::string message(300, 'm');
    int begun = 0;
    int done = 0;
    std::function<void(size_t)> call = [&](size_t place) {
      if (begun == kCallsAtOnce) return;
      ++begun;
      pool[place].Call(kPath, message, [&, place](int code, std::string_view reply) {
        CAIRN_CHECK(code == load::kOk && reply.size() == message.size()) << "the echo failed";
        if (++done == kCallsAtOnce) reactor.Stop();
        call(place);
      });
    };
    const double before = server.CpuSeconds();
    for (auto _ : state) {
      begun = done = 0;
      for (size_t place = 0; place < kOutstanding; ++place) call(place);
      CAIRN_CHECK(reactor.Run(load::Clock::now() + std::chrono::minutes(1))) << "the server hangs";
    }
    const auto calls = state.iterations() * kCallsAtOnce;
    state.SetItemsProcessed(calls);
    state.counters["server_cpu_us"] = 1e6 * (server.CpuSeconds() - before) / static_cast<double>(calls);
  }
}
BENCHMARK(BM_UnaryEcho)->Arg(1)->Arg(8)->Arg(64)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cairn::rpc
