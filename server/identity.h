// Who the members of a new cluster are. Every member computes the same ids from the same --initial-cluster
// and --initial-cluster-token, without talking to any other; a difference in either gives another cluster id,
// and the members refuse each other instead of mixing two clusters up.
//
//   member id  = XXH64 of its sorted peer URLs, each ended by a zero byte, then the token
//   cluster id = XXH64 of the sorted member ids, little-endian, then the token
//
// (0 means "none" everywhere, so an id that comes out as 0 becomes 1.) The values are stored with the data
// and stand in every handshake: changing the rule needs a new format version of the data directory.
//
// Thread safety: value types and free functions.
#ifndef CAIRN_SERVER_IDENTITY_H_
#define CAIRN_SERVER_IDENTITY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/types.h"
#include "server/url.h"

namespace cairn::server {

// One part of --initial-cluster: a member's name and where its peers reach it.
struct InitialMember {
  std::string name;
  std::vector<Url> peer_urls;
};

struct ClusterMember {
  raft::NodeId id;
  std::string name;
  std::vector<Url> peer_urls;
};

struct ClusterIdentity {
  uint64_t cluster_id = 0;
  raft::NodeId self;
  std::vector<ClusterMember> members;  // by id, this member among them

  // All of them vote.
  raft::Configuration InitialConfiguration() const;
};

// `self_name` is one of `members`.
absl::StatusOr<ClusterIdentity> MakeClusterIdentity(const std::vector<InitialMember>& members,
                                                    std::string_view token, std::string_view self_name);

// As etcd writes ids: lower-case hexadecimal.
std::string FormatId(uint64_t id);

}  // namespace cairn::server

#endif  // CAIRN_SERVER_IDENTITY_H_
