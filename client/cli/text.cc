#include "client/cli/text.h"

#include <array>
#include <charconv>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cairn::client {
namespace {

// The length of the UTF-8 character at the beginning of `bytes` (RFC 3629: no overlong forms, no surrogates,
// nothing above U+10FFFF); 0 when there is none.
size_t Utf8Length(std::string_view bytes) {
  const auto byte = [&](size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u; };
  const auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : 0xbf;
    return follows(1, low, high) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// C1 control characters, U+0080 to U+009F: terminals obey them too.
bool IsC1Control(std::string_view character) {
  return character.size() == 2 && character[0] == '\xc2' && static_cast<unsigned char>(character[1]) < 0xa0;
}

void AppendEscaped(std::string* out, char c) {
  switch (c) {
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '"':
      out->append("\\\"");
      return;
    default:
      absl::StrAppendFormat(out, "\\x%02x", static_cast<unsigned char>(c));
  }
}

std::string Escape(std::string_view bytes, bool quotes_too) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t length = Utf8Length(bytes);
    const std::string_view character = bytes.substr(0, length == 0 ? 1 : length);
    const char c = character[0];
    const bool control = length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f);
    if (length == 0 || control || c == '\\' || (c == '"' && quotes_too)) {
      AppendEscaped(&out, c);
    } else if (IsC1Control(character)) {
      for (const char part : character) AppendEscaped(&out, part);
    } else {
      out.append(character);
    }
    bytes.remove_prefix(character.size());
  }
  return out;
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = Utf8Length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string Printable(std::string_view bytes) { return Escape(bytes, /*quotes_too=*/false); }

std::string Cell(std::string_view bytes) {
  constexpr size_t kLongest = 200;
  if (bytes.size() <= kLongest) return Printable(bytes);
  // Not within a character.
  size_t cut = kLongest;
  while (cut > kLongest - 4 && (static_cast<unsigned char>(bytes[cut]) & 0xc0) == 0x80) --cut;
  return absl::StrCat(Printable(bytes.substr(0, cut)), "… (", bytes.size(), " bytes)");
}

std::string Quoted(std::string_view bytes) {
  return absl::StrCat("\"", Escape(bytes, /*quotes_too=*/true), "\"");
}

std::string FormatId(uint64_t id) { return absl::StrFormat("%016x", id); }

absl::StatusOr<uint64_t> ParseId(std::string_view text) {
  std::string_view digits = text;
  if (digits.substr(0, 2) == "0x") digits.remove_prefix(2);
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id, 16);
  if (digits.empty() || digits.size() > 16 || error != std::errc() || end != digits.data() + digits.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", std::string(text), "' is not an id: write its hexadecimal digits, as the lists show them"));
  }
  return id;
}

absl::StatusOr<absl::Duration> ParseTimeout(std::string_view text) {
  absl::Duration time;
  if (!absl::ParseDuration(absl::string_view(text.data(), text.size()), &time) ||
      time <= absl::ZeroDuration() || time > absl::Hours(24)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", std::string(text), "' is not a time of up to a day: write it like 500ms, 5s or 1m"));
  }
  return time;
}

std::string FormatBytes(int64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto amount = static_cast<double>(bytes);
  size_t unit = 0;
  for (; amount >= 1024 && unit + 1 < kUnits.size(); ++unit) amount /= 1024;
  return unit == 0 ? absl::StrCat(bytes, " B") : absl::StrFormat("%.1f %s", amount, kUnits[unit]);
}

std::string FormatElapsed(absl::Duration time) {
  if (time < absl::Seconds(1)) return absl::StrFormat("%.1f ms", absl::ToDoubleMilliseconds(time));
  return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(time));
}

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return std::string(1, '\0');
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

KeyRange PrefixRange(std::string_view prefix) {
  if (prefix.empty()) return RangeFrom(prefix);
  return {std::string(prefix), PrefixEnd(prefix)};
}

KeyRange RangeFrom(std::string_view key) {
  return {key.empty() ? std::string(1, '\0') : std::string(key), std::string(1, '\0')};
}

}  // namespace cairn::client
