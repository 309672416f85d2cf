#include "raft/inflights.h"

#include "raft/check.h"

namespace cairn::raft {

Inflights::Inflights(int max_count, size_t max_bytes) : max_count_(max_count), max_bytes_(max_bytes) {
  CAIRN_CHECK(max_count > 0 && max_bytes > 0)
      << "a window of " << max_count << " messages, " << max_bytes << " bytes can never send";
}

bool Inflights::Full() const { return count() >= max_count_ || bytes_ >= max_bytes_; }

void Inflights::Add(LogIndex last, size_t bytes) {
  CAIRN_CHECK(!Full()) << "sent into a full window of " << count() << " messages, " << bytes_ << " bytes";
  CAIRN_CHECK(window_.empty() || window_.back().last <= last)
      << "sent up to " << last << " after " << window_.back().last;
  window_.push_back({last, bytes});
  bytes_ += bytes;
}

void Inflights::FreeTo(LogIndex index) {
  while (!window_.empty() && window_.front().last <= index) FreeOldest();
}

void Inflights::FreeOldest() {
  if (window_.empty()) return;
  bytes_ -= window_.front().bytes;
  window_.pop_front();
}

void Inflights::Clear() {
  window_.clear();
  bytes_ = 0;
}

}  // namespace cairn::raft
