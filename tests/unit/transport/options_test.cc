#include "server/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "server/settings.h"

namespace cairn::server {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct World {
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment = {};
  std::map<std::string, std::string> files = {};

  absl::StatusOr<StartRequest> Parse() const {
    OptionSources sources;
    sources.arguments = arguments;
    sources.environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = environment.find(name);
      return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
    };
    sources.read_file = [this](const std::string& path) -> absl::StatusOr<std::string> {
      const auto found = files.find(path);
      if (found == files.end()) return absl::NotFoundError("No such file or directory");
      return found->second;
    };
    return ParseOptions(sources);
  }

  Options MustParse() const {
    absl::StatusOr<StartRequest> request = Parse();
    EXPECT_TRUE(request.ok()) << request.status();
    return request.ok() ? request->options : Options();
  }

  std::string Refusal() const {
    const absl::StatusOr<StartRequest> request = Parse();
    EXPECT_FALSE(request.ok());
    EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(request.status().message());
  }
};

TEST(OptionsTest, StartsOneMemberOnLoopbackWithoutAnySetting) {
  const Options options = World{}.MustParse();
  EXPECT_EQ(options.name, "default");
  EXPECT_EQ(options.data_dir, "default.cairn");
  EXPECT_EQ(JoinUrls(options.listen_client_urls), "http://127.0.0.1:2379");
  EXPECT_EQ(JoinUrls(options.advertise_client_urls), "http://127.0.0.1:2379");
  EXPECT_EQ(JoinUrls(options.listen_peer_urls), "http://127.0.0.1:2380");
  ASSERT_EQ(options.initial_cluster.size(), 1u);
  EXPECT_EQ(options.initial_cluster[0].name, "default");
  EXPECT_EQ(JoinUrls(options.initial_cluster[0].peer_urls), "http://127.0.0.1:2380");
  EXPECT_EQ(options.heartbeat_interval, absl::Milliseconds(100));
  EXPECT_EQ(options.election_timeout, absl::Seconds(1));
  EXPECT_EQ(options.max_txn_ops, 128);
  EXPECT_EQ(options.max_request_bytes, 1572864u);
  EXPECT_EQ(options.watch_progress_notify_interval, absl::Minutes(10));
  EXPECT_FALSE(options.ListensBeyondLoopback());
}

TEST(OptionsTest, TakesAThreeMemberManifestOfEtcd) {
  const Options options = World{
      {"--name=n1", "--data-dir", "/var/lib/n1", "--listen-client-urls", "http://127.0.0.1:12379",
       "--advertise-client-urls", "http://127.0.0.1:12379", "--listen-peer-urls", "http://127.0.0.1:12380",
       "--initial-advertise-peer-urls", "http://127.0.0.1:12380", "--initial-cluster",
       "n1=http://127.0.0.1:12380,n2=http://127.0.0.1:22380,n3=http://[::1]:32380", "--initial-cluster-token",
       "t", "--initial-cluster-state",
       "new"}}.MustParse();
  ASSERT_EQ(options.initial_cluster.size(), 3u);
  EXPECT_EQ(JoinUrls(options.initial_cluster[2].peer_urls), "http://[::1]:32380");
  EXPECT_EQ(options.initial_cluster_token, "t");
}

TEST(OptionsTest, TakesFlagsWithOneDashAsEtcdDoes) {
  EXPECT_EQ((World{{"-name", "x"}}.MustParse().name), "x");
}

TEST(OptionsTest, FlagWinsOverEnvironmentWinsOverFile) {
  World world;
  world.files["/c.yaml"] = "name: file\nmax-txn-ops: 7\nelection-timeout: 2000\n";
  world.arguments = {"--config-file=/c.yaml"};
  EXPECT_EQ(world.MustParse().name, "file");
  world.environment["ETCD_NAME"] = "etcd";
  EXPECT_EQ(world.MustParse().name, "etcd");
  world.environment["CAIRN_NAME"] = "cairn";
  EXPECT_EQ(world.MustParse().name, "cairn");
  world.arguments.push_back("--name=flag");
  EXPECT_EQ(world.MustParse().name, "flag");
  EXPECT_EQ(world.MustParse().max_txn_ops, 7);
  EXPECT_EQ(world.MustParse().election_timeout, absl::Seconds(2));
}

TEST(OptionsTest, TakesTheNameOfTheFileFromTheEnvironment) {
  World world;
  world.environment["ETCD_CONFIG_FILE"] = "/c.yaml";
  world.files["/c.yaml"] = "name: file\n";
  EXPECT_EQ(world.MustParse().name, "file");
}

TEST(OptionsTest, RefusesEveryAbsentFeatureByNameInEachSource) {
  ASSERT_GT(RefusedSettings().size(), 50u);
  for (const RefusedSetting& setting : RefusedSettings()) {
    const std::string flag = "--" + std::string(setting.name);
    SCOPED_TRACE(flag);
    EXPECT_THAT((World{{flag + "=1"}}.Refusal()),
                AllOf(StartsWith(flag), HasSubstr(std::string(setting.why))));
    EXPECT_THAT((World{{flag}}.Refusal()), StartsWith(flag));
    EXPECT_THAT((World{{flag, "value"}}.Refusal()), StartsWith(flag));

    std::string variable = "ETCD_";
    for (char c : setting.name) variable.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(c)));
    World by_environment;
    by_environment.environment[variable] = "1";
    EXPECT_THAT(by_environment.Refusal(), HasSubstr(variable));

    World by_file;
    by_file.arguments = {"--config-file=/c.yaml"};
    by_file.files["/c.yaml"] = std::string(setting.name) + ": 1\n";
    EXPECT_THAT(by_file.Refusal(), HasSubstr(std::string(setting.name) + " in /c.yaml"));
  }
}

TEST(OptionsTest, TakesAnEmptyKeyOfAFileAsNotSet) {
  World world;
  world.arguments = {"--config-file=/c.yaml"};
  world.files["/c.yaml"] = "wal-dir:\nname:\n";
  EXPECT_EQ(world.MustParse().name, "default");
}

struct BadCase {
  std::vector<std::string> arguments;
  std::string expected;
};

TEST(OptionsTest, RefusesValuesThatMakeNoSenseAndSaysWhy) {
  const BadCase cases[] = {
      {{"--listen-client-urls=https://127.0.0.1:2379"}, "TLS does not work yet"},
      {{"--advertise-client-urls=https://127.0.0.1:2379"}, "TLS does not work yet"},
      {{"--listen-peer-urls=unix://sock:1"}, "Unix sockets do not work"},
      {{"--listen-client-urls=ftp://127.0.0.1:1"}, "unknown scheme"},
      {{"--listen-client-urls=127.0.0.1:2379"}, "no scheme"},
      {{"--listen-client-urls=http://127.0.0.1"}, "no port"},
      {{"--listen-client-urls=http://127.0.0.1:0"}, "from 1 to 65535"},
      {{"--listen-client-urls=http://127.0.0.1:65536"}, "from 1 to 65535"},
      {{"--listen-client-urls=http://127.0.0.1:+1"}, "from 1 to 65535"},
      {{"--listen-client-urls=http://127.0.0.1:1/path"}, "nothing more"},
      {{"--listen-client-urls=http://user@127.0.0.1:1"}, "nothing more"},
      {{"--listen-client-urls=http://[::1:2379"}, "brackets"},
      {{"--listen-client-urls=http://::1:2379"}, "brackets"},
      {{"--listen-client-urls=http://127.0.0.1:1,http://127.0.0.1:1"}, "twice"},
      {{"--listen-client-urls="}, "missing"},
      {{"--listen-client-urls=http://example.com:2379"}, "needs an IP address"},
      {{"--listen-client-urls=http://0.0.0.0:2379"}, "--insecure-listen"},
      {{"--listen-peer-urls=http://10.0.0.1:2380"}, "--insecure-listen"},
      {{"--insecure-listen", "--listen-client-urls=http://0.0.0.0:2379"}, "reaches nobody"},
      {{"--insecure-listen", "--listen-peer-urls=http://0.0.0.0:2380"}, "reaches nobody"},
      {{"--listen-peer-urls=http://127.0.0.1:2379"}, "ports of their own"},
      {{"--initial-cluster=a=http://127.0.0.1:2380"}, "no member named \"default\""},
      {{"--initial-cluster=default"}, "name=http://HOST:PORT"},
      {{"--initial-cluster=default=http://127.0.0.1:2380,b=http://127.0.0.1:2380"}, "twice"},
      {{"--initial-cluster=default=http://127.0.0.1:9", "--initial-advertise-peer-urls=http://127.0.0.1:8"},
       "make them equal"},
      {{"--initial-cluster-state=existing"}, "cannot be added"},
      {{"--initial-cluster-state=other"}, "\"other\""},
      {{"--heartbeat-interval=0"}, "from 1 to"},
      {{"--heartbeat-interval=abc"}, "\"abc\""},
      {{"--election-timeout=499"}, "499 ms is less than 5 times"},
      {{"--election-timeout=50001"}, "50001"},
      {{"--max-txn-ops=0"}, "from 1 to"},
      {{"--max-request-bytes=-1"}, "from 1 to"},
      {{"--max-request-bytes=99999999"}, "from 1 to"},
      {{"--watch-progress-notify-interval=10"}, "like 30s"},
      {{"--log-level=loud"}, "debug, info, warn, error"},
      {{"--log-format=xml"}, "text, json"},
      {{"--name="}, "missing"},
      {{"--name=a,b"}, "comma"},
      {{"--data-dir="}, "missing"},
      {{"--no-such-flag"}, "--help"},
      {{"stray"}, "--help"},
      {{"--config-file=/none.yaml"}, "cannot read /none.yaml"},
  };
  for (const BadCase& bad : cases) {
    SCOPED_TRACE(bad.arguments.front());
    EXPECT_THAT((World{bad.arguments}.Refusal()), HasSubstr(bad.expected));
  }
}

TEST(OptionsTest, RefusesFilesThatMakeNoSense) {
  const std::pair<std::string, std::string> cases[] = {
      {"no-such-key: 1\n", "unknown setting"},
      {"name: a\nname: b\n", "twice"},
      {"- name\n", "YAML map"},
      {"name: [a, b]\n", "one value"},
      {"name: {a: b}\n", "one value"},
      {"config-file: /c.yaml\n", "unknown setting"},
      {"name: [a\n", "not YAML"},
      {"insecure-listen: perhaps\n", "neither true nor false"},
      {"client-transport-security: {cert-file: x}\n", "TLS does not work yet"},
  };
  for (const auto& [text, expected] : cases) {
    SCOPED_TRACE(text);
    World world;
    world.arguments = {"--config-file=/c.yaml"};
    world.files["/c.yaml"] = text;
    EXPECT_THAT(world.Refusal(), HasSubstr(expected));
  }
}

TEST(OptionsTest, RefusesEmptyValues) {
  for (const auto& [variable, expected] :
       {std::pair("ETCD_NAME", "1 to 255"), std::pair("ETCD_DATA_DIR", "is empty"),
        std::pair("ETCD_LISTEN_PEER_URLS", "no scheme"), std::pair("ETCD_INITIAL_CLUSTER", "name=http://")}) {
    World world;
    world.environment[variable] = "";
    EXPECT_THAT(world.Refusal(), HasSubstr(expected));
  }
}

TEST(OptionsTest, NamesTheSourceOfABadValue) {
  World world;
  world.environment["ETCD_HEARTBEAT_INTERVAL"] = "fast";
  EXPECT_THAT(world.Refusal(), StartsWith("environment variable ETCD_HEARTBEAT_INTERVAL: "));
}

TEST(OptionsTest, AllowsOtherMachinesOnlyWhenTold) {
  const Options options =
      World{{"--insecure-listen", "--listen-client-urls=http://10.0.0.1:2379"}}.MustParse();
  EXPECT_TRUE(options.ListensBeyondLoopback());
  EXPECT_EQ(JoinUrls(options.advertise_client_urls), "http://10.0.0.1:2379");
}

TEST(OptionsTest, TakesItsPeerAddressFromTheInitialCluster) {
  const Options options = World{{"--insecure-listen", "--listen-peer-urls=http://0.0.0.0:2380",
                                 "--initial-cluster=default=http://n1.example:2380"}}
                              .MustParse();
  EXPECT_EQ(JoinUrls(options.initial_advertise_peer_urls), "http://n1.example:2380");
}

TEST(OptionsTest, HelpShowsEverySettingAndNoRefusedOne) {
  const absl::StatusOr<StartRequest> request = World{{"--help"}}.Parse();
  ASSERT_TRUE(request.ok() && request->print.has_value());
  for (const SettingInfo& setting : Settings()) {
    EXPECT_THAT(*request->print, HasSubstr("--" + std::string(setting.name)));
  }
  EXPECT_THAT(*request->print, Not(HasSubstr("--cert-file")));
}

TEST(OptionsTest, VersionNamesTheProgram) {
  const absl::StatusOr<StartRequest> request = World{{"--version"}}.Parse();
  ASSERT_TRUE(request.ok() && request->print.has_value());
  EXPECT_THAT(*request->print, StartsWith("cairnd "));
}

}  // namespace
}  // namespace cairn::server
