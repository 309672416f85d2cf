#include "server/server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/etcd/door.h"
#include "server/rpc/reflection.h"
#include "server/version.h"

namespace cairn::server {
namespace {

// What a request message may have beyond --max-request-bytes before the transport refuses it; etcd's value.
constexpr size_t kRequestOverheadBytes = 512 << 10;
// The doors refuse what is too large as etcd counts it; our log's envelope around a request is larger than
// etcd's.
constexpr size_t kEnvelopeBytes = 64;

// Calls under way when the member stops may take so long; streams are ended at once.
constexpr absl::Duration kShutdownGrace = absl::Seconds(1);

constexpr absl::Duration kSlowRequest = absl::Milliseconds(300);

absl::Status Annotate(const absl::Status& status, const std::string& what) {
  return absl::Status(status.code(), absl::StrCat(what, ": ", status.message()));
}

std::vector<std::string> Strings(const std::vector<Url>& urls) {
  std::vector<std::string> strings;
  for (const Url& url : urls) strings.push_back(url.ToString());
  return strings;
}

}  // namespace

Server::Server(Options options, const Dependencies& dependencies)
    : options_(std::move(options)),
      loop_(dependencies.loop),
      random_(dependencies.random),
      log_(dependencies.log) {}

Server::~Server() { loop_.Quiesce(); }

absl::Status Server::Start(OnEnd on_end) {
  on_end_ = std::move(on_end);
  absl::StatusOr<ClusterIdentity> identity =
      MakeClusterIdentity(options_.initial_cluster, options_.initial_cluster_token, options_.name);
  if (!identity.ok()) return identity.status();
  identity_ = *std::move(identity);
  log_.Info("starting", {{"version", kVersion},
                         {"name", options_.name},
                         {"member", FormatId(identity_.self.value())},
                         {"cluster", FormatId(identity_.cluster_id)},
                         {"members", identity_.members.size()},
                         {"data_dir", options_.data_dir}});
  if (options_.ListensBeyondLoopback()) {
    log_.Warn("other machines can reach this member, and there is no TLS and no authentication yet",
              {{"client_urls", JoinUrls(options_.listen_client_urls)},
               {"peer_urls", JoinUrls(options_.listen_peer_urls)}});
  }
  absl::Status status = OpenStorage();
  if (status.ok()) status = ListenForPeers();
  if (status.ok()) status = OpenStore();
  if (!status.ok()) return status;
  MakeNode();
  status = OpenDoors();
  if (!status.ok()) return status;
  node_->Start();
  transport_->Start(identity_.members, node_.get());
  memory_trimmer_ = std::make_unique<MemoryTrimmer>(loop_, MemoryTrimmer::ProcessMemory());
  return absl::OkStatus();
}

absl::Status Server::OpenStorage() {
  storage::StorageOptions options;
  options.path = options_.data_dir;
  options.identity.cluster_id = identity_.cluster_id;
  options.identity.member_id = identity_.self;
  options.identity.incarnation_id = random_.Next() | 1;
  const storage::PostFn post = [this](absl::AnyInvocable<void()> fn) { loop_.Post(std::move(fn)); };
  options.log.post = post;
  options.log.on_slow_sync = [this](absl::Duration took) {
    log_.Warn("slow sync of the log", {{"took", took}});
  };
  options.state.post = post;
  options.state.on_fatal = [this](absl::Status reason) { OnFatal(reason); };
  absl::StatusOr<storage::Storage> storage = storage::OpenStorage(std::move(options));
  if (!storage.ok()) return Annotate(storage.status(), "cannot open the data directory " + options_.data_dir);
  storage_ = *std::move(storage);
  return absl::OkStatus();
}

absl::Status Server::ListenForPeers() {
  TransportOptions options;
  options.cluster_id = identity_.cluster_id;
  options.self = identity_.self;
  options.incarnation_id = storage_.directory->identity().incarnation_id;
  transport_ = std::make_unique<Transport>(options, loop_, random_, log_);
  for (const Url& url : options_.listen_peer_urls) {
    const absl::StatusOr<uint16_t> port = transport_->Listen(url);
    if (!port.ok()) return port.status();
  }
  return absl::OkStatus();
}

absl::Status Server::OpenStore() {
  storage::StoreOptions options;
  options.self = identity_.self.value();
  options.database_id = storage_.directory->identity().incarnation_id;
  options.max_txn_ops = options_.max_txn_ops;
  const absl::Duration began = loop_.Now();
  absl::StatusOr<std::unique_ptr<storage::Store>> store =
      storage::Store::Open(options, storage_.state.get(), storage_.checkpoints.get(),
                           [this](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
                             loop_.Offload(std::move(work), std::move(done));
                           });
  if (!store.ok()) return Annotate(store.status(), "cannot load the data in " + options_.data_dir);
  store_ = *std::move(store);
  log_.Info("data loaded", {{"took", loop_.Now() - began},
                            {"keys", store_->key_count()},
                            {"revision", store_->revision().value()},
                            {"applied_index", store_->applied_index().value()},
                            {"last_index", storage_.log->LastIndex().value()}});
  return absl::OkStatus();
}

void Server::MakeNode() {
  NodeOptions options;
  options.cluster_id = identity_.cluster_id;
  options.self = identity_.self;
  options.configuration = identity_.InitialConfiguration();
  for (const ClusterMember& member : identity_.members) {
    MemberInfo info;
    info.id = member.id;
    // The others say theirs through the log, as in etcd.
    if (member.id == identity_.self) info.name = member.name;
    info.peer_urls = Strings(member.peer_urls);
    options.members.push_back(std::move(info));
  }
  options.client_urls = Strings(options_.advertise_client_urls);
  options.heartbeat_interval = options_.heartbeat_interval;
  options.election_timeout = options_.election_timeout;
  options.max_request_bytes = options_.max_request_bytes + kEnvelopeBytes;
  options.watch.progress_notify_interval = options_.watch_progress_notify_interval;
  node_ = std::make_unique<Node>(
      std::move(options), Node::Dependencies{loop_, *transport_, random_, *storage_.log, *store_, *this});
}

absl::Status Server::OpenDoors() {
  rpc::ServerOptions rpc_options;
  rpc_options.max_receive_message_bytes = options_.max_request_bytes + kRequestOverheadBytes;
  rpc_ = std::make_unique<rpc::Server>(loop_.io(), rpc_options);
  EtcdDoorOptions door_options;
  door_options.random = &random_;
  door_options.max_request_bytes = options_.max_request_bytes;
  door_options.election_timeout = options_.election_timeout;
  door_options.slow_request_threshold = kSlowRequest;
  door_options.on_slow_request = [this](const SlowRequest& request) { OnSlowRequest(request); };
  watch_service_ = RegisterEtcdServices(*rpc_, *node_, door_options);
  health_ = std::make_unique<rpc::HealthService>(*rpc_);
  health_->SetServing("", false);  // until a leader is known
  rpc::AddReflection(*rpc_);
  for (const Url& url : options_.listen_client_urls) {
    const std::string address = url.host == "localhost" ? "127.0.0.1" : url.host;
    const absl::StatusOr<uint16_t> port = rpc_->Listen(address, url.port);
    if (!port.ok()) {
      return Annotate(port.status(), absl::StrCat("cannot listen for clients on ", url.ToString(),
                                                  " (check --listen-client-urls)"));
    }
  }
  return absl::OkStatus();
}

void Server::Stop() {
  if (stopping_) return;
  stopping_ = true;
  log_.Info("stopping", {{"name", options_.name}});
  node_->HandOver([this] { CloseDoors(); });
}

void Server::CloseDoors() {
  health_->SetServing("", false);
  watch_service_->EndStreams();
  rpc_->Shutdown(kShutdownGrace, [this] {
    node_->Stop();
    transport_->Stop();
    log_.Info("stopped", {{"name", options_.name}});
    End(absl::OkStatus());
  });
}

void Server::End(const absl::Status& status) {
  if (on_end_ == nullptr) return;
  OnEnd on_end = std::exchange(on_end_, nullptr);
  on_end(status);
}

void Server::OnLeader(raft::NodeId leader, raft::Term term) {
  if (health_ != nullptr) health_->SetServing("", leader.value() != 0 && !stopping_);
  if (!leader) {
    log_.Warn("no leader", {{"term", term.value()}});
    return;
  }
  log_.Info(leader == identity_.self ? "elected leader" : "following leader",
            {{"leader", NameOf(leader)}, {"id", FormatId(leader.value())}, {"term", term.value()}});
}

void Server::OnPublished() {
  log_.Info("ready to serve client requests",
            {{"name", options_.name},
             {"client_urls", JoinUrls(options_.advertise_client_urls)},
             {"peer_urls", JoinUrls(options_.initial_advertise_peer_urls)}});
}

void Server::OnFatal(const absl::Status& reason) {
  log_.Error("this member cannot go on", {{"reason", reason}});
  End(reason);
}

void Server::OnApplyStalled(const absl::Status& reason) {
  log_.Error("the state takes no writes, requests wait: make room on the disk", {{"reason", reason}});
}

void Server::OnApplyResumed(absl::Duration after) {
  log_.Info("the state takes writes again", {{"after", after}});
}

void Server::OnSlowRequest(const SlowRequest& request) {
  if (!slow_requests_.Allow(loop_.Now())) return;
  log_.Warn("slow request", {{"method", request.path},
                             {"peer", request.peer},
                             {"took", request.took},
                             {"code", static_cast<int>(request.code)},
                             {"not_logged", slow_requests_.TakeSuppressed()}});
}

std::string Server::NameOf(raft::NodeId member) const {
  for (const ClusterMember& known : identity_.members) {
    if (known.id == member) return known.name;
  }
  return FormatId(member.value());
}

}  // namespace cairn::server
