// What every command works with: where to read and write, which form the answer takes, and the client.
//
// Thread safety: none; one command runs at a time.
#ifndef CAIRN_CLIENT_CLI_SESSION_H_
#define CAIRN_CLIENT_CLI_SESSION_H_

#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/json.h"
#include "client/client.h"

namespace cairn::client {

// What the program ends with; documented in client/README.md.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,  // refused, or nobody answered: nothing has changed
  kExitUsage = 2,   // the command line or its input is wrong
  kExitNo = 3,      // carried out, and the answer is no: key not there, comparison false, member unhealthy
  kExitOutcomeUnknown = 4,  // a write may or may not have happened
};

struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

enum class Format { kTable, kJson };

struct GlobalOptions {
  std::string endpoints;
  std::string timeout = "5s";
  std::string output = "table";  // or "json"
};

Format FormatOf(const GlobalOptions& options);

class Session {
 public:
  // Checks the options: INVALID_ARGUMENT.
  static absl::StatusOr<std::unique_ptr<Session>> Create(const GlobalOptions& options, Streams streams);

  Client& client() { return *client_; }
  const std::vector<std::string>& endpoints() const { return client_->options().endpoints; }
  // A client of one member alone.
  std::unique_ptr<Client> ClientOf(const std::string& endpoint) const;

  Format format() const { return format_; }
  bool json() const { return format_ == Format::kJson; }
  std::istream& in() { return streams_.in; }
  std::ostream& out() { return streams_.out; }

  void PrintJson(const Json& json) {
    streams_.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  }

  // Prints what went wrong and what to do, and gives the exit code.
  int Fail(const absl::Status& status);
  // The same for wrong input.
  int FailUsage(const absl::Status& status);

 private:
  Session(std::unique_ptr<Client> client, Format format, Streams streams)
      : client_(std::move(client)), format_(format), streams_(streams) {}

  std::unique_ptr<Client> client_;
  Format format_;
  Streams streams_;
};

// Prints `status` as the program does before there is a session.
void PrintError(std::ostream& err, Format format, const absl::Status& status, std::string_view next_step);

// What a command line asks for: the exit code of doing it.
using Action = std::function<int(Session&)>;

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLI_SESSION_H_
