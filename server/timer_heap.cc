#include "server/timer_heap.h"

#include <limits>
#include <utility>

namespace cairn::server {

class TimerHeap::Entry final : public Timer {
 public:
  Entry(TimerHeap* heap, absl::Duration deadline, uint64_t sequence, absl::AnyInvocable<void()> fn)
      : heap(heap), deadline(deadline), sequence(sequence), fn(std::move(fn)) {}
  ~Entry() override {
    if (heap != nullptr) heap->Remove(position);
  }

  TimerHeap* heap;  // null once fired or left behind by the heap
  const absl::Duration deadline;
  const uint64_t sequence;
  size_t position = 0;
  absl::AnyInvocable<void()> fn;
};

TimerHeap::~TimerHeap() {
  for (Entry* entry : heap_) entry->heap = nullptr;
}

std::unique_ptr<Timer> TimerHeap::Insert(absl::Duration deadline, absl::AnyInvocable<void()> fn) {
  auto entry = std::make_unique<Entry>(this, deadline, next_sequence_++, std::move(fn));
  heap_.push_back(entry.get());
  entry->position = heap_.size() - 1;
  SiftUp(entry->position);
  return entry;
}

absl::Duration TimerHeap::NextDeadline() const {
  return heap_.empty() ? absl::InfiniteDuration() : heap_.front()->deadline;
}

void TimerHeap::RunDue(absl::Duration now) {
  const uint64_t end = next_sequence_;
  while (!heap_.empty() && heap_.front()->deadline <= now && heap_.front()->sequence < end) {
    Entry* due = heap_.front();
    Remove(0);
    due->heap = nullptr;
    // The callback may destroy its own timer.
    absl::AnyInvocable<void()> fn = std::move(due->fn);
    fn();
  }
}

bool TimerHeap::Before(const Entry& a, const Entry& b) {
  return a.deadline != b.deadline ? a.deadline < b.deadline : a.sequence < b.sequence;
}

void TimerHeap::Place(Entry* entry, size_t position) {
  heap_[position] = entry;
  entry->position = position;
}

void TimerHeap::SiftUp(size_t position) {
  Entry* entry = heap_[position];
  while (position > 0) {
    const size_t parent = (position - 1) / 2;
    if (!Before(*entry, *heap_[parent])) break;
    Place(heap_[parent], position);
    position = parent;
  }
  Place(entry, position);
}

void TimerHeap::SiftDown(size_t position) {
  Entry* entry = heap_[position];
  while (true) {
    size_t child = 2 * position + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && Before(*heap_[child + 1], *heap_[child])) ++child;
    if (!Before(*heap_[child], *entry)) break;
    Place(heap_[child], position);
    position = child;
  }
  Place(entry, position);
}

void TimerHeap::Remove(size_t position) {
  Entry* last = heap_.back();
  heap_.pop_back();
  if (position == heap_.size()) return;
  Place(last, position);
  SiftDown(position);
  SiftUp(last->position);
}

}  // namespace cairn::server
