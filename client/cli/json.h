// The form of `-o json`: one object a line, the same fields in every version (client/README.md lists them).
//
// Bytes (keys, values) are a JSON string when they are UTF-8, else {"base64": "..."}. Ids are strings of 16
// hexadecimal digits, since JSON numbers lose digits beyond 2^53; revisions, counts and seconds are numbers.
// Fields that do not apply are left out.
//
// Thread safety: free functions.
#ifndef CAIRN_CLIENT_CLI_JSON_H_
#define CAIRN_CLIENT_CLI_JSON_H_

#include <string_view>

#include "nlohmann/json.hpp"
#include "proto/etcd/rpc.pb.h"

namespace cairn::client {

using Json = nlohmann::ordered_json;

Json BytesToJson(std::string_view bytes);
Json ToJson(const etcdserverpb::ResponseHeader& header);
Json ToJson(const mvccpb::KeyValue& kv);
Json ToJson(const mvccpb::Event& event);
Json ToJson(const etcdserverpb::RangeResponse& response);
Json ToJson(const etcdserverpb::PutResponse& response);
Json ToJson(const etcdserverpb::DeleteRangeResponse& response);
Json ToJson(const etcdserverpb::ResponseOp& op);
Json ToJson(const etcdserverpb::TxnResponse& response);
Json ToJson(const etcdserverpb::WatchResponse& response);
Json ToJson(const etcdserverpb::LeaseGrantResponse& response);
Json ToJson(const etcdserverpb::LeaseKeepAliveResponse& response);
Json ToJson(const etcdserverpb::LeaseTimeToLiveResponse& response);
Json ToJson(const etcdserverpb::LeaseLeasesResponse& response);
Json ToJson(const etcdserverpb::Member& member);
Json ToJson(const etcdserverpb::MemberListResponse& response);
Json ToJson(const etcdserverpb::StatusResponse& response);

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLI_JSON_H_
