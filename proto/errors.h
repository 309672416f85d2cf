// The one list of all errors a client can see. The table itself is proto/errors.def.
//
// Thread safety: free functions over constants.
#ifndef CAIRN_PROTO_ERRORS_H_
#define CAIRN_PROTO_ERRORS_H_

#include <cstdint>
#include <string_view>

namespace cairn {

// The canonical gRPC status codes, by their wire numbers.
enum class GrpcCode : uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// The number of an error travels between members (peer.proto): append at the end of the list only.
enum class ClientError : uint8_t {
#define CAIRN_ERROR(name, code, text, retry, next_step) name,
#include "proto/errors.def"
#undef CAIRN_ERROR
};

enum class Retry : uint8_t { kNever, kSafe, kUnknown };

struct ErrorInfo {
  ClientError error;
  std::string_view name;
  GrpcCode code;
  std::string_view text;       // as it stands on the wire
  Retry retry;                 // may the same request be sent again?
  std::string_view next_step;  // one line for a person
};

// The facts of one error. An unknown number gives the entry of kTimeout: the outcome is unknown.
const ErrorInfo& InfoOf(ClientError error);

// The error whose wire text is `text`, or nullptr.
const ErrorInfo* FindErrorByText(std::string_view text);

}  // namespace cairn

#endif  // CAIRN_PROTO_ERRORS_H_
