#include "server/rpc/metadata.h"

#include <array>
#include <cstdint>

namespace cairn::rpc {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kInvalid = 0xff;

constexpr std::array<uint8_t, 256> MakeValues() {
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = kInvalid;
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}
constexpr std::array<uint8_t, 256> kValues = MakeValues();

}  // namespace

std::optional<std::string_view> Metadata::Find(std::string_view key) const {
  for (const Entry& entry : entries_) {
    if (entry.first == key) return entry.second;
  }
  return std::nullopt;
}

bool Metadata::AddFromWire(std::string_view key, std::string_view value) {
  if (!IsBinaryKey(key)) {
    Add(key, value);
    return true;
  }
  // Proxies may join repeated fields with commas, which base64 never contains.
  while (true) {
    const size_t comma = value.find(',');
    std::string_view one = value.substr(0, comma);
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    std::optional<std::string> bytes = DecodeBase64(one);
    if (!bytes) return false;
    entries_.emplace_back(std::string(key), *std::move(bytes));
    if (comma == std::string_view::npos) return true;
    value.remove_prefix(comma + 1);
  }
}

bool IsBinaryKey(std::string_view key) { return key.ends_with("-bin"); }

bool IsReservedKey(std::string_view key) {
  return key.empty() || key.front() == ':' || key.starts_with("grpc-") || key == "te" ||
         key == "content-type" || key == "user-agent";
}

std::string EncodeBase64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() * 4 + 2) / 3);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    count += 8;
    while (count >= 6) {
      count -= 6;
      text.push_back(kAlphabet[bits >> count & 63]);
    }
  }
  if (count > 0) text.push_back(kAlphabet[bits << (6 - count) & 63]);
  return text;
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  if (text.size() % 4 == 0) {  // only then may there be padding
    for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const uint8_t value = kValues[static_cast<uint8_t>(c)];
    if (value == kInvalid) return std::nullopt;
    bits = bits << 6 | value;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<char>(bits >> count));
    }
  }
  return bytes;
}

}  // namespace cairn::rpc
