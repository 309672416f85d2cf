// All watches of this member: which watcher gets which event, when.
//
// A watch reads from the log of events, not from a queue of its own: it is a range and a position. Recent
// revisions stand in one ring, shared by all; what has left the ring is read from the store, in scans shared
// by the watchers that stand near each other. A watcher whose stream does not take more (WatchSink::writable)
// stays where it is and catches up later, several revisions to a response; it costs no memory meanwhile and
// never delays a write.
//
// Promises, for each watcher: every event of its range from its start revision on, in order, none twice, all
// events of a revision in one response (unless it asked for fragments); `created` before any event; a
// progress response at revision R only after all events up to R. A watcher whose position is below the
// compact revision and no longer in the ring is cancelled with compact_revision set.
//
// Deterministic: no thread, no clock but the Loop's, no iteration over unordered containers.
// Thread safety: none; lives on the core loop.
#ifndef CAIRN_SERVER_WATCH_WATCH_HUB_H_
#define CAIRN_SERVER_WATCH_WATCH_HUB_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "proto/etcd/rpc.pb.h"
#include "server/ports.h"
#include "server/watch/watch_message.h"
#include "storage/mvcc/store.h"
#include "storage/types.h"

namespace cairn::server {

struct WatchHubOptions {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  std::function<raft::Term()> term;  // for the headers

  absl::Duration progress_notify_interval = absl::Minutes(10);  // plus up to a tenth
  size_t ring_bytes = 32 << 20;         // events kept in memory for watchers that are a little behind
  size_t max_response_bytes = 1 << 20;  // several revisions share a response up to here
  size_t max_fragment_bytes = 2 << 20;  // a response longer than this is split where fragments were asked for
  int64_t max_catch_up_revisions = 1000;         // looked at in one slice
  size_t max_catch_up_bytes = 4 << 20;           // events collected in one slice
  absl::Duration slice = absl::Milliseconds(2);  // time for one slice of catching up
  size_t max_watchers_per_stream = 100'000;
  size_t max_watchers = 2'000'000;  // of this member
};

// Where the responses of one stream go: a connection, or a checker in the simulator. Must not call the hub
// from within these methods.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // Takes one response. Never refuses: answers to requests (few and small) come whatever writable() says.
  virtual void Send(WatchMessage message) = 0;
  // Does it take more events now? After a false the owner calls WatchHub::OnWritable once it does again.
  virtual bool writable() const = 0;
};

using WatchStreamId = uint64_t;

struct WatchHubStats {
  size_t streams = 0;
  size_t watchers = 0;
  size_t behind = 0;  // watchers that have not got everything yet
  size_t ring_bytes = 0;
  uint64_t events_sent = 0;
};

class WatchHub {
 public:
  // `loop` and `store` must outlive the hub.
  WatchHub(Loop& loop, storage::Store& store, WatchHubOptions options);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // --- Called by the node, after Store::Commit() was OK ---
  // The new revisions in order; may be empty. A gap (the state was replaced by a snapshot) empties the ring.
  void OnApplied(std::vector<storage::RevisionEvents> events);
  // The compact revision has moved. Comes after OnApplied of the same batch.
  void OnCompacted(storage::Revision compact_revision);

  // --- Called by the doors ---
  // Opens a stream of watches. `sink` must live until CloseStream.
  WatchStreamId OpenStream(WatchSink* sink);
  // Ends all its watches without a word. An unknown id is ignored.
  void CloseStream(WatchStreamId stream);
  // One request of the stream: create, cancel or progress. Answers by the sink, now or later.
  void Handle(WatchStreamId stream, const etcdserverpb::WatchRequest& request);
  // The sink takes events again.
  void OnWritable(WatchStreamId stream);

  WatchHubStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_WATCH_WATCH_HUB_H_
