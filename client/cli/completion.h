// Completion scripts for shells, made from the tree of commands itself, so that they never lag behind it.
//
// Thread safety: free functions.
#ifndef CAIRN_CLIENT_CLI_COMPLETION_H_
#define CAIRN_CLIENT_CLI_COMPLETION_H_

#include <string>

#include "CLI/CLI.hpp"

namespace cairn::client {

enum class Shell { kBash, kZsh, kFish };

std::string CompletionScript(const CLI::App& app, Shell shell);

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLI_COMPLETION_H_
