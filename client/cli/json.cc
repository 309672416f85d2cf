#include "client/cli/json.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "client/cli/text.h"

namespace cairn::client {
namespace {

template <typename Messages>
Json ListToJson(const Messages& messages) {
  Json list = Json::array();
  for (const auto& message : messages) list.push_back(ToJson(message));
  return list;
}

std::string LeaseText(int64_t id) { return FormatId(static_cast<uint64_t>(id)); }

// Inside of a transaction the header is empty.
template <typename Response>
Json Begin(const Response& response) {
  Json json = Json::object();
  if (response.header().member_id() != 0) json["header"] = ToJson(response.header());
  return json;
}

}  // namespace

Json BytesToJson(std::string_view bytes) {
  if (IsUtf8(bytes)) return bytes;
  return {{"base64", absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()))}};
}

Json ToJson(const etcdserverpb::ResponseHeader& header) {
  Json json = {{"cluster_id", FormatId(header.cluster_id())}, {"member_id", FormatId(header.member_id())}};
  if (header.revision() != 0) json["revision"] = header.revision();
  json["raft_term"] = header.raft_term();
  return json;
}

Json ToJson(const mvccpb::KeyValue& kv) {
  Json json = {{"key", BytesToJson(kv.key())}};
  // A deleted key has a revision and nothing else.
  if (kv.version() != 0) {
    json["value"] = BytesToJson(kv.value());
    json["create_revision"] = kv.create_revision();
  }
  json["mod_revision"] = kv.mod_revision();
  if (kv.version() != 0) json["version"] = kv.version();
  if (kv.lease() != 0) json["lease"] = LeaseText(kv.lease());
  return json;
}

Json ToJson(const mvccpb::Event& event) {
  Json json = {{"type", event.type() == mvccpb::Event::DELETE ? "delete" : "put"},
               {"kv", ToJson(event.kv())}};
  if (event.has_prev_kv()) json["prev_kv"] = ToJson(event.prev_kv());
  return json;
}

Json ToJson(const etcdserverpb::RangeResponse& response) {
  Json json = Begin(response);
  json["kvs"] = ListToJson(response.kvs());
  json["more"] = response.more();
  json["count"] = response.count();
  return json;
}

Json ToJson(const etcdserverpb::PutResponse& response) {
  Json json = Begin(response);
  if (response.has_prev_kv()) json["prev_kv"] = ToJson(response.prev_kv());
  return json;
}

Json ToJson(const etcdserverpb::DeleteRangeResponse& response) {
  Json json = Begin(response);
  json["deleted"] = response.deleted();
  if (response.prev_kvs_size() > 0) json["prev_kvs"] = ListToJson(response.prev_kvs());
  return json;
}

Json ToJson(const etcdserverpb::ResponseOp& op) {
  switch (op.response_case()) {
    case etcdserverpb::ResponseOp::kResponseRange:
      return {{"get", ToJson(op.response_range())}};
    case etcdserverpb::ResponseOp::kResponsePut:
      return {{"put", ToJson(op.response_put())}};
    case etcdserverpb::ResponseOp::kResponseDeleteRange:
      return {{"del", ToJson(op.response_delete_range())}};
    case etcdserverpb::ResponseOp::kResponseTxn:
      return {{"txn", ToJson(op.response_txn())}};
    case etcdserverpb::ResponseOp::RESPONSE_NOT_SET:
      break;
  }
  return Json::object();
}

Json ToJson(const etcdserverpb::TxnResponse& response) {
  Json json = Begin(response);
  json["succeeded"] = response.succeeded();
  json["responses"] = ListToJson(response.responses());
  return json;
}

Json ToJson(const etcdserverpb::WatchResponse& response) {
  Json json = Begin(response);
  json["events"] = ListToJson(response.events());
  return json;
}

Json ToJson(const etcdserverpb::LeaseGrantResponse& response) {
  Json json = Begin(response);
  json["lease"] = LeaseText(response.id());
  json["ttl_s"] = response.ttl();
  return json;
}

Json ToJson(const etcdserverpb::LeaseKeepAliveResponse& response) {
  Json json = Begin(response);
  json["lease"] = LeaseText(response.id());
  json["ttl_s"] = response.ttl();
  return json;
}

Json ToJson(const etcdserverpb::LeaseTimeToLiveResponse& response) {
  Json json = Begin(response);
  json["lease"] = LeaseText(response.id());
  json["found"] = response.ttl() >= 0;
  if (response.ttl() >= 0) {
    json["ttl_s"] = response.ttl();
    json["granted_ttl_s"] = response.grantedttl();
  }
  if (response.keys_size() > 0) {
    json["keys"] = Json::array();
    for (const std::string& key : response.keys()) json["keys"].push_back(BytesToJson(key));
  }
  return json;
}

Json ToJson(const etcdserverpb::LeaseLeasesResponse& response) {
  Json json = Begin(response);
  json["leases"] = Json::array();
  for (const auto& lease : response.leases()) json["leases"].push_back(LeaseText(lease.id()));
  return json;
}

Json ToJson(const etcdserverpb::Member& member) {
  return {{"id", FormatId(member.id())},
          {"name", member.name()},
          {"peer_urls", std::vector<std::string>(member.peerurls().begin(), member.peerurls().end())},
          {"client_urls", std::vector<std::string>(member.clienturls().begin(), member.clienturls().end())},
          {"is_learner", member.islearner()}};
}

Json ToJson(const etcdserverpb::MemberListResponse& response) {
  Json json = Begin(response);
  json["members"] = ListToJson(response.members());
  return json;
}

Json ToJson(const etcdserverpb::StatusResponse& response) {
  Json json = Begin(response);
  json["version"] = response.version();
  json["leader"] = FormatId(response.leader());
  json["is_learner"] = response.islearner();
  json["raft_term"] = response.raftterm();
  json["committed_index"] = response.raftindex();
  json["applied_index"] = response.raftappliedindex();
  json["disk_bytes"] = response.dbsize();
  json["live_bytes"] = response.dbsizeinuse();
  json["errors"] = std::vector<std::string>(response.errors().begin(), response.errors().end());
  return json;
}

}  // namespace cairn::client
