#include "server/settings.h"

#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "server/version.h"

namespace cairn::server {
namespace {

absl::string_view ToAbsl(std::string_view s) { return absl::string_view(s.data(), s.size()); }

bool IsSwitch(const SettingInfo& setting) { return setting.placeholder.empty(); }

const SettingInfo* FindSetting(std::string_view name) {
  for (const SettingInfo& setting : Settings()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

const RefusedSetting* FindRefused(std::string_view name) {
  for (const RefusedSetting& setting : RefusedSettings()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

absl::Status Refuse(const RefusedSetting& setting, std::string_view origin) {
  return absl::InvalidArgumentError(absl::StrCat(ToAbsl(origin), ": ", ToAbsl(setting.why)));
}

// etcd's flags may begin with one dash, as Go's do; CLI11 would take -name for five short flags.
std::string WithTwoDashes(const std::string& argument) {
  const bool long_with_one_dash = argument.size() > 2 && argument[0] == '-' && std::isalpha(argument[1]);
  return long_with_one_dash ? "-" + argument : argument;
}

std::string EnvironmentName(std::string_view prefix, std::string_view name) {
  std::string out(prefix);
  for (char c : name) out.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(c)));
  return out;
}

// Keeps what is there already: sources come in order of precedence.
void Offer(std::string_view name, std::string text, std::string origin, RawSettings* settings) {
  settings->values.try_emplace(std::string(name), RawValue{std::move(text), std::move(origin)});
}

absl::Status CollectFlags(const std::vector<std::string>& arguments, RawSettings* settings) {
  CLI::App app("cairnd: a configuration and service-discovery server that speaks etcd's v3 API.", "cairnd");
  app.footer(
      "Each setting is also read from the environment (CAIRN_NAME or ETCD_NAME for --name) and from the\n"
      "YAML file of --config-file (name: value). Precedence: flag, CAIRN_*, ETCD_*, file.\n\n"
      "Without any setting: a cluster of one member on 127.0.0.1:2379, data in ./default.cairn");
  app.set_version_flag("--version", std::string("cairnd ") + kVersion);
  app.get_formatter()->column_width(42);
  std::map<std::string, std::string> texts;
  std::vector<std::pair<std::string, CLI::Option*>> options;
  for (const SettingInfo& setting : Settings()) {
    const std::string name(setting.name);
    std::string description(setting.description);
    CLI::Option* option = nullptr;
    if (IsSwitch(setting)) {
      option = app.add_flag_function(
          "--" + name, [&texts, name](int64_t count) { texts[name] = count > 0 ? "true" : "false"; },
          description);
    } else {
      if (!setting.default_value.empty())
        absl::StrAppend(&description, " [", ToAbsl(setting.default_value), "]");
      option = app.add_option("--" + name, texts[name], description);
      option->type_name(std::string(setting.placeholder));
    }
    option->group(std::string(setting.group));
    options.emplace_back(name, option);
  }
  std::vector<std::string> ignored;
  std::vector<std::pair<const RefusedSetting*, CLI::Option*>> refused;
  for (const RefusedSetting& setting : RefusedSettings()) {
    CLI::Option* option = app.add_option("--" + std::string(setting.name), ignored);
    option->expected(0, 1)->group("");  // with or without a value, not shown in the help
    refused.emplace_back(&setting, option);
  }

  std::vector<std::string> reversed;
  for (const std::string& argument : arguments) reversed.push_back(WithTwoDashes(argument));
  std::reverse(reversed.begin(), reversed.end());
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    settings->print = app.help();
    return absl::OkStatus();
  } catch (const CLI::CallForVersion&) {
    settings->print = std::string("cairnd ") + kVersion + "\n";
    return absl::OkStatus();
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), ": see cairnd --help"));
  }
  for (const auto& [setting, option] : refused) {
    if (option->count() > 0) return Refuse(*setting, "--" + std::string(setting->name));
  }
  for (const auto& [name, option] : options) {
    if (option->count() > 0) Offer(name, texts[name], "--" + name, settings);
  }
  return absl::OkStatus();
}

absl::Status CollectEnvironment(const OptionSources& sources, RawSettings* settings) {
  for (std::string_view prefix : {"CAIRN_", "ETCD_"}) {
    for (const RefusedSetting& setting : RefusedSettings()) {
      const std::string variable = EnvironmentName(prefix, setting.name);
      if (sources.environment(variable).has_value())
        return Refuse(setting, "environment variable " + variable);
    }
    for (const SettingInfo& setting : Settings()) {
      const std::string variable = EnvironmentName(prefix, setting.name);
      std::optional<std::string> value = sources.environment(variable);
      if (value.has_value()) {
        Offer(setting.name, *std::move(value), "environment variable " + variable, settings);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CollectFile(const std::string& path, std::string_view text, RawSettings* settings) {
  YAML::Node root;
  try {
    root = YAML::Load(std::string(text));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not YAML: ", error.what()));
  }
  if (root.IsNull()) return absl::OkStatus();
  if (!root.IsMap()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": must be a YAML map of settings, name: value"));
  }
  std::map<std::string, int> seen;
  for (const auto& item : root) {
    if (!item.first.IsScalar()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": a setting's name must be plain text"));
    }
    const std::string name = item.first.Scalar();
    const std::string origin = absl::StrCat(name, " in ", path);
    if (seen[name]++ > 0)
      return absl::InvalidArgumentError(absl::StrCat(origin, ": stands there twice: remove one"));
    if (const RefusedSetting* refused = FindRefused(name)) {
      if (item.second.IsNull()) continue;  // "key:" with nothing behind it asks for nothing
      return Refuse(*refused, origin);
    }
    if (FindSetting(name) == nullptr || name == "config-file") {
      return absl::InvalidArgumentError(
          absl::StrCat(origin, ": unknown setting: the names are those of the flags, see cairnd --help"));
    }
    if (item.second.IsNull()) continue;
    if (!item.second.IsScalar()) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin, ": must be one value (several URLs in one text, separated by commas)"));
    }
    Offer(name, item.second.Scalar(), origin, settings);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RawSettings> CollectSettings(const OptionSources& sources) {
  RawSettings settings;
  absl::Status status = CollectFlags(sources.arguments, &settings);
  if (!status.ok()) return status;
  if (settings.print.has_value()) return settings;
  status = CollectEnvironment(sources, &settings);
  if (!status.ok()) return status;
  const auto file = settings.values.find("config-file");
  if (file == settings.values.end()) return settings;
  const std::string path = file->second.text;
  absl::StatusOr<std::string> text = sources.read_file(path);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file->second.origin, ": cannot read ", path, ": ", text.status().message()));
  }
  status = CollectFile(path, *text, &settings);
  if (!status.ok()) return status;
  return settings;
}

}  // namespace cairn::server
