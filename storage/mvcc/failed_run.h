// A read that was refused before it began.
//
// Thread safety: none.
#ifndef CAIRN_STORAGE_MVCC_FAILED_RUN_H_
#define CAIRN_STORAGE_MVCC_FAILED_RUN_H_

#include <utility>

#include "storage/mvcc/store.h"

namespace cairn::storage {

class FailedRun : public ReadRun {
 public:
  FailedRun(ClientError error, Revision revision) {
    result_.error = error;
    result_.revision = revision;
  }
  Step Resume(absl::Duration, std::function<void()>) override { return Step::kDone; }
  Result TakeResult() override { return std::move(result_); }

 private:
  Result result_;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_FAILED_RUN_H_
