#include "server/memory_trimmer.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/unit/fake_loop.h"

namespace cairn::server {
namespace {

class MemoryTrimmerTest : public testing::Test {
 protected:
  static constexpr size_t kRest = size_t{100} << 20;

  MemoryTrimmer::Memory FakeMemory() {
    return {[this] { return resident_; },
            [this] {
              ++trims_;
              resident_ = after_trim_;
            }};
  }

  FakeLoop loop_;
  size_t resident_ = kRest;
  size_t after_trim_ = kRest;
  int trims_ = 0;
  std::unique_ptr<MemoryTrimmer> trimmer_ = std::make_unique<MemoryTrimmer>(loop_, FakeMemory());
};

TEST_F(MemoryTrimmerTest, LeavesMemoryAloneThatHardlyGrows) {
  loop_.Advance(MemoryTrimmer::kInterval);
  resident_ += MemoryTrimmer::kGrowthBytes - 1;
  loop_.Advance(10 * MemoryTrimmer::kInterval);
  EXPECT_EQ(trims_, 0);
}

TEST_F(MemoryTrimmerTest, TrimsWhatABurstLeaves) {
  loop_.Advance(MemoryTrimmer::kInterval);
  resident_ += MemoryTrimmer::kGrowthBytes;
  loop_.Advance(MemoryTrimmer::kInterval);
  EXPECT_EQ(trims_, 1);
  EXPECT_EQ(resident_, kRest);
}

TEST_F(MemoryTrimmerTest, DoesNotTrimAgainWhatIsInUse) {
  loop_.Advance(MemoryTrimmer::kInterval);
  resident_ += 2 * MemoryTrimmer::kGrowthBytes;
  after_trim_ = resident_;
  loop_.Advance(10 * MemoryTrimmer::kInterval);
  EXPECT_EQ(trims_, 1);
  after_trim_ = kRest;
  resident_ += MemoryTrimmer::kGrowthBytes;
  loop_.Advance(MemoryTrimmer::kInterval);
  EXPECT_EQ(trims_, 2);
}

TEST_F(MemoryTrimmerTest, MeasuresFromTheSmallestSince) {
  loop_.Advance(MemoryTrimmer::kInterval);
  resident_ = kRest / 2;
  loop_.Advance(MemoryTrimmer::kInterval);
  resident_ += MemoryTrimmer::kGrowthBytes;
  loop_.Advance(MemoryTrimmer::kInterval);
  EXPECT_EQ(trims_, 1);
}

TEST_F(MemoryTrimmerTest, EndsWithItsOwner) {
  trimmer_.reset();
  EXPECT_EQ(loop_.pending_timers(), 0u);
  loop_.Advance(10 * MemoryTrimmer::kInterval);
  EXPECT_EQ(trims_, 0);
}

TEST(ProcessMemoryTest, KnowsHowMuchIsResident) {
  const MemoryTrimmer::Memory memory = MemoryTrimmer::ProcessMemory();
  EXPECT_GT(memory.resident_bytes(), size_t{1} << 20);
  memory.trim();
}

}  // namespace
}  // namespace cairn::server
