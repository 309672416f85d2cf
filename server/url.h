// An address as etcd's flags spell it: http://HOST:PORT. No path, no user, no other scheme.
//
// Thread safety: value types and free functions.
#ifndef CAIRN_SERVER_URL_H_
#define CAIRN_SERVER_URL_H_

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace cairn::server {

struct Url {
  std::string host;  // a name or an address; IPv6 without its brackets
  uint16_t port = 0;

  // http://host:port; equal addresses give equal strings.
  std::string ToString() const;
  std::string HostPort() const;
  bool IsLoopback() const;     // 127.0.0.0/8, ::1, localhost
  bool IsUnspecified() const;  // 0.0.0.0, ::
  bool IsAddress() const;      // not a name

  auto operator<=>(const Url&) const = default;
};

absl::StatusOr<Url> ParseUrl(std::string_view text);

// Separated by commas; at least one, none twice.
absl::StatusOr<std::vector<Url>> ParseUrls(std::string_view text);

std::string JoinUrls(const std::vector<Url>& urls);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_URL_H_
