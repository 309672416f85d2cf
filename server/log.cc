#include "server/log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cairn::server {
namespace {

constexpr std::string_view kLevelNames[] = {"debug", "info", "warn", "error"};

absl::string_view ToAbsl(std::string_view s) { return absl::string_view(s.data(), s.size()); }

std::string UtcTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

// A value that could be mistaken for something else is quoted, so that a line can be taken apart again.
void AppendText(std::string_view value, std::string* line) {
  bool plain = !value.empty();
  for (unsigned char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) plain = false;
  }
  if (plain) {
    line->append(value);
    return;
  }
  line->append(
      nlohmann::json(value).dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace));
}

struct AppendValue {
  std::string* line;
  void operator()(bool v) const { line->append(v ? "true" : "false"); }
  void operator()(int64_t v) const { absl::StrAppend(line, v); }
  void operator()(uint64_t v) const { absl::StrAppend(line, v); }
  void operator()(double v) const { absl::StrAppend(line, v); }
  void operator()(std::string_view v) const { AppendText(v, line); }
  void operator()(absl::Duration v) const { line->append(absl::FormatDuration(v)); }
  void operator()(const absl::Status& v) const { AppendText(v.ToString(), line); }
};

struct ToJson {
  nlohmann::ordered_json operator()(const absl::Status& v) const { return v.ToString(); }
  nlohmann::ordered_json operator()(absl::Duration v) const { return absl::FormatDuration(v); }
  nlohmann::ordered_json operator()(std::string_view v) const { return v; }
  nlohmann::ordered_json operator()(auto v) const { return v; }
};

class LineSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit LineSink(std::function<void(std::string_view)> sink) : sink_(std::move(sink)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view line(message.payload.data(), message.payload.size());
    if (sink_) {
      sink_(line);
      return;
    }
    buffer_.assign(line);
    buffer_.push_back('\n');
    // One call a line: lines of several processes on one terminal do not mix.
    std::fwrite(buffer_.data(), 1, buffer_.size(), stderr);
  }
  void flush_() override {}

 private:
  const std::function<void(std::string_view)> sink_;
  std::string buffer_;
};

class AsyncLogger final : public Logger {
 public:
  explicit AsyncLogger(LogOptions options)
      : level_(options.level),
        format_(options.format),
        pool_(std::make_shared<spdlog::details::thread_pool>(options.queue_lines, 1)),
        logger_(std::make_shared<spdlog::async_logger>(
            "cairn", std::make_shared<LineSink>(std::move(options.sink)), pool_,
            spdlog::async_overflow_policy::overrun_oldest)) {
    logger_->set_level(spdlog::level::trace);
  }

  bool Enabled(LogLevel level) const override { return level >= level_; }

 protected:
  void Write(LogLevel level, std::string_view message, std::span<const LogField> fields) override {
    const uint64_t dropped = pool_->overrun_counter();
    const uint64_t reported = reported_drops_.exchange(dropped);
    if (dropped > reported) {
      const LogField count[] = {{"lines", dropped - reported}};
      Enqueue(LogLevel::kWarn, "log lines dropped, the log is read too slowly", count);
    }
    Enqueue(level, message, fields);
  }

 private:
  void Enqueue(LogLevel level, std::string_view message, std::span<const LogField> fields) {
    const std::string line = FormatLogLine(format_, absl::Now(), level, message, fields);
    logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  }

  const LogLevel level_;
  const LogFormat format_;
  std::atomic<uint64_t> reported_drops_{0};
  // The pool outlives the logger's last line: its destructor waits for the queue.
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

}  // namespace

std::unique_ptr<Logger> MakeLogger(LogOptions options) {
  return std::make_unique<AsyncLogger>(std::move(options));
}

std::string FormatLogLine(LogFormat format, absl::Time time, LogLevel level, std::string_view message,
                          std::span<const LogField> fields) {
  const std::string_view level_name = kLevelNames[static_cast<size_t>(level)];
  if (format == LogFormat::kJson) {
    nlohmann::ordered_json line;
    line["ts"] = UtcTime(time);
    line["level"] = level_name;
    line["msg"] = message;
    for (const LogField& field : fields) line[std::string(field.key)] = std::visit(ToJson{}, field.value);
    return line.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  }
  std::string line =
      absl::StrCat(UtcTime(time), " ", ToAbsl(level_name), level_name.size() == 4 ? "  " : " ");
  for (char c : message) line.push_back(c == '\n' || c == '\r' ? ' ' : c);
  for (const LogField& field : fields) {
    line.push_back(' ');
    line.append(field.key);
    line.push_back('=');
    std::visit(AppendValue{&line}, field.value);
  }
  return line;
}

}  // namespace cairn::server
