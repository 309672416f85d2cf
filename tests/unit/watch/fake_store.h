// A store that knows only what the watch hub asks for: events by revision, values before, the compact
// revision.
//
// Thread safety: none.
#ifndef CAIRN_TESTS_UNIT_WATCH_FAKE_STORE_H_
#define CAIRN_TESTS_UNIT_WATCH_FAKE_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/etcd/kv.pb.h"
#include "server/ports.h"
#include "storage/mvcc/store.h"

namespace cairn::server {

class FakeStore final : public storage::Store {
 public:
  explicit FakeStore(Loop* loop) : loop_(loop) {}

  // --- Writing, for tests: one revision each ---
  struct Change {
    std::string key;
    bool is_delete = false;
    std::string value = {};
  };

  storage::RevisionEvents Write(const std::vector<Change>& changes) {
    ++revision_;
    storage::RevisionEvents made{.revision = revision_, .events = {}};
    for (const Change& change : changes) {
      Life& life = lives_[change.key];
      mvccpb::Event message;
      mvccpb::KeyValue& kv = *message.mutable_kv();
      kv.set_key(change.key);
      kv.set_mod_revision(revision_.value());
      const storage::EventPosition position{revision_, static_cast<int64_t>(made.events.size())};
      storage::Event event{
          .is_delete = change.is_delete, .wire = nullptr, .key = {}, .previous = life.position};
      if (change.is_delete) {
        message.set_type(mvccpb::Event::DELETE);
        life = {};
      } else {
        if (life.version == 0) life.created = revision_;
        kv.set_create_revision(life.created.value());
        kv.set_version(++life.version);
        kv.set_value(change.value);
        life.position = position;
        values_[position] = std::make_shared<const std::string>(kv.SerializeAsString());
      }
      event.wire = std::make_shared<const std::string>(message.SerializeAsString());
      event.key = KeyIn(*event.wire, change.key);
      made.events.push_back(std::move(event));
    }
    history_[revision_] = made;
    return made;
  }
  storage::RevisionEvents Put(std::string key, std::string value) {
    return Write({{.key = std::move(key), .is_delete = false, .value = std::move(value)}});
  }
  storage::RevisionEvents Delete(std::string key) {
    return Write({{.key = std::move(key), .is_delete = true}});
  }

  void Compact(storage::Revision at) {
    compact_revision_ = at;
    history_.erase(history_.begin(), history_.lower_bound(at));
  }

  bool Has(const std::string& key) const {
    const auto found = lives_.find(key);
    return found != lives_.end() && found->second.version > 0;
  }

  // The next `count` scans find nothing in memory.
  void MakeScansCold(int count) { cold_scans_ = count; }
  // All scans fail like this while it is not OK.
  void FailScans(absl::Status status) { scan_failure_ = std::move(status); }

  int scans() const { return scans_; }
  int values_read() const { return values_read_; }

  // --- Store ---
  storage::Revision revision() const override { return revision_; }
  storage::Revision compact_revision() const override { return compact_revision_; }

  absl::StatusOr<storage::Revision> ScanEvents(storage::Revision from, storage::Revision to, absl::Duration,
                                               std::function<bool(storage::RevisionEvents&&)> visit,
                                               std::function<void()> wake) override {
    ++scans_;
    if (!scan_failure_.ok()) return scan_failure_;
    if (from < compact_revision_) return absl::OutOfRangeError("compacted");
    if (cold_scans_ > 0) {
      --cold_scans_;
      loop_->Post(std::move(wake));
      return absl::UnavailableError("cold");
    }
    for (storage::Revision at = from; at <= to; ++at) {
      const auto found = history_.find(at);
      if (found == history_.end()) continue;  // revision 1 is the empty store
      storage::RevisionEvents copy = found->second;
      if (!visit(std::move(copy))) return at + 1;
    }
    return to + 1;
  }

  std::shared_ptr<const std::string> KeyValueAt(storage::EventPosition position) override {
    ++values_read_;
    const auto found = values_.find(position);
    return found == values_.end() ? nullptr : found->second;
  }

  // The hub asks for nothing of the rest.
  void Apply(std::span<const raft::Entry>, storage::Outcome*) override {}
  absl::Status Commit() override { return absl::OkStatus(); }
  raft::LogIndex applied_index() const override { return {}; }
  raft::Term applied_term() const override { return {}; }
  raft::LogIndex flushed_index() const override { return {}; }
  storage::Revision physically_compacted_revision() const override { return compact_revision_; }
  std::unique_ptr<storage::ReadRun> StartRange(const etcdserverpb::RangeRequest&) override { return nullptr; }
  std::unique_ptr<storage::ReadRun> StartReadTxn(const etcdserverpb::TxnRequest&) override { return nullptr; }
  std::unique_ptr<storage::ReadRun> StartHashKv(storage::Revision) override { return nullptr; }
  ClientError Check(const etcdserverpb::RangeRequest&) const override { return ClientError::kOk; }
  ClientError Check(const etcdserverpb::PutRequest&) const override { return ClientError::kOk; }
  ClientError Check(const etcdserverpb::DeleteRangeRequest&) const override { return ClientError::kOk; }
  ClientError Check(const etcdserverpb::TxnRequest&) const override { return ClientError::kOk; }
  std::vector<storage::LeaseInfo> Leases() const override { return {}; }
  bool FindLease(storage::LeaseId, storage::LeaseInfo*) const override { return false; }
  std::vector<std::string> KeysOfLease(storage::LeaseId) const override { return {}; }
  std::vector<cairn::internal::MemberAttributes> MemberAttributes() const override { return {}; }
  storage::BackgroundWork DoBackgroundWork(absl::Duration) override { return storage::BackgroundWork::kNone; }
  void SetOnBackgroundWork(std::function<void()>) override {}
  void SetOnPhysicallyCompacted(std::function<void()>) override {}
  uint64_t state_hash() const { return 0; }
  uint64_t key_count() const override { return 0; }
  uint64_t disk_bytes() const override { return 0; }
  uint64_t live_bytes() const override { return 0; }

 private:
  struct Life {
    storage::EventPosition position;  // of the value now; main 0 = none
    storage::Revision created;
    int64_t version = 0;
  };

  static std::string_view KeyIn(std::string_view wire, std::string_view key) {
    return wire.substr(wire.find(key), key.size());
  }

  Loop* const loop_;
  storage::Revision revision_{1};
  storage::Revision compact_revision_;
  std::map<std::string, Life> lives_;
  std::map<storage::Revision, storage::RevisionEvents> history_;
  std::map<storage::EventPosition, std::shared_ptr<const std::string>> values_;
  int cold_scans_ = 0;
  absl::Status scan_failure_;
  int scans_ = 0;
  int values_read_ = 0;
};

}  // namespace cairn::server

#endif  // CAIRN_TESTS_UNIT_WATCH_FAKE_STORE_H_
