#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "client/endpoint.h"

namespace cairn::client {
namespace {

using etcdserverpb::MemberListResponse;
using etcdserverpb::StatusResponse;

// The endpoints given, or with `whole_cluster` one of each member.
absl::StatusOr<std::vector<std::string>> EndpointsToAsk(Session& session, bool whole_cluster) {
  if (!whole_cluster) return session.endpoints();
  const absl::StatusOr<MemberListResponse> members = session.client().MemberList();
  if (!members.ok()) return members.status();
  std::vector<std::string> endpoints;
  for (const auto& member : members->members()) {
    if (member.clienturls().empty()) continue;  // has not started yet
    absl::StatusOr<std::string> endpoint = ParseEndpoint(member.clienturls(0));
    if (!endpoint.ok()) return endpoint.status();
    endpoints.push_back(*std::move(endpoint));
  }
  return endpoints;
}

// Asks all of them at the same time; the answers in the order of the endpoints.
template <typename Answer>
std::vector<Answer> AskEach(Session& session, const std::vector<std::string>& endpoints,
                            Answer (*ask)(Client&)) {
  std::vector<std::future<Answer>> asked;
  for (const std::string& endpoint : endpoints) {
    asked.push_back(
        std::async(std::launch::async, [ask, client = session.ClientOf(endpoint)] { return ask(*client); }));
  }
  std::vector<Answer> answers;
  for (auto& answer : asked) answers.push_back(answer.get());
  return answers;
}

absl::StatusOr<StatusResponse> AskStatus(Client& client) { return client.Status(); }

int Status(Session& session, bool whole_cluster) {
  const auto endpoints = EndpointsToAsk(session, whole_cluster);
  if (!endpoints.ok()) return session.Fail(endpoints.status());
  const auto answers = AskEach(session, *endpoints, AskStatus);

  Table table({"ENDPOINT", "MEMBER", "ROLE", ">TERM", ">REVISION", ">COMMITTED", ">APPLIED", ">DISK",
               "VERSION", "ERRORS"});
  Json members = Json::array();
  bool all_answered = true;
  for (size_t i = 0; i < answers.size(); ++i) {
    Json json = {{"endpoint", (*endpoints)[i]}};
    if (!answers[i].ok()) {
      all_answered = false;
      const std::string error(answers[i].status().message());
      json["error"] = error;
      table.Add({(*endpoints)[i], "-", "-", "-", "-", "-", "-", "-", "-", Printable(error)});
    } else {
      const StatusResponse& status = *answers[i];
      json["status"] = ToJson(status);
      const std::string role = status.leader() == status.header().member_id() ? "leader"
                               : status.islearner()                           ? "learner"
                                                                              : "follower";
      table.Add({(*endpoints)[i], FormatId(status.header().member_id()), role,
                 absl::StrCat(status.raftterm()), absl::StrCat(status.header().revision()),
                 absl::StrCat(status.raftindex()), absl::StrCat(status.raftappliedindex()),
                 FormatBytes(status.dbsize()), Printable(status.version()),
                 Printable(absl::StrJoin(status.errors(), "; "))});
    }
    members.push_back(std::move(json));
  }
  if (session.json()) {
    session.PrintJson({{"members", members}});
  } else {
    table.Print(session.out());
  }
  return all_answered ? kExitOk : kExitFailed;
}

int Members(Session& session) {
  const auto response = session.client().MemberList();
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson(ToJson(*response));
    return kExitOk;
  }
  Table table({"MEMBER", "NAME", "ROLE", "PEER URLS", "CLIENT URLS"});
  for (const auto& member : response->members()) {
    const std::string role = member.clienturls().empty() ? "not started"
                             : member.islearner()        ? "learner"
                                                         : "voter";
    table.Add({FormatId(member.id()), Printable(member.name()), role,
               Printable(absl::StrJoin(member.peerurls(), " ")),
               Printable(absl::StrJoin(member.clienturls(), " "))});
  }
  table.Print(session.out());
  return kExitOk;
}

struct Health {
  absl::Status status;
  absl::Duration took;
  int alarms = 0;
};

// A linearizable read goes through a quorum; the key need not be there.
Health AskHealth(Client& client) {
  etcdserverpb::RangeRequest request;
  request.set_key("health");
  request.set_count_only(true);
  const auto begun = std::chrono::steady_clock::now();
  Health health;
  health.status = client.Range(request).status();
  health.took = absl::FromChrono(std::chrono::steady_clock::now() - begun);
  if (!health.status.ok()) return health;
  const auto alarms = client.Alarms();
  health.status = alarms.status();
  if (alarms.ok()) health.alarms = alarms->alarms_size();
  return health;
}

int CheckHealth(Session& session, bool whole_cluster) {
  const auto endpoints = EndpointsToAsk(session, whole_cluster);
  if (!endpoints.ok()) return session.Fail(endpoints.status());
  const std::vector<Health> answers = AskEach(session, *endpoints, AskHealth);

  Table table({"ENDPOINT", "HEALTH", ">TOOK", "ERROR"});
  Json members = Json::array();
  bool all_healthy = true;
  for (size_t i = 0; i < answers.size(); ++i) {
    const Health& health = answers[i];
    const bool healthy = health.status.ok() && health.alarms == 0;
    std::string error(health.status.message());
    if (health.alarms > 0) error = absl::StrCat(health.alarms, " alarm(s) raised");
    table.Add(
        {(*endpoints)[i], healthy ? "healthy" : "unhealthy", FormatElapsed(health.took), Printable(error)});
    Json json = {{"endpoint", (*endpoints)[i]},
                 {"healthy", healthy},
                 {"took_ms", absl::ToDoubleMilliseconds(health.took)}};
    if (!error.empty()) json["error"] = error;
    members.push_back(std::move(json));
    all_healthy = all_healthy && healthy;
  }
  if (session.json()) {
    session.PrintJson({{"healthy", all_healthy}, {"members", members}});
  } else {
    table.Print(session.out());
  }
  return all_healthy ? kExitOk : kExitNo;
}

// The member with this id or name.
absl::StatusOr<etcdserverpb::Member> FindMember(const MemberListResponse& members, const std::string& text) {
  const absl::StatusOr<uint64_t> id = ParseId(text);
  for (const auto& member : members.members()) {
    if (member.name() == text || (id.ok() && member.id() == *id)) return member;
  }
  return absl::NotFoundError(absl::StrCat("no member has the name or id '", text, "': see cairn members"));
}

int MoveLeader(Session& session, const std::string& target_text) {
  const auto members = session.client().MemberList();
  if (!members.ok()) return session.Fail(members.status());
  const auto target = FindMember(*members, target_text);
  if (!target.ok()) return session.Fail(target.status());
  const auto status = session.client().Status();
  if (!status.ok()) return session.Fail(status.status());
  const auto leader = FindMember(*members, FormatId(status->leader()));
  if (!leader.ok()) return session.Fail(absl::UnavailableError("the cluster has no leader now"));
  if (leader->id() != target->id()) {
    const absl::StatusOr<std::string> endpoint =
        leader->clienturls().empty() ? absl::UnavailableError("the leader has not said where it listens")
                                     : ParseEndpoint(leader->clienturls(0));
    if (!endpoint.ok()) return session.Fail(endpoint.status());
    const absl::Status moved = session.ClientOf(*endpoint)->MoveLeader(target->id());
    if (!moved.ok()) return session.Fail(moved);
  }
  if (session.json()) {
    session.PrintJson({{"from", FormatId(leader->id())}, {"to", FormatId(target->id())}});
  } else if (leader->id() == target->id()) {
    session.out() << FormatId(target->id()) << " leads already\n";
  } else {
    session.out() << "leadership moved from " << FormatId(leader->id()) << " to " << FormatId(target->id())
                  << '\n';
  }
  return kExitOk;
}

}  // namespace

void AddClusterCommands(CLI::App& app, Action* action) {
  CLI::App* status = app.add_subcommand("status", "Show the state of members");
  status->footer(
      "Examples:\n"
      "  cairn status\n"
      "  cairn status --cluster      every member, found through the ones given");
  auto status_of_all = std::make_shared<bool>(false);
  status->add_flag("--cluster", *status_of_all, "Ask every member of the cluster");
  status->callback([=] { *action = [=](Session& session) { return Status(session, *status_of_all); }; });

  CLI::App* members = app.add_subcommand("members", "List the members");
  members->footer("Example:\n  cairn members");
  members->callback([=] { *action = Members; });

  CLI::App* health = app.add_subcommand("health", "Check that members answer through a quorum");
  health->footer(
      "Ends with 3 when one is unhealthy.\n\n"
      "Examples:\n"
      "  cairn health\n"
      "  cairn health --cluster --timeout 1s");
  auto health_of_all = std::make_shared<bool>(false);
  health->add_flag("--cluster", *health_of_all, "Ask every member of the cluster");
  health->callback([=] { *action = [=](Session& session) { return CheckHealth(session, *health_of_all); }; });

  CLI::App* move_leader = app.add_subcommand("move-leader", "Hand leadership to another member");
  move_leader->footer(
      "Examples:\n"
      "  cairn move-leader m2\n"
      "  cairn move-leader 8e9e05c52164694d");
  auto target = std::make_shared<std::string>();
  move_leader->add_option("member", *target, "The name or id of the member that shall lead")->required();
  move_leader->callback([=] { *action = [=](Session& session) { return MoveLeader(session, *target); }; });
}

}  // namespace cairn::client
