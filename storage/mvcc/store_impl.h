// The store behind store.h. Split by concern over several files:
//   store_impl.cc  opening, positions, background     apply.cc       entries and commands
//   txn.cc         transactions, changes of keys      reads.cc       ranges and read-only transactions
//   hash_kv.cc     HashKV                             event_scan.cc  events for watchers
//   compaction.cc  removal of history                 checkpointing.cc  index checkpoints
//
// Thread safety: the core loop's thread. Callbacks of the engine and of OffloadFn come on it too.
// Invariants:    committed_ is what the engine has taken; applied_ is ahead of it only between Apply and
// Commit.
#ifndef CAIRN_STORAGE_MVCC_STORE_IMPL_H_
#define CAIRN_STORAGE_MVCC_STORE_IMPL_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "storage/mvcc/checkpoint.h"
#include "storage/mvcc/key_index.h"
#include "storage/mvcc/lease_table.h"
#include "storage/mvcc/read_parts.h"
#include "storage/mvcc/state_record.h"
#include "storage/mvcc/store.h"
#include "storage/mvcc/value_fetcher.h"

namespace cairn::storage {

class StoreImpl;
struct EventChunk;
struct Checkpointing;

// Keeps history from `revision` on in the index while it lives.
class Pin {
 public:
  Pin(StoreImpl* store, int64_t revision);
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  ~Pin();

 private:
  StoreImpl* const store_;
  const std::multiset<int64_t>::iterator at_;
};

// One write transaction while it is applied: all its changes share one revision.
struct WriteTxn {
  explicit WriteTxn(int64_t begin) : begin_revision(begin) {}
  const int64_t begin_revision;
  uint32_t changes = 0;
  std::vector<Event> events;
  // What its own reads see, and what its answers carry.
  int64_t revision() const { return begin_revision + (changes > 0 ? 1 : 0); }
};

class StoreImpl : public Store {
 public:
  StoreImpl(const StoreOptions& options, StateEngine* engine, BlobStore* checkpoints, OffloadFn offload);
  ~StoreImpl() override;
  absl::Status Load();

  void Apply(std::span<const raft::Entry> entries, Outcome* outcome) override;
  absl::Status Commit() override;

  raft::LogIndex applied_index() const override { return raft::LogIndex(committed_.applied_index); }
  raft::Term applied_term() const override { return raft::Term(committed_.applied_term); }
  raft::LogIndex flushed_index() const override { return raft::LogIndex(flushed_index_); }
  Revision revision() const override { return Revision(committed_.revision); }
  Revision compact_revision() const override {
    return Revision(std::max<int64_t>(committed_.compact_revision, 0));
  }
  Revision physically_compacted_revision() const override { return Revision(physical_); }

  std::unique_ptr<ReadRun> StartRange(const etcdserverpb::RangeRequest& request) override;
  std::unique_ptr<ReadRun> StartReadTxn(const etcdserverpb::TxnRequest& request) override;
  std::unique_ptr<ReadRun> StartHashKv(Revision at) override;

  ClientError Check(const etcdserverpb::RangeRequest& request) const override { return CheckRange(request); }
  ClientError Check(const etcdserverpb::PutRequest& request) const override { return CheckPut(request); }
  ClientError Check(const etcdserverpb::DeleteRangeRequest& request) const override {
    return CheckDeleteRange(request);
  }
  ClientError Check(const etcdserverpb::TxnRequest& request) const override {
    return CheckTxn(request, options_.max_txn_ops);
  }

  absl::StatusOr<Revision> ScanEvents(Revision from, Revision to, absl::Duration budget,
                                      std::function<bool(RevisionEvents&&)> visit,
                                      std::function<void()> wake) override;
  std::shared_ptr<const std::string> KeyValueAt(EventPosition position) override;

  std::vector<LeaseInfo> Leases() const override;
  bool FindLease(LeaseId id, LeaseInfo* info) const override;
  std::vector<std::string> KeysOfLease(LeaseId id) const override { return leases_.SortedKeys(id.value()); }
  std::vector<cairn::internal::MemberAttributes> MemberAttributes() const override;

  BackgroundWork DoBackgroundWork(absl::Duration budget) override;
  void SetOnBackgroundWork(std::function<void()> wake) override;
  void SetOnPhysicallyCompacted(std::function<void()> callback) override {
    on_physically_compacted_ = std::move(callback);
  }

  uint64_t state_hash() const override { return committed_.state_hash; }
  uint64_t key_count() const override { return index_.live_keys(); }
  uint64_t disk_bytes() const override { return engine_->disk_bytes(); }
  uint64_t live_bytes() const override { return index_.live_bytes(); }

  // For reads under way.
  ReadSource Source() { return {&index_, &values_, applied_.revision}; }
  std::multiset<int64_t>* pins() { return &pins_; }
  void PinReleased();
  int64_t raw_compact_revision() const { return committed_.compact_revision; }  // -1 = never compacted

 private:
  // --- apply.cc
  void ApplyCommand(uint64_t term, const cairn::internal::Command& command, Outcome* outcome);
  ClientError ApplyPut(const etcdserverpb::PutRequest& request, std::string* body, WriteTxn* txn);
  ClientError ApplyCompact(const etcdserverpb::CompactionRequest& request, Outcome* outcome);
  ClientError ApplyLeaseGrant(const cairn::internal::LeaseGrant& request, std::string* body,
                              Outcome* outcome);
  void RemoveLease(int64_t id, Outcome* outcome);
  void ApplyLeaseExpire(uint64_t term, const cairn::internal::LeaseExpire& request, Outcome* outcome);
  void ApplyLeaseCheckpoint(uint64_t term, const cairn::internal::LeaseCheckpoint& request, Outcome* outcome);
  void ApplyMemberAttributes(const cairn::internal::MemberAttributes& attributes, Outcome* outcome);
  void HashEffect(std::string_view bytes);
  void EndTxn(WriteTxn* txn, Outcome* outcome);

  // --- txn.cc. `body` nullptr: nobody waits for the answer.
  ClientError ApplyTxn(const etcdserverpb::TxnRequest& request, std::string* body, WriteTxn* txn);
  bool ComparesHold(const etcdserverpb::TxnRequest& request);
  void ChoosePath(const etcdserverpb::TxnRequest& request, std::vector<bool>* path);
  void RunTxn(const etcdserverpb::TxnRequest& request, const std::vector<bool>& path, size_t* at,
              bool outermost, std::string* body, WriteTxn* txn);
  void RunRange(const etcdserverpb::RangeRequest& request, std::string* body, WriteTxn* txn);
  void RunPut(const etcdserverpb::PutRequest& request, std::string* body, WriteTxn* txn);
  void RunDeleteRange(const etcdserverpb::DeleteRangeRequest& request, std::string* body, WriteTxn* txn);
  void PutKey(std::string_view key, std::string_view value, int64_t lease, WriteTxn* txn);
  void DeleteKey(const KeyRecord* record, WriteTxn* txn);
  void AddChange(bool is_delete, const KeyRecord* record, std::string wire, WriteTxn* txn);
  void FetchNow(std::span<Item> items);

  // --- store_impl.cc
  absl::Status LoadMeta();
  absl::Status LoadIndex();
  absl::Status ReplayEvents(int64_t after);
  void MaybeFlush();
  void StartFlush(std::function<void()> then);
  void WakeBackground();

  // --- compaction.cc
  int64_t PruneThreshold() const;
  BackgroundWork CompactionSlice(WorkBudget* budget);
  bool FindDead(int64_t bound, WorkBudget* budget);
  void FillRemoval(int64_t bound, WorkBudget* budget);
  void StartSpaceReclaim();

  // --- checkpointing.cc
  bool CheckpointDue() const;
  void StartCheckpoint();
  bool CheckpointSlice(WorkBudget* budget);
  void FinishCheckpoint(bool ok);
  void DropOldCheckpoint();
  int64_t TombstoneBound() const;

  const StoreOptions options_;
  StateEngine* const engine_;
  BlobStore* const blobs_;
  const OffloadFn offload_;

  KeyIndex index_;
  LeaseTable leases_;
  std::map<uint64_t, std::string> members_;  // serialized MemberAttributes
  ValueFetcher values_;

  StateRecord applied_;
  StateRecord committed_;
  std::unique_ptr<StateBatch> batch_;  // of Apply, until Commit
  uint64_t batch_entries_ = 0;
  bool batch_sealed_ = false;               // the state record is in it
  cairn::internal::CommandBatch commands_;  // reused
  std::string record_buffer_;               // reused

  uint64_t flushed_index_ = 0;
  bool flushing_ = false;
  // Commands and events since opening: applied, committed to the engine, flushed.
  uint64_t applied_work_ = 0;
  uint64_t committed_work_ = 0;
  uint64_t flushed_work_ = 0;
  absl::Status fatal_;  // of work in the background; Commit reports it

  std::multiset<int64_t> pins_;
  int64_t physical_ = 0;
  DeadRevisions dead_;        // unreadable, to be removed from the engine
  DeadRevisions held_;        // unreadable, but not yet to be removed
  int64_t held_compact_ = 0;  // compact revision and checkpoint bound when they were put aside
  int64_t held_bound_ = 0;
  std::unique_ptr<StateBatch> removal_;
  size_t removal_ops_ = 0;
  int64_t announced_ = 0;  // not 0: removal_ completes the compaction to this revision
  enum class BeforeRemoval : uint8_t {
    kNothing,
    kFlushing,
    kFlushed
  } before_removal_ = BeforeRemoval::kNothing;
  uint64_t removed_ = 0;      // events, since space was last given back
  int64_t removed_from_ = 0;  // the oldest of them, if there are any
  bool reclaiming_ = false;

  std::vector<std::string> checkpoints_;  // kept, oldest first
  bool dropping_checkpoint_ = false;
  std::shared_ptr<Checkpointing> checkpointing_;
  std::unique_ptr<Pin> checkpoint_pin_;  // the index keeps what the checkpoint has yet to visit
  uint64_t events_since_checkpoint_ = 0;

  std::vector<std::shared_ptr<EventChunk>> chunks_;  // of the event log, most recently asked for last

  std::function<void()> on_background_work_;
  std::function<void()> on_physically_compacted_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // callbacks hold it weakly
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_STORE_IMPL_H_
