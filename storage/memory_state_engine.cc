#include "storage/memory_state_engine.h"

#include <algorithm>
#include <utility>

#include "raft/check.h"

namespace cairn::storage {
namespace {

class MemoryStateBatch : public StateBatch {
 public:
  struct Op {
    Family family;
    bool is_delete;
    std::string key;
    std::string value;
  };

  void Put(Family family, std::string_view key, std::string_view value) override {
    bytes_ += key.size() + value.size();
    ops_.push_back({family, false, std::string(key), std::string(value)});
  }
  void Delete(Family family, std::string_view key) override {
    bytes_ += key.size();
    ops_.push_back({family, true, std::string(key), {}});
  }
  void Clear() override {
    ops_.clear();
    bytes_ = 0;
  }
  size_t size_bytes() const override { return bytes_; }

  const std::vector<Op>& ops() const { return ops_; }

 private:
  std::vector<Op> ops_;
  size_t bytes_ = 0;
};

}  // namespace

// Reads the live table until something in its range is about to change; then it copies what is left and goes
// on from the copy.
class MemoryStateIterator : public StateIterator {
 public:
  MemoryStateIterator(MemoryStateDisk* disk, Family family, std::string_view begin, std::string_view end)
      : disk_(disk), family_(family), end_(end), at_(disk->table(family).lower_bound(begin)) {
    disk->scans_.push_back(this);
    DetachAtEnd();
  }
  ~MemoryStateIterator() override {
    if (live_) std::erase(disk_->scans_, this);
  }

  bool Valid() const override { return live_ || position_ < copy_.size(); }
  void Next() override {
    if (live_) {
      ++at_;
      DetachAtEnd();
    } else {
      ++position_;
    }
  }
  std::string_view key() const override { return live_ ? at_->first : copy_[position_].first; }
  std::string_view value() const override { return live_ ? at_->second : copy_[position_].second; }
  absl::Status status() const override { return absl::OkStatus(); }

  // Whether a change of `key` would show. Only for a live one, which always stands on an entry of its range.
  bool Covers(Family family, std::string_view key) const {
    return family == family_ && key >= at_->first && (end_.empty() || key < end_);
  }

  // Copies what is left; the disk forgets the iterator.
  void Save() {
    for (; !AtEnd(); ++at_) copy_.emplace_back(at_->first, at_->second);
    live_ = false;
  }

 private:
  bool AtEnd() const { return at_ == disk_->table(family_).end() || (!end_.empty() && at_->first >= end_); }
  void DetachAtEnd() {
    if (!AtEnd()) return;
    std::erase(disk_->scans_, this);
    live_ = false;
  }

  MemoryStateDisk* const disk_;
  const Family family_;
  const std::string end_;
  MemoryStateDisk::Table::const_iterator at_;  // while live_
  bool live_ = true;
  std::vector<std::pair<std::string, std::string>> copy_;
  size_t position_ = 0;
};

void MemoryStateDisk::Crash(size_t keep) {
  CAIRN_CHECK(scans_.empty()) << "an iterator outlived its engine";
  while (undo_.size() > keep) {
    std::vector<Undo>& write = undo_.back();
    for (auto undo = write.rbegin(); undo != write.rend(); ++undo) {
      if (undo->old) {
        Put(undo->family, undo->key, *undo->old, nullptr);
      } else {
        Delete(undo->family, undo->key, nullptr);
      }
    }
    undo_.pop_back();
  }
  undo_.clear();
}

void MemoryStateDisk::Put(Family family, std::string_view key, std::string_view value,
                          std::vector<Undo>* undo) {
  SaveScansOf(family, key);
  Table& to = table(family);
  auto at = to.empty() || to.rbegin()->first < key ? to.end() : to.lower_bound(key);
  if (at == to.end() || at->first != key) {
    to.emplace_hint(at, key, value);
    bytes_ += key.size() + value.size();
    if (undo != nullptr) undo->push_back({family, std::string(key), std::nullopt});
    return;
  }
  bytes_ += value.size() - at->second.size();
  if (undo != nullptr) undo->push_back({family, std::string(key), std::move(at->second)});
  at->second = value;
}

void MemoryStateDisk::Delete(Family family, std::string_view key, std::vector<Undo>* undo) {
  Table& from = table(family);
  auto at = from.find(key);
  if (at == from.end()) return;
  SaveScansOf(family, key);
  bytes_ -= at->first.size() + at->second.size();
  if (undo != nullptr) undo->push_back({family, at->first, std::move(at->second)});
  from.erase(at);
}

void MemoryStateDisk::SaveScansOf(Family family, std::string_view key) {
  std::erase_if(scans_, [&](MemoryStateIterator* scan) {
    if (!scan->Covers(family, key)) return false;
    scan->Save();
    return true;
  });
}

MemoryStateEngine::MemoryStateEngine(MemoryStateDisk* disk, MemoryStateEngineOptions options)
    : disk_(disk), options_(std::move(options)) {
  CAIRN_CHECK(disk->undo_.empty()) << "the engine before this one was not ended by Crash()";
}

std::unique_ptr<StateBatch> MemoryStateEngine::NewBatch() { return std::make_unique<MemoryStateBatch>(); }

absl::Status MemoryStateEngine::Write(StateBatch& batch, uint64_t /*entries*/) {
  if (options_.refuse && options_.refuse()) return absl::UnavailableError("the disk takes no writes for now");
  std::vector<MemoryStateDisk::Undo>& undo = disk_->undo_.emplace_back();
  for (const MemoryStateBatch::Op& op : static_cast<MemoryStateBatch&>(batch).ops()) {
    if (op.is_delete) {
      disk_->Delete(op.family, op.key, &undo);
    } else {
      disk_->Put(op.family, op.key, op.value, &undo);
    }
  }
  return absl::OkStatus();
}

absl::Status MemoryStateEngine::Get(Family family, std::string_view key, ReadTier tier,
                                    std::string* value) const {
  if (tier == ReadTier::kMemoryOnly && options_.cold && options_.cold()) {
    return absl::UnavailableError("not in memory");
  }
  const MemoryStateDisk::Table& table = disk_->table(family);
  auto at = table.find(key);
  if (at == table.end()) return absl::NotFoundError("no such key");
  *value = at->second;
  return absl::OkStatus();
}

std::vector<absl::Status> MemoryStateEngine::MultiGet(Family family, std::span<const std::string_view> keys,
                                                      ReadTier tier, std::vector<std::string>* values) const {
  std::vector<absl::Status> statuses;
  statuses.reserve(keys.size());
  values->resize(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) statuses.push_back(Get(family, keys[i], tier, &(*values)[i]));
  return statuses;
}

std::unique_ptr<StateIterator> MemoryStateEngine::Scan(Family family, std::string_view begin,
                                                       std::string_view end) const {
  return std::make_unique<MemoryStateIterator>(disk_, family, begin, end);
}

void MemoryStateEngine::Flush(absl::AnyInvocable<void(absl::Status)> done) {
  const uint64_t upto = flushed_writes_ + disk_->undo_.size();
  options_.schedule([this, alive = std::weak_ptr<bool>(alive_), upto, done = std::move(done)]() mutable {
    if (alive.expired()) return;
    for (; flushed_writes_ < upto; ++flushed_writes_) disk_->undo_.pop_front();
    done(absl::OkStatus());
  });
}

void MemoryStateEngine::CompactRange(Family /*family*/, std::string_view /*begin*/, std::string_view /*end*/,
                                     absl::AnyInvocable<void(absl::Status)> done) {
  options_.schedule([alive = std::weak_ptr<bool>(alive_), done = std::move(done)]() mutable {
    if (!alive.expired()) done(absl::OkStatus());
  });
}

}  // namespace cairn::storage
