#include "storage/mvcc/request_check.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace cairn::storage {

using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;
using OpList = google::protobuf::RepeatedPtrField<RequestOp>;

void KeyRangeSet::Add(const KeyRange& range) {
  std::string begin(range.begin);
  if (range.single) {
    std::string end = begin + '\0';
    AddRange(std::move(begin), {std::move(end), false});
  } else if (range.to_the_end) {
    AddRange(std::move(begin), {{}, true});
  } else if (range.begin < range.end) {
    AddRange(std::move(begin), {std::string(range.end), false});
  }
}

void KeyRangeSet::AddAll(const KeyRangeSet& other) {
  for (const auto& [begin, end] : other.ranges_) AddRange(begin, end);
}

void KeyRangeSet::AddRange(std::string begin, End end) {
  auto it = ranges_.upper_bound(begin);
  if (it != ranges_.begin()) {
    auto before = std::prev(it);
    if (before->second.infinite || before->second.at >= begin) {
      begin = before->first;
      it = before;
    }
  }
  while (it != ranges_.end() && (end.infinite || it->first <= end.at)) {
    if (end < it->second) end = it->second;
    it = ranges_.erase(it);
  }
  ranges_.emplace(std::move(begin), std::move(end));
}

bool KeyRangeSet::Contains(std::string_view key) const {
  auto it = ranges_.upper_bound(key);
  if (it == ranges_.begin()) return false;
  --it;
  return it->second.infinite || key < it->second.at;
}

namespace {

ClientError CheckOp(const RequestOp& op, int max_ops);

// What a list of operations changes, nested transactions included.
struct Changes {
  std::set<std::string_view> puts;
  KeyRangeSet deletes;
};

// False when a key is put twice, or put where a delete of the same list covers it. The two branches of a
// nested transaction exclude each other, so a key may be put in both. As in etcd, a delete of "everything
// from a key on" (range_end "\0") does not count as covering anything.
bool CollectChanges(const OpList& ops, Changes* changes) {
  for (const RequestOp& op : ops) {
    if (!op.has_request_delete_range()) continue;
    const auto range = KeyRange::Of(op.request_delete_range().key(), op.request_delete_range().range_end());
    if (!range.to_the_end) changes->deletes.Add(range);
  }
  for (const RequestOp& op : ops) {
    if (!op.has_request_txn()) continue;
    Changes then_changes, else_changes;
    if (!CollectChanges(op.request_txn().success(), &then_changes)) return false;
    if (!CollectChanges(op.request_txn().failure(), &else_changes)) return false;
    for (std::string_view key : else_changes.puts) {
      if (changes->puts.contains(key) || changes->deletes.Contains(key)) return false;
    }
    for (std::string_view key : then_changes.puts) {
      if (changes->puts.contains(key) || changes->deletes.Contains(key)) return false;
    }
    changes->puts.merge(then_changes.puts);
    changes->puts.merge(else_changes.puts);
    changes->deletes.AddAll(then_changes.deletes);
    changes->deletes.AddAll(else_changes.deletes);
  }
  for (const RequestOp& op : ops) {
    if (!op.has_request_put()) continue;
    const std::string_view key = op.request_put().key();
    if (changes->deletes.Contains(key) || !changes->puts.insert(key).second) return false;
  }
  return true;
}

ClientError CheckOps(const TxnRequest& request, int max_ops) {
  if (std::max({request.compare_size(), request.success_size(), request.failure_size()}) > max_ops) {
    return ClientError::kTooManyOps;
  }
  for (const auto& compare : request.compare()) {
    if (compare.key().empty()) return ClientError::kEmptyKey;
  }
  for (const OpList* list : {&request.success(), &request.failure()}) {
    for (const RequestOp& op : *list) {
      const ClientError error = CheckOp(op, max_ops);
      if (error != ClientError::kOk) return error;
    }
  }
  return ClientError::kOk;
}

ClientError CheckOp(const RequestOp& op, int max_ops) {
  switch (op.request_case()) {
    case RequestOp::kRequestRange:
      return CheckRange(op.request_range());
    case RequestOp::kRequestPut:
      return CheckPut(op.request_put());
    case RequestOp::kRequestDeleteRange:
      return CheckDeleteRange(op.request_delete_range());
    case RequestOp::kRequestTxn:
      return CheckOps(op.request_txn(), max_ops);
    case RequestOp::REQUEST_NOT_SET:
      break;
  }
  return ClientError::kKeyNotFound;  // etcd's answer to an empty operation
}

}  // namespace

ClientError CheckRange(const etcdserverpb::RangeRequest& request) {
  if (request.key().empty()) return ClientError::kEmptyKey;
  if (!etcdserverpb::RangeRequest::SortOrder_IsValid(request.sort_order()) ||
      !etcdserverpb::RangeRequest::SortTarget_IsValid(request.sort_target())) {
    return ClientError::kInvalidSortOption;
  }
  return ClientError::kOk;
}

ClientError CheckPut(const etcdserverpb::PutRequest& request) {
  if (request.key().empty()) return ClientError::kEmptyKey;
  if (request.ignore_value() && !request.value().empty()) return ClientError::kValueProvided;
  if (request.ignore_lease() && request.lease() != 0) return ClientError::kLeaseProvided;
  return ClientError::kOk;
}

ClientError CheckDeleteRange(const etcdserverpb::DeleteRangeRequest& request) {
  return request.key().empty() ? ClientError::kEmptyKey : ClientError::kOk;
}

ClientError CheckTxn(const TxnRequest& request, int max_ops) {
  const ClientError error = CheckOps(request, max_ops);
  if (error != ClientError::kOk) return error;
  for (const OpList* list : {&request.success(), &request.failure()}) {
    Changes changes;
    if (!CollectChanges(*list, &changes)) return ClientError::kDuplicateKey;
  }
  return ClientError::kOk;
}

}  // namespace cairn::storage
