#include "server/rpc/output_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "server/rpc/framing.h"

namespace cairn::rpc {
namespace {

std::string Framed(std::string_view message) {
  const auto header = FrameHeader(false, message.size());
  return std::string(header.begin(), header.end()) + std::string(message);
}

TEST(OutputQueueTest, BytesComeOutInOrderWhateverTheSteps) {
  OutputPool pool;
  for (const size_t step : {1, 4, 17, 1000, 100000}) {
    OutputQueue queue;
    const auto shared = std::make_shared<const std::string>(330, 's');
    const auto empty = std::make_shared<const std::string>();
    queue.Push(pool, false, "", "small");
    queue.Push(pool, false, "", std::string(5000, 'L'));
    queue.Push(pool, false, "head", "small");
    queue.Push(pool, false, "head", std::string(5000, 'L'));
    queue.Push(pool, false, std::string(200, 'h'), "small");
    queue.PushShared(pool, "prefix", {shared, empty, shared});
    queue.PushShared(pool, std::string(200, 'p'), {shared});
    queue.PushShared(pool, "", {});
    const std::string expected =
        Framed("small") + Framed(std::string(5000, 'L')) + Framed("headsmall") +
        Framed("head" + std::string(5000, 'L')) + Framed(std::string(200, 'h') + "small") +
        Framed("prefix" + *shared + *shared) + Framed(std::string(200, 'p') + *shared) + Framed("");
    EXPECT_EQ(queue.size(), expected.size());
    std::string out;
    while (!queue.empty()) queue.MoveTo(pool, std::min(step, queue.size()), &out);
    EXPECT_EQ(out, expected) << "in steps of " << step;
    EXPECT_EQ(shared.use_count(), 1);
  }
}

TEST(OutputQueueTest, PoolKeepsNodesButNotTheirStrings) {
  OutputPool pool;
  OutputQueue queue;
  queue.Push(pool, false, "", std::string(1 << 20, 'L'));
  queue.Clear(pool);
  OutputNode* node = pool.Get();
  EXPECT_LT(node->owned.capacity(), 100u);
  pool.Put(node);
}

TEST(OutputQueueTest, KnowsWhetherAMessageIsCutInTwo) {
  OutputPool pool;
  OutputQueue queue;
  const auto shared = std::make_shared<const std::string>(10, 's');
  queue.PushShared(pool, "ab", {shared, shared});
  EXPECT_FALSE(queue.within_message());
  std::string out;
  queue.MoveTo(pool, 17, &out);  // the first node exactly
  EXPECT_TRUE(queue.within_message());
  queue.MoveTo(pool, 10, &out);
  EXPECT_FALSE(queue.within_message());
  queue.PushShared(pool, "next", {});
  EXPECT_FALSE(queue.within_message());
  queue.Clear(pool);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace cairn::rpc
