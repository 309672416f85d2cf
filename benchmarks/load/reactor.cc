#include "benchmarks/load/reactor.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "raft/check.h"

namespace cairn::load {

Reactor::Reactor() : epoll_(epoll_create1(EPOLL_CLOEXEC)) { CAIRN_CHECK(epoll_ >= 0) << "no epoll"; }

Reactor::~Reactor() { close(epoll_); }

void Reactor::Add(int fd, Handler* handler) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLET;
  event.data.ptr = handler;
  CAIRN_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0) << "epoll refuses a socket";
}

void Reactor::Remove(int fd, Handler* handler) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  std::erase(dirty_, handler);
}

bool Reactor::Run(Clock::time_point deadline) {
  stopped_ = false;
  std::array<epoll_event, 256> events;
  FlushAll();
  while (!stopped_) {
    const int count =
        epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), MillisecondsToWait(deadline));
    for (int i = 0; i < count; ++i) {
      auto* handler = static_cast<Handler*>(events[i].data.ptr);
      if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) handler->OnReadable();
      if ((events[i].events & EPOLLOUT) != 0) handler->OnWritable();
    }
    RunTimers();
    FlushAll();
    if (!stopped_ && Clock::now() >= deadline) return false;
  }
  return true;
}

void Reactor::FlushAll() {
  // A flush may ask for another one, for the next turn at the latest.
  const std::vector<Handler*> dirty = std::exchange(dirty_, {});
  for (Handler* handler : dirty) handler->Flush();
}

int Reactor::MillisecondsToWait(Clock::time_point deadline) const {
  if (!dirty_.empty()) return 0;
  Clock::time_point until = deadline;
  if (!timers_.empty()) until = std::min(until, timers_.begin()->first);
  const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(wait + 1, 0, 1000));
}

void Reactor::RunTimers() {
  const Clock::time_point now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    absl::AnyInvocable<void()> fn = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    fn();
  }
}

}  // namespace cairn::load
