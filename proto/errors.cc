#include "proto/errors.h"

#include <array>
#include <cstddef>

namespace cairn {
namespace {

constexpr auto kErrors = std::to_array<ErrorInfo>({
#define CAIRN_ERROR(name, code, text, retry, next_step) \
  {ClientError::name, #name, GrpcCode::code, text, Retry::retry, next_step},
#include "proto/errors.def"
#undef CAIRN_ERROR
});

}  // namespace

const ErrorInfo& InfoOf(ClientError error) {
  const auto number = static_cast<size_t>(error);
  return number < kErrors.size() ? kErrors[number] : kErrors[static_cast<size_t>(ClientError::kTimeout)];
}

const ErrorInfo* FindErrorByText(std::string_view text) {
  for (const ErrorInfo& info : kErrors) {
    if (info.text == text && info.error != ClientError::kOk) return &info;
  }
  return nullptr;
}

}  // namespace cairn
