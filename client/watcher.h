// One watch that goes on across the death of members: when a connection breaks, the watch is opened again at
// another member from the next revision on, so that no event is lost and none comes twice.
//
// Thread safety: Next from one thread at a time; Cancel from any.
// Lifetime:      borrows the client.
#ifndef CAIRN_CLIENT_WATCHER_H_
#define CAIRN_CLIENT_WATCHER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::client {

class Watcher {
 public:
  // Start revision, range, filters, prev_kv and progress_notify as in `request`; its watch_id and fragment do
  // not count.
  Watcher(Client& client, const etcdserverpb::WatchCreateRequest& request);
  ~Watcher();

  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // The next response: the one that says the watch stands (`created`, once), events of whole revisions, or
  // progress (no events). Waits for it, however long no member can be reached. Errors: OUT_OF_RANGE when
  // history was compacted (see compact_revision), CANCELLED after Cancel, or whatever the server refuses the
  // watch with.
  absl::StatusOr<etcdserverpb::WatchResponse> Next();

  // Ends a Next that waits, and all that follow.
  void Cancel();

  // The first revision not yet delivered; 0 before the watch stands, if it began at "now".
  int64_t next_revision() const { return request_.start_revision(); }
  // Set when the watch ended because its start is no longer kept: the oldest revision that is.
  int64_t compact_revision() const { return compact_revision_; }

 private:
  using Stream = grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>;

  // Opens the stream at the member in use, or the next, until one takes it or Cancel.
  absl::Status Open();
  // The stream is over: why, if that ends the watch, else OK.
  absl::Status Close();
  absl::Status EndOf(const etcdserverpb::WatchResponse& canceled);
  bool cancelled();
  // Waits, or until Cancel.
  void Pause(absl::Duration time);

  Client& client_;
  etcdserverpb::WatchCreateRequest request_;  // start_revision moves on with what was delivered
  int64_t compact_revision_ = 0;
  bool announced_ = false;  // `created` has been passed on
  size_t failures_ = 0;     // in a row
  const Endpoint* endpoint_ = nullptr;
  std::unique_ptr<Stream> stream_;

  std::mutex mutex_;
  std::condition_variable cancel_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mutex_);  // of stream_
};

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_WATCHER_H_
