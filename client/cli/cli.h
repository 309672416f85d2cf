// The program `cairn`: parses a command line, runs the command, gives the exit code.
//
// Thread safety: none.
#ifndef CAIRN_CLIENT_CLI_CLI_H_
#define CAIRN_CLIENT_CLI_CLI_H_

#include "client/cli/session.h"

namespace cairn::client {

int RunCli(int argc, const char* const* argv, Streams streams);

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLI_CLI_H_
