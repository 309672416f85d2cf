#include "server/identity.h"

#include <xxhash.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace cairn::server {
namespace {

absl::string_view ToAbsl(std::string_view s) { return absl::string_view(s.data(), s.size()); }

uint64_t NonZeroHash(const std::string& bytes) {
  const uint64_t hash = XXH64(bytes.data(), bytes.size(), 0);
  return hash == 0 ? 1 : hash;
}

raft::NodeId MemberId(const std::vector<Url>& peer_urls, std::string_view token) {
  std::vector<std::string> urls;
  for (const Url& url : peer_urls) urls.push_back(url.ToString());
  std::sort(urls.begin(), urls.end());
  std::string bytes;
  for (const std::string& url : urls) {
    bytes += url;
    bytes.push_back('\0');
  }
  bytes += token;
  return raft::NodeId(NonZeroHash(bytes));
}

}  // namespace

raft::Configuration ClusterIdentity::InitialConfiguration() const {
  raft::Configuration configuration;
  for (const ClusterMember& member : members) configuration.voters.push_back(member.id);
  return configuration;
}

absl::StatusOr<ClusterIdentity> MakeClusterIdentity(const std::vector<InitialMember>& members,
                                                    std::string_view token, std::string_view self_name) {
  ClusterIdentity identity;
  for (const InitialMember& member : members) {
    const raft::NodeId id = MemberId(member.peer_urls, token);
    identity.members.push_back({id, member.name, member.peer_urls});
    if (member.name == self_name) identity.self = id;
  }
  if (!identity.self) {
    return absl::InvalidArgumentError(
        absl::StrCat("--initial-cluster has no member named \"", ToAbsl(self_name),
                     "\": add it, or set --name to one of the names that stand there"));
  }
  std::sort(identity.members.begin(), identity.members.end(),
            [](const ClusterMember& a, const ClusterMember& b) { return a.id < b.id; });
  std::string bytes;
  for (size_t i = 0; i < identity.members.size(); ++i) {
    const ClusterMember& member = identity.members[i];
    if (i > 0 && identity.members[i - 1].id == member.id) {
      return absl::InvalidArgumentError(
          absl::StrCat("members \"", identity.members[i - 1].name, "\" and \"", member.name,
                       "\" of --initial-cluster get the same id: give them different peer URLs"));
    }
    for (int shift = 0; shift < 64; shift += 8) {
      bytes.push_back(static_cast<char>(member.id.value() >> shift));
    }
  }
  bytes += token;
  identity.cluster_id = NonZeroHash(bytes);
  return identity;
}

std::string FormatId(uint64_t id) { return absl::StrCat(absl::Hex(id)); }

}  // namespace cairn::server
