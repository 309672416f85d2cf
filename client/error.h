// What a failed call means to its caller: the status of the wire as absl::Status, whether the request may
// have been carried out all the same, whether it may be sent again, and what to do next.
//
// Thread safety: free functions.
#ifndef CAIRN_CLIENT_ERROR_H_
#define CAIRN_CLIENT_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace cairn::client {

enum class CallKind : uint8_t {
  kRead,   // or anything that may be done twice without harm
  kWrite,  // must not be done twice
};

enum class AfterFailure : uint8_t {
  kGiveUp,      // the request itself is refused, or its outcome is unknown
  kTryNext,     // nothing happened here, another member may take it; one round is enough
  kTryForWhile  // nothing happened, or it does no harm to ask again: until the time is up
};

// By the list of errors (proto/errors.def), and by the code for what is not in it.
AfterFailure Judge(CallKind kind, const grpc::Status& status);

// True when a write that failed with `status` may have been carried out.
bool MayHaveHappened(const grpc::Status& status);

// The same code and text. With `outcome_unknown` it says so to OutcomeUnknown below.
absl::Status ToAbslStatus(const grpc::Status& status, bool outcome_unknown);

// The write may or may not have happened: read before sending it again.
bool OutcomeUnknown(const absl::Status& status);
absl::Status WithUnknownOutcome(absl::Status status);

// One line for a person, or empty.
std::string NextStep(const absl::Status& status);

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_ERROR_H_
