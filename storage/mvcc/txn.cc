// Transactions, and the changes of keys that puts, deletions and revoked leases come down to.
#include <set>

#include "raft/check.h"
#include "storage/mvcc/store_impl.h"
#include "storage/mvcc/wire.h"

namespace cairn::storage {

using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

namespace {

const auto& TakenBranch(const TxnRequest& request, bool succeeded) {
  return succeeded ? request.success() : request.failure();
}

ReadTurn AtOnce() { return {ReadMode::kAtOnce, WorkBudget::Unlimited(), nullptr}; }

// Checks of the branches taken, before anything is written. First all puts, then all ranges, as etcd does: it
// decides which error wins.
class TxnChecker {
 public:
  TxnChecker(const KeyIndex* index, const LeaseTable* leases, const StateRecord* state)
      : index_(index), leases_(leases), state_(state) {}

  ClientError Run(const TxnRequest& request, const std::vector<bool>& path) {
    size_t at = 0;
    const ClientError error = Walk(request, path, &at, true);
    at = 0;
    return error != ClientError::kOk ? error : Walk(request, path, &at, false);
  }

 private:
  ClientError Walk(const TxnRequest& request, const std::vector<bool>& path, size_t* at, bool writes) {
    for (const RequestOp& op : TakenBranch(request, path[(*at)++])) {
      ClientError error = ClientError::kOk;
      if (op.has_request_txn()) {
        error = Walk(op.request_txn(), path, at, writes);
      } else if (op.has_request_range() && !writes) {
        error = CheckTxnRange(op.request_range(), state_->revision, state_->compact_revision);
      } else if (op.has_request_put() && writes) {
        error = CheckOnePut(op.request_put());
      } else if (op.has_request_delete_range() && writes) {
        NoteDelete(op.request_delete_range());
      }
      if (error != ClientError::kOk) return error;
    }
    return ClientError::kOk;
  }

  // Whether the key would exist when the put's turn comes: earlier operations of the transaction count.
  bool WouldExist(std::string_view key) const {
    if (put_.contains(key)) return true;
    if (deleted_.Contains(key)) return false;
    const KeyRecord* record = index_->Find(key);
    return record != nullptr && record->newest.live();
  }

  ClientError CheckOnePut(const etcdserverpb::PutRequest& put) {
    if ((put.ignore_value() || put.ignore_lease()) && !WouldExist(put.key()))
      return ClientError::kKeyNotFound;
    if (put.lease() != 0 && leases_->Find(put.lease()) == nullptr) return ClientError::kLeaseNotFound;
    put_.insert(put.key());
    return ClientError::kOk;
  }

  void NoteDelete(const etcdserverpb::DeleteRangeRequest& request) {
    const KeyRange range = KeyRange::Of(request.key(), request.range_end());
    deleted_.Add(range);
    for (auto it = put_.lower_bound(range.begin); it != put_.end() && range.Contains(*it);)
      it = put_.erase(it);
  }

  const KeyIndex* const index_;
  const LeaseTable* const leases_;
  const StateRecord* const state_;
  std::set<std::string_view> put_;  // by this transaction, and not deleted by it since
  KeyRangeSet deleted_;
};

}  // namespace

void StoreImpl::FetchNow(std::span<Item> items) {
  const absl::Status status = values_.FetchAll(items);
  CAIRN_CHECK(status.ok()) << "apply cannot read a value it needs: " << status.ToString();
}

ClientError StoreImpl::ApplyTxn(const TxnRequest& request, std::string* body, WriteTxn* txn) {
  ClientError error = Check(request);
  if (error != ClientError::kOk) return error;
  std::vector<bool> path;
  ChoosePath(request, &path);
  error = TxnChecker(&index_, &leases_, &applied_).Run(request, path);
  if (error != ClientError::kOk) return error;
  size_t at = 0;
  RunTxn(request, path, &at, true, body, txn);
  return ClientError::kOk;
}

bool StoreImpl::ComparesHold(const TxnRequest& request) {
  for (const auto& compare : request.compare()) {
    CompareRead read(&compare, applied_.revision);
    ReadTurn turn = AtOnce();
    absl::Status status;
    read.Run(Source(), &turn, &status);
    CAIRN_CHECK(status.ok()) << "apply cannot read a value to compare: " << status.ToString();
    if (!read.holds()) return false;
  }
  return true;
}

// Which branch each transaction takes, nested ones in the order they are met: all decided on the state before
// the first write.
void StoreImpl::ChoosePath(const TxnRequest& request, std::vector<bool>* path) {
  const bool succeeded = ComparesHold(request);
  path->push_back(succeeded);
  for (const RequestOp& op : TakenBranch(request, succeeded)) {
    if (op.has_request_txn()) ChoosePath(op.request_txn(), path);
  }
}

void StoreImpl::RunTxn(const TxnRequest& request, const std::vector<bool>& path, size_t* at, bool outermost,
                       std::string* body, WriteTxn* txn) {
  const bool succeeded = path[(*at)++];
  if (body != nullptr) {
    if (!outermost) AppendMessageField(body, 1, {});  // a nested transaction's header is there, but empty
    AppendIntField(body, 2, succeeded ? 1 : 0);
  }
  std::string inner, op_body;
  for (const RequestOp& op : TakenBranch(request, succeeded)) {
    inner.clear();
    std::string* inner_body = body == nullptr ? nullptr : &inner;
    int field = 0;
    switch (op.request_case()) {
      case RequestOp::kRequestRange:
        field = 1;
        if (body != nullptr) {
          AppendRevisionHeader(&inner, txn->revision());
          RunRange(op.request_range(), &inner, txn);
        }
        break;
      case RequestOp::kRequestPut:
        field = 2;
        if (body != nullptr) AppendRevisionHeader(&inner, txn->begin_revision + 1);
        RunPut(op.request_put(), inner_body, txn);
        break;
      case RequestOp::kRequestDeleteRange: {
        field = 3;
        std::string rest;
        RunDeleteRange(op.request_delete_range(), body == nullptr ? nullptr : &rest, txn);
        if (body != nullptr) AppendRevisionHeader(&inner, txn->revision());
        inner.append(rest);
        break;
      }
      case RequestOp::kRequestTxn:
        field = 4;
        RunTxn(op.request_txn(), path, at, false, inner_body, txn);
        break;
      case RequestOp::REQUEST_NOT_SET:
        CAIRN_CHECK(false) << "empty operation passed the checks";
    }
    if (body != nullptr) {
      op_body.clear();
      AppendMessageField(&op_body, field, inner);
      AppendMessageField(body, 3, op_body);
    }
  }
}

void StoreImpl::RunRange(const etcdserverpb::RangeRequest& request, std::string* body, WriteTxn* txn) {
  const int64_t revision = request.revision() > 0 ? request.revision() : txn->revision();
  ReadSource source = Source();
  source.newest_revision = txn->revision();
  RangeRead read(&request, revision, source, body);
  ReadTurn turn = AtOnce();
  absl::Status status;
  const ReadRun::Step step = read.Run(source, &turn, &status);
  CAIRN_CHECK(step == ReadRun::Step::kDone && status.ok()) << "read in a transaction: " << status.ToString();
}

void StoreImpl::RunPut(const etcdserverpb::PutRequest& request, std::string* body, WriteTxn* txn) {
  std::string_view value = request.value();
  int64_t lease = request.lease();
  Item before;
  EventView event;
  if (request.ignore_value() || request.ignore_lease() || (request.prev_kv() && body != nullptr)) {
    before.record = index_.Find(request.key());
    const bool exists = before.record != nullptr && before.record->newest.live();
    CAIRN_CHECK(exists || !(request.ignore_value() || request.ignore_lease()))
        << "put of a missing key passed the checks";
    if (exists) {
      before.version = before.record->newest;
      if (request.ignore_lease()) lease = before.version.lease;
      if (request.ignore_value() || request.prev_kv()) {
        FetchNow({&before, 1});
        CAIRN_CHECK(ParseEventWire(*before.wire, &event)) << "stored event does not parse";
      }
      if (request.ignore_value()) value = event.value;
    }
  }
  if (request.prev_kv() && body != nullptr && before.wire != nullptr)
    body->append(*before.wire);  // field 2 too
  PutKey(request.key(), value, lease, txn);
}

void StoreImpl::RunDeleteRange(const etcdserverpb::DeleteRangeRequest& request, std::string* body,
                               WriteTxn* txn) {
  ItemScan scan(KeyRange::Of(request.key(), request.range_end()), txn->revision());
  std::vector<Item> items;
  WorkBudget budget = WorkBudget::Unlimited();
  while (!scan.done()) scan.Run(index_, SIZE_MAX, &budget, &items);
  if (body != nullptr) {
    AppendIntField(body, 2, static_cast<int64_t>(items.size()));
    if (request.prev_kv()) {
      FetchNow(items);
      for (const Item& item : items) {
        EventView event;
        CAIRN_CHECK(ParseEventWire(*item.wire, &event)) << "stored event does not parse";
        AppendMessageField(body, 3, event.key_value);
      }
    }
  }
  for (const Item& item : items) DeleteKey(item.record, txn);
}

void StoreImpl::PutKey(std::string_view key, std::string_view value, int64_t lease, WriteTxn* txn) {
  const KeyRecord* known = index_.Find(key);
  KeyVersion version;
  version.mod = txn->begin_revision + 1;
  version.sub = txn->changes;
  version.create = version.mod;
  version.version = 1;
  version.lease = lease;
  version.value_bytes = static_cast<uint32_t>(value.size());
  int64_t old_lease = 0;
  if (known != nullptr && known->newest.live()) {
    version.create = known->newest.create;
    version.version = known->newest.version + 1;
    old_lease = known->newest.lease;
  }
  const KeyRecord* record = known;
  if (known != nullptr) {
    index_.Apply(known, version);
  } else {
    record = index_.Apply(key, version);
  }
  leases_.Move(record, old_lease, lease);
  AddChange(false, record, PutEventWire(key, version, value), txn);
}

void StoreImpl::DeleteKey(const KeyRecord* record, WriteTxn* txn) {
  const int64_t old_lease = record->newest.lease;
  KeyVersion tombstone;
  tombstone.mod = txn->begin_revision + 1;
  tombstone.sub = txn->changes;
  index_.Apply(record, tombstone);
  leases_.Move(record, old_lease, 0);
  AddChange(true, record, DeleteEventWire(record->key(), tombstone.mod), txn);
}

void StoreImpl::AddChange(bool is_delete, const KeyRecord* record, std::string wire, WriteTxn* txn) {
  const EventPosition position{Revision(txn->begin_revision + 1), txn->changes};
  Event event;
  event.is_delete = is_delete;
  event.wire = std::make_shared<const std::string>(std::move(wire));
  event.key = KeyOfEventWire(*event.wire);
  // What was there before this revision: a watcher sees a transaction as one step. A key that the same
  // transaction deletes and puts again is a fresh one, without a past.
  const bool created = !is_delete && record->newest.create == txn->begin_revision + 1;
  const KeyVersion* previous = created ? nullptr : record->At(txn->begin_revision);
  if (previous != nullptr && previous->live()) event.previous = previous->position();
  EncodeEventRecord(position, {is_delete, event.previous, *event.wire}, &record_buffer_);
  batch_->Put(Family::kEvents, View(EncodeEventKey(position)), record_buffer_);
  if (!is_delete) values_.AddPending(position, event.wire);  // nobody asks for the value of a deletion
  HashEffect(*event.wire);
  txn->events.push_back(std::move(event));
  ++txn->changes;
}

}  // namespace cairn::storage
