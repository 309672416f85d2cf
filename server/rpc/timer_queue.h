// Many deadlines on one Asio timer, without an allocation each.
//
// Thread safety: none; the loop's thread.
// Ownership:     borrows its entries; an entry leaves the queue when it is destroyed.
#ifndef CAIRN_SERVER_RPC_TIMER_QUEUE_H_
#define CAIRN_SERVER_RPC_TIMER_QUEUE_H_

#include <chrono>
#include <memory>

#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/intrusive/set.hpp"

namespace cairn::rpc {

class TimerEntry
    : public boost::intrusive::set_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  using Time = std::chrono::steady_clock::time_point;

  virtual void OnTimer() = 0;
  Time when() const { return when_; }

 protected:
  ~TimerEntry() = default;

 private:
  friend class TimerQueue;
  Time when_{};
};

class TimerQueue : public std::enable_shared_from_this<TimerQueue> {
 public:
  using Time = TimerEntry::Time;

  explicit TimerQueue(boost::asio::io_context& loop) : timer_(loop) {}

  // Calls entry.OnTimer() once at `when`, in place of what was set before.
  void Set(TimerEntry& entry, Time when);
  void Cancel(TimerEntry& entry);
  // Forgets all entries and lets the loop end: otherwise the Asio timer stays armed for what was cancelled.
  void Stop();

 private:
  struct Earlier {
    bool operator()(const TimerEntry& a, const TimerEntry& b) const { return a.when() < b.when(); }
  };
  using Entries = boost::intrusive::multiset<TimerEntry, boost::intrusive::compare<Earlier>,
                                             boost::intrusive::constant_time_size<false>>;

  void Arm();
  void Run();

  boost::asio::steady_timer timer_;
  Time armed_for_ = Time::max();  // max() = not armed. May be earlier than the first entry: cancelling does
                                  // not touch the timer
  Entries entries_;
};

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_TIMER_QUEUE_H_
