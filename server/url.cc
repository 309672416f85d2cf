#include "server/url.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace cairn::server {
namespace {

absl::string_view ToAbsl(std::string_view s) { return absl::string_view(s.data(), s.size()); }

absl::Status Bad(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("\"", ToAbsl(text), "\": ", ToAbsl(why)));
}

bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace

std::string Url::HostPort() const {
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

std::string Url::ToString() const { return absl::StrCat("http://", HostPort()); }

bool Url::IsLoopback() const {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  return error ? host == "localhost" : address.is_loopback();
}

bool Url::IsUnspecified() const {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  return !error && address.is_unspecified();
}

bool Url::IsAddress() const {
  boost::system::error_code error;
  boost::asio::ip::make_address(host, error);
  return !error;
}

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  std::string_view rest = text;
  const size_t scheme_end = rest.find("://");
  if (scheme_end == std::string_view::npos) {
    return Bad(text, "no scheme: write it as http://HOST:PORT, for example http://127.0.0.1:2379");
  }
  const std::string scheme = absl::AsciiStrToLower(ToAbsl(rest.substr(0, scheme_end)));
  if (scheme == "https" || scheme == "unixs") {
    return Bad(text, "TLS does not work yet in this version: use http://, on a network you trust");
  }
  if (scheme == "unix") return Bad(text, "Unix sockets do not work in this version: use http://HOST:PORT");
  if (scheme != "http") return Bad(text, "unknown scheme: only http:// works in this version");
  rest.remove_prefix(scheme_end + 3);
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  if (rest.find_first_of("/?#@") != std::string_view::npos) {
    return Bad(text, "must be http://HOST:PORT and nothing more: remove the path or user");
  }
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || rest.ends_with(']')) {
    return Bad(text, "no port: write it as http://HOST:PORT");
  }
  Url url;
  std::string_view host = rest.substr(0, colon);
  uint32_t port = 0;
  const std::string_view port_text = rest.substr(colon + 1);
  if (port_text.find_first_not_of("0123456789") != std::string_view::npos ||
      !absl::SimpleAtoi(ToAbsl(port_text), &port) || port == 0 || port > 65535) {
    return Bad(text, "the port must be a number from 1 to 65535");
  }
  url.port = static_cast<uint16_t>(port);
  if (host.starts_with('[')) {
    boost::system::error_code error;
    if (!host.ends_with(']')) return Bad(text, "an IPv6 address stands in brackets: http://[::1]:2379");
    const auto v6 = boost::asio::ip::make_address_v6(host.substr(1, host.size() - 2), error);
    if (error) return Bad(text, "not an IPv6 address between the brackets");
    url.host = v6.to_string();
    return url;
  }
  url.host = absl::AsciiStrToLower(ToAbsl(host));
  if (!IsHostName(url.host))
    return Bad(text, "neither a host name nor an IPv4 address (IPv6 stands in brackets)");
  return url;
}

absl::StatusOr<std::vector<Url>> ParseUrls(std::string_view text) {
  std::vector<Url> urls;
  for (absl::string_view part : absl::StrSplit(ToAbsl(text), ',')) {
    part = absl::StripAsciiWhitespace(part);
    absl::StatusOr<Url> url = ParseUrl(std::string_view(part.data(), part.size()));
    if (!url.ok()) return url.status();
    if (std::find(urls.begin(), urls.end(), *url) != urls.end()) {
      return Bad(url->ToString(), "stands there twice: remove one");
    }
    urls.push_back(*std::move(url));
  }
  return urls;
}

std::string JoinUrls(const std::vector<Url>& urls) {
  return absl::StrJoin(urls, ",", [](std::string* out, const Url& url) { out->append(url.ToString()); });
}

}  // namespace cairn::server
