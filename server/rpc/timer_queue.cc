#include "server/rpc/timer_queue.h"

namespace cairn::rpc {

void TimerQueue::Set(TimerEntry& entry, Time when) {
  entry.unlink();
  entry.when_ = when;
  entries_.insert(entries_.end(), entry);  // deadlines mostly grow: the hint makes that constant time
  if (when < armed_for_) Arm();
}

void TimerQueue::Cancel(TimerEntry& entry) { entry.unlink(); }

void TimerQueue::Stop() {
  entries_.clear();
  armed_for_ = Time::max();
  timer_.cancel();
}

void TimerQueue::Arm() {
  armed_for_ = entries_.begin()->when();
  timer_.expires_at(armed_for_);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (error) return;  // re-armed, or the queue is gone
    if (const auto self = weak.lock()) self->Run();
  });
}

void TimerQueue::Run() {
  armed_for_ = Time::max();
  const Time now = std::chrono::steady_clock::now();
  // Entries that handlers add for a time already past wait for the next turn of the loop, so that this ends.
  while (!entries_.empty() && entries_.begin()->when() <= now) {
    TimerEntry& entry = *entries_.begin();
    entry.unlink();
    entry.OnTimer();
  }
  if (!entries_.empty() && entries_.begin()->when() < armed_for_) Arm();
}

}  // namespace cairn::rpc
