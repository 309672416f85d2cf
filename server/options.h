// What a member is told at its start: flags with etcd's names, environment variables, a YAML file.
//
// Precedence: flag, then CAIRN_<NAME>, then ETCD_<NAME>, then the file of --config-file. Every value is
// checked; a setting of etcd's that this version does not have is refused by name, never ignored.
//
// Thread safety: value types and free functions.
#ifndef CAIRN_SERVER_OPTIONS_H_
#define CAIRN_SERVER_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/identity.h"
#include "server/log.h"
#include "server/url.h"

namespace cairn::server {

struct Options {
  std::string name;
  std::string data_dir;

  std::vector<Url> listen_client_urls;
  std::vector<Url> advertise_client_urls;
  std::vector<Url> listen_peer_urls;
  std::vector<Url> initial_advertise_peer_urls;
  bool insecure_listen = false;

  std::vector<InitialMember> initial_cluster;
  std::string initial_cluster_token;

  absl::Duration heartbeat_interval;
  absl::Duration election_timeout;

  int max_txn_ops = 0;
  uint32_t max_request_bytes = 0;
  absl::Duration watch_progress_notify_interval;

  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;

  // A listen address that other machines can reach; only with insecure_listen.
  bool ListensBeyondLoopback() const;
};

// The outside world that options come from.
struct OptionSources {
  std::vector<std::string> arguments;  // without the program's name
  std::function<std::optional<std::string>(const std::string& name)> environment;
  std::function<absl::StatusOr<std::string>(const std::string& path)> read_file;
};

struct StartRequest {
  // Set for --help and --version: print it and exit with 0.
  std::optional<std::string> print;
  Options options;
};

// INVALID_ARGUMENT with one message for the person at the keyboard.
absl::StatusOr<StartRequest> ParseOptions(const OptionSources& sources);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_OPTIONS_H_
