#include <memory>
#include <ostream>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/text.h"
#include "client/watcher.h"

namespace cairn::client {
namespace {

struct WatchArguments {
  KeyArguments keys;
  int64_t revision = 0;
  int64_t count = 0;
  bool prev_kv = false, progress = false;
  bool no_put = false, no_delete = false;
};

void PrintEvent(std::ostream& out, const mvccpb::Event& event) {
  out << event.kv().mod_revision() << (event.type() == mvccpb::Event::DELETE ? "  delete  " : "  put  ")
      << Quoted(event.kv().key());
  if (event.type() == mvccpb::Event::PUT) out << " = " << Quoted(event.kv().value());
  if (event.has_prev_kv()) out << "  (before: " << Quoted(event.prev_kv().value()) << ')';
  out << '\n';
}

int Watch(Session& session, const WatchArguments& arguments) {
  etcdserverpb::WatchCreateRequest request;
  arguments.keys.FillIn(request.mutable_key(), request.mutable_range_end());
  request.set_start_revision(arguments.revision);
  request.set_prev_kv(arguments.prev_kv);
  request.set_progress_notify(arguments.progress);
  if (arguments.no_put) request.add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
  if (arguments.no_delete) request.add_filters(etcdserverpb::WatchCreateRequest::NODELETE);

  Watcher watcher(session.client(), request);
  for (int64_t seen = 0; arguments.count == 0 || seen < arguments.count;) {
    absl::StatusOr<etcdserverpb::WatchResponse> response = watcher.Next();
    if (!response.ok()) return session.Fail(response.status());
    if (response->created()) continue;
    if (arguments.count > 0 && response->events_size() > arguments.count - seen) {
      response->mutable_events()->DeleteSubrange(
          static_cast<int>(arguments.count - seen),
          response->events_size() - static_cast<int>(arguments.count - seen));
    }
    seen += response->events_size();
    if (session.json()) {
      session.PrintJson(ToJson(*response));
    } else if (response->events().empty()) {
      session.out() << response->header().revision() << "  progress\n";
    } else {
      for (const mvccpb::Event& event : response->events()) PrintEvent(session.out(), event);
    }
    session.out().flush();
  }
  return kExitOk;
}

}  // namespace

void AddWatchCommand(CLI::App& app, Action* action) {
  auto arguments = std::make_shared<WatchArguments>();
  CLI::App* command = app.add_subcommand("watch", "Show changes as they happen");
  command->footer(
      "Goes on until it is interrupted, also when the member it talks to dies: no change is lost or shown "
      "twice.\n\n"
      "Examples:\n"
      "  cairn watch greeting\n"
      "  cairn watch --prefix workers/ --prev-kv\n"
      "  cairn watch --rev 17 greeting          changes from revision 17 on, past ones included\n"
      "  cairn watch --count 1 ready            wait for the next change");
  arguments->keys.AddTo(*command);
  command->add_option("--rev", arguments->revision, "Begin at this revision; without it, after now")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--count", arguments->count, "End after so many changes")->check(CLI::PositiveNumber);
  command->add_flag("--prev-kv", arguments->prev_kv, "Show what the key held before");
  command->add_flag("--progress", arguments->progress,
                    "Show now and then up to which revision all has been seen");
  CLI::Option* no_put = command->add_flag("--no-put", arguments->no_put, "Deletions only");
  command->add_flag("--no-delete", arguments->no_delete, "Puts only")->excludes(no_put);
  command->callback([arguments, action] {
    *action = [arguments](Session& session) { return Watch(session, *arguments); };
  });
}

}  // namespace cairn::client
