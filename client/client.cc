#include "client/client.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/endpoint.h"
#include "proto/errors.h"

namespace cairn::client {
namespace {

using etcdserverpb::RequestOp;

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(25);
constexpr absl::Duration kLongestBackoff = absl::Seconds(1);
// A read moves on from a member that does not answer, but not from one that is merely slow.
constexpr absl::Duration kShortestAttempt = absl::Seconds(1);

Deadline DeadlineIn(absl::Duration time) {
  return std::chrono::system_clock::now() + absl::ToChronoMicroseconds(time);
}

absl::Duration Until(Deadline deadline) {
  return absl::FromChrono(deadline - std::chrono::system_clock::now());
}

template <typename Ops>
bool OnlyRanges(const Ops& ops) {
  return std::all_of(ops.begin(), ops.end(), [](const RequestOp& op) { return op.has_request_range(); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Create(const ClientOptions& options) {
  ClientOptions parsed = options;
  if (parsed.endpoints.empty()) parsed.endpoints.emplace_back(kDefaultEndpoint);
  for (std::string& endpoint : parsed.endpoints) {
    absl::StatusOr<std::string> address = ParseEndpoint(endpoint);
    if (!address.ok()) return address.status();
    endpoint = *std::move(address);
  }
  if (parsed.timeout <= absl::ZeroDuration() || parsed.connect_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("a timeout must be more than zero");
  }
  return std::unique_ptr<Client>(new Client(parsed));
}

absl::Status Client::Run(CallKind kind, const Attempt& attempt) {
  const Deadline deadline = DeadlineIn(options_.timeout);
  absl::Duration backoff = kFirstBackoff;
  absl::Status last;
  for (size_t failed = 1;; ++failed) {
    const Endpoint& endpoint = endpoints_.current();
    const bool alone = endpoints_.size() == 1;
    if (!endpoint.Connect(alone ? deadline : std::min(deadline, DeadlineIn(options_.connect_timeout)))) {
      // The error of an earlier attempt says more than a member that is down.
      if (last.ok()) {
        last = absl::UnavailableError(
            absl::StrCat("no connection to ", absl::StrJoin(options_.endpoints, ", ")));
      }
    } else {
      grpc::ClientContext context;
      const bool cut_short = kind == CallKind::kRead && !alone;
      context.set_deadline(
          cut_short ? std::min(deadline,
                               DeadlineIn(std::max(options_.timeout / endpoints_.size(), kShortestAttempt)))
                    : deadline);
      const grpc::Status status = attempt(context, endpoint);
      if (status.ok()) return absl::OkStatus();
      last = ToAbslStatus(status, kind == CallKind::kWrite && MayHaveHappened(status));
      const AfterFailure judgement = Judge(kind, status);
      if (judgement == AfterFailure::kGiveUp) return last;
      if (judgement == AfterFailure::kTryNext && failed >= endpoints_.size()) return last;
    }
    endpoints_.MoveOnFrom(endpoint);
    const absl::Duration left = Until(deadline);
    if (left <= absl::ZeroDuration()) return last;
    if (failed % endpoints_.size() == 0) {  // all have been asked once more
      std::this_thread::sleep_for(absl::ToChronoMicroseconds(std::min(backoff, left)));
      backoff = std::min(backoff * 2, kLongestBackoff);
    }
  }
}

template <typename Response>
absl::StatusOr<Response> Client::Call(
    CallKind kind,
    const std::function<grpc::Status(grpc::ClientContext&, const Endpoint&, Response*)>& attempt) {
  Response response;
  absl::Status status = Run(kind, [&](grpc::ClientContext& context, const Endpoint& endpoint) {
    response.Clear();
    return attempt(context, endpoint, &response);
  });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<etcdserverpb::RangeResponse> Client::Range(const etcdserverpb::RangeRequest& request) {
  return Call<etcdserverpb::RangeResponse>(CallKind::kRead,
                                           [&](auto& context, auto& endpoint, auto* response) {
                                             return endpoint.kv().Range(&context, request, response);
                                           });
}

absl::StatusOr<etcdserverpb::PutResponse> Client::Put(const etcdserverpb::PutRequest& request) {
  return Call<etcdserverpb::PutResponse>(CallKind::kWrite,
                                         [&](auto& context, auto& endpoint, auto* response) {
                                           return endpoint.kv().Put(&context, request, response);
                                         });
}

absl::StatusOr<etcdserverpb::DeleteRangeResponse> Client::DeleteRange(
    const etcdserverpb::DeleteRangeRequest& request) {
  return Call<etcdserverpb::DeleteRangeResponse>(
      CallKind::kWrite, [&](auto& context, auto& endpoint, auto* response) {
        return endpoint.kv().DeleteRange(&context, request, response);
      });
}

absl::StatusOr<etcdserverpb::TxnResponse> Client::Txn(const etcdserverpb::TxnRequest& request) {
  const bool reads = OnlyRanges(request.success()) && OnlyRanges(request.failure());
  return Call<etcdserverpb::TxnResponse>(reads ? CallKind::kRead : CallKind::kWrite,
                                         [&](auto& context, auto& endpoint, auto* response) {
                                           return endpoint.kv().Txn(&context, request, response);
                                         });
}

absl::StatusOr<etcdserverpb::CompactionResponse> Client::Compact(
    const etcdserverpb::CompactionRequest& request) {
  return Call<etcdserverpb::CompactionResponse>(CallKind::kWrite,
                                                [&](auto& context, auto& endpoint, auto* response) {
                                                  return endpoint.kv().Compact(&context, request, response);
                                                });
}

absl::StatusOr<etcdserverpb::LeaseGrantResponse> Client::LeaseGrant(
    const etcdserverpb::LeaseGrantRequest& request) {
  return Call<etcdserverpb::LeaseGrantResponse>(
      CallKind::kWrite, [&](auto& context, auto& endpoint, auto* response) {
        return endpoint.lease().LeaseGrant(&context, request, response);
      });
}

absl::StatusOr<etcdserverpb::LeaseRevokeResponse> Client::LeaseRevoke(int64_t id) {
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(id);
  return Call<etcdserverpb::LeaseRevokeResponse>(
      CallKind::kWrite, [&](auto& context, auto& endpoint, auto* response) {
        return endpoint.lease().LeaseRevoke(&context, request, response);
      });
}

absl::StatusOr<etcdserverpb::LeaseKeepAliveResponse> Client::LeaseKeepAlive(int64_t id) {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(id);
  auto answer = Call<etcdserverpb::LeaseKeepAliveResponse>(
      CallKind::kRead, [&](grpc::ClientContext& context, const Endpoint& endpoint, auto* response) {
        const auto stream = endpoint.lease().LeaseKeepAlive(&context);
        const bool answered = stream->Write(request) && stream->Read(response);
        stream->WritesDone();
        if (answered) context.TryCancel();  // the answer is all that was wanted
        const grpc::Status end = stream->Finish();
        if (answered) return grpc::Status::OK;
        return end.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the stream ended without an answer")
                        : end;
      });
  if (answer.ok() && answer->ttl() <= 0) {
    const ErrorInfo& gone = InfoOf(ClientError::kLeaseNotFound);
    return absl::NotFoundError(std::string(gone.text));
  }
  return answer;
}

absl::StatusOr<etcdserverpb::LeaseTimeToLiveResponse> Client::LeaseTimeToLive(int64_t id, bool with_keys) {
  etcdserverpb::LeaseTimeToLiveRequest request;
  request.set_id(id);
  request.set_keys(with_keys);
  return Call<etcdserverpb::LeaseTimeToLiveResponse>(
      CallKind::kRead, [&](auto& context, auto& endpoint, auto* response) {
        return endpoint.lease().LeaseTimeToLive(&context, request, response);
      });
}

absl::StatusOr<etcdserverpb::LeaseLeasesResponse> Client::LeaseLeases() {
  return Call<etcdserverpb::LeaseLeasesResponse>(
      CallKind::kRead, [&](auto& context, auto& endpoint, auto* response) {
        return endpoint.lease().LeaseLeases(&context, etcdserverpb::LeaseLeasesRequest(), response);
      });
}

absl::StatusOr<etcdserverpb::MemberListResponse> Client::MemberList() {
  etcdserverpb::MemberListRequest request;
  request.set_linearizable(true);
  return Call<etcdserverpb::MemberListResponse>(
      CallKind::kRead, [&](auto& context, auto& endpoint, auto* response) {
        return endpoint.cluster().MemberList(&context, request, response);
      });
}

absl::StatusOr<etcdserverpb::StatusResponse> Client::Status() {
  return Call<etcdserverpb::StatusResponse>(
      CallKind::kRead, [&](auto& context, auto& endpoint, auto* response) {
        return endpoint.maintenance().Status(&context, etcdserverpb::StatusRequest(), response);
      });
}

absl::StatusOr<etcdserverpb::AlarmResponse> Client::Alarms() {
  return Call<etcdserverpb::AlarmResponse>(
      CallKind::kRead, [&](auto& context, auto& endpoint, auto* response) {
        return endpoint.maintenance().Alarm(&context, etcdserverpb::AlarmRequest(), response);
      });
}

absl::StatusOr<etcdserverpb::HashKVResponse> Client::HashKv(int64_t revision) {
  etcdserverpb::HashKVRequest request;
  request.set_revision(revision);
  return Call<etcdserverpb::HashKVResponse>(
      CallKind::kRead, [&](auto& context, auto& endpoint, auto* response) {
        return endpoint.maintenance().HashKV(&context, request, response);
      });
}

absl::Status Client::MoveLeader(uint64_t target) {
  etcdserverpb::MoveLeaderRequest request;
  request.set_targetid(target);
  return Run(CallKind::kWrite, [&](grpc::ClientContext& context, const Endpoint& endpoint) {
    etcdserverpb::MoveLeaderResponse response;
    return endpoint.maintenance().MoveLeader(&context, request, &response);
  });
}

}  // namespace cairn::client
