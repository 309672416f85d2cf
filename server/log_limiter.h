// Keeps what others cause (refused connections, slow requests) from filling the log: so many lines a second,
// then only a count.
//
// Thread safety: none; belongs to one loop.
#ifndef CAIRN_SERVER_LOG_LIMITER_H_
#define CAIRN_SERVER_LOG_LIMITER_H_

#include <cstdint>
#include <utility>

#include "absl/time/time.h"

namespace cairn::server {

class LogLimiter {
 public:
  // Whether a line may be written now.
  bool Allow(absl::Duration now) {
    if (now - window_start_ >= absl::Seconds(1)) {
      window_start_ = now;
      lines_ = 0;
    }
    if (lines_ < kLinesPerSecond) {
      ++lines_;
      return true;
    }
    ++suppressed_;
    return false;
  }

  // Lines not written since the last call: to be told with the next one that is.
  uint64_t TakeSuppressed() { return std::exchange(suppressed_, 0); }

 private:
  static constexpr int kLinesPerSecond = 10;

  absl::Duration window_start_ = -absl::InfiniteDuration();
  int lines_ = 0;
  uint64_t suppressed_ = 0;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_LOG_LIMITER_H_
