// The text form of a transaction:
//
//   # move the lock on, if it is still mine
//   if   value("lock") = "me"
//        version("lock") > 0
//   then put "lock" "you" lease=7f3a
//        del "waiting/you"
//   else get "lock"
//
// One comparison or operation a line; `if`, `then` and `else` begin their parts and may stand alone on a
// line. Parts may be left out. A word needs quotes only when it holds blanks, quotes, parentheses, '#' or a
// comparison sign; within quotes \n \t \r \\ \" and \xHH are read as in C.
//
//   comparison   value|version|create|mod|lease (KEYS) =|!=|<|> VALUE
//                exists(KEY), missing(KEY)
//   operation    get KEYS [limit=N] [keys-only] [count-only]
//                put KEY VALUE [lease=ID] [prev-kv] [ignore-lease]
//                del KEYS [prev-kv]
//   KEYS         KEY | KEY END | prefix KEY | from KEY        (every one of them must compare so)
//
// Thread safety: free functions.
#ifndef CAIRN_CLIENT_CLI_TXN_SYNTAX_H_
#define CAIRN_CLIENT_CLI_TXN_SYNTAX_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::client {

// INVALID_ARGUMENT with the line's number and what was expected.
absl::StatusOr<etcdserverpb::TxnRequest> ParseTxn(const std::vector<std::string>& lines);

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLI_TXN_SYNTAX_H_
