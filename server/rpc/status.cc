#include "server/rpc/status.h"

#include <cstdint>

namespace cairn::rpc {
namespace {

bool IsPlain(char c) { return c >= ' ' && c <= '~' && c != '%'; }

// Bytes of the UTF-8 character that begins with `lead`; 1 for what cannot begin one.
size_t CharacterBytes(uint8_t lead) {
  if (lead >= 0xf0) return 4;
  if (lead >= 0xe0) return 3;
  if (lead >= 0xc0) return 2;
  return 1;
}

}  // namespace

std::string EncodeStatusMessage(std::string_view message) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string text;
  for (size_t at = 0; at < message.size();) {
    const size_t bytes = CharacterBytes(static_cast<uint8_t>(message[at]));
    const std::string_view character = message.substr(at, bytes);
    at += character.size();
    if (character.size() == 1 && IsPlain(character[0])) {
      if (text.size() + 1 > kMaxStatusMessageBytes) break;
      text.push_back(character[0]);
      continue;
    }
    if (text.size() + 3 * character.size() > kMaxStatusMessageBytes) break;
    for (const char c : character) {
      text.push_back('%');
      text.push_back(kHex[static_cast<uint8_t>(c) >> 4]);
      text.push_back(kHex[static_cast<uint8_t>(c) & 15]);
    }
  }
  return text;
}

std::optional<absl::Duration> ParseTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t count = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    count = count * 10 + (c - '0');
  }
  switch (text.back()) {
    case 'H':
      return absl::Hours(count);
    case 'M':
      return absl::Minutes(count);
    case 'S':
      return absl::Seconds(count);
    case 'm':
      return absl::Milliseconds(count);
    case 'u':
      return absl::Microseconds(count);
    case 'n':
      return absl::Nanoseconds(count);
    default:
      return std::nullopt;
  }
}

}  // namespace cairn::rpc
