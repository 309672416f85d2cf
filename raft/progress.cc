#include "raft/progress.h"

#include <algorithm>
#include <utility>

#include "raft/check.h"

namespace cairn::raft {

Progress::Progress(LogIndex next, uint64_t now, Inflights window)
    : next_(next), heard_tick_(now), nudge_tick_(now), window_(std::move(window)) {
  CAIRN_CHECK(next > LogIndex(0)) << "there is no entry 0";
}

void Progress::Sent(uint64_t count, size_t bytes, LogIndex commit) {
  CAIRN_CHECK(MaySend()) << "sent though the follower at " << match_ << " is to be left alone";
  nudged_ = false;
  told_commit_ = std::max(told_commit_, commit);
  if (!replicating_) {
    // `next` stays: a probe that is refused or lost is repeated from the same place.
    probe_sent_ = true;
    return;
  }
  if (count == 0) return;
  next_ += count;
  window_.Add(next_ - 1, bytes);
}

bool Progress::Accepted(LogIndex index) {
  const bool news = index > match_;
  if (news) match_ = index;
  if (replicating_) {
    next_ = std::max(next_, match_ + 1);
    window_.FreeTo(index);
    return news;
  }
  // An old acknowledgement below `match` says nothing about the probe that is under way.
  if (index < match_) return false;
  replicating_ = true;
  probe_sent_ = false;
  next_ = match_ + 1;
  window_.Clear();
  return news;
}

bool Progress::Refused(LogIndex refused, LogIndex retry) {
  if (replicating_) {
    // What it has durably it cannot lack: the answer is older than an acknowledgement.
    if (refused <= match_ || refused >= next_) return false;
    BecomeProbe();
    return true;
  }
  if (refused != next_ - 1) return false;
  next_ = std::max(std::min(refused, retry + 1), match_ + 1);
  probe_sent_ = false;
  return true;
}

void Progress::HeartbeatAnswered(LogIndex last, uint64_t now) {
  if (now == nudge_tick_) return;
  nudge_tick_ = now;
  if (replicating_) {
    if (window_.Full()) window_.FreeOldest();
  } else {
    probe_sent_ = false;
  }
  if (match_ < last) nudged_ = true;
}

void Progress::Lost() {
  BecomeProbe();
  // Not at once: while the connection is down, every attempt would be lost and come back here.
  probe_sent_ = true;
}

void Progress::BecomeProbe() {
  replicating_ = false;
  probe_sent_ = false;
  next_ = match_ + 1;
  told_commit_ = LogIndex(0);
  window_.Clear();
}

}  // namespace cairn::raft
