// Where a member listens for clients, as people write it: "host:port" or "http://host:port".
//
// Thread safety: free functions.
#ifndef CAIRN_CLIENT_ENDPOINT_H_
#define CAIRN_CLIENT_ENDPOINT_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace cairn::client {

inline constexpr std::string_view kDefaultEndpoint = "127.0.0.1:2379";

// "host:port", with the port 2379 when none is given. INVALID_ARGUMENT for anything else, https included:
// this client does not speak TLS yet.
absl::StatusOr<std::string> ParseEndpoint(std::string_view text);

// A list separated by commas; at least one.
absl::StatusOr<std::vector<std::string>> ParseEndpoints(std::string_view text);

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_ENDPOINT_H_
