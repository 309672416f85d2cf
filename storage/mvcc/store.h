// The replicated store: keys with revisions, transactions, leases' keys, compaction. Deterministic: the same
// entries give the same state on every member. It knows nothing of Raft beyond "apply this entry at this
// index".
//
// Thread safety: everything on the core loop's thread. Slow reads go through OffloadFn.
// Survives a crash: state up to the applied index that the engine comes back with; the log replays the rest.
// Responses are made as protobuf wire bytes *without* the header field: the door puts the header in front
// (protobuf fields may be concatenated), so that values are copied once.
#ifndef CAIRN_STORAGE_MVCC_STORE_H_
#define CAIRN_STORAGE_MVCC_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/errors.h"
#include "proto/etcd/rpc.pb.h"
#include "proto/internal/command.pb.h"
#include "raft/types.h"
#include "storage/blob_store.h"
#include "storage/state_engine.h"
#include "storage/types.h"

namespace cairn::storage {

// Runs `work` on a thread that may block, then `done` on the core loop.
using OffloadFn = std::function<void(absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done)>;

// Where one change stands in the event log: the revision and the position within it.
struct EventPosition {
  Revision main;
  int64_t sub = 0;
  auto operator<=>(const EventPosition&) const = default;
};

// One change of one key. `wire` is the serialized mvccpb.Event (type and kv, no prev_kv), made once and
// shared by the event log and all watchers.
struct Event {
  bool is_delete = false;
  std::shared_ptr<const std::string> wire;
  std::string_view key;    // points into *wire
  EventPosition previous;  // where the value before stands; main 0 = there was none
};

// All changes of one revision, in order.
struct RevisionEvents {
  Revision revision;
  std::vector<Event> events;
};

// What a command or a read answers. `body` holds the response message's fields without the header.
struct Result {
  ClientError error = ClientError::kOk;
  Revision revision;  // for the header
  std::string body;
};

struct CommandResult {
  uint64_t request_id = 0;
  Result result;
  // Not 0: answer only when physically_compacted_revision() has reached it.
  Revision wait_for_physical_compaction;
};

// A change of the lease table, for the lessor that counts the time.
struct LeaseChange {
  enum class Kind : uint8_t { kGranted, kRemoved, kCheckpointed } kind = Kind::kGranted;
  LeaseId id;
  int64_t granted_ttl_s = 0;
  int64_t remaining_ttl_s = 0;  // kCheckpointed: 0 = full again
};

struct LeaseInfo {
  LeaseId id;
  int64_t granted_ttl_s = 0;
  int64_t remaining_ttl_s = 0;  // last checkpoint; 0 = full
};

// What applying some entries brought. Nothing of it may be shown to anybody before Commit() is OK.
struct Outcome {
  std::vector<CommandResult> results;  // of commands whose origin is this member
  std::vector<RevisionEvents> events;
  std::vector<LeaseChange> leases;
  bool members_changed = false;
  Revision compacted;  // not 0: the compact revision is now this
};

// A read that may take more than one slice. Pins its revision against removal while it lives.
class ReadRun {
 public:
  enum class Step : uint8_t {
    kDone,
    kYield,  // the slice is used up: call Resume again in a later turn of the loop
    kWait,   // a disk read is under way: `wake` will be called on the core loop, then Resume
  };
  virtual ~ReadRun() = default;
  // Works for about `budget` at most.
  virtual Step Resume(absl::Duration budget, std::function<void()> wake) = 0;
  // After kDone.
  virtual Result TakeResult() = 0;
};

// What is left of the background work after a slice of it.
enum class BackgroundWork : uint8_t {
  kNone,     // nothing, until the store says so (SetOnBackgroundWork)
  kMore,     // go on in a later turn
  kRefused,  // the engine takes no write for the moment: go on a little later
};

struct StoreOptions {
  uint64_t self = 0;         // this member's id, compared with Command.origin
  uint64_t database_id = 0;  // names the data directory in index checkpoints: one of another is not used
  int max_txn_ops = 128;     // of each list of a transaction
  size_t hot_value_bytes = 32 << 20;  // budget for values kept in memory
  // Flush when so many commands and events are unflushed: what a restart after a crash replays. An entry may
  // hold thousands of commands, so entries would say little.
  uint64_t flush_work = 50'000;
  uint64_t checkpoint_min_events =
      200'000;  // write an index checkpoint after so many events (or half the keys, if more)
};

class Store {
 public:
  // Loads checkpoint and events. Blocks: called before the loop starts.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const StoreOptions& options, StateEngine* engine,
                                                     BlobStore* checkpoints, OffloadFn offload);
  virtual ~Store() = default;

  // --- Writing
  // -------------------------------------------------------------------------------------------------

  // Applies committed entries in order (each index = applied_index() + 1) to memory and to the pending batch.
  // A payload that does not parse is an invariant broken: the process stops.
  virtual void Apply(std::span<const raft::Entry> entries, Outcome* outcome) = 0;

  // Hands the pending batch to the engine. UNAVAILABLE: refused for now, call again later, and Apply nothing
  // until then. Any other error is fatal to the member. Only after OK do reads see the new revision.
  virtual absl::Status Commit() = 0;

  // --- Positions
  // -----------------------------------------------------------------------------------------------

  virtual raft::LogIndex applied_index() const = 0;  // committed to the engine
  virtual raft::Term applied_term() const = 0;
  virtual raft::LogIndex flushed_index() const = 0;  // survives a crash
  virtual Revision revision() const = 0;             // visible to reads
  virtual Revision compact_revision() const = 0;     // 0 = never compacted
  virtual Revision physically_compacted_revision() const = 0;

  // --- Reading (of the visible revision)
  // ------------------------------------------------------------------------

  // Errors of the request itself come as a run that is done at once. `request` and the store must outlive the
  // run.
  virtual std::unique_ptr<ReadRun> StartRange(const etcdserverpb::RangeRequest& request) = 0;
  // A transaction without writes.
  virtual std::unique_ptr<ReadRun> StartReadTxn(const etcdserverpb::TxnRequest& request) = 0;
  // Body: hash, compact_revision, hash_revision of HashKVResponse. Computed from the index and the events at
  // live revisions, never from what is physically there: equal on all members.
  virtual std::unique_ptr<ReadRun> StartHashKv(Revision at) = 0;

  // Checks that do not depend on the state (empty key, duplicate keys, operation count, sort options, …),
  // done by the door before a command is proposed and again by Apply. kOk or the error.
  virtual ClientError Check(const etcdserverpb::RangeRequest& request) const = 0;
  virtual ClientError Check(const etcdserverpb::PutRequest& request) const = 0;
  virtual ClientError Check(const etcdserverpb::DeleteRangeRequest& request) const = 0;
  virtual ClientError Check(const etcdserverpb::TxnRequest& request) const = 0;

  // Calls `visit` for the events of revisions in [from, to] in order, until it answers false or about
  // `budget` has passed. Returns the next revision to go on from (to + 1 when all were seen). OUT_OF_RANGE
  // when `from` is below the compact revision. UNAVAILABLE: not in memory; loading has been started and
  // `wake` will be called on the core loop.
  virtual absl::StatusOr<Revision> ScanEvents(Revision from, Revision to, absl::Duration budget,
                                              std::function<bool(RevisionEvents&&)> visit,
                                              std::function<void()> wake) = 0;

  // The serialized mvccpb.KeyValue put by the change at `position` (for prev_kv), or nullptr when it has been
  // compacted away or was a deletion. Served from memory when hot; may read the disk otherwise.
  virtual std::shared_ptr<const std::string> KeyValueAt(EventPosition position) = 0;

  // --- Leases and members
  // ---------------------------------------------------------------------------------------

  virtual std::vector<LeaseInfo> Leases() const = 0;  // in order of id
  virtual bool FindLease(LeaseId id, LeaseInfo* info) const = 0;
  virtual std::vector<std::string> KeysOfLease(LeaseId id) const = 0;  // sorted
  virtual std::vector<cairn::internal::MemberAttributes> MemberAttributes() const = 0;

  // --- Background
  // ------------------------------------------------------------------------------------------------

  // Removal of compacted history, checkpoints, flushes: does a slice of about `budget`.
  // `wake` is called on the core loop when there is work again.
  virtual BackgroundWork DoBackgroundWork(absl::Duration budget) = 0;
  virtual void SetOnBackgroundWork(std::function<void()> wake) = 0;
  // Called on the core loop when physically_compacted_revision() moved.
  virtual void SetOnPhysicallyCompacted(std::function<void()> callback) = 0;

  // The chain over the effects of all entries up to applied_index(): equal on all members, at any batching.
  virtual uint64_t state_hash() const = 0;

  virtual uint64_t key_count() const = 0;
  virtual uint64_t disk_bytes() const = 0;
  virtual uint64_t live_bytes() const = 0;  // of keys and values at the current revision
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_STORE_H_
