#include "server/rpc/timer_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

namespace cairn::rpc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Entry final : public TimerEntry {
 public:
  explicit Entry(std::function<void()> on_timer) : on_timer_(std::move(on_timer)) {}
  void OnTimer() override { on_timer_(); }

 private:
  const std::function<void()> on_timer_;
};

class TimerQueueTest : public testing::Test {
 protected:
  std::unique_ptr<Entry> Noting(const std::string& name) {
    return std::make_unique<Entry>([this, name] { fired_.push_back(name); });
  }

  boost::asio::io_context loop_{1};
  std::shared_ptr<TimerQueue> queue_ = std::make_shared<TimerQueue>(loop_);
  const TimerQueue::Time begin_ = steady_clock::now();
  std::vector<std::string> fired_;
};

TEST_F(TimerQueueTest, FiresInOrderOfTimeNotOfSetting) {
  const auto late = Noting("late");
  const auto early = Noting("early");
  const auto middle = Noting("middle");
  queue_->Set(*late, begin_ + milliseconds(3));
  queue_->Set(*early, begin_ + milliseconds(1));
  queue_->Set(*middle, begin_ + milliseconds(2));
  loop_.run();  // ends: nothing stays armed
  EXPECT_THAT(fired_, ElementsAre("early", "middle", "late"));
  EXPECT_GE(steady_clock::now(), begin_ + milliseconds(3));
}

TEST_F(TimerQueueTest, SettingAgainReplacesTheTime) {
  const auto moved = Noting("moved");
  const auto other = Noting("other");
  queue_->Set(*moved, begin_);
  queue_->Set(*other, begin_ + milliseconds(1));
  queue_->Set(*moved, begin_ + milliseconds(2));
  loop_.run();
  EXPECT_THAT(fired_, ElementsAre("other", "moved"));
}

TEST_F(TimerQueueTest, WhatIsCancelledOrDestroyedDoesNotFire) {
  const auto cancelled = Noting("cancelled");
  auto destroyed = Noting("destroyed");
  const auto kept = Noting("kept");
  queue_->Set(*cancelled, begin_ + milliseconds(1));
  queue_->Set(*destroyed, begin_ + milliseconds(1));
  queue_->Set(*kept, begin_ + milliseconds(2));
  queue_->Cancel(*cancelled);
  queue_->Cancel(*cancelled);
  destroyed.reset();
  loop_.run();
  EXPECT_THAT(fired_, ElementsAre("kept"));
}

TEST_F(TimerQueueTest, AnEntryMayCancelOthersAndSetItselfAgain) {
  int rounds = 0;
  const auto victim = Noting("victim");
  std::unique_ptr<Entry> again;
  again = std::make_unique<Entry>([&] {
    queue_->Cancel(*victim);
    if (++rounds < 3) queue_->Set(*again, steady_clock::now());
  });
  queue_->Set(*again, begin_);
  queue_->Set(*victim, begin_);
  loop_.run();
  EXPECT_EQ(rounds, 3);
  EXPECT_THAT(fired_, IsEmpty());
}

TEST_F(TimerQueueTest, StopForgetsAllAndLetsTheLoopEnd) {
  const auto entry = Noting("never");
  queue_->Set(*entry, begin_ + hours(1));
  queue_->Stop();
  loop_.run();
  EXPECT_THAT(fired_, IsEmpty());
}

TEST_F(TimerQueueTest, OutlivedByItsTimerNothingHappens) {
  const auto entry = Noting("never");
  queue_->Set(*entry, begin_ + milliseconds(1));
  queue_->Cancel(*entry);
  queue_.reset();
  loop_.run();
  EXPECT_THAT(fired_, IsEmpty());
}

}  // namespace
}  // namespace cairn::rpc
