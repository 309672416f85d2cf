#include "storage/mvcc/key_index.h"

#include <algorithm>
#include <utility>

namespace cairn::storage {

KeyRecord* KeyIndex::Apply(std::string_view key, const KeyVersion& version) {
  KeyRecord* record = table_.Find(key);
  const bool fresh = record == nullptr;
  if (fresh) {
    record = tree_.Insert(key);
    table_.Insert(record);
  }
  Supersede(record, fresh, version);
  return record;
}

void KeyIndex::Apply(const KeyRecord* known, const KeyVersion& version) {
  Supersede(const_cast<KeyRecord*>(known), false, version);  // the index owns it
}

void KeyIndex::Supersede(KeyRecord* record, bool fresh, const KeyVersion& version) {
  const bool was_live = record->newest.live();
  if (was_live) live_bytes_ -= record->key_bytes + record->newest.value_bytes;
  if (!fresh) {
    if (record->history == nullptr) record->history = new History();
    record->history->Push(record->newest);
  }
  record->newest = version;
  if (!fresh || !version.live()) changes_.push_back({version.mod, version.sub, record});
  if (version.live()) live_bytes_ += record->key_bytes + version.value_bytes;
  if (was_live != version.live()) tree_.AddLive(record->key(), version.live() ? 1 : -1);
}

size_t KeyIndex::Prune(int64_t threshold, size_t max, DeadRevisions* dead) {
  size_t taken = 0;
  for (; taken < max && !Pruned(threshold); ++taken) {
    const Change change = changes_.front();
    changes_.pop_front();
    KeyRecord* record = change.record;
    const auto before = [&](const KeyVersion& version) {
      return std::pair(version.mod, version.sub) < std::pair(change.main, change.sub);
    };
    while (record->history != nullptr && before(*record->history->begin())) {
      const KeyVersion& old = *record->history->begin();
      (old.live() ? dead->puts : dead->tombstones).push_back(old.position());
      record->history->PopFront();
      if (record->history->empty()) delete std::exchange(record->history, nullptr);
    }
    const KeyVersion& newest = record->newest;
    if (!newest.live() && newest.mod == change.main && newest.sub == change.sub) {
      dead->tombstones.push_back(newest.position());
      table_.Erase(record);
      tree_.Erase(record->key());
    }
  }
  return taken;
}

void KeyIndex::Load(std::vector<KeyRecord*> sorted) {
  changes_.clear();
  live_bytes_ = 0;
  std::vector<Change> changes;
  table_.Reset(sorted.size());
  for (KeyRecord* record : sorted) {
    table_.Insert(record);
    if (record->newest.live()) live_bytes_ += record->key_bytes + record->newest.value_bytes;
    bool first = true;
    const auto note = [&](const KeyVersion& version) {
      if (!first || !version.live()) changes.push_back({version.mod, version.sub, record});
      first = false;
    };
    if (record->history != nullptr) std::for_each(record->history->begin(), record->history->end(), note);
    note(record->newest);
  }
  std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
    return std::pair(a.main, a.sub) < std::pair(b.main, b.sub);
  });
  changes_.assign(changes.begin(), changes.end());
  tree_.BulkLoad(std::move(sorted));
}

}  // namespace cairn::storage
