#include "server/rpc/health.h"

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "proto/grpc/health.pb.h"
#include "server/rpc/server.h"

namespace cairn::rpc {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

}  // namespace

struct HealthService::State {
  HealthCheckResponse::ServingStatus Of(std::string_view service) const {
    const auto found = statuses.find(service);
    return found == statuses.end() ? HealthCheckResponse::SERVICE_UNKNOWN : found->second;
  }

  std::map<std::string, HealthCheckResponse::ServingStatus, std::less<>> statuses;
  std::set<WatchHandler*> watchers;
};

// Sends the status when it differs from the last sent; under back-pressure the latest only.
class HealthService::WatchHandler final : public StreamHandler {
 public:
  WatchHandler(CallPtr call, std::shared_ptr<State> state)
      : call_(std::move(call)), state_(std::move(state)) {
    state_->watchers.insert(this);
  }
  ~WatchHandler() override { state_->watchers.erase(this); }

  void OnMessage(std::string_view message) override {
    if (watching_) return call_->Finish(GrpcCode::kUnimplemented, "more than one request message in a Watch");
    HealthCheckRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return call_->Finish(GrpcCode::kInternal,
                           "grpc: error unmarshalling request: not a HealthCheckRequest");
    }
    service_ = request.service();
    watching_ = true;
    Tell();
  }
  void OnHalfClose() override {
    if (!watching_) call_->Finish(GrpcCode::kUnimplemented, "no request message in a Watch");
  }
  void OnCancel(CancelReason) override {}
  void OnWritable() override { Tell(); }

  void Tell() {
    if (!watching_ || !call_->writable()) return;
    const HealthCheckResponse::ServingStatus now = state_->Of(service_);
    if (told_ && *told_ == now) return;
    told_ = now;
    HealthCheckResponse response;
    response.set_status(now);
    call_->Send(response);
  }

 private:
  const CallPtr call_;
  const std::shared_ptr<State> state_;
  std::string service_;
  bool watching_ = false;
  std::optional<HealthCheckResponse::ServingStatus> told_;
};

HealthService::HealthService(Server& server) : state_(std::make_shared<State>()) {
  state_->statuses[""] = HealthCheckResponse::SERVING;
  server.AddUnary<HealthCheckRequest>(
      "/grpc.health.v1.Health/Check", [state = state_](const CallPtr& call, HealthCheckRequest& request) {
        const HealthCheckResponse::ServingStatus status = state->Of(request.service());
        if (status == HealthCheckResponse::SERVICE_UNKNOWN)
          return call->Finish(GrpcCode::kNotFound, "unknown service");
        HealthCheckResponse response;
        response.set_status(status);
        call->Respond(response);
      });
  server.AddStream("/grpc.health.v1.Health/Watch", [state = state_](CallPtr call) {
    return std::make_unique<WatchHandler>(std::move(call), state);
  });
}

HealthService::~HealthService() = default;

void HealthService::SetServing(std::string_view service, bool serving) {
  state_->statuses.insert_or_assign(
      std::string(service), serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  for (WatchHandler* watcher : state_->watchers) watcher->Tell();
}

}  // namespace cairn::rpc
