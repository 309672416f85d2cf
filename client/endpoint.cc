#include "client/endpoint.h"

#include <charconv>

#include "absl/strings/str_cat.h"

namespace cairn::client {
namespace {

constexpr std::string_view kDefaultPort = "2379";

absl::Status Bad(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("endpoint '", std::string(text), "': ", std::string(why), "; write HOST:PORT"));
}

bool IsPort(std::string_view text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port > 0 && port < 65536;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

absl::StatusOr<std::string> ParseEndpoint(std::string_view text) {
  std::string_view rest = text;
  if (const size_t scheme = rest.find("://"); scheme != std::string_view::npos) {
    if (rest.substr(0, scheme) == "https") {
      return Bad(text, "TLS is not supported yet, so https cannot be used");
    }
    if (rest.substr(0, scheme) != "http") return Bad(text, "unknown scheme");
    rest.remove_prefix(scheme + 3);
    if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  }
  if (rest.empty()) return Bad(text, "no host");
  if (rest.find_first_of("/@? ") != std::string_view::npos) return Bad(text, "more than a host and a port");

  // The colon before the port is the one behind the brackets of an IPv6 address.
  const size_t bracket = rest.rfind(']');
  if (rest.front() == '[' && bracket == std::string_view::npos) return Bad(text, "a bracket is open");
  const size_t colon = rest.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon == std::string_view::npos) return absl::StrCat(std::string(rest), ":", std::string(kDefaultPort));
  if (colon == 0) return Bad(text, "no host");
  if (!IsPort(rest.substr(colon + 1))) return Bad(text, "not a port");
  return std::string(rest);
}

absl::StatusOr<std::vector<std::string>> ParseEndpoints(std::string_view text) {
  std::vector<std::string> endpoints;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    absl::StatusOr<std::string> endpoint = ParseEndpoint(Trim(text.substr(begin, end - begin)));
    if (!endpoint.ok()) return endpoint.status();
    endpoints.push_back(*std::move(endpoint));
    begin = end + 1;
  }
  return endpoints;
}

}  // namespace cairn::client
