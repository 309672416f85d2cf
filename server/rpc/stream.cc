#include "server/rpc/stream.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "boost/asio/post.hpp"
#include "server/rpc/compression.h"
#include "server/rpc/connection.h"
#include "server/rpc/status.h"

namespace cairn::rpc {
namespace {

constexpr size_t kMaxFreeStreams = 4096;
// What gzip makes of less is hardly smaller.
constexpr size_t kMinCompressedBytes = 64;
// A client that goes on this far above the header limit gains nothing but our time.
constexpr size_t kHeaderFloodFactor = 8;
constexpr size_t kFieldOverheadBytes = 32;  // a field's weight in a header list, RFC 9113 section 6.5.2
constexpr size_t kMaxQuotedBytes = 256;     // of what a client sent, within an error text

bool AcceptsGzip(std::string_view list) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view one = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    if (one == "gzip") return true;
  }
  return false;
}

bool IsGrpc(std::string_view content_type) {
  constexpr std::string_view kBase = "application/grpc";
  if (!content_type.starts_with(kBase)) return false;
  return content_type.size() == kBase.size() || content_type[kBase.size()] == '+' ||
         content_type[kBase.size()] == ';';
}

std::string_view Number(GrpcCode code) {
  constexpr std::string_view kNumbers[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                           "9", "10", "11", "12", "13", "14", "15", "16"};
  return kNumbers[static_cast<size_t>(code)];
}

std::string Quoted(std::string_view text) {
  return "\"" + std::string(text.substr(0, kMaxQuotedBytes)) + "\"";
}

ssize_t ReadOutputOf(nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags,
                     nghttp2_data_source* source, void*) {
  return static_cast<Stream*>(source->ptr)->ReadOutput(length, flags);
}

}  // namespace

boost::intrusive_ptr<Stream> Stream::Begin(Connection& connection, int32_t id) {
  StreamPool* pool = connection.core().streams;
  Stream* stream = nullptr;
  if (pool->free.empty()) {
    stream = new Stream(pool);
  } else {
    stream = pool->free.back();
    pool->free.pop_back();
  }
  ++pool->handed_out;
  stream->connection_ = &connection;
  stream->id_ = id;
  stream->peer_ = connection.peer();
  return boost::intrusive_ptr<Stream>(stream);
}

void Stream::Release() {
  --pool_->handed_out;
  if (pool_->server_gone) {
    StreamPool* pool = pool_;
    delete this;
    if (pool->handed_out == 0) delete pool;
    return;
  }
  if (pool_->free.size() >= kMaxFreeStreams) {
    delete this;
    return;
  }
  Reset();
  pool_->free.push_back(this);
}

void Stream::Reset() {
  // All else was dropped when the stream closed, or is overwritten by the next one.
  method_ = nullptr;
  peer_.reset();
  rules_ = RequestRules();
  metadata_ = Metadata();
  refusal_.reset();
  encoding_name_.clear();
  header_bytes_ = 0;
  timeout_ = absl::InfiniteDuration();
  encoding_ = Encoding::kIdentity;
  withheld_window_ = 0;
  accepts_gzip_ = has_content_type_ = headers_complete_ = malformed_ = false;
  paused_ = resuming_ = remote_ended_ = half_close_delivered_ = false;
  headers_ = Metadata();
  trailers_ = Metadata();
  headers_sent_ = deferred_ = finished_ = cancelled_ = false;
  code_ = GrpcCode::kOk;
  FreeString(&message_);
  on_cancel_ = nullptr;
}

// --- The request
// ----------------------------------------------------------------------------------------------------

void Stream::Refuse(std::string_view http_status, GrpcCode code, std::string message) {
  if (refusal_ == nullptr)
    refusal_ = std::make_unique<Refusal>(Refusal{http_status, code, std::move(message)});
}

void Stream::ResetMalformed() {
  nghttp2_submit_rst_stream(connection_->session(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_PROTOCOL_ERROR);
  connection_->FlushSoon();
  if (std::exchange(finished_, true)) return;
  connection_->core().timers->Cancel(*this);
  TellCancelled(CancelReason::kRefused);
}

bool Stream::OnHeader(std::string_view name, std::string_view value) {
  if (malformed_) return true;
  if (!rules_.OnField(name, value)) {
    malformed_ = true;
    ResetMalformed();
    return true;
  }
  if (headers_complete_) return true;  // trailers of the client: gRPC gives them no meaning
  const size_t limit = connection_->core().options.max_header_list_bytes;
  header_bytes_ += name.size() + value.size() + kFieldOverheadBytes;
  if (header_bytes_ > limit) {
    Refuse("200", GrpcCode::kResourceExhausted,
           "request headers are larger than " + std::to_string(limit) + " bytes");
    return header_bytes_ <= limit * kHeaderFloodFactor;
  }
  if (name == ":path") {
    method_ = connection_->core().router.Find(value);
    if (method_ == nullptr) {
      Refuse("200", GrpcCode::kUnimplemented,
             connection_->core().router.WhyUnknown(value.substr(0, kMaxQuotedBytes)));
    }
  } else if (name == ":method") {
    if (value != "POST") {
      Refuse("405", GrpcCode::kInternal,
             "Received a HEADERS frame with :method " + Quoted(value) + " which should be POST");
    }
  } else if (name == "content-type") {
    has_content_type_ = true;
    if (!IsGrpc(value)) {
      Refuse("415", GrpcCode::kInvalidArgument, "invalid gRPC request content-type " + Quoted(value));
    }
  } else if (name == "grpc-timeout") {
    const std::optional<absl::Duration> timeout = ParseTimeout(value);
    if (timeout) {
      timeout_ = *timeout;
    } else {
      Refuse("400", GrpcCode::kInternal, "malformed grpc-timeout: " + Quoted(value));
    }
  } else if (name == "grpc-encoding") {
    if (value == "gzip") {
      encoding_ = Encoding::kGzip;
    } else if (value != "identity") {
      encoding_ = Encoding::kUnknown;
      encoding_name_ = Quoted(value);
    }
  } else if (name == "grpc-accept-encoding") {
    accepts_gzip_ = accepts_gzip_ || AcceptsGzip(value);
  } else if (!IsReservedKey(name)) {
    if (!metadata_.AddFromWire(name, value)) {
      Refuse("400", GrpcCode::kInternal,
             "malformed binary metadata " + Quoted(value) + " in header " + Quoted(name));
    }
  }
  return true;
}

void Stream::OnHeadersComplete(bool end_stream) {
  if (malformed_) return;
  // A second block are trailers, and trailers end the request.
  const bool well_formed = headers_complete_ ? end_stream : rules_.OnHeadersEnd();
  if (!well_formed) {
    malformed_ = true;
    return ResetMalformed();
  }
  if (std::exchange(headers_complete_, true)) return OnEndStream();
  if (!has_content_type_) Refuse("415", GrpcCode::kInvalidArgument, "missing gRPC request content-type");
  if (encoding_ == Encoding::kUnknown) {
    Refuse("200", GrpcCode::kUnimplemented,
           "grpc: Decompressor is not installed for grpc-encoding " + encoding_name_);
    headers_.Add("grpc-accept-encoding", "identity,gzip");
  }
  if (refusal_ != nullptr) {
    finished_ = true;
    code_ = refusal_->code;
    message_ = EncodeStatusMessage(refusal_->message);
    SubmitStatusOnly(refusal_->http_status);
    return;
  }
  Start();
  if (end_stream) OnEndStream();
}

void Stream::Start() {
  ServerCore& core = connection_->core();
  ++core.stats.calls_started;
  if (timeout_ != absl::InfiniteDuration()) {
    // Beyond a century is as good as for ever, and the clock does not overflow.
    const absl::Duration timeout = std::min(timeout_, absl::Hours(24 * 36500));
    core.timers->Set(*this, std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout));
  }
  if (method_->factory) {
    std::unique_ptr<StreamHandler> handler = method_->factory(CallPtr(this));
    if (!finished_) handler_ = std::move(handler);
  }
}

void Stream::OnData(std::string_view chunk) {
  withheld_window_ += chunk.size();
  if (finished_) return;
  reader_.Feed(chunk);
  if (method_->factory) {
    Deliver();
  } else {
    CheckUnary();
  }
  if (!paused_) GiveWindow();
}

void Stream::KeepChunk() {
  if (finished_) {
    reader_.Clear();
  } else {
    reader_.Keep();
  }
  CountKept();
}

void Stream::OnEndStream() {
  if (remote_ended_) return;
  remote_ended_ = true;
  if (finished_) return;
  if (method_->factory) {
    Deliver();
  } else {
    DeliverUnary();
  }
}

void Stream::CheckUnary() {
  Frame frame;
  const FrameReader::Result result =
      reader_.Peek(connection_->core().options.max_receive_message_bytes, &frame);
  if (result == FrameReader::Result::kMessage) {
    if (reader_.waiting_bytes() > kFrameHeaderBytes + frame.payload.size()) {
      Fail(CancelReason::kRefused, GrpcCode::kUnimplemented, "more than one request message in a unary call");
    }
  } else if (result != FrameReader::Result::kNeedMore) {
    FailOnFrame(result, frame);
  }
}

void Stream::DeliverUnary() {
  Frame frame;
  const FrameReader::Result result =
      reader_.Pull(connection_->core().options.max_receive_message_bytes, &frame);
  if (result != FrameReader::Result::kMessage) {
    if (result != FrameReader::Result::kNeedMore) return FailOnFrame(result, frame);
    if (reader_.waiting_bytes() > 0)
      return Fail(CancelReason::kRefused, GrpcCode::kInternal, "unexpected EOF");
    return Fail(CancelReason::kRefused, GrpcCode::kUnimplemented, "no request message in a unary call");
  }
  const std::optional<std::string_view> message = Unpack(frame);
  if (!message) return;
  ++connection_->core().stats.messages_received;
  method_->unary(CallPtr(this), *message);
}

void Stream::Deliver() {
  const size_t max_bytes = connection_->core().options.max_receive_message_bytes;
  while (!paused_ && !finished_) {
    Frame frame;
    const FrameReader::Result result = reader_.Pull(max_bytes, &frame);
    if (result == FrameReader::Result::kNeedMore) break;
    if (result != FrameReader::Result::kMessage) return FailOnFrame(result, frame);
    const std::optional<std::string_view> message = Unpack(frame);
    if (!message) return;
    ++connection_->core().stats.messages_received;
    if (handler_ != nullptr) handler_->OnMessage(*message);
  }
  if (!remote_ended_ || paused_ || finished_ || half_close_delivered_) return;
  half_close_delivered_ = true;
  if (reader_.waiting_bytes() > 0) return Fail(CancelReason::kRefused, GrpcCode::kInternal, "unexpected EOF");
  if (handler_ != nullptr) handler_->OnHalfClose();
}

std::optional<std::string_view> Stream::Unpack(const Frame& frame) {
  if (!frame.compressed) return frame.payload;
  if (encoding_ != Encoding::kGzip) {
    Fail(CancelReason::kRefused, GrpcCode::kInternal,
         "grpc: compressed flag set with identity or empty encoding");
    return std::nullopt;
  }
  ServerCore& core = connection_->core();
  const size_t max_bytes = core.options.max_receive_message_bytes;
  switch (Gunzip(frame.payload, max_bytes, &core.message_buffer)) {
    case GunzipResult::kOk:
      return core.message_buffer;
    case GunzipResult::kTooLarge:
      Fail(CancelReason::kRefused, GrpcCode::kResourceExhausted,
           "grpc: received message after decompression larger than max " + std::to_string(max_bytes));
      return std::nullopt;
    case GunzipResult::kCorrupt:
      break;
  }
  Fail(CancelReason::kRefused, GrpcCode::kInternal,
       "grpc: failed to decompress the received message: not valid gzip");
  return std::nullopt;
}

void Stream::FailOnFrame(FrameReader::Result result, const Frame& frame) {
  if (result == FrameReader::Result::kTooLarge) {
    return Fail(CancelReason::kRefused, GrpcCode::kResourceExhausted,
                "grpc: received message larger than max (" + std::to_string(frame.announced_bytes) + " vs. " +
                    std::to_string(connection_->core().options.max_receive_message_bytes) + ")");
  }
  Fail(CancelReason::kRefused, GrpcCode::kInternal, "grpc: received unexpected payload format");
}

void Stream::GiveWindow() {
  if (withheld_window_ == 0 || finished_) return;
  nghttp2_session_consume_stream(connection_->session(), id_, std::exchange(withheld_window_, 0));
}

void Stream::CountKept() {
  if (connection_ == nullptr || reader_.kept_bytes() == counted_kept_) return;
  connection_->AddReceived(static_cast<ptrdiff_t>(reader_.kept_bytes()) -
                           static_cast<ptrdiff_t>(counted_kept_));
  const bool grown = reader_.kept_bytes() > counted_kept_;
  counted_kept_ = reader_.kept_bytes();
  const ServerCore& core = connection_->core();
  if (grown && !finished_ &&
      (connection_->received_bytes() > core.options.max_connection_received_bytes ||
       core.stats.received_bytes > core.options.max_total_received_bytes)) {
    Fail(CancelReason::kRefused, GrpcCode::kResourceExhausted,
         "too many bytes of unfinished requests: send fewer large requests at once");
  }
}

void Stream::ResumeReading() {
  if (!paused_ || resuming_) return;
  paused_ = false;
  if (connection_ == nullptr || finished_) return;
  resuming_ = true;
  paused_ = true;  // until that turn, so that messages keep their order
  boost::asio::post(connection_->core().loop, [stream = boost::intrusive_ptr<Stream>(this)] {
    stream->resuming_ = false;
    stream->paused_ = false;
    if (stream->connection_ == nullptr || stream->finished_) return;
    stream->Deliver();
    stream->KeepChunk();
    if (stream->paused_) return;
    stream->GiveWindow();
    stream->connection_->FlushSoon();
  });
}

absl::Duration Stream::TimeRemaining() const {
  if (timeout_ == absl::InfiniteDuration()) return timeout_;
  if (!is_linked()) return finished_ ? absl::ZeroDuration() : timeout_;
  return absl::FromChrono(when() - std::chrono::steady_clock::now());
}

void Stream::SetOnCancel(absl::AnyInvocable<void(CancelReason)> on_cancel) {
  if (cancelled_) return on_cancel(cancel_reason_);
  if (!finished_) on_cancel_ = std::move(on_cancel);
}

// --- The answer
// -----------------------------------------------------------------------------------------------------

void Stream::AddHeader(std::string_view key, std::string_view value) {
  if (finished_ || headers_sent_ || IsReservedKey(key)) return;
  headers_.Add(key, IsBinaryKey(key) ? EncodeBase64(value) : std::string(value));
}

void Stream::AddTrailer(std::string_view key, std::string_view value) {
  if (finished_ || IsReservedKey(key)) return;
  trailers_.Add(key, IsBinaryKey(key) ? EncodeBase64(value) : std::string(value));
}

void Stream::Respond(std::string_view prefix, std::string body) {
  Queue(prefix, std::move(body));
  Finish(GrpcCode::kOk, {});
}

void Stream::Send(std::string message) { Queue({}, std::move(message)); }

void Stream::Queue(std::string_view prefix, std::string message) {
  if (finished_ || !MayQueue()) return;
  const size_t before = output_.size();
  OutputPool& pool = connection_->core().output_pool;
  if (compresses() && prefix.size() + message.size() >= kMinCompressedBytes) {
    message.insert(0, prefix);
    output_.Push(pool, /*compressed=*/true, {}, Gzip(message));
  } else {
    output_.Push(pool, /*compressed=*/false, prefix, std::move(message));
  }
  Queued(before);
}

void Stream::Send(std::string_view prefix, absl::Span<const SharedBytes> parts) {
  if (finished_) return;
  if (compresses()) {  // what is compressed for one client cannot be shared with others
    std::string message(prefix);
    for (const SharedBytes& part : parts) message.append(*part);
    return Send(std::move(message));
  }
  if (!MayQueue()) return;
  const size_t before = output_.size();
  output_.PushShared(connection_->core().output_pool, prefix, parts);
  Queued(before);
}

bool Stream::MayQueue() {
  const ServerCore& core = connection_->core();
  if (output_.size() < core.options.max_stream_queued_bytes &&
      connection_->queued_bytes() < core.options.max_connection_queued_bytes &&
      core.stats.queued_bytes < core.options.max_total_queued_bytes) {
    return true;
  }
  Fail(CancelReason::kRefused, GrpcCode::kResourceExhausted,
       "too many bytes wait for the client to read them: read faster, or ask for less at once");
  return false;
}

void Stream::Queued(size_t bytes_before) {
  ++connection_->core().stats.messages_sent;
  connection_->AddQueued(static_cast<ptrdiff_t>(output_.size() - bytes_before));
  if (!headers_sent_) {
    SubmitHeaders();
  } else if (deferred_) {
    deferred_ = false;
    nghttp2_session_resume_data(connection_->session(), id_);
  }
  connection_->FlushSoon();
}

bool Stream::writable() const {
  if (finished_ || connection_ == nullptr) return false;
  const ServerOptions& options = connection_->core().options;
  if (output_.size() < options.stream_high_water_bytes &&
      connection_->queued_bytes() < options.connection_high_water_bytes) {
    return true;
  }
  connection_->WaitForWritable(*this);
  return false;
}

void Stream::OnWritable() {
  if (!finished_ && handler_ != nullptr) handler_->OnWritable();
}

void Stream::Finish(GrpcCode code, std::string_view message) {
  if (finished_) return;
  finished_ = true;
  code_ = code;
  message_ = EncodeStatusMessage(message);
  Conclude();
  // What the callback holds may be anything: let go of it last.
  const absl::AnyInvocable<void(CancelReason)> dropped = std::exchange(on_cancel_, nullptr);
}

void Stream::Conclude() {
  connection_->core().timers->Cancel(*this);
  if (!headers_sent_) {
    SubmitStatusOnly("200");
  } else if (deferred_) {
    deferred_ = false;
    nghttp2_session_resume_data(connection_->session(), id_);
  }
  connection_->FlushSoon();
}

void Stream::Fail(CancelReason reason, GrpcCode code, std::string_view message) {
  if (finished_) return;
  finished_ = true;
  code_ = code;
  message_ = EncodeStatusMessage(message);
  if (output_.within_message()) {
    // The client has a part of a message: trailers now would look like a broken stream to it.
    connection_->core().timers->Cancel(*this);
    nghttp2_submit_rst_stream(connection_->session(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_CANCEL);
    connection_->FlushSoon();
  } else {
    DropOutput();
    Conclude();
  }
  TellCancelled(reason);
}

void Stream::TellCancelled(CancelReason reason) {
  cancelled_ = true;
  cancel_reason_ = reason;
  if (handler_ != nullptr) handler_->OnCancel(reason);
  if (on_cancel_) std::exchange(on_cancel_, nullptr)(reason);
}

void Stream::DropOutput() {
  connection_->AddQueued(-static_cast<ptrdiff_t>(output_.size()));
  output_.Clear(connection_->core().output_pool);
}

void Stream::OnTimer() {
  Fail(CancelReason::kDeadlineExceeded, GrpcCode::kDeadlineExceeded, "context deadline exceeded");
  reader_.Clear();
  CountKept();
}

void Stream::OnClosed(CancelReason reason) {
  connection_->core().timers->Cancel(*this);
  connection_hook.unlink();
  blocked_hook.unlink();
  DropOutput();
  reader_.Clear();
  CountKept();
  if (!std::exchange(finished_, true)) TellCancelled(reason);
  handler_.reset();
  connection_ = nullptr;
}

void Stream::SubmitHeaders() {
  headers_sent_ = true;
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = &ReadOutputOf;
  const nghttp2_nv status = Field(":status", "200");
  const nghttp2_nv content_type = Field("content-type", "application/grpc");
  if (!compresses() && headers_.empty()) {
    const nghttp2_nv fields[] = {status, content_type};
    nghttp2_submit_response(connection_->session(), id_, fields, std::size(fields), &provider);
    return;
  }
  std::vector<nghttp2_nv> fields = {status, content_type};
  if (compresses()) fields.push_back(Field("grpc-encoding", "gzip"));
  for (const auto& [key, value] : headers_.entries()) fields.push_back(Field(key, value));
  nghttp2_submit_response(connection_->session(), id_, fields.data(), fields.size(), &provider);
}

std::vector<nghttp2_nv> Stream::StatusFields() const {
  std::vector<nghttp2_nv> fields = {Field("grpc-status", Number(code_))};
  if (!message_.empty()) fields.push_back(Field("grpc-message", message_));
  for (const auto& [key, value] : trailers_.entries()) fields.push_back(Field(key, value));
  return fields;
}

void Stream::SubmitStatusOnly(std::string_view http_status) {
  headers_sent_ = true;
  std::vector<nghttp2_nv> fields = {Field(":status", http_status), Field("content-type", "application/grpc")};
  for (const auto& [key, value] : headers_.entries()) fields.push_back(Field(key, value));
  for (const nghttp2_nv& field : StatusFields()) fields.push_back(field);
  nghttp2_submit_response(connection_->session(), id_, fields.data(), fields.size(), nullptr);
  connection_->FlushSoon();
}

void Stream::SubmitTrailer() {
  if (message_.empty() && trailers_.empty()) {
    const nghttp2_nv status = Field("grpc-status", Number(code_));
    nghttp2_submit_trailer(connection_->session(), id_, &status, 1);
    return;
  }
  const std::vector<nghttp2_nv> fields = StatusFields();
  nghttp2_submit_trailer(connection_->session(), id_, fields.data(), fields.size());
}

ssize_t Stream::ReadOutput(size_t length, uint32_t* flags) {
  if (output_.empty() && !finished_) {
    deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (!output_.empty() && connection_->output_full()) return NGHTTP2_ERR_PAUSE;
  const size_t bytes = std::min(length, output_.size());
  if (bytes > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (finished_ && bytes == output_.size()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    SubmitTrailer();
  }
  return static_cast<ssize_t>(bytes);
}

void Stream::MoveOutput(size_t bytes, std::string* out) {
  output_.MoveTo(connection_->core().output_pool, bytes, out);
  connection_->AddQueued(-static_cast<ptrdiff_t>(bytes));
}

}  // namespace cairn::rpc
