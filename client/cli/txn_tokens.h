// The words of one line of a transaction (client/cli/txn_syntax.h).
//
// Thread safety: value types and free functions.
#ifndef CAIRN_CLIENT_CLI_TXN_TOKENS_H_
#define CAIRN_CLIENT_CLI_TXN_TOKENS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace cairn::client {

struct TxnToken {
  enum class Kind : uint8_t {
    kWord,    // bare: may be a keyword
    kString,  // in quotes: never one
    kSign,    // ( ) = != < >
  } kind = Kind::kWord;
  std::string text;

  bool IsWord(std::string_view word) const { return kind == Kind::kWord && text == word; }
  bool IsSign(std::string_view sign) const { return kind == Kind::kSign && text == sign; }
};

// A comment is left out.
absl::StatusOr<std::vector<TxnToken>> TokenizeTxnLine(std::string_view line);

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLI_TXN_TOKENS_H_
