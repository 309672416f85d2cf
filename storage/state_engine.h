// The ordered key-value engine under the replicated state, in two forms: RocksDB
// (rocksdb_state_engine.h) and memory for simulation (memory_state_engine.h).
//
// Writes are atomic over all families, go without a write-ahead log, and become durable only by a flush:
// after a crash the engine comes back as of some earlier write, never as part of one. The Raft log above is
// the durable copy of what is missing.
//
// Thread safety: Write, Flush on the core loop's thread; reads from any thread.
#ifndef CAIRN_STORAGE_STATE_ENGINE_H_
#define CAIRN_STORAGE_STATE_ENGINE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace cairn::storage {

enum class Family : uint8_t { kEvents = 0, kMeta = 1, kLease = 2 };
inline constexpr int kFamilyCount = 3;

// Puts and deletes that take effect together. Reusable after Clear().
class StateBatch {
 public:
  virtual ~StateBatch() = default;
  virtual void Put(Family family, std::string_view key, std::string_view value) = 0;
  virtual void Delete(Family family, std::string_view key) = 0;
  virtual void Clear() = 0;
  virtual size_t size_bytes() const = 0;
};

class StateIterator {
 public:
  virtual ~StateIterator() = default;
  virtual bool Valid() const = 0;
  virtual void Next() = 0;
  virtual std::string_view key() const = 0;    // valid until Next()
  virtual std::string_view value() const = 0;  // valid until Next()
  virtual absl::Status status() const = 0;
};

enum class ReadTier : uint8_t {
  kMemoryOnly,  // memtables and block cache: never touches the disk
  kAll,
};

class StateEngine {
 public:
  virtual ~StateEngine() = default;

  virtual std::unique_ptr<StateBatch> NewBatch() = 0;

  // Applies the batch, never waiting: UNAVAILABLE means refused for now, nothing applied, try again later.
  // Any other error is fatal to the member. `entries` = log entries the batch covers, counted towards the
  // flush threshold.
  virtual absl::Status Write(StateBatch& batch, uint64_t entries) = 0;

  // NOT_FOUND; UNAVAILABLE with kMemoryOnly when the disk would be needed.
  virtual absl::Status Get(Family family, std::string_view key, ReadTier tier, std::string* value) const = 0;

  // `keys` sorted. One status a key, as Get.
  virtual std::vector<absl::Status> MultiGet(Family family, std::span<const std::string_view> keys,
                                             ReadTier tier, std::vector<std::string>* values) const = 0;

  // A stable view of keys in [begin, end); an empty `end` = to the last.
  virtual std::unique_ptr<StateIterator> Scan(Family family, std::string_view begin,
                                              std::string_view end) const = 0;

  // Starts a flush of everything written so far, atomically over the families. `done` runs on the core loop.
  virtual void Flush(absl::AnyInvocable<void(absl::Status)> done) = 0;

  // Gives disk space of deleted keys in [begin, end) back, in the background, slowly. `done` on the core
  // loop.
  virtual void CompactRange(Family family, std::string_view begin, std::string_view end,
                            absl::AnyInvocable<void(absl::Status)> done) = 0;

  virtual uint64_t disk_bytes() const = 0;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_STATE_ENGINE_H_
