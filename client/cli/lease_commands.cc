#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "client/lease_keeper.h"

namespace cairn::client {
namespace {

std::string LeaseText(int64_t id) { return FormatId(static_cast<uint64_t>(id)); }
int64_t LeaseIdOf(const std::string& text) { return static_cast<int64_t>(*ParseId(text)); }

struct LeaseArguments {
  std::string id;
  int64_t ttl_s = 0;
  bool once = false;
  bool keys = false;
};
using Arguments = std::shared_ptr<LeaseArguments>;

int Grant(Session& session, const LeaseArguments& arguments) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(arguments.ttl_s);
  if (!arguments.id.empty()) request.set_id(LeaseIdOf(arguments.id));
  const auto response = session.client().LeaseGrant(request);
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson(ToJson(*response));
  } else {
    session.out() << "lease " << LeaseText(response->id()) << " granted for " << response->ttl() << " s\n";
  }
  return kExitOk;
}

int Revoke(Session& session, const LeaseArguments& arguments) {
  const int64_t id = LeaseIdOf(arguments.id);
  const auto response = session.client().LeaseRevoke(id);
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson({{"header", ToJson(response->header())}, {"lease", LeaseText(id)}});
  } else {
    session.out() << "lease " << LeaseText(id) << " revoked\n";
  }
  return kExitOk;
}

void PrintRenewal(Session& session, const etcdserverpb::LeaseKeepAliveResponse& response) {
  if (session.json()) {
    session.PrintJson(ToJson(response));
  } else {
    session.out() << "lease " << LeaseText(response.id()) << " renewed for " << response.ttl() << " s\n";
  }
  session.out().flush();
}

int KeepAlive(Session& session, const LeaseArguments& arguments) {
  const int64_t id = LeaseIdOf(arguments.id);
  if (arguments.once) {
    const auto response = session.client().LeaseKeepAlive(id);
    if (!response.ok()) return session.Fail(response.status());
    PrintRenewal(session, *response);
    return kExitOk;
  }
  std::mutex mutex;
  std::condition_variable lost;
  absl::Status why;
  const LeaseKeeper keeper(session.client(), id,
                           {.on_renewed = [&](const auto& response) { PrintRenewal(session, response); },
                            .on_lost =
                                [&](const absl::Status& status) {
                                  const std::lock_guard lock(mutex);
                                  why = status;
                                  lost.notify_all();
                                }});
  std::unique_lock lock(mutex);
  lost.wait(lock, [&] { return !why.ok(); });
  return session.Fail(why);
}

int TimeToLive(Session& session, const LeaseArguments& arguments) {
  const auto response = session.client().LeaseTimeToLive(LeaseIdOf(arguments.id), arguments.keys);
  if (!response.ok()) return session.Fail(response.status());
  const bool found = response->ttl() >= 0;
  if (session.json()) {
    session.PrintJson(ToJson(*response));
  } else if (!found) {
    session.out() << "lease " << LeaseText(response->id()) << " does not exist\n";
  } else {
    session.out() << "lease " << LeaseText(response->id()) << ": " << response->ttl() << " s of "
                  << response->grantedttl() << " s left\n";
    for (const std::string& key : response->keys()) session.out() << "  " << Printable(key) << '\n';
  }
  return found ? kExitOk : kExitNo;
}

int List(Session& session) {
  const auto response = session.client().LeaseLeases();
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson(ToJson(*response));
    return kExitOk;
  }
  Table table({"LEASE"});
  for (const auto& lease : response->leases()) table.Add({LeaseText(lease.id())});
  table.Print(session.out());
  return kExitOk;
}

CLI::App* AddWithId(CLI::App& lease, const std::string& name, const std::string& what,
                    const Arguments& arguments) {
  CLI::App* command = lease.add_subcommand(name, what);
  command->add_option("lease", arguments->id, "The lease, as grant and list show it")
      ->required()
      ->check(IsId());
  return command;
}

void AddGrant(CLI::App& lease, Action* action) {
  auto arguments = std::make_shared<LeaseArguments>();
  CLI::App* command = lease.add_subcommand("grant", "Make a lease");
  command->footer(
      "Examples:\n"
      "  cairn lease grant 30\n"
      "  cairn -o json lease grant 30 | jq -r .lease");
  command->add_option("ttl", arguments->ttl_s, "Seconds it lives without being renewed")->required();
  command->add_option("--id", arguments->id, "The id it shall have; picked by the server when left out")
      ->check(IsId());
  command->callback([arguments, action] {
    *action = [arguments](Session& session) { return Grant(session, *arguments); };
  });
}

void AddRevoke(CLI::App& lease, Action* action) {
  auto arguments = std::make_shared<LeaseArguments>();
  CLI::App* command = AddWithId(lease, "revoke", "End a lease and delete its keys", arguments);
  command->footer("Example:\n  cairn lease revoke 32695410dcc0ca06");
  command->callback([arguments, action] {
    *action = [arguments](Session& session) { return Revoke(session, *arguments); };
  });
}

void AddKeepAlive(CLI::App& lease, Action* action) {
  auto arguments = std::make_shared<LeaseArguments>();
  CLI::App* command = AddWithId(lease, "keep-alive", "Renew a lease, again and again", arguments);
  command->footer(
      "Goes on until it is interrupted, at whichever member answers.\n\n"
      "Examples:\n"
      "  cairn lease keep-alive 32695410dcc0ca06\n"
      "  cairn lease keep-alive --once 32695410dcc0ca06");
  command->add_flag("--once", arguments->once, "Renew it once and end");
  command->callback([arguments, action] {
    *action = [arguments](Session& session) { return KeepAlive(session, *arguments); };
  });
}

void AddTimeToLive(CLI::App& lease, Action* action) {
  auto arguments = std::make_shared<LeaseArguments>();
  CLI::App* command = AddWithId(lease, "timetolive", "Show how long a lease still lives", arguments);
  command->footer(
      "Ends with 3 when there is no such lease.\n\n"
      "Example:\n  cairn lease timetolive --keys 32695410dcc0ca06");
  command->add_flag("--keys", arguments->keys, "Show the keys attached to it");
  command->callback([arguments, action] {
    *action = [arguments](Session& session) { return TimeToLive(session, *arguments); };
  });
}

}  // namespace

void AddLeaseCommands(CLI::App& app, Action* action) {
  CLI::App* lease = app.add_subcommand("lease", "Make, renew and end leases");
  lease->require_subcommand(1);
  lease->footer("Example:\n  cairn lease grant 30");
  AddGrant(*lease, action);
  AddRevoke(*lease, action);
  AddKeepAlive(*lease, action);
  AddTimeToLive(*lease, action);
  CLI::App* list = lease->add_subcommand("list", "Show all leases");
  list->footer("Example:\n  cairn lease list");
  list->callback([action] { *action = List; });
}

}  // namespace cairn::client
