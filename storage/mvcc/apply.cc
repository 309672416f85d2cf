// Applying entries: what each kind of command does. The same on every member: no clock, no local option but
// the limit of operations, which all members share.
#include <xxhash.h>

#include <algorithm>

#include "raft/check.h"
#include "storage/coding.h"
#include "storage/mvcc/store_impl.h"
#include "storage/mvcc/wire.h"

namespace cairn::storage {

using cairn::internal::Command;

void StoreImpl::HashEffect(std::string_view bytes) {
  applied_.state_hash = XXH3_64bits_withSeed(bytes.data(), bytes.size(), applied_.state_hash);
}

void StoreImpl::Apply(std::span<const raft::Entry> entries, Outcome* outcome) {
  for (const raft::Entry& entry : entries) {
    CAIRN_CHECK(!batch_sealed_) << "Apply of entry " << entry.index << " while a batch waits for Commit";
    CAIRN_CHECK(entry.index.value() == applied_.applied_index + 1)
        << "entry " << entry.index << " applied after " << applied_.applied_index;
    applied_.applied_index = entry.index.value();
    applied_.applied_term = entry.term.value();
    ++batch_entries_;
    ++applied_work_;
    char index[8];
    StoreLittle64(index, entry.index.value());
    HashEffect({index, sizeof index});
    if (entry.type != raft::EntryType::kCommand || entry.data == nullptr || entry.data->empty()) continue;
    CAIRN_CHECK(commands_.ParseFromString(*entry.data)) << "entry " << entry.index << " does not parse";
    applied_work_ += static_cast<uint64_t>(commands_.commands_size());
    for (const Command& command : commands_.commands()) ApplyCommand(entry.term.value(), command, outcome);
  }
}

void StoreImpl::EndTxn(WriteTxn* txn, Outcome* outcome) {
  if (txn->changes == 0) return;
  applied_.revision = txn->revision();
  events_since_checkpoint_ += txn->changes;
  applied_work_ += txn->changes;
  outcome->events.push_back({Revision(applied_.revision), std::move(txn->events)});
}

void StoreImpl::ApplyCommand(uint64_t term, const Command& command, Outcome* outcome) {
  const bool ours = command.origin() != 0 && command.origin() == options_.self;
  CommandResult answer;
  answer.request_id = command.request_id();
  std::string* body = ours ? &answer.result.body : nullptr;
  ClientError error = ClientError::kOk;
  WriteTxn txn(applied_.revision);
  switch (command.request_case()) {
    case Command::kPut:
      error = ApplyPut(command.put(), body, &txn);
      break;
    case Command::kDeleteRange:
      error = Check(command.delete_range());
      if (error == ClientError::kOk) RunDeleteRange(command.delete_range(), body, &txn);
      break;
    case Command::kTxn:
      error = ApplyTxn(command.txn(), body, &txn);
      break;
    case Command::kCompact:
      error = ApplyCompact(command.compact(), outcome);
      if (error == ClientError::kOk && command.compact().physical()) {
        answer.wait_for_physical_compaction = Revision(command.compact().revision());
      }
      break;
    case Command::kLeaseGrant:
      error = ApplyLeaseGrant(command.lease_grant(), body, outcome);
      break;
    case Command::kLeaseRevoke:
      if (leases_.Find(command.lease_revoke().id()) == nullptr) {
        error = ClientError::kLeaseNotFound;
      } else {
        RemoveLease(command.lease_revoke().id(), outcome);
      }
      break;
    case Command::kLeaseExpire:
      ApplyLeaseExpire(term, command.lease_expire(), outcome);
      break;
    case Command::kLeaseCheckpoint:
      ApplyLeaseCheckpoint(term, command.lease_checkpoint(), outcome);
      break;
    case Command::kMemberAttributes:
      ApplyMemberAttributes(command.member_attributes(), outcome);
      break;
    case Command::REQUEST_NOT_SET:
      CAIRN_CHECK(false) << "entry " << applied_.applied_index << " holds a command of an unknown kind";
  }
  EndTxn(&txn, outcome);
  if (!ours) return;
  answer.result.error = error;
  answer.result.revision = Revision(applied_.revision);
  if (error != ClientError::kOk) answer.result.body.clear();
  outcome->results.push_back(std::move(answer));
}

ClientError StoreImpl::ApplyPut(const etcdserverpb::PutRequest& request, std::string* body, WriteTxn* txn) {
  const ClientError error = Check(request);
  if (error != ClientError::kOk) return error;
  if (request.lease() != 0 && leases_.Find(request.lease()) == nullptr) return ClientError::kLeaseNotFound;
  if (request.ignore_value() || request.ignore_lease()) {
    const KeyRecord* record = index_.Find(request.key());
    if (record == nullptr || !record->newest.live()) return ClientError::kKeyNotFound;
  }
  RunPut(request, body, txn);
  return ClientError::kOk;
}

ClientError StoreImpl::ApplyCompact(const etcdserverpb::CompactionRequest& request, Outcome* outcome) {
  if (request.revision() <= applied_.compact_revision) return ClientError::kCompacted;
  if (request.revision() > applied_.revision) return ClientError::kFutureRevision;
  applied_.compact_revision = request.revision();
  outcome->compacted = Revision(request.revision());
  char bytes[9] = {'c'};
  StoreLittle64(bytes + 1, static_cast<uint64_t>(request.revision()));
  HashEffect({bytes, sizeof bytes});
  return ClientError::kOk;
}

ClientError StoreImpl::ApplyLeaseGrant(const cairn::internal::LeaseGrant& request, std::string* body,
                                       Outcome* outcome) {
  if (request.id() == 0) return ClientError::kLeaseNotFound;
  if (leases_.Find(request.id()) != nullptr) return ClientError::kLeaseExists;
  const Lease* lease = leases_.Grant(request.id(), request.ttl_s());
  const std::string key = EncodeLeaseKey(request.id());
  const std::string value = EncodeLease(*lease);
  batch_->Put(Family::kLease, key, value);
  HashEffect(key);
  HashEffect(value);
  outcome->leases.push_back({LeaseChange::Kind::kGranted, LeaseId(request.id()), request.ttl_s(), 0});
  if (body != nullptr) {
    AppendIntField(body, 2, request.id());
    AppendIntField(body, 3, request.ttl_s());
  }
  return ClientError::kOk;
}

// The lease's keys go in one revision of their own, in the order of the keys.
void StoreImpl::RemoveLease(int64_t id, Outcome* outcome) {
  const Lease* lease = leases_.Find(id);
  std::vector<const KeyRecord*> records(lease->keys.begin(), lease->keys.end());
  std::sort(records.begin(), records.end(),
            [](const KeyRecord* a, const KeyRecord* b) { return a->key() < b->key(); });
  const int64_t ttl_s = lease->granted_ttl_s;
  WriteTxn txn(applied_.revision);
  for (const KeyRecord* record : records) DeleteKey(record, &txn);
  EndTxn(&txn, outcome);
  leases_.Remove(id);
  const std::string key = EncodeLeaseKey(id);
  batch_->Delete(Family::kLease, key);
  HashEffect(key);
  outcome->leases.push_back({LeaseChange::Kind::kRemoved, LeaseId(id), ttl_s, 0});
}

void StoreImpl::ApplyLeaseExpire(uint64_t term, const cairn::internal::LeaseExpire& request,
                                 Outcome* outcome) {
  if (request.term() != term) return;
  for (int64_t id : request.ids()) {
    if (leases_.Find(id) != nullptr) RemoveLease(id, outcome);
  }
}

void StoreImpl::ApplyLeaseCheckpoint(uint64_t term, const cairn::internal::LeaseCheckpoint& request,
                                     Outcome* outcome) {
  if (request.term() != term) return;
  for (const auto& remaining : request.leases()) {
    Lease* lease = leases_.Find(remaining.id());
    if (lease == nullptr) continue;
    lease->remaining_ttl_s = remaining.remaining_ttl_s();
    const std::string key = EncodeLeaseKey(remaining.id());
    const std::string value = EncodeLease(*lease);
    batch_->Put(Family::kLease, key, value);
    HashEffect(key);
    HashEffect(value);
    outcome->leases.push_back({LeaseChange::Kind::kCheckpointed, LeaseId(remaining.id()),
                               lease->granted_ttl_s, remaining.remaining_ttl_s()});
  }
}

void StoreImpl::ApplyMemberAttributes(const cairn::internal::MemberAttributes& attributes, Outcome* outcome) {
  std::string& bytes = members_[attributes.member_id()];
  bytes = attributes.SerializeAsString();
  std::string key(kMemberPrefix);
  char id[8];
  StoreBig64(id, attributes.member_id());
  key.append(id, sizeof id);
  batch_->Put(Family::kMeta, key, bytes);
  HashEffect(key);
  HashEffect(bytes);
  outcome->members_changed = true;
}

}  // namespace cairn::storage
