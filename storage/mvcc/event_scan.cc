// The event log as watchers read it, and single events for their previous values.
#include <algorithm>

#include "storage/mvcc/event_chunk.h"
#include "storage/mvcc/store_impl.h"
#include "storage/mvcc/wire.h"

namespace cairn::storage {

namespace {

constexpr size_t kChunkBytes = 1 << 20;  // the revision that reaches it is read to its end
constexpr size_t kChunksKept = 8;

// Blocks. Reads whole revisions of [from, to].
void ReadChunk(const StateEngine& engine, int64_t to, EventChunk* chunk) {
  const EventKey begin = EncodeEventKey({Revision(chunk->from), 0});
  const EventKey end = EncodeEventKey({Revision(to + 1), 0});
  auto events = engine.Scan(Family::kEvents, View(begin), View(end));
  size_t bytes = 0;
  chunk->end = to + 1;
  for (; events->Valid(); events->Next()) {
    EventPosition position;
    EventRecord record;
    chunk->status = DecodeEventKey(events->key(), &position);
    if (chunk->status.ok()) chunk->status = DecodeEventRecord(position, events->value(), &record);
    if (!chunk->status.ok()) return;
    if (chunk->revisions.empty() || chunk->revisions.back().revision != position.main) {
      if (bytes >= kChunkBytes) {
        chunk->end = position.main.value();
        return;
      }
      chunk->revisions.push_back({position.main, {}});
    }
    Event event;
    event.is_delete = record.is_delete;
    event.wire = std::make_shared<const std::string>(record.wire);
    event.key = KeyOfEventWire(*event.wire);
    event.previous = record.previous;
    bytes += record.wire.size() + sizeof(Event);
    chunk->revisions.back().events.push_back(std::move(event));
  }
  chunk->status = events->status();
}

}  // namespace

absl::StatusOr<Revision> StoreImpl::ScanEvents(Revision from, Revision to, absl::Duration budget,
                                               std::function<bool(RevisionEvents&&)> visit,
                                               std::function<void()> wake) {
  if (from < compact_revision()) return absl::OutOfRangeError("events before the compact revision are gone");
  to = std::min(to, revision());
  WorkBudget left(budget);
  bool visited = false;
  while (from <= to) {
    auto it =
        std::find_if(chunks_.begin(), chunks_.end(), [&](const auto& c) { return c->Covers(from.value()); });
    if (it == chunks_.end()) {
      if (visited) return from;
      auto chunk = std::make_shared<EventChunk>();
      chunk->from = from.value();
      chunk->waiters.push_back(std::move(wake));
      if (chunks_.size() >= kChunksKept) {
        // One that somebody waits for is not dropped: its waiters would hang.
        auto oldest = std::find_if(chunks_.begin(), chunks_.end(), [](const auto& c) { return c->ready; });
        if (oldest != chunks_.end()) chunks_.erase(oldest);
      }
      chunks_.push_back(chunk);
      offload_(
          [chunk, engine = engine_, last = revision().value()] { ReadChunk(*engine, last, chunk.get()); },
          [this, chunk, alive = std::weak_ptr<int>(alive_)] {
            if (alive.expired()) return;
            chunk->ready = true;
            for (auto& waiter : std::exchange(chunk->waiters, {})) waiter();
          });
      return absl::UnavailableError("reading the event log");
    }
    const std::shared_ptr<EventChunk> chunk = *it;
    if (!chunk->ready) {
      if (visited) return from;
      chunk->waiters.push_back(std::move(wake));
      return absl::UnavailableError("reading the event log");
    }
    std::rotate(it, it + 1, chunks_.end());
    if (!chunk->status.ok()) {
      chunks_.pop_back();
      return chunk->status;
    }
    auto revision =
        std::lower_bound(chunk->revisions.begin(), chunk->revisions.end(), from,
                         [](const RevisionEvents& r, Revision wanted) { return r.revision < wanted; });
    for (; revision != chunk->revisions.end() && revision->revision <= to; ++revision) {
      if (left.spent()) return revision->revision;
      left.Spend(static_cast<int64_t>(revision->events.size()) * kVisitKeyNs);
      visited = true;
      if (!visit(RevisionEvents(*revision))) return revision->revision + 1;
    }
    from = std::min(Revision(chunk->end), to + 1);
  }
  return std::max(from, to + 1);
}

std::shared_ptr<const std::string> StoreImpl::KeyValueAt(EventPosition position) {
  const SharedWire wire = values_.FetchOne(position);
  EventView event;
  if (wire == nullptr || !ParseEventWire(*wire, &event) || event.is_delete) return nullptr;
  // What is still on disk may be gone logically; members must not differ in what they show.
  const KeyRecord* record = index_.Find(event.key);
  if (record == nullptr) return nullptr;
  const auto is_it = [&](const KeyVersion& version) { return version.position() == position; };
  if (!is_it(record->newest)) {
    if (record->history == nullptr) return nullptr;
    const KeyVersion* at = std::find_if(record->history->begin(), record->history->end(), is_it);
    if (at == record->history->end()) return nullptr;
    const KeyVersion& next = at + 1 == record->history->end() ? record->newest : at[1];
    if (next.mod <= committed_.compact_revision) return nullptr;
  }
  return std::make_shared<const std::string>(event.key_value);
}

}  // namespace cairn::storage
