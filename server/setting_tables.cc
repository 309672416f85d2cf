#include "server/settings.h"

namespace cairn::server {
namespace {

constexpr std::string_view kMember = "Member";
constexpr std::string_view kCluster = "Cluster";
constexpr std::string_view kTiming = "Timing and limits";
constexpr std::string_view kLogging = "Logging";
constexpr std::string_view kSecurity = "Security";

constexpr SettingInfo kSettings[] = {
    {"name", kMember, "NAME", "default", "Name of this member; one of those in --initial-cluster"},
    {"data-dir", kMember, "DIR", "", "Where the member keeps its data [<name>.cairn]"},
    {"listen-client-urls", kMember, "URLS", "http://127.0.0.1:2379", "Addresses to serve clients on"},
    {"listen-peer-urls", kMember, "URLS", "http://127.0.0.1:2380", "Addresses to talk to other members on"},
    {"advertise-client-urls", kMember, "URLS", "",
     "Addresses that clients are told to use [same as --listen-client-urls]"},
    {"initial-advertise-peer-urls", kCluster, "URLS", "",
     "Addresses that other members reach this one at [same as --listen-peer-urls]"},
    {"initial-cluster", kCluster, "MEMBERS", "",
     "All members of the cluster, as name=URL,name=URL; a name may stand there several times "
     "[<name>=<initial-advertise-peer-urls>]"},
    {"initial-cluster-state", kCluster, "STATE", "new", "Only \"new\" works in this version"},
    {"initial-cluster-token", kCluster, "TOKEN", "cairn-cluster",
     "Tells apart clusters that were set up with the same addresses"},
    {"heartbeat-interval", kTiming, "MS", "100", "Milliseconds between two heartbeats of the leader"},
    {"election-timeout", kTiming, "MS", "1000",
     "Milliseconds without a leader before an election; at least five heartbeats"},
    {"max-txn-ops", kTiming, "COUNT", "128", "Operations in one list of a transaction"},
    {"max-request-bytes", kTiming, "BYTES", "1572864", "Size of one request"},
    {"watch-progress-notify-interval", kTiming, "DURATION", "10m",
     "Time between two progress notifications of a quiet watch"},
    {"log-level", kLogging, "LEVEL", "info", "debug, info, warn or error"},
    {"log-format", kLogging, "FORMAT", "text", "text or json, one line a fact"},
    {"insecure-listen", kSecurity, "", "false",
     "Allow listen addresses that other machines can reach, although there is no TLS and no authentication "
     "yet"},
    {"config-file", kMember, "FILE", "", "YAML file with these settings by the same names"},
};

constexpr std::string_view kNoTls =
    "TLS does not work yet in this version: remove it and use a network you trust";
constexpr std::string_view kNoAuth = "authentication does not work yet in this version: remove it";
constexpr std::string_view kNoSnapshots =
    "snapshots and the cutting of the log do not work yet in this version: remove it";
constexpr std::string_view kNoQuota = "a storage quota does not work yet in this version: remove it";
constexpr std::string_view kNoAutoCompaction =
    "automatic compaction does not work yet in this version: remove it and compact by hand";
constexpr std::string_view kNoDiscovery =
    "discovery does not work in this version: list the members in --initial-cluster";
constexpr std::string_view kNoProxy = "there is no proxy mode: remove it";
constexpr std::string_view kNoV2 = "there is no v2 API: remove it";
constexpr std::string_view kNoMetrics = "metrics and profiling do not work yet in this version: remove it";
constexpr std::string_view kNoKeepAlive =
    "the limits of connections cannot be set in this version: remove it";
constexpr std::string_view kOtherEngine = "it tunes etcd's storage, which cairn does not have: remove it";
constexpr std::string_view kOtherLog = "the log is set up by --log-level and --log-format: remove it";
constexpr std::string_view kNoMembership = "membership changes do not work yet in this version: remove it";

constexpr RefusedSetting kRefused[] = {
    {"cert-file", kNoTls},
    {"key-file", kNoTls},
    {"client-cert-file", kNoTls},
    {"client-key-file", kNoTls},
    {"client-cert-auth", kNoTls},
    {"client-crl-file", kNoTls},
    {"client-cert-allowed-hostname", kNoTls},
    {"trusted-ca-file", kNoTls},
    {"ca-file", kNoTls},
    {"auto-tls", kNoTls},
    {"peer-cert-file", kNoTls},
    {"peer-key-file", kNoTls},
    {"peer-client-cert-file", kNoTls},
    {"peer-client-key-file", kNoTls},
    {"peer-client-cert-auth", kNoTls},
    {"peer-trusted-ca-file", kNoTls},
    {"peer-ca-file", kNoTls},
    {"peer-auto-tls", kNoTls},
    {"peer-crl-file", kNoTls},
    {"peer-cert-allowed-cn", kNoTls},
    {"peer-cert-allowed-hostname", kNoTls},
    {"peer-skip-client-san-verification", kNoTls},
    {"experimental-peer-skip-client-san-verification", kNoTls},
    {"cipher-suites", kNoTls},
    {"tls-min-version", kNoTls},
    {"tls-max-version", kNoTls},
    {"self-signed-cert-validity", kNoTls},
    {"client-transport-security", kNoTls},
    {"peer-transport-security", kNoTls},
    {"cors", "cross-origin requests cannot be set up in this version: remove it"},
    {"host-whitelist", "a host allow-list does not work in this version: remove it"},
    {"auth-token", kNoAuth},
    {"auth-token-ttl", kNoAuth},
    {"bcrypt-cost", kNoAuth},
    {"snapshot-count", kNoSnapshots},
    {"max-snapshots", kNoSnapshots},
    {"max-wals", kNoSnapshots},
    {"snapshot-catchup-entries", kNoSnapshots},
    {"experimental-snapshot-catchup-entries", kNoSnapshots},
    {"quota-backend-bytes", kNoQuota},
    {"auto-compaction-mode", kNoAutoCompaction},
    {"auto-compaction-retention", kNoAutoCompaction},
    {"discovery", kNoDiscovery},
    {"discovery-srv", kNoDiscovery},
    {"discovery-srv-name", kNoDiscovery},
    {"discovery-fallback", kNoDiscovery},
    {"discovery-proxy", kNoDiscovery},
    {"discovery-token", kNoDiscovery},
    {"discovery-endpoints", kNoDiscovery},
    {"proxy", kNoProxy},
    {"proxy-failure-wait", kNoProxy},
    {"proxy-refresh-interval", kNoProxy},
    {"proxy-dial-timeout", kNoProxy},
    {"proxy-write-timeout", kNoProxy},
    {"proxy-read-timeout", kNoProxy},
    {"enable-v2", kNoV2},
    {"v2-deprecation", kNoV2},
    {"experimental-enable-v2v3", kNoV2},
    {"enable-pprof", kNoMetrics},
    {"metrics", kNoMetrics},
    {"listen-metrics-urls", kNoMetrics},
    {"listen-client-http-urls", "one port serves everything: remove it, --listen-client-urls is enough"},
    {"enable-grpc-gateway", "the HTTP gateway does not work yet in this version: remove it"},
    {"enable-distributed-tracing", kNoMetrics},
    {"experimental-enable-distributed-tracing", kNoMetrics},
    {"grpc-keepalive-min-time", kNoKeepAlive},
    {"grpc-keepalive-interval", kNoKeepAlive},
    {"grpc-keepalive-timeout", kNoKeepAlive},
    {"max-concurrent-streams", kNoKeepAlive},
    {"socket-reuse-port", kNoKeepAlive},
    {"socket-reuse-address", kNoKeepAlive},
    {"wal-dir", "log and state both live below --data-dir in this version: remove it"},
    {"backend-batch-interval", kOtherEngine},
    {"backend-batch-limit", kOtherEngine},
    {"backend-bbolt-freelist-type", kOtherEngine},
    {"experimental-backend-bbolt-freelist-type", kOtherEngine},
    {"unsafe-no-fsync", "cairn never acknowledges a write that is not on disk: remove it"},
    {"pre-vote", "elections always begin with a pre-vote: remove it"},
    {"initial-election-tick-advance", "the time of the first election cannot be tuned: remove it"},
    {"force-new-cluster", kNoMembership},
    {"strict-reconfig-check", kNoMembership},
    {"corrupt-check-time", "comparison of members does not work yet in this version: remove it"},
    {"experimental-corrupt-check-time", "comparison of members does not work yet in this version: remove it"},
    {"experimental-initial-corrupt-check",
     "comparison of members does not work yet in this version: remove it"},
    {"experimental-enable-lease-checkpoint", "remaining TTLs always survive a change of leader: remove it"},
    {"experimental-watch-progress-notify-interval", "use --watch-progress-notify-interval"},
    {"experimental-warning-apply-duration", kOtherLog},
    {"logger", kOtherLog},
    {"log-outputs", kOtherLog},
    {"log-output", kOtherLog},
    {"log-package-levels", kOtherLog},
    {"log-rotation-config-json", kOtherLog},
    {"enable-log-rotation", kOtherLog},
    {"debug", "use --log-level=debug"},
};

}  // namespace

std::span<const SettingInfo> Settings() { return kSettings; }
std::span<const RefusedSetting> RefusedSettings() { return kRefused; }

}  // namespace cairn::server
