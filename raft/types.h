// The plain values that the Raft core takes and gives: entries, hard state, messages.
//
// Thread safety: value types. A Payload is immutable once made and may be shared between threads.
#ifndef CAIRN_RAFT_TYPES_H_
#define CAIRN_RAFT_TYPES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "raft/strong_int.h"

namespace cairn::raft {

using Term = StrongInt<struct TermTag, uint64_t>;          // election period; 0 = before the first
using LogIndex = StrongInt<struct LogIndexTag, uint64_t>;  // position in the log; the first entry is 1
using NodeId = StrongInt<struct NodeIdTag, uint64_t>;      // a member; 0 = none

// The bytes of an entry. Written once by the leader, then shared by log, messages and apply: never copied.
using Payload = std::shared_ptr<const std::string>;

enum class EntryType : uint8_t {
  kCommand = 0,     // for the state machine; a null payload is the no-op of a new term
  kConfChange = 1,  // a change of the configuration
};

struct Entry {
  Term term;
  LogIndex index;
  EntryType type = EntryType::kCommand;
  Payload data;

  size_t size_bytes() const { return data == nullptr ? 0 : data->size(); }
};

// What must be on disk before any message that follows from it leaves (Raft §5.1, figure 2), and the
// commit index, which need not be.
struct HardState {
  Term term;
  NodeId vote;
  LogIndex commit;

  bool operator==(const HardState&) const = default;
};

// Who votes. While `voters_outgoing` is not empty the configuration is joint (Raft §6).
struct Configuration {
  std::vector<NodeId> voters;
  std::vector<NodeId> voters_outgoing;
  std::vector<NodeId> learners;

  bool operator==(const Configuration&) const = default;
};

// The state as of one index: what a snapshot stands for.
struct SnapshotMeta {
  LogIndex index;
  Term term;
  Configuration configuration;
};

enum class MessageType : uint8_t {
  kAppend = 1,  // AppendEntries; without entries: probe or heartbeat with a log position
  kAppendReply = 2,
  kHeartbeat = 3,  // carries commit and the newest read context
  kHeartbeatReply = 4,
  kPreVote = 5,  // thesis §9.6
  kPreVoteReply = 6,
  kVote = 7,
  kVoteReply = 8,
  kTimeoutNow = 9,  // leadership transfer, thesis §3.10
  kReadIndex = 10,  // a follower asks the leader for a read index
  kReadIndexReply = 11,
  kSnapshot = 12,  // hand-over of a snapshot
};

// One message between members. Unused fields are zero.
// What a refused kAppend answers: `index` is the refused position (the one before the entries).
struct Message {
  MessageType type = MessageType::kAppend;
  NodeId from;
  NodeId to;
  Term term;       // the sender's term (for kPreVote: the term it would campaign in)
  Term log_term;   // kAppend: term of the entry before `entries`; votes: term of the last entry
  LogIndex index;  // kAppend: index before `entries`; replies: last matching index; votes: last index
  LogIndex commit;
  bool reject = false;
  LogIndex reject_hint;  // kAppendReply with reject: where the sender should try next
  Term reject_term;      // kAppendReply with reject: term at reject_hint
  uint64_t context = 0;  // read context, or the id of a confirmation round
  bool force = false;    // kVote after kTimeoutNow: stickiness does not apply (thesis §3.10, §4.2.3)
  std::vector<Entry> entries;
  std::shared_ptr<const SnapshotMeta> snapshot;  // kSnapshot only
};

}  // namespace cairn::raft

#endif  // CAIRN_RAFT_TYPES_H_
