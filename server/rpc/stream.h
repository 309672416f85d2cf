// One HTTP/2 stream as a gRPC call: the server's side of Call. Internal to server/rpc.
//
// Thread safety: none; the loop's thread.
// Lifetime:      from a pool; lives while its connection's stream or any handle does. Detached (connection_
//                null) once the HTTP/2 stream is closed.
// Invariants:    nothing here ends the HTTP/2 session or destroys the handler from within the handler.
#ifndef CAIRN_SERVER_RPC_STREAM_H_
#define CAIRN_SERVER_RPC_STREAM_H_

#include <nghttp2/nghttp2.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "boost/intrusive/list.hpp"
#include "server/rpc/call.h"
#include "server/rpc/framing.h"
#include "server/rpc/output_queue.h"
#include "server/rpc/request_rules.h"
#include "server/rpc/router.h"
#include "server/rpc/server_core.h"
#include "server/rpc/timer_queue.h"

namespace cairn::rpc {

class Connection;

using ListHook =
    boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

class Stream final : public Call, private TimerEntry {
 public:
  // A stream of the pool, begun for `id` on `connection`. The connection holds the reference that is
  // returned.
  static boost::intrusive_ptr<Stream> Begin(Connection& connection, int32_t id);
  explicit Stream(StreamPool* pool) : pool_(pool) {}

  // --- Call ---
  std::string_view path() const override { return method_ == nullptr ? std::string_view() : method_->path; }
  std::string_view peer() const override { return peer_ == nullptr ? std::string_view() : *peer_; }
  const Metadata& metadata() const override { return metadata_; }
  absl::Duration TimeRemaining() const override;
  bool cancelled() const override { return cancelled_; }
  void SetOnCancel(absl::AnyInvocable<void(CancelReason)> on_cancel) override;
  void AddHeader(std::string_view key, std::string_view value) override;
  void AddTrailer(std::string_view key, std::string_view value) override;
  using Call::Finish;
  using Call::Respond;
  using Call::Send;
  void Respond(std::string_view prefix, std::string body) override;
  void Send(std::string_view prefix, absl::Span<const SharedBytes> parts) override;
  void Send(std::string message) override;
  size_t queued_bytes() const override { return output_.size(); }
  bool writable() const override;
  void Finish(GrpcCode code, std::string_view message) override;
  void PauseReading() override { paused_ = true; }
  void ResumeReading() override;

  // --- What the connection's HTTP/2 session tells ---
  // False: more header bytes than any client has reason to send; end the connection.
  bool OnHeader(std::string_view name, std::string_view value);
  void OnHeadersComplete(bool end_stream);
  // `chunk` may be used until KeepChunk. OnEndStream follows when it was the last.
  void OnData(std::string_view chunk);
  void OnEndStream();
  // The chunk given to OnData is about to go away.
  void KeepChunk();
  // The HTTP/2 stream is gone. Tells the handler unless the call was finished.
  void OnClosed(CancelReason reason);
  // The server or a limit ends the call: the status goes out, the handler hears `reason`.
  void Fail(CancelReason reason, GrpcCode code, std::string_view message);
  void OnWritable();

  // The data provider: how much of the output may go into a frame of at most `length` bytes.
  ssize_t ReadOutput(size_t length, uint32_t* flags);
  void MoveOutput(size_t bytes, std::string* out);

  int32_t id() const { return id_; }
  bool remote_ended() const { return remote_ended_; }

  ListHook connection_hook;
  mutable ListHook blocked_hook;  // in the connection's list while someone waits for OnWritable

 private:
  enum class Encoding : uint8_t { kIdentity, kGzip, kUnknown };

  void Release() override;
  void Reset();
  void OnTimer() override;  // the deadline

  // --- Request ---
  struct Refusal {
    std::string_view http_status;
    GrpcCode code;
    std::string message;
  };
  void Refuse(std::string_view http_status, GrpcCode code, std::string message);
  // The request is no HTTP: resets the stream, without an answer.
  void ResetMalformed();
  void Start();
  void CheckUnary();
  void DeliverUnary();
  void Deliver();
  // The message within `frame`; nothing when the call failed on it.
  std::optional<std::string_view> Unpack(const Frame& frame);
  void FailOnFrame(FrameReader::Result result, const Frame& frame);
  void GiveWindow();
  void CountKept();

  // --- Answer ---
  bool MayQueue();
  void Queued(size_t bytes_before);
  void SubmitHeaders();
  void SubmitStatusOnly(std::string_view http_status);
  void SubmitTrailer();
  std::vector<nghttp2_nv> StatusFields() const;
  void Queue(std::string_view prefix, std::string message);
  void Conclude();
  void TellCancelled(CancelReason reason);
  void DropOutput();
  bool compresses() const { return encoding_ == Encoding::kGzip && accepts_gzip_; }

  StreamPool* const pool_;
  Connection* connection_ = nullptr;
  int32_t id_ = 0;
  const Method* method_ = nullptr;
  std::shared_ptr<const std::string> peer_;

  // --- From the request's headers ---
  RequestRules rules_;
  Metadata metadata_;
  std::unique_ptr<Refusal> refusal_;  // the first reason found not to serve this call
  std::string encoding_name_;         // set when it is unknown
  uint32_t header_bytes_ = 0;
  absl::Duration timeout_ = absl::InfiniteDuration();
  Encoding encoding_ = Encoding::kIdentity;
  bool accepts_gzip_ = false;
  bool has_content_type_ = false;
  bool headers_complete_ = false;
  bool malformed_ = false;  // reset; what else comes of it is ignored

  // --- Reading ---
  FrameReader reader_;
  size_t counted_kept_ = 0;     // what the connection's and the server's sums have of this stream
  size_t withheld_window_ = 0;  // bytes received and not given back to the client's window
  bool paused_ = false;
  bool resuming_ = false;  // a later turn will deliver
  bool remote_ended_ = false;
  bool half_close_delivered_ = false;

  // --- Writing ---
  OutputQueue output_;
  Metadata headers_;
  Metadata trailers_;
  bool headers_sent_ = false;
  bool deferred_ = false;  // the session waits for output of this stream
  bool finished_ = false;
  bool cancelled_ = false;
  GrpcCode code_ = GrpcCode::kOk;
  std::string message_;                                          // percent-encoded
  CancelReason cancel_reason_ = CancelReason::kClientCancelled;  // valid when cancelled_

  std::unique_ptr<StreamHandler> handler_;
  absl::AnyInvocable<void(CancelReason)> on_cancel_;
};

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_STREAM_H_
