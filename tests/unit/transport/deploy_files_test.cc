// The YAML files of deploy/ are what users start from: each must be taken as it is.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "server/identity.h"
#include "server/options.h"

namespace cairn::server {
namespace {

const std::filesystem::path kDeploy = std::filesystem::path(CAIRN_SOURCE_DIR) / "deploy";

Options MustTake(const std::filesystem::path& path) {
  OptionSources sources;
  sources.arguments = {"--config-file", path.string()};
  sources.environment = [](const std::string&) { return std::nullopt; };
  sources.read_file = [](const std::string& name) -> absl::StatusOr<std::string> {
    std::ostringstream text;
    text << std::ifstream(name).rdbuf();
    return text.str();
  };
  const absl::StatusOr<StartRequest> request = ParseOptions(sources);
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? request->options : Options();
}

TEST(DeployFilesTest, SingleMemberFileSaysWhatTheDefaultsAre) {
  const Options from_file = MustTake(kDeploy / "cairnd.yaml");
  OptionSources none;
  none.environment = [](const std::string&) { return std::nullopt; };
  const Options defaults = ParseOptions(none)->options;
  EXPECT_EQ(from_file.name, defaults.name);
  EXPECT_EQ(from_file.data_dir, defaults.data_dir);
  EXPECT_EQ(from_file.listen_client_urls, defaults.listen_client_urls);
  EXPECT_EQ(from_file.advertise_client_urls, defaults.advertise_client_urls);
  EXPECT_EQ(from_file.listen_peer_urls, defaults.listen_peer_urls);
  EXPECT_EQ(from_file.initial_advertise_peer_urls, defaults.initial_advertise_peer_urls);
  EXPECT_EQ(from_file.initial_cluster_token, defaults.initial_cluster_token);
  EXPECT_EQ(from_file.heartbeat_interval, defaults.heartbeat_interval);
  EXPECT_EQ(from_file.election_timeout, defaults.election_timeout);
  EXPECT_EQ(from_file.max_txn_ops, defaults.max_txn_ops);
  EXPECT_EQ(from_file.max_request_bytes, defaults.max_request_bytes);
  EXPECT_EQ(from_file.watch_progress_notify_interval, defaults.watch_progress_notify_interval);
}

void ExpectOneCluster(const std::filesystem::path& folder, size_t size) {
  std::set<uint64_t> clusters, members;
  std::set<Url> addresses;
  size_t files = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(file.path());
    ++files;
    const Options options = MustTake(file.path());
    const auto identity =
        MakeClusterIdentity(options.initial_cluster, options.initial_cluster_token, options.name);
    ASSERT_TRUE(identity.ok()) << identity.status();
    clusters.insert(identity->cluster_id);
    members.insert(identity->self.value());
    EXPECT_EQ(identity->members.size(), size);
    addresses.insert(options.listen_client_urls.begin(), options.listen_client_urls.end());
    addresses.insert(options.listen_peer_urls.begin(), options.listen_peer_urls.end());
  }
  EXPECT_EQ(files, size);
  EXPECT_EQ(clusters.size(), 1u);
  EXPECT_EQ(members.size(), size);
  EXPECT_EQ(addresses.size(), 2 * size);
}

TEST(DeployFilesTest, ThreeMemberFilesMakeOneCluster) { ExpectOneCluster(kDeploy / "three-members", 3); }
TEST(DeployFilesTest, FiveMemberFilesMakeOneCluster) { ExpectOneCluster(kDeploy / "five-members", 5); }

}  // namespace
}  // namespace cairn::server
