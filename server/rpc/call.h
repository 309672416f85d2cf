// One gRPC call, as its handler sees it: metadata and deadline in, messages and a status out.
//
// Thread safety: none; everything happens on the loop thread of the call's connection.
// Ownership:     reference counted. A handle stays safe after the call is over (answered, cancelled,
//                connection gone): what is done to it then has no effect.
// Invariants:    at most one status is ever sent; nothing is sent after it. A handler hears of the end of its
//                call exactly once: by its own Respond or Finish, or by a cancellation, never by both.
#ifndef CAIRN_SERVER_RPC_CALL_H_
#define CAIRN_SERVER_RPC_CALL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "boost/smart_ptr/intrusive_ptr.hpp"
#include "google/protobuf/message_lite.h"
#include "proto/errors.h"
#include "server/rpc/metadata.h"

namespace cairn::rpc {

// Bytes encoded once and sent on many calls (a watch event); copied only into each connection's output.
using SharedBytes = std::shared_ptr<const std::string>;

enum class CancelReason : uint8_t {
  kClientCancelled,   // RST_STREAM
  kDeadlineExceeded,  // answered with DEADLINE_EXCEEDED already
  kConnectionLost,
  kRefused,   // the client broke the protocol or a limit (message too large, bad frame); answered already
  kShutdown,  // the server stops and the grace period is over; answered already
};

class Call {
 public:
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // --- The request ---
  virtual std::string_view path() const = 0;  // "/package.Service/Method"
  virtual std::string_view peer() const = 0;  // "127.0.0.1:40312"; stays valid as long as this handle
  // Custom metadata, keys in lower case, values of "-bin" keys decoded.
  virtual const Metadata& metadata() const = 0;
  // Until the deadline; InfiniteDuration without one; not positive once it has passed.
  virtual absl::Duration TimeRemaining() const = 0;
  // The client no longer waits for an answer: it cancelled, the deadline passed or the connection is gone.
  virtual bool cancelled() const = 0;
  // For unary calls (streams have StreamHandler::OnCancel). Called at most once, never after the answer; at
  // once when the call is cancelled already. Dropped, with all it holds, when the call is over.
  virtual void SetOnCancel(absl::AnyInvocable<void(CancelReason)> on_cancel) = 0;

  // --- The answer ---
  // Response headers (before the first message) and trailers. Values of "-bin" keys are encoded here.
  virtual void AddHeader(std::string_view key, std::string_view value) = 0;
  virtual void AddTrailer(std::string_view key, std::string_view value) = 0;

  // Unary: one message, made of `prefix` (copied, best when short) followed by `body`, and status OK.
  virtual void Respond(std::string_view prefix, std::string body) = 0;
  void Respond(std::string body) { Respond({}, std::move(body)); }
  void Respond(const google::protobuf::MessageLite& message) { Respond(message.SerializeAsString()); }

  // Streams: one message, made of `prefix` (copied) followed by `parts` (shared). Always taken whole, so look
  // at writable() first; a stream or connection past its output limit is finished with RESOURCE_EXHAUSTED.
  virtual void Send(std::string_view prefix, absl::Span<const SharedBytes> parts) = 0;
  // Same for a message of which nothing is shared.
  virtual void Send(std::string message) = 0;
  void Send(const google::protobuf::MessageLite& message) { Send(message.SerializeAsString()); }

  // Bytes taken by Send and not yet handed to the connection (the client's flow control, a slow socket).
  virtual size_t queued_bytes() const = 0;
  // False above the high-water mark of the stream or its connection; StreamHandler::OnWritable tells when it
  // is true again.
  virtual bool writable() const = 0;

  // Ends the call. What was sent before is delivered first, unless the client is gone. Messages are cut at 4
  // KiB.
  virtual void Finish(GrpcCode code, std::string_view message) = 0;
  void Finish() { Finish(GrpcCode::kOk, {}); }

  // --- Back-pressure on the request side ---
  // Between the two, no message is delivered and the client's flow-control window is not refilled. Resuming
  // delivers what waits in a later turn of the loop.
  virtual void PauseReading() = 0;
  virtual void ResumeReading() = 0;

 protected:
  Call() = default;
  // The last handle is gone.
  virtual void Release() = 0;

 private:
  friend void intrusive_ptr_add_ref(Call* call) { ++call->references_; }
  friend void intrusive_ptr_release(Call* call) {
    if (--call->references_ == 0) call->Release();
  }
  uint32_t references_ = 0;  // not atomic: handles do not leave the loop thread
};

using CallPtr = boost::intrusive_ptr<Call>;

// The handler of one streaming call (client, server or both sides). Owned by the call, destroyed when it is
// over, never from within one of its own methods. It may keep the CallPtr given to its factory.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // `message` is valid during the call only.
  virtual void OnMessage(std::string_view message) = 0;
  // The client sends no more; the handler should Finish when it is done.
  virtual void OnHalfClose() = 0;
  // The call is over without the handler having finished it. Nothing is called after this.
  virtual void OnCancel(CancelReason reason) = 0;
  // writable() has become true again after having been false.
  virtual void OnWritable() {}
};

// `request` is valid during the call only.
using UnaryHandler = std::function<void(CallPtr call, std::string_view request)>;
// Called when the request's headers have come. May Finish the call at once and return null.
using StreamFactory = std::function<std::unique_ptr<StreamHandler>(CallPtr call)>;

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_CALL_H_
