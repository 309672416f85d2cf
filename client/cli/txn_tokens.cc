#include "client/cli/txn_tokens.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace cairn::client {
namespace {

constexpr std::string_view kSigns = "()=<>!";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Reads the escape behind a backslash at `line[*at]` and moves past it.
absl::StatusOr<char> Unescape(std::string_view line, size_t* at) {
  const char c = *at < line.size() ? line[*at] : '\0';
  ++*at;
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case '\\':
      return '\\';
    case '"':
      return '"';
    case 'x': {
      const int high = *at + 1 < line.size() ? HexDigit(line[*at]) : -1;
      const int low = *at + 1 < line.size() ? HexDigit(line[*at + 1]) : -1;
      if (high < 0 || low < 0) return absl::InvalidArgumentError("\\x needs two hexadecimal digits");
      *at += 2;
      return static_cast<char>(high * 16 + low);
    }
    default:
      return absl::InvalidArgumentError("unknown escape: there are \\n \\t \\r \\\\ \\\" \\xHH");
  }
}

// `*at` stands behind the opening quote; it is moved past the closing one.
absl::StatusOr<std::string> ReadString(std::string_view line, size_t* at) {
  std::string text;
  while (*at < line.size() && line[*at] != '"') {
    const char c = line[(*at)++];
    if (c != '\\') {
      text.push_back(c);
      continue;
    }
    absl::StatusOr<char> escaped = Unescape(line, at);
    if (!escaped.ok()) return escaped.status();
    text.push_back(*escaped);
  }
  if (*at >= line.size()) return absl::InvalidArgumentError("a quote is not closed");
  ++*at;
  return text;
}

bool EndsWord(char c) {
  return absl::ascii_isspace(static_cast<unsigned char>(c)) || c == '"' || c == '#' ||
         kSigns.find(c) != std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::vector<TxnToken>> TokenizeTxnLine(std::string_view line) {
  std::vector<TxnToken> tokens;
  for (size_t at = 0; at < line.size();) {
    const char c = line[at];
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      ++at;
    } else if (c == '#') {
      break;
    } else if (c == '"') {
      absl::StatusOr<std::string> text = ReadString(line, &++at);
      if (!text.ok()) return text.status();
      tokens.push_back({TxnToken::Kind::kString, *std::move(text)});
    } else if (c == '!') {
      if (line.substr(at, 2) != "!=") return absl::InvalidArgumentError("'!' stands only in '!='");
      tokens.push_back({TxnToken::Kind::kSign, "!="});
      at += 2;
    } else if (kSigns.find(c) != std::string_view::npos) {
      tokens.push_back({TxnToken::Kind::kSign, std::string(1, c)});
      ++at;
    } else {
      const size_t begin = at;
      while (at < line.size() && !EndsWord(line[at])) ++at;
      tokens.push_back({TxnToken::Kind::kWord, std::string(line.substr(begin, at - begin))});
    }
  }
  return tokens;
}

}  // namespace cairn::client
