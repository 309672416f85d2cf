// The names of all settings, and their raw values from flags, environment and file, before they are checked.
//
// Thread safety: value types and free functions.
#ifndef CAIRN_SERVER_SETTINGS_H_
#define CAIRN_SERVER_SETTINGS_H_

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/options.h"

namespace cairn::server {

// A setting that this version has.
struct SettingInfo {
  std::string_view name;
  std::string_view group;
  std::string_view placeholder;    // in --help; empty: a switch
  std::string_view default_value;  // empty: none, or worked out from other settings (the description says so)
  std::string_view description;
};
std::span<const SettingInfo> Settings();

// A setting of etcd's that this version does not have.
struct RefusedSetting {
  std::string_view name;
  std::string_view why;
};
std::span<const RefusedSetting> RefusedSettings();

// One value and where it came from.
struct RawValue {
  std::string text;
  std::string origin;  // "--name", "environment variable ETCD_NAME", "name in /etc/cairnd.yaml", …
};

struct RawSettings {
  std::map<std::string, RawValue, std::less<>> values;  // by name; defaults are not among them
  std::optional<std::string> print;                     // --help, --version
};

// Collects by precedence. INVALID_ARGUMENT: unknown or refused settings, unreadable file, bad command line.
absl::StatusOr<RawSettings> CollectSettings(const OptionSources& sources);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_SETTINGS_H_
