#include "client/cli/cli.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/completion.h"
#include "client/endpoint.h"

namespace cairn::client {
namespace {

constexpr char kFooter[] =
    "Ends with 0 when all went well, 1 when it failed, 2 for a wrong command line, 3 when the answer is no "
    "(no such key,\n"
    "comparison false, member unhealthy), 4 when a write may or may not have happened.\n\n"
    "Examples:\n"
    "  cairn put greeting hello\n"
    "  cairn get greeting\n"
    "  cairn --endpoints 10.0.0.1:2379,10.0.0.2:2379 status\n"
    "  cairn -o json get --prefix workers/ | jq .kvs\n"
    "  cairn COMMAND --help            more examples";

void AddGlobalOptions(CLI::App& app, GlobalOptions* options) {
  options->endpoints = kDefaultEndpoint;
  app.add_option("--endpoints", options->endpoints,
                 "Members to talk to, HOST:PORT or http://HOST:PORT, separated by commas")
      ->envname("CAIRN_ENDPOINTS")
      ->capture_default_str();
  app.add_option("--timeout", options->timeout, "Time for one call with all its attempts")
      ->capture_default_str();
  app.add_option("-o,--output", options->output, "Form of the answer")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

void AddCompletionCommand(CLI::App& app, std::ostream& out) {
  CLI::App* completion = app.add_subcommand("completion", "Print a completion script for a shell");
  completion->footer(
      "Examples:\n"
      "  source <(cairn completion bash)\n"
      "  cairn completion zsh > ~/.zfunc/_cairn\n"
      "  cairn completion fish > ~/.config/fish/completions/cairn.fish");
  const std::map<std::string, Shell> shells = {
      {"bash", Shell::kBash}, {"zsh", Shell::kZsh}, {"fish", Shell::kFish}};
  completion->require_subcommand(1);
  for (const auto& [name, shell] : shells) {
    CLI::App* command = completion->add_subcommand(name, "For " + name);
    command->footer("Example:\n  cairn completion " + name);
    command->callback([&app, &out, shell = shell] { out << CompletionScript(app, shell); });
  }
}

// The command that the line got to, as typed: "cairn lease grant".
std::string CommandReached(const CLI::App& app) {
  const auto commands = app.get_subcommands();
  return commands.empty() ? app.get_name()
                          : absl::StrCat(app.get_name(), " ", CommandReached(*commands.back()));
}

int FailParse(const CLI::App& app, const CLI::ParseError& error, std::ostream& err) {
  const std::vector<std::string> unread = app.remaining(/*recurse=*/true);
  const bool unknown_command = error.get_name() == "RequiredError" && !unread.empty();
  const std::string message =
      unknown_command ? absl::StrCat("there is no command '", unread.front(), "'") : error.what();
  PrintError(err, Format::kTable, absl::InvalidArgumentError(message),
             absl::StrCat(CommandReached(app), " --help"));
  return kExitUsage;
}

}  // namespace

int RunCli(int argc, const char* const* argv, Streams streams) {
  CLI::App app("Talks to a cairn cluster: keys, watches, leases, members.", "cairn");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();  // global options may also stand behind the command
  GlobalOptions options;
  Action action;
  AddGlobalOptions(app, &options);
  AddKeyCommands(app, &action);
  AddTxnCommand(app, &action);
  AddWatchCommand(app, &action);
  AddLeaseCommands(app, &action);
  AddClusterCommands(app, &action);
  AddCompletionCommand(app, streams.out);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    app.exit(help, streams.out, streams.err);
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    return FailParse(app, error, streams.err);
  }
  if (!action) return kExitOk;  // the completion script is out

  const auto session = Session::Create(options, streams);
  if (!session.ok()) {
    PrintError(streams.err, FormatOf(options), session.status(), "cairn --help");
    return kExitUsage;
  }
  return action(**session);
}

}  // namespace cairn::client
