#include "client/cli/completion.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace cairn::client {
namespace {

struct Word {
  std::string text;
  std::string description;
};

struct CompletedOption {
  std::vector<std::string> spellings;  // "-o", "--output"
  std::string description;
  bool takes_value = false;
  std::vector<std::string> values;  // the ones it is limited to
};

// One command, as the shell needs it. The path of the program itself is empty; of `cairn lease grant`, "lease
// grant".
struct Level {
  std::string path;
  std::vector<Word> commands;
  std::vector<CompletedOption> options;
};

// What stands between the braces of "TEXT:{a,b,c}", as CLI11 describes a limited choice.
std::vector<std::string> ValuesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t open = type.find('{');
  const size_t close = type.find('}');
  if (open == std::string::npos || close == std::string::npos) return {};
  std::vector<std::string> values = CLI::detail::split(type.substr(open + 1, close - open - 1), ',');
  for (std::string& value : values) value = value.substr(0, value.find("->"));
  return values;
}

std::vector<CompletedOption> OptionsOf(const CLI::App& app) {
  std::vector<CompletedOption> options;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) continue;
    CompletedOption completed;
    for (const std::string& name : option->get_snames())
      completed.spellings.push_back(absl::StrCat("-", name));
    for (const std::string& name : option->get_lnames())
      completed.spellings.push_back(absl::StrCat("--", name));
    completed.description = option->get_description();
    completed.takes_value = option->get_items_expected_max() > 0;
    completed.values = ValuesOf(*option);
    options.push_back(std::move(completed));
  }
  return options;
}

void Collect(const CLI::App& app, const std::string& path, std::vector<Level>* levels) {
  Level level{path, {}, OptionsOf(app)};
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : commands)
    level.commands.push_back({command->get_name(), command->get_description()});
  levels->push_back(std::move(level));
  for (const CLI::App* command : commands) {
    Collect(*command, path.empty() ? command->get_name() : absl::StrCat(path, " ", command->get_name()),
            levels);
  }
}

// In single quotes for the shell. Fish reads a backslash within them, the others do not.
std::string Quote(std::string_view text, Shell shell) {
  std::string escaped(text);
  if (shell == Shell::kFish) {
    escaped = absl::StrReplaceAll(escaped, {{"\\", "\\\\"}, {"'", "\\'"}});
  } else {
    escaped = absl::StrReplaceAll(escaped, {{"'", "'\\''"}});
  }
  return absl::StrCat("'", escaped, "'");
}

std::vector<std::string> SpellingsTakingValues(const std::vector<Level>& levels) {
  std::vector<std::string> all;
  for (const Level& level : levels) {
    for (const CompletedOption& option : level.options) {
      if (option.takes_value) all.insert(all.end(), option.spellings.begin(), option.spellings.end());
    }
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

// Bash and zsh: finds out which command the line is in, skipping options and their values. (A variable named
// path would be the shell's own in zsh.)
std::string FindPath(const std::vector<Level>& levels, std::string_view word_loop) {
  std::vector<std::string> paths;
  for (const Level& level : levels) {
    if (!level.path.empty()) paths.push_back(absl::StrCat("'", level.path, "'"));
  }
  return absl::StrCat("  local at='' word skip=0\n", std::string(word_loop),
                      "    if (( skip )); then skip=0; continue; fi\n"
                      "    case \"$word\" in\n      ",
                      absl::StrJoin(SpellingsTakingValues(levels), "|"),
                      ") skip=1; continue ;;\n"
                      "      -*) continue ;;\n"
                      "    esac\n"
                      "    case \"${at:+$at }$word\" in\n      ",
                      absl::StrJoin(paths, "|"),
                      ") at=\"${at:+$at }$word\" ;;\n"
                      "    esac\n"
                      "  done\n");
}

std::string Bash(const std::vector<Level>& levels) {
  std::string script = absl::StrCat(
      "# bash completion for cairn: source it, or put it into /etc/bash_completion.d\n"
      "_cairn() {\n"
      "  local current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\"\n",
      FindPath(levels, "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"),
      "  local words=''\n"
      "  case \"$at:$previous\" in\n");
  for (const Level& level : levels) {
    for (const CompletedOption& option : level.options) {
      if (!option.takes_value) continue;
      for (const std::string& spelling : option.spellings) {
        absl::StrAppend(&script, "    '", level.path, ":", spelling, "') COMPREPLY=($(compgen -W '",
                        absl::StrJoin(option.values, " "), "' -- \"$current\")); return ;;\n");
      }
    }
  }
  absl::StrAppend(&script, "  esac\n  case \"$at\" in\n");
  for (const Level& level : levels) {
    std::vector<std::string> words;
    for (const Word& command : level.commands) words.push_back(command.text);
    for (const CompletedOption& option : level.options) {
      words.insert(words.end(), option.spellings.begin(), option.spellings.end());
    }
    absl::StrAppend(&script, "    '", level.path, "') words='", absl::StrJoin(words, " "), "' ;;\n");
  }
  absl::StrAppend(&script,
                  "  esac\n"
                  "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
                  "}\n"
                  "complete -F _cairn cairn\n");
  return script;
}

std::string Zsh(const std::vector<Level>& levels) {
  const auto described = [](const std::string& text, const std::string& description) {
    const std::string plain = absl::StrReplaceAll(text, {{":", "\\:"}});
    return absl::StrCat("      ", Quote(absl::StrCat(plain, ":", description), Shell::kZsh), "\n");
  };
  std::string script = absl::StrCat(
      "#compdef cairn\n"
      "# zsh completion for cairn: put it as _cairn into a folder of $fpath\n"
      "_cairn() {\n"
      "  local -a choices\n"
      "  local previous=\"${words[CURRENT-1]}\"\n",
      FindPath(levels, "  for word in \"${(@)words[2,CURRENT-1]}\"; do\n"), "  case \"$at:$previous\" in\n");
  for (const Level& level : levels) {
    for (const CompletedOption& option : level.options) {
      if (!option.takes_value) continue;
      for (const std::string& spelling : option.spellings) {
        absl::StrAppend(&script, "    '", level.path, ":", spelling, "') ",
                        option.values.empty()
                            ? "return"
                            : absl::StrCat("compadd -- ", absl::StrJoin(option.values, " "), "; return"),
                        " ;;\n");
      }
    }
  }
  absl::StrAppend(&script, "  esac\n  case \"$at\" in\n");
  for (const Level& level : levels) {
    absl::StrAppend(&script, "    '", level.path, "') choices=(\n");
    for (const Word& command : level.commands) script += described(command.text, command.description);
    for (const CompletedOption& option : level.options) {
      for (const std::string& spelling : option.spellings) script += described(spelling, option.description);
    }
    absl::StrAppend(&script, "    ) ;;\n");
  }
  absl::StrAppend(&script, "  esac\n  _describe 'cairn' choices\n}\n_cairn \"$@\"\n");
  return script;
}

std::string Fish(const std::vector<Level>& levels) {
  std::string script =
      "# fish completion for cairn: put it as cairn.fish into ~/.config/fish/completions\n"
      "function __cairn_at\n"
      "    set -l at ''\n"
      "    set -l skip 0\n"
      "    for word in (commandline -opc)[2..-1]\n"
      "        if test $skip = 1\n"
      "            set skip 0\n"
      "            continue\n"
      "        end\n"
      "        switch $word\n";
  absl::StrAppend(&script, "            case ", absl::StrJoin(SpellingsTakingValues(levels), " "),
                  "\n                set skip 1\n                continue\n"
                  "            case '-*'\n                continue\n        end\n"
                  "        switch (string trim \"$at $word\")\n");
  std::vector<std::string> paths;
  for (const Level& level : levels) {
    if (!level.path.empty()) paths.push_back(absl::StrCat("'", level.path, "'"));
  }
  absl::StrAppend(&script, "            case ", absl::StrJoin(paths, " "),
                  "\n                set at (string trim \"$at $word\")\n        end\n    end\n"
                  "    test \"$at\" = \"$argv\"\nend\ncomplete -c cairn -f\n");
  for (const Level& level : levels) {
    const std::string condition =
        absl::StrCat("complete -c cairn -n ", Quote(absl::StrCat("__cairn_at ", level.path), Shell::kFish));
    for (const Word& command : level.commands) {
      absl::StrAppend(&script, condition, " -a ", command.text, " -d ",
                      Quote(command.description, Shell::kFish), "\n");
    }
    for (const CompletedOption& option : level.options) {
      script += condition;
      for (const std::string& spelling : option.spellings) {
        absl::StrAppend(&script, spelling.rfind("--", 0) == 0 ? absl::StrCat(" -l ", spelling.substr(2))
                                                              : absl::StrCat(" -s ", spelling.substr(1)));
      }
      if (option.takes_value) script += " -x";
      if (!option.values.empty()) {
        absl::StrAppend(&script, " -a ", Quote(absl::StrJoin(option.values, " "), Shell::kFish));
      }
      absl::StrAppend(&script, " -d ", Quote(option.description, Shell::kFish), "\n");
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const CLI::App& app, Shell shell) {
  std::vector<Level> levels;
  Collect(app, "", &levels);
  switch (shell) {
    case Shell::kBash:
      return Bash(levels);
    case Shell::kZsh:
      return Zsh(levels);
    case Shell::kFish:
      return Fish(levels);
  }
  return "";
}

}  // namespace cairn::client
