#include "client/watcher.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "proto/errors.h"

namespace cairn::client {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(25);
constexpr absl::Duration kLongestBackoff = absl::Seconds(1);

absl::Status StatusOf(ClientError error) {
  const ErrorInfo& info = InfoOf(error);
  return absl::Status(static_cast<absl::StatusCode>(info.code), std::string(info.text));
}

}  // namespace

Watcher::Watcher(Client& client, const etcdserverpb::WatchCreateRequest& request)
    : client_(client), request_(request) {
  request_.clear_watch_id();
  request_.clear_fragment();
}

Watcher::~Watcher() {
  Cancel();
  if (stream_ != nullptr) (void)Close();
}

absl::StatusOr<etcdserverpb::WatchResponse> Watcher::Next() {
  for (;;) {
    if (stream_ == nullptr) {
      if (absl::Status opened = Open(); !opened.ok()) return opened;
    }
    etcdserverpb::WatchResponse response;
    if (!stream_->Read(&response)) {
      if (absl::Status end = Close(); !end.ok()) return end;
      continue;
    }
    failures_ = 0;
    if (response.canceled()) {
      absl::Status end = EndOf(response);
      Cancel();
      return end;
    }
    if (response.created()) {
      // From here on a broken connection is mended from this revision, not from a later "now".
      if (request_.start_revision() == 0) request_.set_start_revision(response.header().revision() + 1);
      if (std::exchange(announced_, true)) continue;
    } else if (response.events().empty()) {
      request_.set_start_revision(std::max(request_.start_revision(), response.header().revision() + 1));
    } else {
      request_.set_start_revision(response.events().rbegin()->kv().mod_revision() + 1);
    }
    return response;
  }
}

void Watcher::Cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (context_ != nullptr) context_->TryCancel();
  cancel_.notify_all();
}

absl::Status Watcher::Open() {
  EndpointPool& endpoints = client_.endpoints();
  etcdserverpb::WatchRequest create;
  *create.mutable_create_request() = request_;
  for (;;) {
    if (failures_ > 0 && failures_ % endpoints.size() == 0) {  // all have failed once more
      const size_t rounds = std::min<size_t>(failures_ / endpoints.size() - 1, 10);
      Pause(std::min(kFirstBackoff * (1 << rounds), kLongestBackoff));
    }
    if (cancelled()) return StatusOf(ClientError::kWatchCanceled);
    endpoint_ = &endpoints.current();
    const auto deadline =
        std::chrono::system_clock::now() + absl::ToChronoMicroseconds(client_.options().connect_timeout);
    if (endpoint_->Connect(deadline)) {
      auto context = std::make_unique<grpc::ClientContext>();
      // A member cut off from its cluster ends the stream instead of keeping silent.
      context->AddMetadata("hasleader", "true");
      stream_ = endpoint_->watch().Watch(context.get());
      {
        const std::lock_guard lock(mutex_);
        context_ = std::move(context);
        if (cancelled_) context_->TryCancel();
      }
      if (stream_->Write(create)) return absl::OkStatus();
      if (absl::Status end = Close(); !end.ok()) return end;
      continue;
    }
    ++failures_;
    endpoints.MoveOnFrom(*endpoint_);
  }
}

absl::Status Watcher::Close() {
  const grpc::Status status = stream_->Finish();
  stream_.reset();
  {
    const std::lock_guard lock(mutex_);
    context_.reset();
  }
  if (cancelled()) return StatusOf(ClientError::kWatchCanceled);
  ++failures_;
  client_.endpoints().MoveOnFrom(*endpoint_);
  // OK is a server that says good-bye; these two mean "elsewhere" on a stream.
  const bool elsewhere = status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                         status.error_code() == grpc::StatusCode::INTERNAL ||
                         Judge(CallKind::kRead, status) != AfterFailure::kGiveUp;
  return elsewhere ? absl::OkStatus() : ToAbslStatus(status, false);
}

absl::Status Watcher::EndOf(const etcdserverpb::WatchResponse& canceled) {
  if (canceled.compact_revision() > 0) {
    compact_revision_ = canceled.compact_revision();
    return StatusOf(ClientError::kCompacted);
  }
  if (canceled.cancel_reason().empty()) return StatusOf(ClientError::kWatchCanceled);
  if (const ErrorInfo* info = FindErrorByText(canceled.cancel_reason())) return StatusOf(info->error);
  return absl::FailedPreconditionError(canceled.cancel_reason());
}

bool Watcher::cancelled() {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

void Watcher::Pause(absl::Duration time) {
  std::unique_lock lock(mutex_);
  cancel_.wait_for(lock, absl::ToChronoMicroseconds(time), [this] { return cancelled_; });
}

}  // namespace cairn::client
