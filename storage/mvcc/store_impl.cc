// Opening the store, its positions, its background work.
#include "storage/mvcc/store_impl.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "raft/check.h"
#include "storage/mvcc/checkpointing.h"
#include "storage/mvcc/event_chunk.h"
#include "storage/mvcc/wire.h"

namespace cairn::storage {

Pin::Pin(StoreImpl* store, int64_t revision) : store_(store), at_(store->pins()->insert(revision)) {}
Pin::~Pin() {
  store_->pins()->erase(at_);
  store_->PinReleased();
}

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const StoreOptions& options, StateEngine* engine,
                                                   BlobStore* checkpoints, OffloadFn offload) {
  auto store = std::make_unique<StoreImpl>(options, engine, checkpoints, std::move(offload));
  absl::Status status = store->Load();
  if (!status.ok()) return status;
  return std::unique_ptr<Store>(std::move(store));
}

StoreImpl::StoreImpl(const StoreOptions& options, StateEngine* engine, BlobStore* checkpoints,
                     OffloadFn offload)
    : options_(options),
      engine_(engine),
      blobs_(checkpoints),
      offload_(std::move(offload)),
      values_(engine, offload_, options.hot_value_bytes),
      batch_(engine->NewBatch()),
      removal_(engine->NewBatch()) {}

StoreImpl::~StoreImpl() {
  on_background_work_ = nullptr;
  checkpoint_pin_.reset();
  CAIRN_CHECK(pins_.empty()) << "a read outlives its store";
}

absl::Status StoreImpl::Load() {
  absl::Status status = LoadMeta();
  if (status.ok()) status = LoadIndex();
  if (!status.ok()) return status;
  committed_ = applied_;
  flushed_index_ = applied_.applied_index;
  auto cursor = index_.Seek({});
  for (; cursor.Valid(); cursor.Next()) {
    const KeyRecord* record = cursor.record();
    if (record->newest.lease == 0) continue;
    if (leases_.Find(record->newest.lease) == nullptr) {
      return absl::DataLossError(absl::StrCat("a key is attached to lease ", record->newest.lease,
                                              ", which the state database does not know"));
    }
    leases_.Move(record, 0, record->newest.lease);
  }
  return absl::OkStatus();
}

absl::Status StoreImpl::LoadMeta() {
  std::string value;
  absl::Status status = engine_->Get(Family::kMeta, kStateKey, ReadTier::kAll, &value);
  if (status.ok()) {
    status = DecodeStateRecord(value, &applied_);
  } else if (absl::IsNotFound(status)) {
    status = absl::OkStatus();
  }
  if (!status.ok()) return status;
  status = engine_->Get(Family::kMeta, kPhysicalKey, ReadTier::kAll, &value);
  if (status.ok()) {
    StateRecord physical;
    status = DecodeStateRecord(value, &physical);
    physical_ = physical.compact_revision;
  } else if (absl::IsNotFound(status)) {
    status = absl::OkStatus();
  }
  if (!status.ok()) return status;
  const std::string prefix(kMemberPrefix);
  std::string prefix_end = prefix;
  ++prefix_end.back();
  auto members = engine_->Scan(Family::kMeta, prefix, prefix_end);
  for (; members->Valid(); members->Next()) {
    cairn::internal::MemberAttributes attributes;
    std::string bytes(members->value());
    if (!attributes.ParseFromString(bytes)) return absl::DataLossError("a member's attributes do not parse");
    members_[attributes.member_id()] = std::move(bytes);
  }
  if (!members->status().ok()) return members->status();
  auto leases = engine_->Scan(Family::kLease, {}, {});
  for (; leases->Valid(); leases->Next()) {
    int64_t id;
    Lease lease;
    status = DecodeLease(leases->key(), leases->value(), &id, &lease);
    if (!status.ok()) return status;
    leases_.Grant(id, lease.granted_ttl_s)->remaining_ttl_s = lease.remaining_ttl_s;
  }
  return leases->status();
}

absl::Status StoreImpl::ReplayEvents(int64_t after) {
  const EventKey begin = EncodeEventKey({Revision(after + 1), 0});
  auto events = engine_->Scan(Family::kEvents, View(begin), {});
  for (; events->Valid(); events->Next()) {
    EventPosition position;
    EventRecord record;
    EventView event;
    absl::Status status = DecodeEventKey(events->key(), &position);
    if (status.ok()) status = DecodeEventRecord(position, events->value(), &record);
    if (!status.ok()) return status;
    if (!ParseEventWire(record.wire, &event)) return absl::DataLossError("a stored event does not parse");
    event.version.sub = static_cast<uint32_t>(position.sub);
    index_.Apply(event.key, event.version);
    ++events_since_checkpoint_;
  }
  return events->status();
}

bool StoreImpl::FindLease(LeaseId id, LeaseInfo* info) const {
  const Lease* lease = leases_.Find(id.value());
  if (lease == nullptr) return false;
  *info = {id, lease->granted_ttl_s, lease->remaining_ttl_s};
  return true;
}

std::vector<LeaseInfo> StoreImpl::Leases() const {
  std::vector<LeaseInfo> all;
  for (const auto& [id, lease] : leases_.all()) {
    all.push_back({LeaseId(id), lease.granted_ttl_s, lease.remaining_ttl_s});
  }
  return all;
}

std::vector<cairn::internal::MemberAttributes> StoreImpl::MemberAttributes() const {
  std::vector<cairn::internal::MemberAttributes> all;
  for (const auto& [id, bytes] : members_) {
    CAIRN_CHECK(all.emplace_back().ParseFromString(bytes))
        << "attributes of member " << id << " do not parse";
  }
  return all;
}

absl::Status StoreImpl::Commit() {
  if (!fatal_.ok()) return fatal_;
  if (batch_entries_ == 0) return absl::OkStatus();
  if (!batch_sealed_) batch_->Put(Family::kMeta, kStateKey, EncodeStateRecord(applied_));
  batch_sealed_ = true;
  absl::Status status = engine_->Write(*batch_, batch_entries_);
  if (!status.ok()) return status;
  const bool compacted = applied_.compact_revision != committed_.compact_revision;
  committed_ = applied_;
  committed_work_ = applied_work_;
  batch_->Clear();
  batch_entries_ = 0;
  batch_sealed_ = false;
  values_.ClearPending();
  MaybeFlush();
  if (compacted || CheckpointDue()) WakeBackground();
  return absl::OkStatus();
}

void StoreImpl::MaybeFlush() {
  if (!flushing_ && committed_work_ - flushed_work_ >= options_.flush_work) StartFlush(nullptr);
}

void StoreImpl::StartFlush(std::function<void()> then) {
  flushing_ = true;
  engine_->Flush([this, alive = std::weak_ptr<int>(alive_), index = committed_.applied_index,
                  work = committed_work_, then = std::move(then)](absl::Status status) {
    if (alive.expired()) return;
    flushing_ = false;
    if (absl::IsResourceExhausted(status) || absl::IsUnavailable(status)) {
      // A full disk is not the end: the log keeps what is not flushed, the next commit asks again.
    } else if (!status.ok()) {
      fatal_ = std::move(status);
      return;
    } else {
      flushed_index_ = index;
      flushed_work_ = work;
      MaybeFlush();
    }
    if (then) then();
  });
}

// What a crash interrupted goes on at once.
void StoreImpl::SetOnBackgroundWork(std::function<void()> wake) {
  on_background_work_ = std::move(wake);
  if (physical_ < committed_.compact_revision || CheckpointDue()) WakeBackground();
}

void StoreImpl::WakeBackground() {
  if (on_background_work_) on_background_work_();
}

void StoreImpl::PinReleased() {
  if (physical_ < committed_.compact_revision && !index_.Pruned(PruneThreshold())) WakeBackground();
}

BackgroundWork StoreImpl::DoBackgroundWork(absl::Duration budget) {
  WorkBudget left(budget);
  if (CheckpointDue()) StartCheckpoint();
  const bool more_checkpoint = CheckpointSlice(&left);
  const BackgroundWork compaction = CompactionSlice(&left);
  return more_checkpoint ? BackgroundWork::kMore : compaction;
}

}  // namespace cairn::storage
