// How a status and a deadline stand in header fields: grpc-message and grpc-timeout.
#ifndef CAIRN_SERVER_RPC_STATUS_H_
#define CAIRN_SERVER_RPC_STATUS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace cairn::rpc {

// Longer messages are cut: clients refuse large trailers (8 KiB in grpc++) and then show no status at all.
inline constexpr size_t kMaxStatusMessageBytes = 4096;

// Percent-encodes all but printable ASCII, and '%' itself. The result is at most kMaxStatusMessageBytes; a
// UTF-8 character is never cut in two.
std::string EncodeStatusMessage(std::string_view message);

// Reads grpc-timeout: one to eight digits and a unit of H M S m u n. Nothing for anything else.
std::optional<absl::Duration> ParseTimeout(std::string_view text);

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_STATUS_H_
