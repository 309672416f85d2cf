// The commands of `cairn`, each with its options, its help with examples, and what it does.
//
// A command that was parsed puts its work into `*action`; the program then runs it with a session.
#ifndef CAIRN_CLIENT_CLI_COMMANDS_H_
#define CAIRN_CLIENT_CLI_COMMANDS_H_

#include "CLI/CLI.hpp"
#include "client/cli/session.h"

namespace cairn::client {

void AddKeyCommands(CLI::App& app, Action* action);      // put, get, del, compact
void AddTxnCommand(CLI::App& app, Action* action);       // txn
void AddWatchCommand(CLI::App& app, Action* action);     // watch
void AddLeaseCommands(CLI::App& app, Action* action);    // lease grant, revoke, keep-alive, timetolive, list
void AddClusterCommands(CLI::App& app, Action* action);  // status, members, health, move-leader

// Accepts an id in hexadecimal digits only.
CLI::Validator IsId();

// KEY [END] --prefix --from-key, as several commands take them.
struct KeyArguments {
  std::string key;
  std::string end;
  bool prefix = false;
  bool from_key = false;

  void AddTo(CLI::App& command);
  void FillIn(std::string* key_out, std::string* end_out) const;
};

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLI_COMMANDS_H_
