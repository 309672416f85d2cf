#include "server/etcd/kv_service.h"

#include <utility>

#include "proto/etcd/rpc.pb.h"
#include "proto/internal/command.pb.h"

namespace cairn::server {
namespace {

using etcdserverpb::CompactionRequest;
using etcdserverpb::DeleteRangeRequest;
using etcdserverpb::PutRequest;
using etcdserverpb::RangeRequest;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

// Answers with whatever the kernel says.
Kernel::Done AnswerTo(UnaryCall call) {
  return [call = std::move(call)](storage::Result&& result) mutable { call.Answer(std::move(result)); };
}

// Submits `request` as the field of the command that `mutable_field` gives, unless it is too large.
template <typename Request>
void Propose(DoorContext& door, UnaryCall call, Request& request,
             Request* (internal::Command::*mutable_field)()) {
  if (door.TooLarge(request.ByteSizeLong())) return call.Fail(ClientError::kRequestTooLarge);
  internal::Command command;
  (command.*mutable_field)()->Swap(&request);
  door.kernel().Propose(std::move(command), AnswerTo(std::move(call)));
}

template <typename Request>
bool Refused(DoorContext& door, UnaryCall& call, const Request& request) {
  const ClientError error = door.kernel().store().Check(request);
  if (error == ClientError::kOk) return false;
  call.Fail(error);
  return true;
}

template <typename Ops>
bool OnlyRanges(const Ops& ops) {
  for (const RequestOp& op : ops) {
    if (!op.has_request_range()) return false;
  }
  return true;
}

void Range(DoorContext& door, UnaryCall call, RangeRequest& request) {
  if (Refused(door, call, request)) return;
  door.kernel().Range(std::move(request), AnswerTo(std::move(call)));
}

void Put(DoorContext& door, UnaryCall call, PutRequest& request) {
  if (Refused(door, call, request)) return;
  Propose(door, std::move(call), request, &internal::Command::mutable_put);
}

void DeleteRange(DoorContext& door, UnaryCall call, DeleteRangeRequest& request) {
  if (Refused(door, call, request)) return;
  Propose(door, std::move(call), request, &internal::Command::mutable_delete_range);
}

// A transaction that cannot write is a read. One with a transaction inside goes through the log whatever it
// holds, as in etcd.
void Txn(DoorContext& door, UnaryCall call, TxnRequest& request) {
  if (Refused(door, call, request)) return;
  if (OnlyRanges(request.success()) && OnlyRanges(request.failure())) {
    return door.kernel().ReadTxn(std::move(request), AnswerTo(std::move(call)));
  }
  Propose(door, std::move(call), request, &internal::Command::mutable_txn);
}

void Compact(DoorContext& door, UnaryCall call, CompactionRequest& request) {
  Propose(door, std::move(call), request, &internal::Command::mutable_compact);
}

}  // namespace

void RegisterKvService(rpc::Server& server, const DoorContextPtr& door) {
  door->AddUnary<RangeRequest>(server, "/etcdserverpb.KV/Range", Range);
  door->AddUnary<PutRequest>(server, "/etcdserverpb.KV/Put", Put);
  door->AddUnary<DeleteRangeRequest>(server, "/etcdserverpb.KV/DeleteRange", DeleteRange);
  door->AddUnary<TxnRequest>(server, "/etcdserverpb.KV/Txn", Txn);
  door->AddUnary<CompactionRequest>(server, "/etcdserverpb.KV/Compact", Compact);
}

}  // namespace cairn::server
