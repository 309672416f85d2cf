// Text in and out: bytes shown to a person, ids in hexadecimal, durations, key ranges.
//
// Thread safety: free functions.
#ifndef CAIRN_CLIENT_CLI_TEXT_H_
#define CAIRN_CLIENT_CLI_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cairn::client {

bool IsUtf8(std::string_view bytes);

// For one line on a terminal: control characters, backslashes and what is not UTF-8 are escaped (\n, \t, \\,
// \x1b).
std::string Printable(std::string_view bytes);

// Printable, cut when it is longer than a screen is wide, with the number of bytes there are: "aaaa… (5000
// bytes)".
std::string Cell(std::string_view bytes);

// Printable in double quotes, those within escaped: what the transaction syntax reads back.
std::string Quoted(std::string_view bytes);

// Ids of members, clusters and leases: 16 hexadecimal digits.
std::string FormatId(uint64_t id);
absl::StatusOr<uint64_t> ParseId(std::string_view text);  // 1 to 16 digits, 0x allowed

absl::StatusOr<absl::Duration> ParseTimeout(std::string_view text);  // "500ms", "5s", "1m"

// "17.2 MiB"
std::string FormatBytes(int64_t bytes);
// "3.4 ms"
std::string FormatElapsed(absl::Duration time);

// The keys a command is about, as the API says it.
struct KeyRange {
  std::string key;
  std::string end;  // empty: the one key
};

// The end of all keys that begin with `prefix`; "\0", no end, when there is no key behind them.
std::string PrefixEnd(std::string_view prefix);
KeyRange PrefixRange(std::string_view prefix);
KeyRange RangeFrom(std::string_view key);

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLI_TEXT_H_
