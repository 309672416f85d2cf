// The parts of a read that can stop after each slice: the scan of a range, a comparison, a whole
// RangeRequest. Reads outside apply run them slice by slice; apply runs them to the end at once
// (ReadMode::kAtOnce).
//
// Thread safety: the store's thread.
// Ownership:     requests are borrowed and must outlive the part; index and fetcher outlive all parts.
#ifndef CAIRN_STORAGE_MVCC_READ_PARTS_H_
#define CAIRN_STORAGE_MVCC_READ_PARTS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proto/etcd/rpc.pb.h"
#include "storage/mvcc/key_index.h"
#include "storage/mvcc/request_check.h"
#include "storage/mvcc/store.h"
#include "storage/mvcc/value_fetcher.h"
#include "storage/mvcc/work_budget.h"

namespace cairn::storage {

enum class ReadMode : uint8_t {
  kSliced,
  kAtOnce,  // never yields or waits: reads the disk where it must
};

struct ReadSource {
  const KeyIndex* index;
  ValueFetcher* values;
  int64_t newest_revision;  // of the index when the part is made
};

// How a part goes on: as ReadRun::Step, with the slice's budget and waker.
struct ReadTurn {
  ReadMode mode;
  WorkBudget budget;
  std::function<void()> wake;
};

// Fetches the wires of items across turns.
class ItemFetch {
 public:
  // Sets *status when done.
  ReadRun::Step Run(ValueFetcher* values, std::span<Item> items, ReadTurn* turn, absl::Status* status);

 private:
  std::shared_ptr<ValueFetcher::ColdRead> cold_;
};

// The live keys of a range as of a revision, in order.
class ItemScan {
 public:
  ItemScan(const KeyRange& range, int64_t revision)
      : range_(range), revision_(revision), next_(range.begin) {}

  // Appends items until `items` has `max`, the range ends (done) or the budget is spent.
  void Run(const KeyIndex& index, size_t max, WorkBudget* budget, std::vector<Item>* items);
  bool done() const { return done_; }

 private:
  const KeyRange range_;
  const int64_t revision_;
  std::string next_;  // where to go on
  bool done_ = false;
};

class CompareRead {
 public:
  CompareRead(const etcdserverpb::Compare* compare, int64_t revision);
  // kDone: `holds` is the answer.
  ReadRun::Step Run(const ReadSource& source, ReadTurn* turn, absl::Status* status);
  bool holds() const { return holds_; }

 private:
  bool Holds(const Item* item) const;

  const etcdserverpb::Compare* const compare_;
  ItemScan scan_;
  ItemFetch fetch_;
  std::vector<Item> items_;
  bool scanned_ = false;
  bool any_ = false;
  bool holds_ = true;
};

class RangeRead {
 public:
  // `revision` is readable (ReadableRevision). The response's fields except the header are appended to
  // `body`.
  RangeRead(const etcdserverpb::RangeRequest* request, int64_t revision, const ReadSource& source,
            std::string* body);
  ReadRun::Step Run(const ReadSource& source, ReadTurn* turn, absl::Status* status);

 private:
  enum class Phase : uint8_t { kScan, kFetchForSort, kEmit, kFinished };

  bool PassesFilters(const KeyVersion& version) const;
  void Scan(const ReadSource& source, WorkBudget* budget);
  void Sort();
  void Emit(const Item& item);

  const etcdserverpb::RangeRequest* const request_;
  std::string* const body_;
  ItemScan scan_;
  ItemFetch fetch_;
  bool sorted_;
  bool counting_;         // count by scanning: the counts of the tree are of another revision
  uint64_t collect_max_;  // items to collect
  uint64_t collected_ = 0;
  uint64_t emitted_ = 0;
  uint64_t count_ = 0;
  bool more_ = false;
  Phase phase_ = Phase::kScan;
  std::vector<Item> batch_;  // of the scan
  std::vector<Item> items_;  // to emit
  size_t at_ = 0;            // in items_
};

// Resolves the revision of a RangeRequest: 0 or less = `current`. kFutureRevision, kCompacted.
ClientError ReadableRevision(int64_t wanted, int64_t current, int64_t compact_revision, int64_t* revision);
// The check of a range inside a transaction, where etcd also refuses negative revisions once compacted.
ClientError CheckTxnRange(const etcdserverpb::RangeRequest& request, int64_t current,
                          int64_t compact_revision);

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_READ_PARTS_H_
