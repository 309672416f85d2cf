#include "client/error.h"

#include <string_view>

#include "absl/strings/cord.h"
#include "proto/errors.h"

namespace cairn::client {
namespace {

constexpr char kOutcomeUrl[] = "cairn/outcome-unknown";

// grpc++ says so when it found no connection to put the call on: it never left this process.
bool NeverSent(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().rfind("failed to connect to all addresses", 0) == 0;
}

bool IsTransient(grpc::StatusCode code) {
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::RESOURCE_EXHAUSTED ||
         code == grpc::StatusCode::DEADLINE_EXCEEDED;
}

}  // namespace

AfterFailure Judge(CallKind kind, const grpc::Status& status) {
  if (NeverSent(status)) return AfterFailure::kTryForWhile;
  const ErrorInfo* info = FindErrorByText(status.error_message());
  if (info != nullptr) {
    const bool may_repeat =
        info->retry == Retry::kSafe || (info->retry == Retry::kUnknown && kind == CallKind::kRead);
    if (!may_repeat) return AfterFailure::kGiveUp;
    return IsTransient(status.error_code()) ? AfterFailure::kTryForWhile : AfterFailure::kTryNext;
  }
  // Not from a server's list of errors: the connection broke, or the time of this attempt is up.
  const bool broken = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                      status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  return broken && kind == CallKind::kRead ? AfterFailure::kTryForWhile : AfterFailure::kGiveUp;
}

bool MayHaveHappened(const grpc::Status& status) {
  if (status.ok() || NeverSent(status)) return false;
  if (const ErrorInfo* info = FindErrorByText(status.error_message())) return info->retry == Retry::kUnknown;
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
      return true;
    default:
      return false;
  }
}

absl::Status ToAbslStatus(const grpc::Status& status, bool outcome_unknown) {
  if (status.ok()) return absl::OkStatus();
  absl::Status converted(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  return outcome_unknown ? WithUnknownOutcome(std::move(converted)) : converted;
}

bool OutcomeUnknown(const absl::Status& status) { return status.GetPayload(kOutcomeUrl).has_value(); }

absl::Status WithUnknownOutcome(absl::Status status) {
  status.SetPayload(kOutcomeUrl, absl::Cord());
  return status;
}

std::string NextStep(const absl::Status& status) {
  if (OutcomeUnknown(status)) return "it may or may not have happened: read before you send it again";
  const absl::string_view text = status.message();
  const ErrorInfo* info = FindErrorByText({text.data(), text.size()});
  // A read is never in doubt: what the list says of writes does not concern it.
  if (info != nullptr && info->retry != Retry::kUnknown) return std::string(info->next_step);
  if (status.code() == absl::StatusCode::kUnavailable ||
      status.code() == absl::StatusCode::kDeadlineExceeded) {
    return "see which members are up: cairn health";
  }
  if (status.code() == absl::StatusCode::kUnimplemented) return "this server does not have the call";
  return "";
}

}  // namespace cairn::client
