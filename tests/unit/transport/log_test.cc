#include "server/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <vector>

namespace cairn::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const absl::Time kTime = absl::FromUnixMicros(1'700'000'000'123'456);

std::string Format(LogFormat format, std::string_view message, std::vector<LogField> fields) {
  return FormatLogLine(format, kTime, LogLevel::kWarn, message, fields);
}

TEST(LogTest, WritesAFactAsOneLineOfKeysAndValues) {
  EXPECT_EQ(Format(LogFormat::kText, "slow sync",
                   {{"took", absl::Milliseconds(120)}, {"term", uint64_t{5}}, {"ok", true}, {"n", -1}}),
            "2023-11-14T22:13:20.123456Z warn  slow sync took=120ms term=5 ok=true n=-1");
}

TEST(LogTest, QuotesWhatCouldBeMistaken) {
  const std::string line =
      Format(LogFormat::kText, "two\nlines", {{"a", "x y"}, {"b", ""}, {"c", "q\"\n=\xff"}});
  EXPECT_THAT(line, HasSubstr("two lines a=\"x y\" b=\"\" c=\"q\\\"\\n="));
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(LogTest, WritesJsonThatParses) {
  const std::string line =
      Format(LogFormat::kJson, "peer \"lost\"", {{"peer", "n\n2"}, {"term", uint64_t{7}}, {"bad", "\xff"}});
  const nlohmann::json parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["msg"], "peer \"lost\"");
  EXPECT_EQ(parsed["level"], "warn");
  EXPECT_EQ(parsed["term"], 7);
  EXPECT_EQ(parsed["peer"], "n\n2");
}

TEST(LogTest, LeavesOutWhatIsBelowItsLevel) {
  std::vector<std::string> lines;
  LogOptions options;
  options.level = LogLevel::kWarn;
  options.sink = [&](std::string_view line) { lines.emplace_back(line); };
  std::unique_ptr<Logger> log = MakeLogger(options);
  log->Debug("debug");
  log->Info("info");
  log->Warn("warn");
  log->Error("error");
  log.reset();  // writes out what waits
  EXPECT_THAT(lines, ElementsAre(HasSubstr("warn"), HasSubstr("error")));
}

TEST(LogTest, NeverBlocksItsCallerAndCountsWhatItDrops) {
  std::mutex mutex;
  std::condition_variable changed;
  bool started = false;
  bool open = false;
  std::vector<std::string> lines;
  LogOptions options;
  options.queue_lines = 8;
  options.sink = [&](std::string_view line) {
    std::unique_lock lock(mutex);
    started = true;
    changed.notify_all();
    changed.wait(lock, [&] { return open; });
    lines.emplace_back(line);
  };
  std::unique_ptr<Logger> log = MakeLogger(options);
  log->Info("first");
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return started; });
  }
  for (int i = 0; i < 100; ++i) log->Info("line", {{"i", i}});  // would hang here if it blocked
  {
    std::lock_guard lock(mutex);
    open = true;
  }
  changed.notify_all();
  log.reset();
  EXPECT_LT(lines.size(), 20u);
  EXPECT_THAT(lines.back(), HasSubstr("i=99"));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("log lines dropped")));
}

}  // namespace
}  // namespace cairn::server
