// etcdserverpb.Watch: each call is one stream of the watch hub; its requests go to the hub as they are.
//
// A stream lives until the client cancels it: half-closing does not end it. A client that does not read its
// responses is not read from either. A call with metadata `hasleader` is refused without a leader, and cut
// when there has been none for three election timeouts, so that the client goes to another member.
//
// Thread safety: the core loop's thread.
#ifndef CAIRN_SERVER_ETCD_WATCH_SERVICE_H_
#define CAIRN_SERVER_ETCD_WATCH_SERVICE_H_

#include <memory>

#include "server/etcd/door_context.h"
#include "server/rpc/server.h"

namespace cairn::server {

class WatchStreams;

// A handle on the streams under way; copies mean the same streams.
class WatchService {
 public:
  // Registers etcdserverpb.Watch.
  WatchService(rpc::Server& server, const DoorContextPtr& door);
  ~WatchService();

  // Ends all streams, and those still to come, with UNAVAILABLE: clients resume at another member. For the
  // begin of a shutdown, which would otherwise wait for streams that never end by themselves.
  void EndStreams();

 private:
  std::shared_ptr<WatchStreams> streams_;  // shared with the streams
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ETCD_WATCH_SERVICE_H_
