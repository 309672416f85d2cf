#include <istream>
#include <memory>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/text.h"
#include "client/cli/txn_syntax.h"

namespace cairn::client {
namespace {

constexpr char kHelp[] =
    "One comparison or operation to an argument, or to a line of standard input; 'if', 'then' and 'else' "
    "begin\n"
    "their parts. Ends with 3 when the comparisons did not hold (then 'else' was carried out).\n\n"
    "  comparisons  value|version|create|mod|lease (KEYS) =|!=|<|> VALUE     exists(KEY)     missing(KEY)\n"
    "  operations   get KEYS [limit=N] [keys-only] [count-only]\n"
    "               put KEY VALUE [lease=ID] [prev-kv] [ignore-lease]\n"
    "               del KEYS [prev-kv]\n"
    "  KEYS         KEY | KEY END | prefix KEY | from KEY\n\n"
    "Words with blanks or signs in double quotes; \\n \\t \\\\ \\\" \\xHH are read there. '#' begins a "
    "comment.\n\n"
    "Examples:\n"
    "  cairn txn 'if missing(lock)' 'then put lock me' 'else get lock'\n"
    "  cairn txn <<'END'\n"
    "  if   value(\"config/mode\") = \"blue\"\n"
    "       mod(\"config/mode\") < 1200\n"
    "  then put \"config/mode\" \"green\"\n"
    "       del prefix \"config/blue/\"\n"
    "  END";

void PrintOperation(std::ostream& out, const etcdserverpb::ResponseOp& op) {
  switch (op.response_case()) {
    case etcdserverpb::ResponseOp::kResponseRange:
      if (op.response_range().kvs_size() == 0) out << "get: " << op.response_range().count() << " found\n";
      for (const auto& kv : op.response_range().kvs()) {
        out << "get: " << Quoted(kv.key()) << " = " << Quoted(kv.value()) << "  (modified at "
            << kv.mod_revision() << ")\n";
      }
      return;
    case etcdserverpb::ResponseOp::kResponsePut:
      out << "put: done";
      if (op.response_put().has_prev_kv()) out << ", before: " << Quoted(op.response_put().prev_kv().value());
      out << '\n';
      return;
    case etcdserverpb::ResponseOp::kResponseDeleteRange:
      out << "del: " << op.response_delete_range().deleted() << " deleted\n";
      for (const auto& kv : op.response_delete_range().prev_kvs()) {
        out << "     " << Quoted(kv.key()) << " = " << Quoted(kv.value()) << '\n';
      }
      return;
    default:  // the syntax knows no others
      return;
  }
}

int Txn(Session& session, std::vector<std::string> lines) {
  if (lines.empty()) {
    for (std::string line; std::getline(session.in(), line);) lines.push_back(line);
  }
  const auto request = ParseTxn(lines);
  if (!request.ok()) return session.FailUsage(request.status());
  const auto response = session.client().Txn(*request);
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson(ToJson(*response));
  } else {
    session.out() << (response->succeeded() ? "then" : "else") << ", at revision "
                  << response->header().revision() << '\n';
    for (const auto& op : response->responses()) PrintOperation(session.out(), op);
  }
  return response->succeeded() ? kExitOk : kExitNo;
}

}  // namespace

void AddTxnCommand(CLI::App& app, Action* action) {
  auto lines = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand("txn", "Compare, then change several keys at once, or none");
  command->footer(kHelp);
  command->add_option("line", *lines, "The lines of the transaction; read from standard input when left out");
  command->callback(
      [lines, action] { *action = [lines](Session& session) { return Txn(session, *lines); }; });
}

}  // namespace cairn::client
