// How much a slice may still do. Costs are estimates in nanoseconds, not measured times: the store reads no
// clock, so a simulated run cuts its slices at the same places every time.
//
// Thread safety: a value type.
#ifndef CAIRN_STORAGE_MVCC_WORK_BUDGET_H_
#define CAIRN_STORAGE_MVCC_WORK_BUDGET_H_

#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace cairn::storage {

// Measured on the build machine and rounded up.
inline constexpr int64_t kVisitKeyNs = 100;  // one step in the key index
inline constexpr int64_t kForgetNs =
    1000;  // one change forgotten by the key index: a record anywhere in memory
inline constexpr int64_t kEncodeKeyNs = 500;   // one key into a checkpoint
inline constexpr int64_t kReadValueNs = 2000;  // one value through the engine
inline constexpr int64_t kWriteOpNs = 2000;    // one put or delete in a batch

class WorkBudget {
 public:
  explicit WorkBudget(absl::Duration budget) : left_ns_(absl::ToInt64Nanoseconds(budget)) {}
  static WorkBudget Unlimited() { return WorkBudget(absl::InfiniteDuration()); }

  bool spent() const { return left_ns_ <= 0; }
  void Spend(int64_t ns) {
    if (left_ns_ != std::numeric_limits<int64_t>::max()) left_ns_ -= ns;
  }
  void SpendBytes(size_t bytes) { Spend(static_cast<int64_t>(bytes)); }  // about 1 GB/s

 private:
  int64_t left_ns_;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_WORK_BUDGET_H_
