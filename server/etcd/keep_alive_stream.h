// One stream of Lease.LeaseKeepAlive: every request is answered once, in the order of the requests, while
// many may wait for the leader at a time (the node sends those of all streams to it in batches).
//
// The header is taken when the request comes, before the renewal, as etcd does. A lease that is not there is
// answered with TTL 0; any error ends the stream. When too many wait, or the client does not read its
// answers, the stream is not read on.
//
// Thread safety: the core loop's thread.
#ifndef CAIRN_SERVER_ETCD_KEEP_ALIVE_STREAM_H_
#define CAIRN_SERVER_ETCD_KEEP_ALIVE_STREAM_H_

#include <memory>

#include "server/etcd/door_context.h"
#include "server/rpc/call.h"

namespace cairn::server {

// Null, with the call finished, when it asks for a leader and there is none.
std::unique_ptr<rpc::StreamHandler> OpenKeepAliveStream(const DoorContextPtr& door, rpc::CallPtr call);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ETCD_KEEP_ALIVE_STREAM_H_
