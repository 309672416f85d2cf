#include "client/lease_keeper.h"

#include <chrono>
#include <utility>

#include "absl/time/time.h"

namespace cairn::client {

LeaseKeeper::LeaseKeeper(Client& client, int64_t id, Callbacks callbacks)
    : client_(client), id_(id), callbacks_(std::move(callbacks)), thread_([this] { Run(); }) {}

LeaseKeeper::~LeaseKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void LeaseKeeper::Run() {
  constexpr absl::Duration kAfterFailure = absl::Milliseconds(200);
  using Clock = std::chrono::steady_clock;
  absl::Duration ttl = absl::InfiniteDuration();  // not known before the first answer
  Clock::time_point renewed = Clock::now();
  for (absl::Duration pause;;) {
    const Clock::time_point asked = Clock::now();
    const auto answer = client_.LeaseKeepAlive(id_);
    if (answer.ok()) {
      ttl = absl::Seconds(answer->ttl());
      renewed = asked;  // the member counts from a moment after this one
      pause = ttl / 3;
      if (callbacks_.on_renewed) callbacks_.on_renewed(*answer);
    } else {
      const bool too_late = absl::FromChrono(Clock::now() - renewed) >= ttl;
      if (absl::IsNotFound(answer.status()) || too_late || ttl == absl::InfiniteDuration()) {
        return callbacks_.on_lost(answer.status());
      }
      pause = kAfterFailure;
    }
    if (WaitFor(pause)) return;
  }
}

bool LeaseKeeper::WaitFor(absl::Duration time) {
  std::unique_lock lock(mutex_);
  return stop_.wait_for(lock, absl::ToChronoMicroseconds(time), [this] { return stopping_; });
}

}  // namespace cairn::client
