// How far one other member's log is, as its leader sees it, and what the leader may send it next.
//
//   probe      the common position is not known: one message at a time, until one is accepted
//   replicate  entries are pipelined within the window; `next` runs ahead of what was acknowledged
//
// Thread safety: none; belongs to the Raft core.
// Invariants:    match < next. match never decreases within a term: what a follower acknowledged is durable.
#ifndef CAIRN_RAFT_PROGRESS_H_
#define CAIRN_RAFT_PROGRESS_H_

#include <cstddef>
#include <cstdint>

#include "raft/inflights.h"
#include "raft/types.h"

namespace cairn::raft {

class Progress {
 public:
  // `next`: where the leader guesses the follower's log to end. `now`: the tick of the leader's start; the
  // follower counts as just heard, so that a new leader gets an election timeout to reach a quorum.
  Progress(LogIndex next, uint64_t now, Inflights window);

  LogIndex match() const { return match_; }
  LogIndex next() const { return next_; }
  bool replicating() const { return replicating_; }
  uint64_t heard_tick() const { return heard_tick_; }

  void Heard(uint64_t now) { heard_tick_ = now; }

  // May a kAppend be sent: the window has room, or no probe is unanswered?
  bool MaySend() const { return replicating_ ? !window_.Full() : !probe_sent_; }

  // Is there reason to send one: entries up to `last`, or news of `commit`, or a lost acknowledgement?
  bool WantsSend(LogIndex last, LogIndex commit) const {
    return next_ <= last || nudged_ || (replicating_ && told_commit_ < commit);
  }

  // A kAppend with `count` entries of `bytes` bytes in all, from next() on, was sent, telling `commit`.
  void Sent(uint64_t count, size_t bytes, LogIndex commit);

  // The follower has everything up to `index`. False: that was known.
  bool Accepted(LogIndex index);

  // The follower refused an append after `refused`; `retry` is the position to try instead. False: the answer
  // is out of date and changes nothing.
  bool Refused(LogIndex refused, LogIndex retry);

  // It answered a heartbeat, so a new message will probably arrive: a lost probe, a window of lost messages
  // or a lost acknowledgement no longer hold replication up. `last`: the leader's last index. Once a tick at
  // most: reads cause heartbeats too, and must not push a full window further.
  void HeartbeatAnswered(LogIndex last, uint64_t now);

  // Messages were lost: looks for the position anew, once a heartbeat is answered.
  void Lost();

 private:
  void BecomeProbe();

  LogIndex match_;
  LogIndex next_;
  LogIndex told_commit_;  // the highest commit index sent
  bool replicating_ = false;
  bool probe_sent_ = false;  // while probing: one is unanswered
  bool nudged_ = false;      // send one message even without entries
  uint64_t heard_tick_;
  uint64_t nudge_tick_;  // when a heartbeat's answer last had an effect
  Inflights window_;
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_PROGRESS_H_
