#include "tests/harness/cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "proto/etcd/rpc.grpc.pb.h"

namespace cairn::testing {
namespace {

// Below the range the kernel takes ports for outgoing connections from, so that none of those takes it
// meanwhile.
int FreePort() {
  static thread_local std::mt19937 random{std::random_device{}()};
  std::uniform_int_distribution<int> ports(12000, 31999);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const int port = ports(random);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    close(fd);
    if (free) return port;
  }
  return 0;
}

// Memory-backed where possible: these tests compare answers, not disks.
std::string ScratchDirectory() {
  for (const char* base : {"/dev/shm", "/tmp"}) {
    std::string name = absl::StrCat(base, "/cairn-test-XXXXXX");
    if (mkdtemp(name.data()) != nullptr) return name;
  }
  return "";
}

pid_t Spawn(std::vector<std::string> arguments, const std::string& log) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  const int in = open("/dev/null", O_RDONLY);
  dup2(in, 0);
  dup2(out, 1);
  dup2(out, 2);
  execvp(argv[0], argv.data());
  _exit(127);
}

std::string Tail(const std::string& path, size_t bytes) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return text.size() > bytes ? text.substr(text.size() - bytes) : text;
}

// A member is ready when it answers a linearizable read and knows every member's client URLs, which each of
// them tells the others after its start.
grpc::Status AskWhetherReady(const std::shared_ptr<grpc::Channel>& channel, size_t members) {
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(2);
  etcdserverpb::RangeRequest range;
  range.set_key("ready?");
  etcdserverpb::RangeResponse range_response;
  grpc::ClientContext range_context;
  range_context.set_deadline(deadline);
  grpc::Status status = etcdserverpb::KV::NewStub(channel)->Range(&range_context, range, &range_response);
  if (!status.ok()) return status;
  etcdserverpb::MemberListResponse list;
  grpc::ClientContext list_context;
  list_context.set_deadline(deadline);
  status = etcdserverpb::Cluster::NewStub(channel)->MemberList(&list_context, {}, &list);
  if (!status.ok()) return status;
  const auto known = std::count_if(list.members().begin(), list.members().end(),
                                   [](const auto& member) { return member.clienturls_size() > 0; });
  if (static_cast<size_t>(known) == members) return grpc::Status::OK;
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, absl::StrCat("knows ", known, " members' client URLs"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(const ClusterOptions& options) {
  auto cluster = std::unique_ptr<Cluster>(new Cluster());
  if (absl::Status status = cluster->Launch(options); !status.ok()) return status;
  absl::Status ready = cluster->WaitUntilReady(absl::Now() + options.start_timeout);
  if (!ready.ok()) return absl::Status(ready.code(), absl::StrCat(ready.message(), "\n", cluster->Logs()));
  return cluster;
}

absl::Status Cluster::Launch(const ClusterOptions& options) {
  directory_ = ScratchDirectory();
  if (directory_.empty()) return absl::UnavailableError("no scratch directory: /dev/shm and /tmp refuse one");
  std::vector<std::string> peer_urls, cluster;
  for (int i = 0; i < options.members; ++i) {
    endpoints_.push_back(absl::StrCat("127.0.0.1:", FreePort()));
    peer_urls.push_back(absl::StrCat("http://127.0.0.1:", FreePort()));
    cluster.push_back(absl::StrCat("m", i, "=", peer_urls.back()));
  }
  for (int i = 0; i < options.members; ++i) {
    const std::string name = absl::StrCat("m", i);
    const std::string client_url = absl::StrCat("http://", endpoints_[i]);
    std::vector<std::string> arguments = {options.program,
                                          absl::StrCat("--name=", name),
                                          absl::StrCat("--data-dir=", directory_, "/", name),
                                          absl::StrCat("--listen-client-urls=", client_url),
                                          absl::StrCat("--advertise-client-urls=", client_url),
                                          absl::StrCat("--listen-peer-urls=", peer_urls[i]),
                                          absl::StrCat("--initial-advertise-peer-urls=", peer_urls[i]),
                                          absl::StrCat("--initial-cluster=", absl::StrJoin(cluster, ",")),
                                          "--initial-cluster-state=new",
                                          absl::StrCat("--initial-cluster-token=", directory_)};
    arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
    pids_.push_back(Spawn(std::move(arguments), absl::StrCat(directory_, "/", name, ".log")));
    if (pids_.back() < 0) return absl::UnavailableError("fork failed");
  }
  return absl::OkStatus();
}

absl::Status Cluster::CheckAlive() {
  for (size_t i = 0; i < pids_.size(); ++i) {
    int status = 0;
    if (pids_[i] != 0 && waitpid(pids_[i], &status, WNOHANG) == pids_[i]) {
      pids_[i] = 0;
      return absl::AbortedError(absl::StrCat("member ", i, " ended while it started, wait status ", status));
    }
  }
  return absl::OkStatus();
}

absl::Status Cluster::WaitUntilReady(absl::Time deadline) {
  for (const std::string& endpoint : endpoints_) {
    auto channel = grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials());
    for (grpc::Status status(grpc::StatusCode::UNAVAILABLE, ""); !status.ok();) {
      if (absl::Status alive = CheckAlive(); !alive.ok()) return alive;
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError(absl::StrCat(endpoint, " is not ready: ", status.error_message()));
      }
      // Returns as soon as the port accepts; the short limit is for noticing a member that died instead.
      if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::milliseconds(100)))
        continue;
      status = AskWhetherReady(channel, endpoints_.size());
    }
  }
  return absl::OkStatus();
}

Cluster::~Cluster() {
  for (pid_t pid : pids_) {
    if (pid > 0) kill(pid, SIGKILL);
  }
  for (pid_t pid : pids_) {
    if (pid > 0) waitpid(pid, nullptr, 0);
  }
  std::error_code ignored;  // a leftover in the scratch directory fails no test
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

std::string Cluster::Logs(size_t bytes_per_member) const {
  std::string text;
  for (size_t i = 0; i < pids_.size(); ++i) {
    absl::StrAppend(&text, "--- log of member ", i, " ---\n",
                    Tail(absl::StrCat(directory_, "/m", i, ".log"), bytes_per_member), "\n");
  }
  return text;
}

}  // namespace cairn::testing
