#include "server/options.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/settings.h"

namespace cairn::server {
namespace {

constexpr int64_t kMaxElectionTimeoutMs = 50'000;  // etcd's
constexpr int64_t kMinHeartbeatsPerElection = 5;
constexpr int64_t kMaxRequestBytes = 10 << 20;  // etcd advises against more; a peer frame must hold several
constexpr int64_t kMaxTxnOps = 100'000;
constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxMembers = 15;

absl::string_view ToAbsl(std::string_view s) { return absl::string_view(s.data(), s.size()); }

// Takes settings out of their raw form, one conversion a type. The first error is kept; later calls give
// values of no meaning.
class Converter {
 public:
  explicit Converter(const RawSettings& raw) : raw_(raw) {}

  const absl::Status& status() const { return status_; }

  bool IsSet(std::string_view name) const { return raw_.values.contains(name); }

  std::string Text(std::string_view name) const {
    const auto found = raw_.values.find(name);
    if (found != raw_.values.end()) return found->second.text;
    for (const SettingInfo& setting : Settings()) {
      if (setting.name == name) return std::string(setting.default_value);
    }
    return {};
  }

  int64_t Integer(std::string_view name, int64_t min, int64_t max) {
    const std::string text = Text(name);
    int64_t value = 0;
    if (!absl::SimpleAtoi(text, &value) || value < min || value > max) {
      Fail(name, absl::StrCat("\"", text, "\" is not a whole number from ", min, " to ", max));
    }
    return value;
  }

  bool Boolean(std::string_view name) {
    bool value = false;
    if (!absl::SimpleAtob(Text(name), &value)) {
      Fail(name, absl::StrCat("\"", Text(name), "\" is neither true nor false"));
    }
    return value;
  }

  absl::Duration Duration(std::string_view name, absl::Duration min, absl::Duration max) {
    absl::Duration value;
    if (!absl::ParseDuration(Text(name), &value) || value < min || value > max) {
      Fail(name, absl::StrCat("\"", Text(name), "\" is not a duration from ", absl::FormatDuration(min),
                              " to ", absl::FormatDuration(max), ": write it like 30s or 10m"));
    }
    return value;
  }

  std::vector<Url> Urls(std::string_view name) {
    absl::StatusOr<std::vector<Url>> urls = ParseUrls(Text(name));
    if (!urls.ok()) {
      Fail(name, std::string(urls.status().message()));
      return {};
    }
    return *std::move(urls);
  }

  template <typename T>
  T Choice(std::string_view name, std::initializer_list<std::pair<std::string_view, T>> choices) {
    const std::string text = Text(name);
    std::vector<std::string> names;
    for (const auto& [choice, value] : choices) {
      if (choice == text) return value;
      names.emplace_back(choice);
    }
    Fail(name, absl::StrCat("\"", text, "\" is none of ", absl::StrJoin(names, ", ")));
    return choices.begin()->second;
  }

  void Fail(std::string_view name, const std::string& why) {
    if (!status_.ok()) return;
    const auto found = raw_.values.find(name);
    const std::string origin = found != raw_.values.end() ? found->second.origin : "--" + std::string(name);
    status_ = absl::InvalidArgumentError(absl::StrCat(origin, ": ", why));
  }

 private:
  const RawSettings& raw_;
  absl::Status status_;
};

// Listening needs an address of this machine; a name could mean anything.
void CheckListenUrls(std::string_view name, const std::vector<Url>& urls, bool insecure_listen,
                     Converter* in) {
  for (const Url& url : urls) {
    if (!url.IsAddress() && url.host != "localhost") {
      in->Fail(name,
               absl::StrCat(url.ToString(),
                            ": listening needs an IP address, not a name: use the address of an interface, "
                            "or 0.0.0.0 for all"));
    }
    if (!url.IsLoopback() && !insecure_listen) {
      in->Fail(name,
               absl::StrCat(url.ToString(),
                            ": other machines could reach this address, and there is no TLS and no "
                            "authentication yet: use 127.0.0.1, or set --insecure-listen on a network you "
                            "trust"));
    }
  }
}

// What others are told is by default where we listen, unless that says nothing to them.
std::vector<Url> AdvertisedUrls(std::string_view name, std::string_view listen_name,
                                const std::vector<Url>& listen, Converter* in) {
  std::vector<Url> urls = in->IsSet(name) ? in->Urls(name) : listen;
  for (const Url& url : urls) {
    if (url.IsUnspecified()) {
      in->Fail(name, absl::StrCat(url.ToString(), " reaches nobody: set --", ToAbsl(name),
                                  " to the addresses under which others reach this member (--",
                                  ToAbsl(listen_name), " only says where it listens)"));
    }
  }
  return urls;
}

std::vector<InitialMember> ParseInitialCluster(Converter* in) {
  constexpr std::string_view kName = "initial-cluster";
  std::vector<InitialMember> members;
  std::vector<Url> seen;
  for (absl::string_view part : absl::StrSplit(in->Text(kName), ',')) {
    const std::pair<absl::string_view, absl::string_view> item =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const std::string name(absl::StripAsciiWhitespace(item.first));
    if (name.empty() || item.second.empty()) {
      in->Fail(kName, absl::StrCat("\"", part, "\": write it as name=http://HOST:PORT, separated by commas"));
      return {};
    }
    absl::StatusOr<Url> url = ParseUrl(std::string(absl::StripAsciiWhitespace(item.second)));
    if (!url.ok()) {
      in->Fail(kName, std::string(url.status().message()));
      return {};
    }
    if (std::find(seen.begin(), seen.end(), *url) != seen.end()) {
      in->Fail(kName, absl::StrCat(url->ToString(), " stands there twice: each member has URLs of its own"));
    }
    seen.push_back(*url);
    auto member = std::find_if(members.begin(), members.end(), [&](const auto& m) { return m.name == name; });
    if (member == members.end()) member = members.insert(members.end(), InitialMember{name, {}});
    member->peer_urls.push_back(*std::move(url));
  }
  if (members.size() > kMaxMembers) {
    in->Fail(kName, absl::StrCat(members.size(), " members: a cluster has ", kMaxMembers,
                                 " at most; three or five are the usual choice"));
  }
  return members;
}

void ReadCluster(Converter* in, Options* options) {
  if (in->IsSet("initial-cluster")) {
    options->initial_cluster = ParseInitialCluster(in);
  } else {
    options->initial_cluster = {{options->name, options->initial_advertise_peer_urls}};
  }
  if (!in->status().ok()) return;
  const auto self = std::find_if(options->initial_cluster.begin(), options->initial_cluster.end(),
                                 [&](const InitialMember& m) { return m.name == options->name; });
  if (self == options->initial_cluster.end()) {
    in->Fail("initial-cluster",
             absl::StrCat("has no member named \"", options->name,
                          "\": add it, or set --name to one of the names that stand there"));
    return;
  }
  if (!in->IsSet("initial-advertise-peer-urls")) {
    options->initial_advertise_peer_urls = self->peer_urls;
    return;
  }
  auto sorted = [](std::vector<Url> urls) {
    std::sort(urls.begin(), urls.end());
    return urls;
  };
  if (sorted(self->peer_urls) != sorted(options->initial_advertise_peer_urls)) {
    in->Fail("initial-cluster",
             absl::StrCat("says ", JoinUrls(self->peer_urls), " for \"", options->name,
                          "\", but --initial-advertise-peer-urls says ",
                          JoinUrls(options->initial_advertise_peer_urls), ": make them equal"));
  }
}

void ReadAddresses(Converter* in, Options* options) {
  options->insecure_listen = in->Boolean("insecure-listen");
  options->listen_client_urls = in->Urls("listen-client-urls");
  options->listen_peer_urls = in->Urls("listen-peer-urls");
  CheckListenUrls("listen-client-urls", options->listen_client_urls, options->insecure_listen, in);
  CheckListenUrls("listen-peer-urls", options->listen_peer_urls, options->insecure_listen, in);
  for (const Url& url : options->listen_client_urls) {
    const auto& peers = options->listen_peer_urls;
    if (std::find(peers.begin(), peers.end(), url) != peers.end()) {
      in->Fail("listen-peer-urls", absl::StrCat(url.ToString(),
                                                " stands in --listen-client-urls too: clients and "
                                                "peers need ports of their own"));
    }
  }
  options->advertise_client_urls =
      AdvertisedUrls("advertise-client-urls", "listen-client-urls", options->listen_client_urls, in);
  // With --initial-cluster the address stands there, whatever this member listens on.
  if (in->IsSet("initial-advertise-peer-urls") || !in->IsSet("initial-cluster")) {
    options->initial_advertise_peer_urls =
        AdvertisedUrls("initial-advertise-peer-urls", "listen-peer-urls", options->listen_peer_urls, in);
  }
}

void ReadLimits(Converter* in, Options* options) {
  const int64_t heartbeat_ms = in->Integer("heartbeat-interval", 1, kMaxElectionTimeoutMs);
  const int64_t election_ms = in->Integer("election-timeout", 1, kMaxElectionTimeoutMs);
  if (election_ms < kMinHeartbeatsPerElection * heartbeat_ms) {
    in->Fail("election-timeout",
             absl::StrCat(election_ms, " ms is less than ", kMinHeartbeatsPerElection,
                          " times --heartbeat-interval (", heartbeat_ms,
                          " ms): one late heartbeat would start an election; set it to ", 10 * heartbeat_ms));
  }
  options->heartbeat_interval = absl::Milliseconds(heartbeat_ms);
  options->election_timeout = absl::Milliseconds(election_ms);
  options->max_txn_ops = static_cast<int>(in->Integer("max-txn-ops", 1, kMaxTxnOps));
  options->max_request_bytes = static_cast<uint32_t>(in->Integer("max-request-bytes", 1, kMaxRequestBytes));
  options->watch_progress_notify_interval =
      in->Duration("watch-progress-notify-interval", absl::Milliseconds(100), absl::Hours(24 * 365));
}

}  // namespace

bool Options::ListensBeyondLoopback() const {
  auto beyond = [](const Url& url) { return !url.IsLoopback(); };
  return std::any_of(listen_client_urls.begin(), listen_client_urls.end(), beyond) ||
         std::any_of(listen_peer_urls.begin(), listen_peer_urls.end(), beyond);
}

absl::StatusOr<StartRequest> ParseOptions(const OptionSources& sources) {
  absl::StatusOr<RawSettings> raw = CollectSettings(sources);
  if (!raw.ok()) return raw.status();
  StartRequest request;
  request.print = raw->print;
  if (request.print.has_value()) return request;

  Converter in(*raw);
  Options& options = request.options;
  options.name = in.Text("name");
  if (options.name.empty() || options.name.size() > kMaxNameBytes ||
      options.name.find_first_of(",=/") != std::string::npos) {
    in.Fail("name", absl::StrCat("\"", options.name, "\" must have 1 to ", kMaxNameBytes,
                                 " bytes, none of them a comma, = or /"));
  }
  options.data_dir = in.IsSet("data-dir") ? in.Text("data-dir") : options.name + ".cairn";
  if (options.data_dir.empty()) in.Fail("data-dir", "is empty: name a directory, or leave it out");
  ReadAddresses(&in, &options);
  ReadCluster(&in, &options);
  options.initial_cluster_token = in.Text("initial-cluster-token");
  if (in.Text("initial-cluster-state") != "new") {
    in.Fail(
        "initial-cluster-state",
        absl::StrCat("\"", in.Text("initial-cluster-state"),
                     "\" does not work in this version: members cannot be added to a running cluster yet. A "
                     "member that restarts with its data keeps \"new\""));
  }
  ReadLimits(&in, &options);
  options.log_level = in.Choice<LogLevel>("log-level", {{"debug", LogLevel::kDebug},
                                                        {"info", LogLevel::kInfo},
                                                        {"warn", LogLevel::kWarn},
                                                        {"error", LogLevel::kError}});
  options.log_format =
      in.Choice<LogFormat>("log-format", {{"text", LogFormat::kText}, {"json", LogFormat::kJson}});
  if (!in.status().ok()) return in.status();
  return request;
}

}  // namespace cairn::server
