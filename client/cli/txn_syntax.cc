#include "client/cli/txn_syntax.h"

#include <charconv>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/text.h"
#include "client/cli/txn_tokens.h"

namespace cairn::client {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

enum class Part : uint8_t { kNone, kIf, kThen, kElse };

std::optional<Part> PartNamed(const TxnToken& token) {
  if (token.IsWord("if")) return Part::kIf;
  if (token.IsWord("then")) return Part::kThen;
  if (token.IsWord("else")) return Part::kElse;
  return std::nullopt;
}

absl::Status Expected(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("expected ", std::string(what)));
}

absl::StatusOr<int64_t> ParseNumber(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return absl::InvalidArgumentError(absl::StrCat("'", std::string(text), "' is not a number"));
  }
  return number;
}

// Reads the tokens of one line from left to right.
class LineReader {
 public:
  explicit LineReader(std::vector<TxnToken> tokens) : tokens_(std::move(tokens)) {}

  bool done() const { return at_ == tokens_.size(); }
  const TxnToken& peek() const { return tokens_[at_]; }
  void Skip() { ++at_; }

  bool TakeSign(std::string_view sign) { return Take(!done() && peek().IsSign(sign)); }
  bool TakeWord(std::string_view word) { return Take(!done() && peek().IsWord(word)); }

  absl::StatusOr<std::string> TakeText(std::string_view what) {
    if (done() || peek().kind == TxnToken::Kind::kSign) return Expected(what);
    return tokens_[at_++].text;
  }

  // `name=VALUE`, if it comes next. nullopt: it does not.
  absl::StatusOr<std::optional<std::string>> TakeSetting(std::string_view name) {
    const bool here = at_ + 1 < tokens_.size() && peek().IsWord(name) && tokens_[at_ + 1].IsSign("=");
    if (!here) return std::nullopt;
    at_ += 2;
    absl::StatusOr<std::string> value = TakeText(absl::StrCat("a value behind '", std::string(name), "='"));
    if (!value.ok()) return value.status();
    return std::optional<std::string>(*std::move(value));
  }

  // KEY | KEY END | prefix KEY | from KEY. A second key is taken only when it is no option of the operation.
  absl::StatusOr<KeyRange> TakeKeys(const std::vector<std::string_view>& options) {
    const bool prefix = TakeWord("prefix");
    const bool from = !prefix && TakeWord("from");
    absl::StatusOr<std::string> key = TakeText("a key");
    if (!key.ok()) return key.status();
    if (prefix) return PrefixRange(*key);
    if (from) return RangeFrom(*key);
    KeyRange range{*std::move(key), ""};
    if (done() || peek().kind == TxnToken::Kind::kSign) return range;
    for (const std::string_view option : options) {
      if (peek().IsWord(option)) return range;
    }
    range.end = tokens_[at_++].text;
    return range;
  }

 private:
  bool Take(bool it_is) {
    if (it_is) ++at_;
    return it_is;
  }

  std::vector<TxnToken> tokens_;
  size_t at_ = 0;
};

absl::Status ParseComparedValue(Compare::CompareTarget target, LineReader& line, Compare* compare) {
  absl::StatusOr<std::string> text = line.TakeText("a value to compare with");
  if (!text.ok()) return text.status();
  if (target == Compare::VALUE) {
    compare->set_value(*std::move(text));
    return absl::OkStatus();
  }
  if (target == Compare::LEASE) {
    absl::StatusOr<uint64_t> id = ParseId(*text);
    if (id.ok()) compare->set_lease(static_cast<int64_t>(*id));
    return id.status();
  }
  absl::StatusOr<int64_t> number = ParseNumber(*text);
  if (!number.ok()) return number.status();
  switch (target) {
    case Compare::VERSION:
      compare->set_version(*number);
      break;
    case Compare::CREATE:
      compare->set_create_revision(*number);
      break;
    default:
      compare->set_mod_revision(*number);
  }
  return absl::OkStatus();
}

std::optional<Compare::CompareResult> TakeComparison(LineReader& line) {
  if (line.TakeSign("=")) return Compare::EQUAL;
  if (line.TakeSign("!=")) return Compare::NOT_EQUAL;
  if (line.TakeSign("<")) return Compare::LESS;
  if (line.TakeSign(">")) return Compare::GREATER;
  return std::nullopt;
}

struct TargetName {
  std::string_view name;
  Compare::CompareTarget target;
};
constexpr TargetName kTargets[] = {{"value", Compare::VALUE},    {"version", Compare::VERSION},
                                   {"create", Compare::CREATE},  {"mod", Compare::MOD},
                                   {"lease", Compare::LEASE},    {"exists", Compare::VERSION},
                                   {"missing", Compare::VERSION}};

absl::Status ParseCompare(LineReader& line, Compare* compare) {
  const TargetName* target = nullptr;
  for (const TargetName& candidate : kTargets) {
    if (line.TakeWord(candidate.name)) target = &candidate;
    if (target != nullptr) break;
  }
  if (target == nullptr) return Expected("value, version, create, mod, lease, exists or missing");
  compare->set_target(target->target);
  if (!line.TakeSign("(")) return Expected("'(' and a key");
  absl::StatusOr<KeyRange> keys = line.TakeKeys({});
  if (!keys.ok()) return keys.status();
  compare->set_key(keys->key);
  compare->set_range_end(keys->end);
  if (!line.TakeSign(")")) return Expected("')'");

  if (target->name == "exists" || target->name == "missing") {
    compare->set_result(target->name == "exists" ? Compare::GREATER : Compare::EQUAL);
    compare->set_version(0);
    return absl::OkStatus();
  }
  const std::optional<Compare::CompareResult> result = TakeComparison(line);
  if (!result.has_value()) return Expected("=, !=, < or >");
  compare->set_result(*result);
  return ParseComparedValue(target->target, line, compare);
}

absl::Status ParseGet(LineReader& line, etcdserverpb::RangeRequest* get) {
  absl::StatusOr<KeyRange> keys = line.TakeKeys({"limit", "keys-only", "count-only"});
  if (!keys.ok()) return keys.status();
  get->set_key(keys->key);
  get->set_range_end(keys->end);
  while (!line.done()) {
    absl::StatusOr<std::optional<std::string>> limit = line.TakeSetting("limit");
    if (!limit.ok()) return limit.status();
    if (limit->has_value()) {
      absl::StatusOr<int64_t> number = ParseNumber(**limit);
      if (!number.ok()) return number.status();
      get->set_limit(*number);
    } else if (line.TakeWord("keys-only")) {
      get->set_keys_only(true);
    } else if (line.TakeWord("count-only")) {
      get->set_count_only(true);
    } else {
      return Expected("limit=N, keys-only or count-only");
    }
  }
  return absl::OkStatus();
}

absl::Status ParsePut(LineReader& line, etcdserverpb::PutRequest* put) {
  absl::StatusOr<std::string> key = line.TakeText("a key");
  if (!key.ok()) return key.status();
  absl::StatusOr<std::string> value = line.TakeText("a value");
  if (!value.ok()) return value.status();
  put->set_key(*std::move(key));
  put->set_value(*std::move(value));
  while (!line.done()) {
    absl::StatusOr<std::optional<std::string>> lease = line.TakeSetting("lease");
    if (!lease.ok()) return lease.status();
    if (lease->has_value()) {
      absl::StatusOr<uint64_t> id = ParseId(**lease);
      if (!id.ok()) return id.status();
      put->set_lease(static_cast<int64_t>(*id));
    } else if (line.TakeWord("prev-kv")) {
      put->set_prev_kv(true);
    } else if (line.TakeWord("ignore-lease")) {
      put->set_ignore_lease(true);
    } else {
      return Expected("lease=ID, prev-kv or ignore-lease");
    }
  }
  return absl::OkStatus();
}

absl::Status ParseDel(LineReader& line, etcdserverpb::DeleteRangeRequest* del) {
  absl::StatusOr<KeyRange> keys = line.TakeKeys({"prev-kv"});
  if (!keys.ok()) return keys.status();
  del->set_key(keys->key);
  del->set_range_end(keys->end);
  if (line.TakeWord("prev-kv")) del->set_prev_kv(true);
  return absl::OkStatus();
}

absl::Status ParseOperation(LineReader& line, RequestOp* op) {
  if (line.TakeWord("get")) return ParseGet(line, op->mutable_request_range());
  if (line.TakeWord("put")) return ParsePut(line, op->mutable_request_put());
  if (line.TakeWord("del")) return ParseDel(line, op->mutable_request_delete_range());
  return Expected("get, put or del");
}

// `part` is where the lines before have led to.
absl::Status ParseLine(const std::string& text, Part* part, TxnRequest* txn) {
  absl::StatusOr<std::vector<TxnToken>> tokens = TokenizeTxnLine(text);
  if (!tokens.ok()) return tokens.status();
  LineReader line(*std::move(tokens));
  if (line.done()) return absl::OkStatus();
  if (const std::optional<Part> named = PartNamed(line.peek())) {
    if (*named <= *part)
      return absl::InvalidArgumentError("the parts are if, then, else, in this order, each once");
    *part = *named;
    line.Skip();
    if (line.done()) return absl::OkStatus();
  }
  absl::Status parsed;
  switch (*part) {
    case Part::kNone:
      return Expected("if or then");
    case Part::kIf:
      parsed = ParseCompare(line, txn->add_compare());
      break;
    case Part::kThen:
      parsed = ParseOperation(line, txn->add_success());
      break;
    case Part::kElse:
      parsed = ParseOperation(line, txn->add_failure());
      break;
  }
  if (!parsed.ok()) return parsed;
  if (line.done()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", line.peek().text, "' is too much: one a line"));
}

}  // namespace

absl::StatusOr<TxnRequest> ParseTxn(const std::vector<std::string>& lines) {
  TxnRequest txn;
  Part part = Part::kNone;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (absl::Status parsed = ParseLine(lines[i], &part, &txn); !parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", i + 1, ": ", parsed.message()));
    }
  }
  return txn;
}

}  // namespace cairn::client
