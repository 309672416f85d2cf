// cairnd: one member of a cluster.
//
// Exit codes: 0 after SIGTERM or SIGINT, --help, --version; 1 when the member cannot start or go on; 2 for
// options that make no sense.
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "server/asio_loop.h"
#include "server/log.h"
#include "server/options.h"
#include "server/server.h"
#include "server/system_random.h"

namespace cairn::server {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

std::optional<std::string> ReadEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(std::strerror(errno));
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) return absl::UnavailableError("reading failed; is it a plain file?");
  return text.str();
}

// Each client connection is a file descriptor; the usual soft limit of 1,024 is soon reached.
void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

// The first signal stops in order, the second at once.
void WaitForSignal(boost::asio::signal_set& signals, Server& server) {
  signals.async_wait([&](const boost::system::error_code& error, int) {
    if (error) return;
    server.Stop();
    signals.async_wait([](const boost::system::error_code& second_error, int) {
      if (!second_error) std::_Exit(kExitFailed);
    });
  });
}

int Run(const Options& options) {
  LogOptions log_options;
  log_options.level = options.log_level;
  log_options.format = options.log_format;
  std::unique_ptr<Logger> log = MakeLogger(log_options);
  SystemRandom random;
  AsioLoop loop;
  // From here on a signal waits for the loop: one that comes while the data is loaded ends in order, too.
  boost::asio::signal_set signals(loop.io(), SIGTERM, SIGINT);
  auto server = std::make_unique<Server>(options, Server::Dependencies{loop, random, *log});

  absl::Status ended;
  const absl::Status started = server->Start([&](const absl::Status& status) {
    ended = status;
    loop.Stop();
  });
  if (!started.ok()) {
    log->Error("cannot start", {{"reason", std::string(started.message())}});
    return kExitFailed;
  }
  WaitForSignal(signals, *server);
  loop.Run();
  if (ended.ok()) return EXIT_SUCCESS;
  // What broke may be the disk: nothing is flushed or closed any more, the log on disk has all that was
  // promised.
  log.reset();
  std::_Exit(kExitFailed);
}

int Main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  // glibc puts small freed blocks aside and joins all of them at once when somebody asks for a large one:
  // after the removal of 200,000 old versions the core loop stood still for 8 ms. Joined as they come it is
  // 0.4 ms.
  mallopt(M_MXFAST, 0);
  RaiseFileLimit();
  OptionSources sources;
  sources.arguments.assign(argv + 1, argv + argc);
  sources.environment = ReadEnvironment;
  sources.read_file = ReadFile;
  const absl::StatusOr<StartRequest> request = ParseOptions(sources);
  if (!request.ok()) {
    std::fprintf(stderr, "cairnd: %s\n", std::string(request.status().message()).c_str());
    return kExitUsage;
  }
  if (request->print.has_value()) {
    std::fputs(request->print->c_str(), stdout);
    return EXIT_SUCCESS;
  }
  return Run(request->options);
}

}  // namespace
}  // namespace cairn::server

int main(int argc, char** argv) { return cairn::server::Main(argc, argv); }
