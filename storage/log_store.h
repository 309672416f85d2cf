// The replicated log on disk, with the hard state, behind one interface in two forms: RocksDB
// (rocksdb_log_store.h) and memory for simulation (memory_log_store.h).
//
// Thread safety: all calls on the core loop's thread. The disk work of the RocksDB form runs on one thread
//                of its own; completions come back through the PostFn given at opening.
// Survives a crash: everything for which `done` ran with OK. Nothing else is promised; what was submitted
//                later may survive only as a prefix, in order.
#ifndef CAIRN_STORAGE_LOG_STORE_H_
#define CAIRN_STORAGE_LOG_STORE_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "raft/log_reader.h"
#include "raft/types.h"
#include "storage/post.h"

namespace cairn::storage {

struct LogWrite {
  std::optional<raft::HardState> hard_state;
  // Contiguous. Entries from the first one's index on that the log already has are replaced (Raft §5.3).
  std::vector<raft::Entry> entries;
};

class LogStore : public raft::LogReader {
 public:
  // What was on disk at opening.
  virtual raft::HardState initial_hard_state() const = 0;

  // Submits a write; visible to the readers at once. `done` runs on the core loop when it is durable, in the
  // order of submission; all writes waiting while a sync runs share the next one. A failed sync is never
  // retried: `done` gets the error, every later one too, and the member must end.
  virtual void Append(LogWrite write, absl::AnyInvocable<void(absl::Status)> done) = 0;

  // Called on the core loop after a read that answered UNAVAILABLE has been loaded.
  virtual void SetOnEntriesLoaded(std::function<void()> callback) = 0;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_LOG_STORE_H_
