#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/table.h"
#include "client/cli/text.h"

namespace cairn::client {
namespace {

using etcdserverpb::RangeRequest;

std::string LeaseCell(int64_t lease) { return lease == 0 ? "-" : FormatId(static_cast<uint64_t>(lease)); }

template <typename Pairs>
void PrintPairs(std::ostream& out, const Pairs& pairs) {
  Table table({"KEY", "VALUE", ">VERSION", ">CREATED", ">MODIFIED", "LEASE"});
  for (const mvccpb::KeyValue& kv : pairs) {
    table.Add({Printable(kv.key()), Cell(kv.value()), std::to_string(kv.version()),
               std::to_string(kv.create_revision()), std::to_string(kv.mod_revision()),
               LeaseCell(kv.lease())});
  }
  table.Print(out);
}

struct PutArguments {
  std::string key;
  std::string value;
  bool has_value = false;
  std::string lease;
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;
};

int Put(Session& session, const PutArguments& arguments) {
  etcdserverpb::PutRequest request;
  request.set_key(arguments.key);
  if (arguments.has_value) {
    request.set_value(arguments.value);
  } else if (!arguments.ignore_value) {
    request.set_value(std::string(std::istreambuf_iterator<char>(session.in()), {}));
  }
  if (!arguments.lease.empty()) request.set_lease(static_cast<int64_t>(*ParseId(arguments.lease)));
  request.set_prev_kv(arguments.prev_kv);
  request.set_ignore_value(arguments.ignore_value);
  request.set_ignore_lease(arguments.ignore_lease);
  const auto response = session.client().Put(request);
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson(ToJson(*response));
    return kExitOk;
  }
  session.out() << "put at revision " << response->header().revision() << '\n';
  if (response->has_prev_kv()) {
    session.out() << "before:\n";
    PrintPairs(session.out(), std::initializer_list<mvccpb::KeyValue>{response->prev_kv()});
  }
  return kExitOk;
}

void AddPut(CLI::App& app, Action* action) {
  auto arguments = std::make_shared<PutArguments>();
  CLI::App* command = app.add_subcommand("put", "Write one key");
  command->footer(
      "Examples:\n"
      "  cairn put greeting hello\n"
      "  cairn put config/app < app.yaml          the value from standard input\n"
      "  cairn put --lease 7f3a0c51 workers/1 up  gone when the lease ends\n"
      "  cairn put counter -- -1                  a value that begins with '-'");
  command->add_option("key", arguments->key, "The key")->required();
  CLI::Option* value =
      command->add_option("value", arguments->value, "The value; read from standard input when left out");
  command->add_option("--lease", arguments->lease, "Attach the key to this lease")->check(IsId());
  command->add_flag("--prev-kv", arguments->prev_kv, "Show what the key held before");
  command->add_flag("--ignore-value", arguments->ignore_value, "Keep the value the key has")->excludes(value);
  command->add_flag("--ignore-lease", arguments->ignore_lease, "Keep the lease the key has");
  command->callback([arguments, value, action] {
    arguments->has_value = value->count() > 0;
    *action = [arguments](Session& session) { return Put(session, *arguments); };
  });
}

struct GetArguments {
  KeyArguments keys;
  std::string sort_by = "key";
  std::string order;
  bool value_only = false;
  int64_t limit = 0, revision = 0;
  int64_t min_mod = 0, max_mod = 0, min_create = 0, max_create = 0;
  bool serializable = false, keys_only = false, count_only = false;
};

RangeRequest ToRequest(const GetArguments& arguments) {
  RangeRequest request;
  arguments.keys.FillIn(request.mutable_key(), request.mutable_range_end());
  request.set_limit(arguments.limit);
  request.set_revision(arguments.revision);
  request.set_serializable(arguments.serializable);
  request.set_keys_only(arguments.keys_only);
  request.set_count_only(arguments.count_only);
  request.set_min_mod_revision(arguments.min_mod);
  request.set_max_mod_revision(arguments.max_mod);
  request.set_min_create_revision(arguments.min_create);
  request.set_max_create_revision(arguments.max_create);
  if (arguments.order == "ascend") request.set_sort_order(RangeRequest::ASCEND);
  if (arguments.order == "descend") request.set_sort_order(RangeRequest::DESCEND);
  if (arguments.sort_by == "version") request.set_sort_target(RangeRequest::VERSION);
  if (arguments.sort_by == "create") request.set_sort_target(RangeRequest::CREATE);
  if (arguments.sort_by == "mod") request.set_sort_target(RangeRequest::MOD);
  if (arguments.sort_by == "value") request.set_sort_target(RangeRequest::VALUE);
  return request;
}

void PrintFound(Session& session, const GetArguments& arguments,
                const etcdserverpb::RangeResponse& response) {
  if (session.json()) return session.PrintJson(ToJson(response));
  std::ostream& out = session.out();
  if (arguments.count_only) {
    out << response.count() << '\n';
  } else if (arguments.value_only) {
    for (const auto& kv : response.kvs()) out << kv.value() << '\n';
  } else if (arguments.keys_only) {
    for (const auto& kv : response.kvs()) out << Printable(kv.key()) << '\n';
  } else if (response.kvs_size() > 0) {
    PrintPairs(out, response.kvs());
    if (response.more()) out << "(the first " << response.kvs_size() << " of " << response.count() << ")\n";
  }
}

int Get(Session& session, const GetArguments& arguments) {
  const auto response = session.client().Range(ToRequest(arguments));
  if (!response.ok()) return session.Fail(response.status());
  PrintFound(session, arguments, *response);
  return response->count() > 0 || arguments.count_only ? kExitOk : kExitNo;
}

void AddGet(CLI::App& app, Action* action) {
  auto arguments = std::make_shared<GetArguments>();
  CLI::App* command = app.add_subcommand("get", "Read keys");
  command->footer(
      "Long values are cut in the table: --value-only and -o json show them whole. Ends with 3 when there is "
      "no such key.\n\n"
      "Examples:\n"
      "  cairn get greeting\n"
      "  cairn get --value-only greeting           just the value\n"
      "  cairn get --prefix workers/               all keys that begin so\n"
      "  cairn get --count-only --prefix \"\"        how many keys there are\n"
      "  cairn get --rev 17 greeting               as it was at revision 17\n"
      "  cairn get --prefix jobs/ --sort-by create --limit 1   the oldest job");
  arguments->keys.AddTo(*command);
  command->add_option("--rev", arguments->revision, "Read as of this revision");
  command->add_option("--limit", arguments->limit, "Show so many at most")->check(CLI::NonNegativeNumber);
  command->add_option("--sort-by", arguments->sort_by, "Sort by key, version, create, mod or value")
      ->check(CLI::IsMember({"key", "version", "create", "mod", "value"}));
  command->add_option("--order", arguments->order, "Sort ascend or descend")
      ->check(CLI::IsMember({"ascend", "descend"}));
  command->add_option("--min-mod-rev", arguments->min_mod,
                      "Only keys last changed at or after this revision");
  command->add_option("--max-mod-rev", arguments->max_mod,
                      "Only keys last changed at or before this revision");
  command->add_option("--min-create-rev", arguments->min_create,
                      "Only keys created at or after this revision");
  command->add_option("--max-create-rev", arguments->max_create,
                      "Only keys created at or before this revision");
  CLI::Option* keys_only = command->add_flag("--keys-only", arguments->keys_only, "Show keys without values");
  CLI::Option* count_only =
      command->add_flag("--count-only", arguments->count_only, "Show how many there are");
  CLI::Option* value_only =
      command->add_flag("--value-only", arguments->value_only, "Show the bytes of the values, a line each");
  value_only->excludes(keys_only)->excludes(count_only);
  keys_only->excludes(count_only);
  command->add_flag("--serializable", arguments->serializable,
                    "Answer from the member's own state: fast, works without a quorum, may be behind");
  command->callback(
      [arguments, action] { *action = [arguments](Session& session) { return Get(session, *arguments); }; });
}

struct DelArguments {
  KeyArguments keys;
  bool prev_kv = false;
};

int Del(Session& session, const DelArguments& arguments) {
  etcdserverpb::DeleteRangeRequest request;
  arguments.keys.FillIn(request.mutable_key(), request.mutable_range_end());
  request.set_prev_kv(arguments.prev_kv);
  const auto response = session.client().DeleteRange(request);
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson(ToJson(*response));
  } else {
    session.out() << "deleted " << response->deleted() << (response->deleted() == 1 ? " key\n" : " keys\n");
    if (response->prev_kvs_size() > 0) PrintPairs(session.out(), response->prev_kvs());
  }
  return response->deleted() > 0 ? kExitOk : kExitNo;
}

void AddDel(CLI::App& app, Action* action) {
  auto arguments = std::make_shared<DelArguments>();
  CLI::App* command = app.add_subcommand("del", "Delete keys");
  command->footer(
      "Ends with 3 when there was nothing to delete.\n\n"
      "Examples:\n"
      "  cairn del greeting\n"
      "  cairn del --prefix workers/\n"
      "  cairn del --prev-kv a c      the keys from a up to, not including, c, and what they held");
  arguments->keys.AddTo(*command);
  command->add_flag("--prev-kv", arguments->prev_kv, "Show what was deleted");
  command->callback(
      [arguments, action] { *action = [arguments](Session& session) { return Del(session, *arguments); }; });
}

void AddCompact(CLI::App& app, Action* action) {
  auto request = std::make_shared<std::pair<int64_t, bool>>();
  CLI::App* command = app.add_subcommand("compact", "Give up history before a revision");
  command->footer(
      "Reads at older revisions and watches from them fail afterwards; current values stay.\n\n"
      "Examples:\n"
      "  cairn compact 1200\n"
      "  cairn compact --physical 1200    answer when the space is free");
  command->add_option("revision", request->first, "The oldest revision to keep")->required();
  command->add_flag("--physical", request->second, "Wait until the space is free");
  command->callback([request, action] {
    *action = [request](Session& session) -> int {
      etcdserverpb::CompactionRequest compaction;
      compaction.set_revision(request->first);
      compaction.set_physical(request->second);
      const auto response = session.client().Compact(compaction);
      if (!response.ok()) return session.Fail(response.status());
      if (session.json()) {
        session.PrintJson({{"header", ToJson(response->header())}, {"compacted", compaction.revision()}});
      } else {
        session.out() << "compacted up to revision " << compaction.revision() << '\n';
      }
      return kExitOk;
    };
  });
}

}  // namespace

CLI::Validator IsId() {
  return CLI::Validator(
      [](const std::string& text) {
        const absl::StatusOr<uint64_t> id = ParseId(text);
        return id.ok() ? std::string() : std::string(id.status().message());
      },
      "ID");
}

void KeyArguments::AddTo(CLI::App& command) {
  command.add_option("key", key, "The key")->required();
  CLI::Option* end_option = command.add_option("end", end, "Up to, not including, this key");
  CLI::Option* prefix_option = command.add_flag("--prefix", prefix, "All keys that begin with KEY");
  CLI::Option* from_option = command.add_flag("--from-key", from_key, "All keys from KEY on");
  prefix_option->excludes(end_option)->excludes(from_option);
  from_option->excludes(end_option);
}

void KeyArguments::FillIn(std::string* key_out, std::string* end_out) const {
  KeyRange range{key, end};
  if (prefix) range = PrefixRange(key);
  if (from_key) range = RangeFrom(key);
  *key_out = std::move(range.key);
  *end_out = std::move(range.end);
}

void AddKeyCommands(CLI::App& app, Action* action) {
  AddPut(app, action);
  AddGet(app, action);
  AddDel(app, action);
  AddCompact(app, action);
}

}  // namespace cairn::client
