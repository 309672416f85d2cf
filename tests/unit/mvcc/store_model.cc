#include "tests/unit/mvcc/store_model.h"

#include <algorithm>

namespace cairn::storage {

using cairn::internal::Command;
using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;
using mvccpb::KeyValue;

namespace {

bool InRange(const std::string& candidate, const std::string& key, const std::string& end) {
  if (end.empty()) return candidate == key;
  if (end == std::string(1, '\0')) return candidate >= key;
  return candidate >= key && candidate < end;
}

int64_t NumberOf(const KeyValue& kv, RangeRequest::SortTarget target) {
  switch (target) {
    case RangeRequest::VERSION:
      return kv.version();
    case RangeRequest::CREATE:
      return kv.create_revision();
    default:
      return kv.mod_revision();
  }
}

const auto& Branch(const TxnRequest& request, bool succeeded) {
  return succeeded ? request.success() : request.failure();
}

}  // namespace

const KeyValue* StoreModel::At(const std::string& key, int64_t revision) const {
  const auto it = keys_.find(key);
  if (it == keys_.end()) return nullptr;
  auto after = it->second.upper_bound(revision);
  if (after == it->second.begin()) return nullptr;
  const KeyValue& kv = std::prev(after)->second;
  return kv.version() == 0 ? nullptr : &kv;
}

std::vector<const KeyValue*> StoreModel::AllAt(const std::string& key, const std::string& end,
                                               int64_t revision) const {
  std::vector<const KeyValue*> all;
  for (const auto& [candidate, versions] : keys_) {
    if (!InRange(candidate, key, end)) continue;
    if (const KeyValue* kv = At(candidate, revision)) all.push_back(kv);
  }
  return all;
}

int64_t StoreModel::live_keys() const {
  return static_cast<int64_t>(AllAt(std::string(1, '\0'), std::string(1, '\0'), revision_).size());
}

std::vector<std::string> StoreModel::KeysOf(int64_t lease) const {
  std::vector<std::string> keys;
  for (const KeyValue* kv : AllAt(std::string(1, '\0'), std::string(1, '\0'), now())) {
    if (kv->lease() == lease) keys.push_back(kv->key());
  }
  return keys;
}

RangeResponse StoreModel::RangeAt(const RangeRequest& request, int64_t current) const {
  RangeResponse response;
  std::vector<const KeyValue*> all =
      AllAt(request.key(), request.range_end(), request.revision() > 0 ? request.revision() : current);
  response.set_count(static_cast<int64_t>(all.size()));
  if (request.count_only()) return response;
  const bool filtered = request.min_mod_revision() != 0 || request.max_mod_revision() != 0 ||
                        request.min_create_revision() != 0 || request.max_create_revision() != 0;
  const auto limit = static_cast<size_t>(request.limit());
  if (limit > 0 && request.sort_order() == RangeRequest::NONE && !filtered && all.size() > limit + 1) {
    all.resize(limit + 1);  // only these are looked at
  }
  std::erase_if(all, [&](const KeyValue* kv) {
    return (request.min_mod_revision() != 0 && kv->mod_revision() < request.min_mod_revision()) ||
           (request.max_mod_revision() != 0 && kv->mod_revision() > request.max_mod_revision()) ||
           (request.min_create_revision() != 0 && kv->create_revision() < request.min_create_revision()) ||
           (request.max_create_revision() != 0 && kv->create_revision() > request.max_create_revision());
  });
  const auto less = [&](const KeyValue* a, const KeyValue* b) {
    if (request.sort_target() == RangeRequest::KEY) return a->key() < b->key();
    if (request.sort_target() == RangeRequest::VALUE) return a->value() < b->value();
    return NumberOf(*a, request.sort_target()) < NumberOf(*b, request.sort_target());
  };
  std::stable_sort(all.begin(), all.end(), [&](const KeyValue* a, const KeyValue* b) {
    return request.sort_order() == RangeRequest::DESCEND ? less(b, a) : less(a, b);
  });
  if (limit > 0 && all.size() > limit) {
    all.resize(limit);
    response.set_more(true);
  }
  for (const KeyValue* kv : all) {
    *response.add_kvs() = *kv;
    if (request.keys_only()) response.mutable_kvs()->rbegin()->clear_value();
  }
  return response;
}

StoreModel::Answer StoreModel::Range(const RangeRequest& request) const {
  if (request.revision() > revision_) return {ClientError::kFutureRevision, {}};
  if (request.revision() > 0 && request.revision() < compacted_) return {ClientError::kCompacted, {}};
  return {ClientError::kOk, RangeAt(request, revision_).SerializeAsString()};
}

bool StoreModel::Holds(const Compare& compare) const {
  const std::vector<const KeyValue*> all = AllAt(compare.key(), compare.range_end(), revision_);
  if (all.empty() && compare.target() == Compare::VALUE) return false;
  static const KeyValue kNone;
  const auto one = [&](const KeyValue& kv) {
    int64_t order = 0;
    if (compare.target() == Compare::VALUE) order = kv.value().compare(compare.value());
    if (compare.target() == Compare::VERSION) order = kv.version() - compare.version();
    if (compare.target() == Compare::CREATE) order = kv.create_revision() - compare.create_revision();
    if (compare.target() == Compare::MOD) order = kv.mod_revision() - compare.mod_revision();
    if (compare.target() == Compare::LEASE) order = kv.lease() - compare.lease();
    switch (compare.result()) {
      case Compare::EQUAL:
        return order == 0;
      case Compare::NOT_EQUAL:
        return order != 0;
      case Compare::GREATER:
        return order > 0;
      default:
        return order < 0;
    }
  };
  if (all.empty()) return one(kNone);
  return std::all_of(all.begin(), all.end(), [&](const KeyValue* kv) { return one(*kv); });
}

void StoreModel::ChoosePath(const TxnRequest& request, Path* path) const {
  const bool succeeded = std::all_of(request.compare().begin(), request.compare().end(),
                                     [&](const Compare& compare) { return Holds(compare); });
  path->push_back(succeeded);
  for (const RequestOp& op : Branch(request, succeeded)) {
    if (op.has_request_txn()) ChoosePath(op.request_txn(), path);
  }
}

// `keys`: those that exist when an operation's turn comes.
ClientError StoreModel::CheckPuts(const TxnRequest& request, const Path& path, size_t* at,
                                  std::set<std::string>* keys) const {
  for (const RequestOp& op : Branch(request, path[(*at)++])) {
    if (op.has_request_txn()) {
      const ClientError error = CheckPuts(op.request_txn(), path, at, keys);
      if (error != ClientError::kOk) return error;
    } else if (op.has_request_put()) {
      const auto& put = op.request_put();
      if ((put.ignore_value() || put.ignore_lease()) && !keys->contains(put.key())) {
        return ClientError::kKeyNotFound;
      }
      if (put.lease() != 0 && !leases_.contains(put.lease())) return ClientError::kLeaseNotFound;
      keys->insert(put.key());
    } else if (op.has_request_delete_range()) {
      const auto& range = op.request_delete_range();
      std::erase_if(*keys,
                    [&](const std::string& key) { return InRange(key, range.key(), range.range_end()); });
    }
  }
  return ClientError::kOk;
}

ClientError StoreModel::CheckRanges(const TxnRequest& request, const Path& path, size_t* at) const {
  for (const RequestOp& op : Branch(request, path[(*at)++])) {
    ClientError error = ClientError::kOk;
    if (op.has_request_txn()) error = CheckRanges(op.request_txn(), path, at);
    if (op.has_request_range() && op.request_range().revision() != 0) {
      if (op.request_range().revision() > revision_) error = ClientError::kFutureRevision;
      if (op.request_range().revision() < compacted_) error = ClientError::kCompacted;
    }
    if (error != ClientError::kOk) return error;
  }
  return ClientError::kOk;
}

etcdserverpb::TxnResponse StoreModel::RunTxn(const TxnRequest& request, const Path& path, size_t* at) {
  etcdserverpb::TxnResponse response;
  const bool succeeded = path[(*at)++];
  response.set_succeeded(succeeded);
  for (const RequestOp& op : Branch(request, succeeded)) {
    auto* answer = response.add_responses();
    if (op.has_request_range()) {
      *answer->mutable_response_range() = RangeAt(op.request_range(), now());
      answer->mutable_response_range()->mutable_header()->set_revision(now());
    } else if (op.has_request_put()) {
      *answer->mutable_response_put() = Put(op.request_put());
      answer->mutable_response_put()->mutable_header()->set_revision(now());
    } else if (op.has_request_delete_range()) {
      *answer->mutable_response_delete_range() = Delete(op.request_delete_range());
      answer->mutable_response_delete_range()->mutable_header()->set_revision(now());
    } else {
      *answer->mutable_response_txn() = RunTxn(op.request_txn(), path, at);
      answer->mutable_response_txn()->mutable_header();  // there, but empty
    }
  }
  return response;
}

StoreModel::Answer StoreModel::Txn(const TxnRequest& request) {
  Path path;
  ChoosePath(request, &path);
  std::set<std::string> keys;
  for (const KeyValue* kv : AllAt(std::string(1, '\0'), std::string(1, '\0'), revision_))
    keys.insert(kv->key());
  size_t at = 0;
  ClientError error = CheckPuts(request, path, &at, &keys);
  at = 0;
  if (error == ClientError::kOk) error = CheckRanges(request, path, &at);
  if (error != ClientError::kOk) return {error, {}};
  at = 0;
  return {ClientError::kOk, RunTxn(request, path, &at).SerializeAsString()};
}

StoreModel::Answer StoreModel::ReadTxn(const TxnRequest& request) { return Txn(request); }

void StoreModel::Change(const std::string& key, const KeyValue& kv) {
  ModelEvent change;
  const KeyValue* before = At(key, revision_);
  const bool fresh = kv.version() != 0 && kv.create_revision() == revision_ + 1;
  if (before != nullptr && !fresh) change.before = *before;
  *change.event.mutable_kv() = kv;
  if (kv.version() == 0) {
    change.event.set_type(mvccpb::Event::DELETE);
    change.event.mutable_kv()->set_key(key);
    change.event.mutable_kv()->set_mod_revision(revision_ + 1);
  }
  keys_[key][revision_ + 1] = kv;
  events_[revision_ + 1].push_back(std::move(change));
  changed_ = true;
}

etcdserverpb::PutResponse StoreModel::Put(const etcdserverpb::PutRequest& request) {
  etcdserverpb::PutResponse response;
  KeyValue kv;
  const KeyValue* before = At(request.key(), now());
  if (request.prev_kv() && before != nullptr) *response.mutable_prev_kv() = *before;
  kv.set_key(request.key());
  kv.set_value(request.ignore_value() ? before->value() : request.value());
  kv.set_lease(request.ignore_lease() ? before->lease() : request.lease());
  kv.set_mod_revision(revision_ + 1);
  kv.set_create_revision(before == nullptr ? revision_ + 1 : before->create_revision());
  kv.set_version(before == nullptr ? 1 : before->version() + 1);
  Change(request.key(), kv);
  return response;
}

etcdserverpb::DeleteRangeResponse StoreModel::Delete(const etcdserverpb::DeleteRangeRequest& request) {
  etcdserverpb::DeleteRangeResponse response;
  std::vector<KeyValue> doomed;
  for (const KeyValue* kv : AllAt(request.key(), request.range_end(), now())) doomed.push_back(*kv);
  response.set_deleted(static_cast<int64_t>(doomed.size()));
  for (const KeyValue& kv : doomed) {
    if (request.prev_kv()) *response.add_prev_kvs() = kv;
    Change(kv.key(), KeyValue());
  }
  return response;
}

void StoreModel::RemoveLease(int64_t id) {
  for (const std::string& key : KeysOf(id)) Change(key, KeyValue());
  End();
  leases_.erase(id);
}

void StoreModel::End() {
  revision_ = now();
  changed_ = false;
}

StoreModel::Answer StoreModel::Apply(const Command& command, uint64_t entry_term) {
  Answer answer;
  if (command.has_put()) {
    TxnRequest txn;
    *txn.add_success()->mutable_request_put() = command.put();
    size_t at = 0;
    std::set<std::string> keys;
    for (const KeyValue* kv : AllAt(command.put().key(), "", revision_)) keys.insert(kv->key());
    // Alone, the lease is looked for before the key.
    if (command.put().lease() != 0 && !leases_.contains(command.put().lease())) {
      answer.error = ClientError::kLeaseNotFound;
    } else {
      answer.error = CheckPuts(txn, {true}, &at, &keys);
    }
    if (answer.error == ClientError::kOk) answer.body = Put(command.put()).SerializeAsString();
  } else if (command.has_delete_range()) {
    answer.body = Delete(command.delete_range()).SerializeAsString();
  } else if (command.has_txn()) {
    answer = Txn(command.txn());
  } else if (command.has_compact()) {
    const int64_t at = command.compact().revision();
    if (at > compacted_ && at <= revision_) {
      compacted_ = at;
    } else {
      answer.error = at <= compacted_ ? ClientError::kCompacted : ClientError::kFutureRevision;
    }
  } else if (command.has_lease_grant()) {
    const auto& grant = command.lease_grant();
    if (leases_.contains(grant.id())) {
      answer.error = ClientError::kLeaseExists;
    } else {
      leases_[grant.id()].granted_ttl_s = grant.ttl_s();
      etcdserverpb::LeaseGrantResponse response;
      response.set_id(grant.id());
      response.set_ttl(grant.ttl_s());
      answer.body = response.SerializeAsString();
    }
  } else if (command.has_lease_revoke()) {
    if (leases_.contains(command.lease_revoke().id())) {
      RemoveLease(command.lease_revoke().id());
    } else {
      answer.error = ClientError::kLeaseNotFound;
    }
  } else if (command.has_lease_expire() && command.lease_expire().term() == entry_term) {
    for (int64_t id : command.lease_expire().ids()) {
      if (leases_.contains(id)) RemoveLease(id);
    }
  } else if (command.has_lease_checkpoint() && command.lease_checkpoint().term() == entry_term) {
    for (const auto& lease : command.lease_checkpoint().leases()) {
      if (leases_.contains(lease.id())) leases_[lease.id()].remaining_ttl_s = lease.remaining_ttl_s();
    }
  }
  End();
  return answer;
}

}  // namespace cairn::storage
