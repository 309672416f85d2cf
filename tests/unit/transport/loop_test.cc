#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "server/asio_loop.h"
#include "server/timer_heap.h"

namespace cairn::server {
namespace {

using ::testing::ElementsAre;

TEST(TimerHeapTest, RunsByDeadlineThenByInsertion) {
  TimerHeap heap;
  std::vector<int> ran;
  auto add = [&](int at_ms, int id) {
    return heap.Insert(absl::Milliseconds(at_ms), [&ran, id] { ran.push_back(id); });
  };
  const auto a = add(20, 1), b = add(10, 2), c = add(10, 3), d = add(30, 4);
  EXPECT_EQ(heap.NextDeadline(), absl::Milliseconds(10));
  heap.RunDue(absl::Milliseconds(20));
  EXPECT_THAT(ran, ElementsAre(2, 3, 1));
  EXPECT_EQ(heap.size(), 1u);
}

TEST(TimerHeapTest, TimerInsertedByATimerWaitsForTheNextCall) {
  TimerHeap heap;
  int runs = 0;
  std::unique_ptr<Timer> second;
  const auto first = heap.Insert(absl::ZeroDuration(), [&] {
    ++runs;
    second = heap.Insert(absl::ZeroDuration(), [&] { ++runs; });
  });
  heap.RunDue(absl::ZeroDuration());
  EXPECT_EQ(runs, 1);
  heap.RunDue(absl::ZeroDuration());
  EXPECT_EQ(runs, 2);
}

TEST(TimerHeapTest, TimerMayDestroyItselfAndOthers) {
  TimerHeap heap;
  std::unique_ptr<Timer> self, other;
  bool other_ran = false;
  self = heap.Insert(absl::ZeroDuration(), [&] {
    self.reset();
    other.reset();
  });
  other = heap.Insert(absl::ZeroDuration(), [&] { other_ran = true; });
  heap.RunDue(absl::ZeroDuration());
  EXPECT_FALSE(other_ran);
  EXPECT_EQ(heap.size(), 0u);
}

TEST(TimerHeapTest, TimerMayOutliveTheHeap) {
  std::unique_ptr<Timer> timer;
  {
    TimerHeap heap;
    timer = heap.Insert(absl::ZeroDuration(), [] {});
  }
  timer.reset();
}

TEST(TimerHeapTest, AgreesWithASortedMapUnderRandomUse) {
  TimerHeap heap;
  std::mt19937_64 random(7);
  std::multimap<int64_t, int> expected;
  std::map<int, std::pair<std::unique_ptr<Timer>, std::multimap<int64_t, int>::iterator>> timers;
  std::vector<int> ran;
  int64_t now = 0;
  for (int id = 0; id < 20'000; ++id) {
    const int64_t at = now + static_cast<int64_t>(random() % 100);
    timers[id] = {heap.Insert(absl::Microseconds(at), [&ran, id] { ran.push_back(id); }),
                  expected.emplace(at, id)};
    if (random() % 2 == 0) {
      auto victim = timers.lower_bound(static_cast<int>(random() % (id + 1)));
      if (victim != timers.end()) {
        expected.erase(victim->second.second);
        timers.erase(victim);
      }
    }
    if (random() % 8 == 0) {
      now += static_cast<int64_t>(random() % 20);
      ran.clear();
      heap.RunDue(absl::Microseconds(now));
      std::vector<int> due;
      while (!expected.empty() && expected.begin()->first <= now) {
        due.push_back(expected.begin()->second);
        timers.erase(due.back());
        expected.erase(expected.begin());
      }
      ASSERT_EQ(ran, due);
    }
    ASSERT_EQ(heap.size(), expected.size());
  }
}

TEST(AsioLoopTest, RunsPostsInOrderInLaterTurns) {
  AsioLoop loop;
  std::vector<int> ran;
  loop.Post([&] {
    loop.Post([&] {
      ran.push_back(3);
      loop.Stop();
    });
    ran.push_back(1);
  });
  loop.Post([&] { ran.push_back(2); });
  loop.Run();
  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
}

TEST(AsioLoopTest, TakesPostsFromManyThreadsWithoutLosingOne) {
  AsioLoop loop;
  constexpr int kThreads = 4;
  constexpr int kPosts = 20'000;
  std::vector<int> next(kThreads, 0);
  int total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        loop.Post([&, t, i] {
          ASSERT_EQ(next[t]++, i);
          if (++total == kThreads * kPosts) loop.Stop();
        });
      }
    });
  }
  loop.Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, kThreads * kPosts);
}

TEST(AsioLoopTest, FiresTimersInOrderAndNotTheCancelled) {
  AsioLoop loop;
  std::vector<int> fired;
  const auto late = loop.After(absl::Milliseconds(20), [&] {
    fired.push_back(2);
    loop.Stop();
  });
  auto cancelled = loop.After(absl::Milliseconds(1), [&] { fired.push_back(0); });
  const auto early = loop.After(absl::Milliseconds(5), [&] { fired.push_back(1); });
  cancelled.reset();
  const absl::Duration begin = loop.Now();
  loop.Run();
  EXPECT_THAT(fired, ElementsAre(1, 2));
  EXPECT_GE(loop.Now() - begin, absl::Milliseconds(19));
}

TEST(AsioLoopTest, OffloadsToAnotherThreadAndComesBack) {
  AsioLoop loop;
  const std::thread::id here = std::this_thread::get_id();
  bool worked_elsewhere = false;
  loop.Offload([&] { worked_elsewhere = std::this_thread::get_id() != here; },
               [&] {
                 EXPECT_EQ(std::this_thread::get_id(), here);
                 loop.Stop();
               });
  loop.Run();
  EXPECT_TRUE(worked_elsewhere);
}

TEST(AsioLoopTest, DropsWhatIsPostedOnceQuiet) {
  AsioLoop loop;
  auto held = std::make_shared<int>(0);
  loop.Post([held] {});
  loop.Quiesce();
  EXPECT_EQ(held.use_count(), 1);
  loop.Post([held] {});
  loop.Offload([held] {}, [held] {});
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace cairn::server
