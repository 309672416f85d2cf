#include "server/rpc/request_rules.h"

#include <nghttp2/nghttp2.h>

namespace cairn::rpc {
namespace {

enum Pseudo : uint8_t { kMethod = 1, kScheme = 2, kPath = 4, kAuthority = 8, kUnknown = 0 };
constexpr uint8_t kRequired = kMethod | kScheme | kPath;

Pseudo PseudoOf(std::string_view name) {
  if (name == ":method") return kMethod;
  if (name == ":scheme") return kScheme;
  if (name == ":path") return kPath;
  if (name == ":authority") return kAuthority;
  return kUnknown;
}

// Fields that speak of one HTTP/1 connection; in HTTP/2 only an attacker of proxies sends them.
bool IsOfConnection(std::string_view name) {
  switch (name.size()) {
    case 7:
      return name == "upgrade";
    case 10:
      return name == "connection" || name == "keep-alive";
    case 16:
      return name == "proxy-connection";
    case 17:
      return name == "transfer-encoding";
    default:
      return false;
  }
}

const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

}  // namespace

bool RequestRules::OnField(std::string_view name, std::string_view value) {
  // Upper case is refused by the former, line breaks and NUL by the latter.
  if (nghttp2_check_header_name(Bytes(name), name.size()) == 0) return false;
  if (nghttp2_check_header_value(Bytes(value), value.size()) == 0) return false;
  if (name.front() == ':') {
    const Pseudo field = PseudoOf(name);
    if (field == kUnknown || !pseudo_allowed_ || (pseudo_seen_ & field) != 0) return false;
    pseudo_seen_ |= field;
    return field == kAuthority || !value.empty();
  }
  pseudo_allowed_ = false;
  if (name == "te") return value == "trailers";
  return !IsOfConnection(name);
}

bool RequestRules::OnHeadersEnd() {
  pseudo_allowed_ = false;
  return (pseudo_seen_ & kRequired) == kRequired;
}

}  // namespace cairn::rpc
