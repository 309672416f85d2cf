#include "tests/differential/expected_differences.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "proto/etcd/rpc.pb.h"

namespace cairn::differential {
namespace {

using etcdserverpb::RangeRequest;
using mvccpb::KeyValue;

constexpr int64_t kTtlToleranceSeconds = 2;

void SetAsideHeader(bool keep_revision, etcdserverpb::ResponseHeader* header) {
  if (header->cluster_id() != 0) header->set_cluster_id(1);
  if (header->member_id() != 0) header->set_member_id(1);
  if (header->raft_term() != 0) header->set_raft_term(1);
  if (!keep_revision && header->revision() != 0) header->set_revision(1);
}

void SetAsideHeaders(bool keep_revision, Message* message) {
  const auto* reflection = message->GetReflection();
  const auto* header = message->GetDescriptor()->FindFieldByName("header");
  if (header != nullptr && reflection->HasField(*message, header)) {
    SetAsideHeader(keep_revision,
                   static_cast<etcdserverpb::ResponseHeader*>(reflection->MutableMessage(message, header)));
  }
  auto* txn = dynamic_cast<etcdserverpb::TxnResponse*>(message);
  if (txn == nullptr) return;
  for (etcdserverpb::ResponseOp& op : *txn->mutable_responses()) {
    if (op.has_response_range()) SetAsideHeaders(keep_revision, op.mutable_response_range());
    if (op.has_response_put()) SetAsideHeaders(keep_revision, op.mutable_response_put());
    if (op.has_response_delete_range()) SetAsideHeaders(keep_revision, op.mutable_response_delete_range());
    if (op.has_response_txn()) SetAsideHeaders(keep_revision, op.mutable_response_txn());
  }
}

void SetAside(etcdserverpb::StatusResponse* status) {
  if (status->leader() != 0) status->set_leader(1);
  if (status->raftindex() != 0) status->set_raftindex(1);
  if (status->raftterm() != 0) status->set_raftterm(1);
  if (status->raftappliedindex() != 0) status->set_raftappliedindex(1);
  if (status->dbsize() != 0) status->set_dbsize(1);
  status->clear_dbsizeinuse();
  if (!status->version().empty()) status->set_version("set");
  status->clear_storageversion();
  status->clear_dbsizequota();
}

void SetAside(etcdserverpb::MemberListResponse* list) {
  for (etcdserverpb::Member& member : *list->mutable_members()) {
    if (member.id() != 0) member.set_id(1);
    if (!member.name().empty()) member.set_name("set");
    for (std::string& url : *member.mutable_peerurls()) url = url.substr(0, url.find("//"));
    for (std::string& url : *member.mutable_clienturls()) url = url.substr(0, url.find("//"));
  }
  // Members that look alike count as one; one that differs stays to be seen.
  auto* members = list->mutable_members();
  for (int i = members->size() - 1; i > 0; --i) {
    if (members->Get(i).SerializeAsString() == members->Get(i - 1).SerializeAsString())
      members->DeleteSubrange(i, 1);
  }
}

std::string SortKey(const RangeRequest& request, const KeyValue& kv) {
  switch (request.sort_target()) {
    case RangeRequest::VERSION:
      return std::to_string(kv.version());
    case RangeRequest::CREATE:
      return std::to_string(kv.create_revision());
    case RangeRequest::MOD:
      return std::to_string(kv.mod_revision());
    case RangeRequest::VALUE:
      return kv.value();  // empty with keys_only: then all keys count as one group
    default:
      return kv.key();
  }
}

void SetAsideTiesOfRange(const RangeRequest& request, etcdserverpb::RangeResponse* response) {
  if (request.sort_target() == RangeRequest::KEY) return;
  auto* kvs = response->mutable_kvs();
  for (int begin = 0; begin < kvs->size();) {
    const std::string key = SortKey(request, kvs->Get(begin));
    int end = begin + 1;
    while (end < kvs->size() && SortKey(request, kvs->Get(end)) == key) ++end;
    if (end == kvs->size() && response->more()) {
      // The cut took some of this group's keys: which is open.
      for (int i = begin; i < end; ++i) kvs->Mutable(i)->Clear();
    } else {
      std::sort(kvs->begin() + begin, kvs->begin() + end,
                [](const KeyValue& a, const KeyValue& b) { return a.key() < b.key(); });
    }
    begin = end;
  }
}

void SetAsideTiesOfTxn(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response) {
  const auto& ops = response->succeeded() ? request.success() : request.failure();
  for (int i = 0; i < ops.size() && i < response->responses_size(); ++i) {
    etcdserverpb::ResponseOp* op = response->mutable_responses(i);
    if (ops[i].has_request_range() && op->has_response_range()) {
      SetAsideTiesOfRange(ops[i].request_range(), op->mutable_response_range());
    } else if (ops[i].has_request_txn() && op->has_response_txn()) {
      SetAsideTiesOfTxn(ops[i].request_txn(), op->mutable_response_txn());
    }
  }
}

}  // namespace

void SetAsideRunningTime(Message* etcd, Message* cairn) {
  auto* a = dynamic_cast<etcdserverpb::LeaseTimeToLiveResponse*>(etcd);
  auto* b = dynamic_cast<etcdserverpb::LeaseTimeToLiveResponse*>(cairn);
  if (a == nullptr || b == nullptr || a->ttl() <= 0 || b->ttl() <= 0) return;
  if (std::abs(a->ttl() - b->ttl()) <= kTtlToleranceSeconds) b->set_ttl(a->ttl());
}

void SetAsideExpected(bool keep_header_revision, Outcome* outcome) {
  if (outcome->code == grpc::StatusCode::RESOURCE_EXHAUSTED &&
      outcome->text.find("etcdserver:") == std::string::npos) {
    outcome->text = "(the transport's)";
  }
  SetAsideHeaders(keep_header_revision, outcome->response.get());
  if (auto* status = dynamic_cast<etcdserverpb::StatusResponse*>(outcome->response.get())) SetAside(status);
  if (auto* list = dynamic_cast<etcdserverpb::MemberListResponse*>(outcome->response.get())) SetAside(list);
  if (auto* hash = dynamic_cast<etcdserverpb::HashKVResponse*>(outcome->response.get())) {
    if (hash->hash() != 0) hash->set_hash(1);
    hash->clear_hash_revision();
  }
  if (auto* leases = dynamic_cast<etcdserverpb::LeaseLeasesResponse*>(outcome->response.get())) {
    std::sort(leases->mutable_leases()->begin(), leases->mutable_leases()->end(),
              [](const auto& a, const auto& b) { return a.id() < b.id(); });
  }
  if (auto* ttl = dynamic_cast<etcdserverpb::LeaseTimeToLiveResponse*>(outcome->response.get())) {
    std::sort(ttl->mutable_keys()->begin(), ttl->mutable_keys()->end());
  }
}

void SetAsideTies(const Message& request, Message* response) {
  if (const auto* range = dynamic_cast<const RangeRequest*>(&request)) {
    SetAsideTiesOfRange(*range, static_cast<etcdserverpb::RangeResponse*>(response));
  } else if (const auto* txn = dynamic_cast<const etcdserverpb::TxnRequest*>(&request)) {
    SetAsideTiesOfTxn(*txn, static_cast<etcdserverpb::TxnResponse*>(response));
  }
}

}  // namespace cairn::differential
