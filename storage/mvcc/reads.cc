// Reads of the visible revision: ranges, and transactions that only read.
#include <algorithm>

#include "raft/check.h"
#include "storage/mvcc/failed_run.h"
#include "storage/mvcc/store_impl.h"
#include "storage/mvcc/wire.h"

namespace cairn::storage {

using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

namespace {

Result Answer(const absl::Status& status, int64_t revision, std::string body) {
  Result result;
  result.revision = Revision(revision);
  if (status.ok()) {
    result.body = std::move(body);
  } else {
    // The stored bytes are damaged: better no answer than a wrong one.
    result.error = ClientError::kCorrupt;
  }
  return result;
}

class RangeRun : public ReadRun {
 public:
  RangeRun(StoreImpl* store, const etcdserverpb::RangeRequest* request, int64_t current, int64_t revision)
      : store_(store),
        pin_(store, revision),
        current_(current),
        read_(request, revision, store->Source(), &body_) {}

  Step Resume(absl::Duration budget, std::function<void()> wake) override {
    ReadTurn turn{ReadMode::kSliced, WorkBudget(budget), std::move(wake)};
    return read_.Run(store_->Source(), &turn, &status_);
  }
  Result TakeResult() override { return Answer(status_, current_, std::move(body_)); }

 private:
  StoreImpl* const store_;
  const Pin pin_;
  const int64_t current_;
  std::string body_;
  absl::Status status_;
  RangeRead read_;
};

// Walks the transaction with a stack of its own, so that it can stop anywhere.
class TxnRun : public ReadRun {
 public:
  // Pins the oldest revision that one of its ranges may ask for: all from the compact revision on.
  TxnRun(StoreImpl* store, const TxnRequest* request)
      : store_(store),
        current_(store->revision().value()),
        compact_(store->raw_compact_revision()),
        pin_(store, std::max<int64_t>(compact_, 0)) {
    frames_.push_back(Frame{request});
  }

  Step Resume(absl::Duration budget, std::function<void()> wake) override {
    ReadTurn turn{ReadMode::kSliced, WorkBudget(budget), std::move(wake)};
    for (;;) {
      Frame& frame = frames_.back();
      const Step step = frame.decided ? RunOps(&frame, &turn) : RunCompares(&frame, &turn);
      if (step != Step::kDone) return step;
      if (!status_.ok() || error_ != ClientError::kOk || finished_) return Step::kDone;
      if (turn.budget.spent()) return Step::kYield;
    }
  }

  Result TakeResult() override {
    if (error_ == ClientError::kOk) return Answer(status_, current_, std::move(frames_.back().body));
    Result result;
    result.error = error_;
    result.revision = Revision(current_);
    return result;
  }

 private:
  struct Frame {
    const TxnRequest* request;
    bool decided = false;
    bool succeeded = true;
    int at = 0;  // in compares, then in the operations of the branch
    std::string body = {};
  };

  const auto& Branch(const Frame& frame) const {
    return frame.succeeded ? frame.request->success() : frame.request->failure();
  }

  Step RunCompares(Frame* frame, ReadTurn* turn) {
    while (frame->succeeded && frame->at < frame->request->compare_size()) {
      if (compare_ == nullptr)
        compare_ = std::make_unique<CompareRead>(&frame->request->compare(frame->at), current_);
      const Step step = compare_->Run(store_->Source(), turn, &status_);
      if (step != Step::kDone || !status_.ok()) return step;
      frame->succeeded = compare_->holds();
      compare_.reset();
      ++frame->at;
      if (turn->budget.spent()) return Step::kYield;
    }
    frame->decided = true;
    frame->at = 0;
    if (frames_.size() > 1) AppendMessageField(&frame->body, 1, {});
    AppendIntField(&frame->body, 2, frame->succeeded ? 1 : 0);
    return Step::kDone;
  }

  Step RunOps(Frame* frame, ReadTurn* turn) {
    if (frame->at == Branch(*frame).size()) {
      Leave();
      return Step::kDone;
    }
    const RequestOp& op = Branch(*frame)[frame->at];
    if (op.has_request_txn()) {
      frames_.push_back(Frame{&op.request_txn()});
      return Step::kDone;
    }
    CAIRN_CHECK(op.has_request_range()) << "a transaction with writes was started as a read";
    const auto& range = op.request_range();
    if (range_ == nullptr) {
      error_ = CheckTxnRange(range, current_, compact_);
      if (error_ != ClientError::kOk) return Step::kDone;
      op_body_.clear();
      AppendRevisionHeader(&op_body_, current_);
      const int64_t revision = range.revision() > 0 ? range.revision() : current_;
      range_ = std::make_unique<RangeRead>(&range, revision, store_->Source(), &op_body_);
    }
    const Step step = range_->Run(store_->Source(), turn, &status_);
    if (step != Step::kDone || !status_.ok()) return step;
    range_.reset();
    AppendOp(frame, 1, op_body_);
    return Step::kDone;
  }

  void AppendOp(Frame* frame, int field, const std::string& response) {
    std::string op;
    AppendMessageField(&op, field, response);
    AppendMessageField(&frame->body, 3, op);
    ++frame->at;
  }

  void Leave() {
    if (frames_.size() == 1) {
      finished_ = true;
      return;
    }
    const std::string body = std::move(frames_.back().body);
    frames_.pop_back();
    AppendOp(&frames_.back(), 4, body);
  }

  StoreImpl* const store_;
  const int64_t current_;
  const int64_t compact_;  // when it began; -1 = never
  const Pin pin_;
  std::vector<Frame> frames_;
  std::unique_ptr<CompareRead> compare_;
  std::unique_ptr<RangeRead> range_;
  std::string op_body_;
  bool finished_ = false;
  ClientError error_ = ClientError::kOk;
  absl::Status status_;
};

}  // namespace

std::unique_ptr<ReadRun> StoreImpl::StartRange(const etcdserverpb::RangeRequest& request) {
  int64_t revision = 0;
  ClientError error = Check(request);
  if (error == ClientError::kOk) {
    error = ReadableRevision(request.revision(), committed_.revision, committed_.compact_revision, &revision);
  }
  if (error != ClientError::kOk) return std::make_unique<FailedRun>(error, Revision(committed_.revision));
  return std::make_unique<RangeRun>(this, &request, committed_.revision, revision);
}

std::unique_ptr<ReadRun> StoreImpl::StartReadTxn(const TxnRequest& request) {
  const ClientError error = Check(request);
  if (error != ClientError::kOk) return std::make_unique<FailedRun>(error, Revision(committed_.revision));
  return std::make_unique<TxnRun>(this, &request);
}

}  // namespace cairn::storage
