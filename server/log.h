// The log of a running member: structured, levelled, one line a fact.
//
//   log.Info("elected leader", {{"term", term.value()}, {"member", name}});
//   2026-11-22T12:35:19.123456Z info  elected leader term=5 member=n1
//
// Thread safety: any thread.
// Never blocks its caller: lines go through a bounded queue to a thread of its own. When the reader of the
//                log is slower than its writers the oldest lines are dropped, and a line says how many.
// Ownership:     injected; there is no global logger. Arguments are copied before a call returns.
#ifndef CAIRN_SERVER_LOG_H_
#define CAIRN_SERVER_LOG_H_

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace cairn::server {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

// One key=value of a line. Borrows its strings: lives only for the call it is written in.
struct LogField {
  using Value = std::variant<bool, int64_t, uint64_t, double, std::string_view, absl::Duration, absl::Status>;

  LogField(std::string_view k, bool v) : key(k), value(v) {}
  template <std::signed_integral T>
  LogField(std::string_view k, T v) : key(k), value(static_cast<int64_t>(v)) {}
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) LogField(std::string_view k, T v)
      : key(k), value(static_cast<uint64_t>(v)) {}
  LogField(std::string_view k, double v) : key(k), value(v) {}
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, absl::Duration v) : key(k), value(v) {}
  LogField(std::string_view k, absl::Status v) : key(k), value(std::move(v)) {}

  std::string_view key;
  Value value;
};

using LogFields = std::initializer_list<LogField>;

class Logger {
 public:
  virtual ~Logger() = default;

  virtual bool Enabled(LogLevel level) const = 0;

  void Debug(std::string_view message, LogFields fields = {}) { Log(LogLevel::kDebug, message, fields); }
  void Info(std::string_view message, LogFields fields = {}) { Log(LogLevel::kInfo, message, fields); }
  void Warn(std::string_view message, LogFields fields = {}) { Log(LogLevel::kWarn, message, fields); }
  void Error(std::string_view message, LogFields fields = {}) { Log(LogLevel::kError, message, fields); }

  void Log(LogLevel level, std::string_view message, LogFields fields) {
    if (Enabled(level)) Write(level, message, std::span<const LogField>(fields.begin(), fields.size()));
  }

 protected:
  virtual void Write(LogLevel level, std::string_view message, std::span<const LogField> fields) = 0;
};

// Writes nothing.
class NullLogger final : public Logger {
 public:
  bool Enabled(LogLevel) const override { return false; }

 protected:
  void Write(LogLevel, std::string_view, std::span<const LogField>) override {}
};

enum class LogFormat : uint8_t { kText, kJson };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  size_t queue_lines = 4096;
  // Takes finished lines without their line feed, on the logger's thread. Unset: standard error.
  std::function<void(std::string_view line)> sink;
};

// The destructor writes out what waits.
std::unique_ptr<Logger> MakeLogger(LogOptions options);

// One line, as the logger writes it.
std::string FormatLogLine(LogFormat format, absl::Time time, LogLevel level, std::string_view message,
                          std::span<const LogField> fields);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_LOG_H_
