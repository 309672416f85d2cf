// The state engine in memory, for simulation: a disk that forgets what was not flushed, and the engine on
// top.
//
// Thread safety: none; everything on the simulator's thread.
// Survives a crash: the disk, which outlives the engine as a disk outlives its process, keeps what the last
//                   completed flush covered and the first few (Crash says how many) of the writes after it.
#ifndef CAIRN_STORAGE_MEMORY_STATE_ENGINE_H_
#define CAIRN_STORAGE_MEMORY_STATE_ENGINE_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/post.h"
#include "storage/state_engine.h"

namespace cairn::storage {

class MemoryStateIterator;

class MemoryStateDisk {
 public:
  MemoryStateDisk() = default;
  MemoryStateDisk(const MemoryStateDisk&) = delete;
  MemoryStateDisk& operator=(const MemoryStateDisk&) = delete;

  // After the engine is gone: of the writes since the last completed flush the first `keep` stay (a real
  // engine flushes by itself when its memory is full), the rest is undone.
  void Crash(size_t keep = 0);

  size_t unflushed_writes() const { return undo_.size(); }
  uint64_t bytes() const { return bytes_; }

 private:
  friend class MemoryStateEngine;
  friend class MemoryStateIterator;

  using Table = std::map<std::string, std::string, std::less<>>;
  struct Undo {
    Family family;
    std::string key;
    std::optional<std::string> old;  // nullopt: the key was not there
  };

  Table& table(Family family) { return tables_[static_cast<size_t>(family)]; }
  const Table& table(Family family) const { return tables_[static_cast<size_t>(family)]; }
  void Put(Family family, std::string_view key, std::string_view value, std::vector<Undo>* undo);
  void Delete(Family family, std::string_view key, std::vector<Undo>* undo);
  void SaveScansOf(Family family, std::string_view key);

  std::array<Table, kFamilyCount> tables_;
  std::deque<std::vector<Undo>> undo_;  // one element a write, oldest first; only writes not flushed
  uint64_t bytes_ = 0;
  std::vector<MemoryStateIterator*> scans_;  // open; each saves itself before its range changes
};

struct MemoryStateEngineOptions {
  PostFn schedule;               // runs the completion of a flush or compaction, later
  std::function<bool()> refuse;  // optional: true makes a write answer UNAVAILABLE
  std::function<bool()> cold;    // optional: true makes a read with kMemoryOnly answer UNAVAILABLE
};

class MemoryStateEngine : public StateEngine {
 public:
  // `disk` must outlive the engine and all its iterators.
  MemoryStateEngine(MemoryStateDisk* disk, MemoryStateEngineOptions options);

  std::unique_ptr<StateBatch> NewBatch() override;
  absl::Status Write(StateBatch& batch, uint64_t entries) override;
  absl::Status Get(Family family, std::string_view key, ReadTier tier, std::string* value) const override;
  std::vector<absl::Status> MultiGet(Family family, std::span<const std::string_view> keys, ReadTier tier,
                                     std::vector<std::string>* values) const override;
  std::unique_ptr<StateIterator> Scan(Family family, std::string_view begin,
                                      std::string_view end) const override;
  void Flush(absl::AnyInvocable<void(absl::Status)> done) override;
  void CompactRange(Family family, std::string_view begin, std::string_view end,
                    absl::AnyInvocable<void(absl::Status)> done) override;
  uint64_t disk_bytes() const override { return disk_->bytes(); }

 private:
  MemoryStateDisk* const disk_;
  const MemoryStateEngineOptions options_;
  uint64_t flushed_writes_ = 0;  // since this engine was made; the disk's undo log begins after them
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // a scheduled completion may come too late
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MEMORY_STATE_ENGINE_H_
