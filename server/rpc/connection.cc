#include "server/rpc/connection.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/error.hpp"
#include "server/rpc/framing.h"

namespace cairn::rpc {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kNoHttp1 =
    "HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\nconnection: "
    "close\r\ncontent-length: 41\r\n\r\n"
    "This port speaks gRPC over HTTP/2 only.\r\n";

// One write takes about this much from the session, one flush so many writes; then others have their turn.
constexpr size_t kWriteBytes = 256 << 10;
constexpr int kWritesPerFlush = 8;
constexpr size_t kKeepWriteBufferBytes = 2 * kWriteBytes;

constexpr auto kLinger = std::chrono::seconds(1);
// Time for requests on their way when the first GOAWAY is sent, if the client does not answer our ping
// sooner.
constexpr auto kGoAwayWait = std::chrono::seconds(1);
constexpr uint8_t kGoAwayPing[8] = {'g', 'o', 'i', 'n', 'g', ' ', 'a', 'w'};

std::string PeerName(const boost::asio::ip::tcp::socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return "unknown";
  const std::string address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(endpoint.port());
}

std::chrono::nanoseconds Chrono(absl::Duration duration) { return absl::ToChronoNanoseconds(duration); }

absl::Duration SinceEpoch(std::chrono::steady_clock::time_point time) {
  return absl::FromChrono(time.time_since_epoch());
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, boost::asio::ip::tcp::socket socket)
    : core_(std::move(core)),
      socket_(std::move(socket)),
      peer_(std::make_shared<const std::string>(PeerName(socket_))),
      ping_policy_(core_->options.min_client_ping_interval, core_->options.permit_pings_without_calls),
      last_read_(std::chrono::steady_clock::now()) {}

Connection::~Connection() = default;

void Connection::Start() {
  boost::system::error_code ignored;
  socket_.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  core_->timers->Set(*this, last_read_ + Chrono(core_->options.handshake_timeout));
  WaitReadable();
}

// --- Reading
// --------------------------------------------------------------------------------------------------------

void Connection::WaitReadable() {
  socket_.async_wait(
      boost::asio::ip::tcp::socket::wait_read,
      [self = shared_from_this()](const boost::system::error_code& error) { self->OnReadable(error); });
}

void Connection::OnReadable(const boost::system::error_code& wait_error) {
  if (closed_) return;
  if (wait_error) return Close(CancelReason::kConnectionLost);
  boost::system::error_code error;
  const size_t bytes = socket_.read_some(boost::asio::buffer(core_->read_buffer), error);
  if (error == boost::asio::error::would_block || error == boost::asio::error::interrupted)
    return WaitReadable();
  if (error) return Close(CancelReason::kConnectionLost);
  last_read_ = std::chrono::steady_clock::now();
  OnBytes({core_->read_buffer.data(), bytes});
  if (!closed_ && socket_.is_open()) WaitReadable();
}

void Connection::OnBytes(std::string_view bytes) {
  if (lingering_ || close_after_flush_) return;  // read only so that closing does not reset what we sent
  if (session_ == nullptr) return Sniff(bytes);
  Receive(bytes);
}

void Connection::Sniff(std::string_view bytes) {
  sniffed_.append(bytes);
  const size_t compared = std::min(sniffed_.size(), kPreface.size());
  if (std::string_view(sniffed_).substr(0, compared) != kPreface.substr(0, compared)) return HandOver();
  if (sniffed_.size() < kPreface.size()) return;
  OpenSession();
  const std::string sniffed = std::exchange(sniffed_, std::string());
  Receive(sniffed);
}

void Connection::HandOver() {
  if (core_->http1_handler) {
    boost::asio::ip::tcp::socket socket = std::move(socket_);
    std::string sniffed = std::move(sniffed_);
    const std::shared_ptr<ServerCore> core = core_;
    Close(CancelReason::kConnectionLost);
    core->http1_handler(std::move(socket), std::move(sniffed));
    return;
  }
  const bool looks_like_http = sniffed_[0] >= 'A' && sniffed_[0] <= 'Z';
  if (!looks_like_http) return Close(CancelReason::kConnectionLost);
  Write(kNoHttp1);
  if (!closed_) Linger();
}

void Connection::OpenSession() {
  const ServerOptions& options = core_->options;
  session_ = core_->http2.NewSession(this);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options.max_header_list_bytes)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(options.connection_window_bytes));
  if (draining_) nghttp2_submit_shutdown_notice(session_.get());
}

void Connection::Receive(std::string_view bytes) {
  const ssize_t used =
      nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (chunk_stream_ != nullptr) std::exchange(chunk_stream_, nullptr)->KeepChunk();
  if (used < 0 || broken_) {
    core_->write_buffer.clear();
    Fill();  // the GOAWAY that says why, if there is one; what fails now is of no account
    return Break();
  }
  FlushSoon();
}

Stream* Connection::Find(int32_t stream_id) {
  return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_.get(), stream_id));
}

int Connection::OnBeginHeaders(const nghttp2_frame& frame) {
  if (frame.headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  const boost::intrusive_ptr<Stream> stream = Stream::Begin(*this, frame.hd.stream_id);
  intrusive_ptr_add_ref(static_cast<Call*>(stream.get()));  // given back in OnStreamClose or Close
  streams_.push_back(*stream);
  ++stream_count_;
  ++core_->stats.calls;
  return nghttp2_session_set_stream_user_data(session_.get(), frame.hd.stream_id, stream.get());
}

int Connection::OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
  Stream* stream = Find(frame.hd.stream_id);
  if (stream == nullptr || stream->OnHeader(name, value)) return 0;
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int Connection::OnFrame(const nghttp2_frame& frame) {
  const bool end_stream = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      if (Stream* stream = Find(frame.hd.stream_id)) stream->OnHeadersComplete(end_stream);
      return 0;
    case NGHTTP2_DATA:
      if (end_stream) {
        if (Stream* stream = Find(frame.hd.stream_id)) stream->OnEndStream();
      }
      if (chunk_stream_ != nullptr) std::exchange(chunk_stream_, nullptr)->KeepChunk();
      return 0;
    case NGHTTP2_PING:
      OnPing(frame);
      return 0;
    case NGHTTP2_SETTINGS:
      if (!handshake_done_) {
        handshake_done_ = true;
        if (!draining_) core_->timers->Set(*this, last_read_ + Chrono(core_->options.ping_after_idle));
      }
      return 0;
    default:
      return 0;
  }
}

int Connection::OnDataChunk(int32_t stream_id, std::string_view chunk) {
  // The connection's window is given back at once: what calls hold is bounded by their own windows and by the
  // sums.
  nghttp2_session_consume_connection(session_.get(), chunk.size());
  if (chunk_stream_ != nullptr) std::exchange(chunk_stream_, nullptr)->KeepChunk();
  Stream* stream = Find(stream_id);
  if (stream == nullptr) return 0;
  chunk_stream_ = stream;
  stream->OnData(chunk);
  return 0;
}

int Connection::OnStreamClose(int32_t stream_id) {
  Stream* stream = Find(stream_id);
  if (stream == nullptr) return 0;
  if (chunk_stream_ == stream) chunk_stream_ = nullptr;
  nghttp2_session_set_stream_user_data(session_.get(), stream_id, nullptr);
  --stream_count_;
  --core_->stats.calls;
  stream->OnClosed(CancelReason::kClientCancelled);
  intrusive_ptr_release(static_cast<Call*>(stream));
  return 0;
}

void Connection::OnPing(const nghttp2_frame& frame) {
  if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) {
    const bool ours = std::equal(std::begin(kGoAwayPing), std::end(kGoAwayPing), frame.ping.opaque_data);
    if (draining_ && ours) return SendFinalGoAway();
    if (!std::exchange(ping_outstanding_, false) || draining_) return;
    core_->timers->Set(*this, last_read_ + Chrono(core_->options.ping_after_idle));
    return;
  }
  if (ping_policy_.OnPing(SinceEpoch(last_read_), stream_count_ > 0)) return;
  constexpr std::string_view kWhy = "too_many_pings";
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_ENHANCE_YOUR_CALM,
                        reinterpret_cast<const uint8_t*>(kWhy.data()), kWhy.size());
  broken_ = true;
}

// --- Writing
// --------------------------------------------------------------------------------------------------------

void Connection::FlushSoon() {
  if (dirty_ || closed_) return;
  dirty_ = true;
  core_->FlushSoon(shared_from_this());
}

bool Connection::output_full() const { return core_->write_buffer.size() >= kWriteBytes; }

// Moves output of the session into the write buffer. False: the session is broken.
bool Connection::Fill() {
  std::string& out = core_->write_buffer;
  while (out.size() < kWriteBytes) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_.get(), &bytes);
    if (size < 0) return false;
    if (size == 0) break;
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
  return true;
}

int Connection::OnSendData(Stream& stream, const uint8_t* frame_header, size_t length) {
  constexpr size_t kHttp2FrameHeaderBytes = 9;
  core_->write_buffer.append(reinterpret_cast<const char*>(frame_header), kHttp2FrameHeaderBytes);
  stream.MoveOutput(length, &core_->write_buffer);
  return 0;
}

int Connection::OnFrameSent(const nghttp2_frame& frame) {
  // nghttp2 tells of the client's errors only by what it sends because of them.
  if (frame.hd.type == NGHTTP2_GOAWAY && frame.goaway.error_code != NGHTTP2_NO_ERROR) broken_ = true;
  if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return 0;
  ping_policy_.OnSent();
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  // The call is answered: a client that is still sending may stop.
  const Stream* stream = Find(frame.hd.stream_id);
  if (stream != nullptr && !stream->remote_ended()) {
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR);
  }
  return 0;
}

void Connection::Flush() {
  dirty_ = false;
  if (closed_ || session_ == nullptr) return;
  std::string& out = core_->write_buffer;
  for (int writes = 0; unwritten_.empty(); ++writes) {
    if (writes == kWritesPerFlush) {
      FlushSoon();
      break;
    }
    out.clear();
    if (!Fill()) return Close(CancelReason::kConnectionLost);
    if (broken_) return Break();
    if (out.empty()) break;
    const bool more = out.size() >= kWriteBytes;
    Write(out);
    if (closed_) return;
    if (!more) break;
  }
  if (out.capacity() > kKeepWriteBufferBytes) FreeString(&out);
  NotifyWritable();
  CloseIfDone();
}

void Connection::Write(std::string_view bytes) {
  boost::system::error_code error;
  size_t written = socket_.write_some(boost::asio::buffer(bytes.data(), bytes.size()), error);
  if (error == boost::asio::error::would_block || error == boost::asio::error::interrupted) {
    written = 0;
  } else if (error) {
    return Close(CancelReason::kConnectionLost);
  }
  if (written == bytes.size()) return;
  unwritten_.append(bytes.substr(written));
  if (std::exchange(waiting_writable_, true)) return;
  socket_.async_wait(
      boost::asio::ip::tcp::socket::wait_write,
      [self = shared_from_this()](const boost::system::error_code& e) { self->OnWritable(e); });
}

void Connection::OnWritable(const boost::system::error_code& error) {
  waiting_writable_ = false;
  if (closed_) return;
  if (error) return Close(CancelReason::kConnectionLost);
  const std::string rest = std::exchange(unwritten_, std::string());
  Write(rest);
  if (closed_ || !unwritten_.empty()) return;
  if (lingering_) return Linger();
  FlushSoon();
}

void Connection::AddQueued(ptrdiff_t bytes) {
  queued_bytes_ += bytes;
  core_->stats.queued_bytes += bytes;
}

void Connection::AddReceived(ptrdiff_t bytes) {
  received_bytes_ += bytes;
  core_->stats.received_bytes += bytes;
}

void Connection::WaitForWritable(const Stream& stream) {
  if (!stream.blocked_hook.is_linked()) blocked_.push_back(const_cast<Stream&>(stream));
}

bool Connection::below_low_water(const Stream& stream) const {
  return stream.queued_bytes() <= core_->options.stream_high_water_bytes / 2 &&
         queued_bytes_ <= core_->options.connection_high_water_bytes / 2;
}

void Connection::NotifyWritable() {
  if (blocked_.empty()) return;
  BlockedList waiting;
  waiting.swap(blocked_);
  while (!waiting.empty()) {
    Stream& stream = waiting.front();
    waiting.pop_front();
    if (below_low_water(stream)) {
      const boost::intrusive_ptr<Stream> held(&stream);
      stream.OnWritable();
    } else {
      blocked_.push_back(stream);
    }
  }
}

// --- The end
// --------------------------------------------------------------------------------------------------------

void Connection::OnTimer() {
  const Time now = std::chrono::steady_clock::now();
  if (!handshake_done_ || lingering_ || close_after_flush_) return Close(CancelReason::kConnectionLost);
  if (draining_) return SendFinalGoAway();
  const ServerOptions& options = core_->options;
  if (ping_outstanding_ && last_read_ < ping_sent_) return Close(CancelReason::kConnectionLost);
  ping_outstanding_ = false;
  if (now - last_read_ < Chrono(options.ping_after_idle)) {
    core_->timers->Set(*this, last_read_ + Chrono(options.ping_after_idle));
    return;
  }
  ping_outstanding_ = true;
  ping_sent_ = now;
  nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
  core_->timers->Set(*this, now + Chrono(options.ping_timeout));
  FlushSoon();
}

void Connection::Drain() {
  if (draining_ || closed_) return;
  draining_ = true;
  if (session_ == nullptr) return Close(CancelReason::kShutdown);
  // First "no new streams, please", and only when requests on their way have come the number of the last one
  // served.
  nghttp2_submit_shutdown_notice(session_.get());
  nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, kGoAwayPing);
  if (handshake_done_) core_->timers->Set(*this, std::chrono::steady_clock::now() + kGoAwayWait);
  FlushSoon();
}

void Connection::SendFinalGoAway() {
  if (std::exchange(final_goaway_sent_, true)) return;
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_NO_ERROR, nullptr,
                        0);
  FlushSoon();
}

void Connection::Cut() {
  if (closed_) return;
  if (session_ == nullptr) return Close(CancelReason::kShutdown);
  SendFinalGoAway();
  for (auto next = streams_.begin(); next != streams_.end();) {
    Stream& stream = *next++;
    stream.Fail(CancelReason::kShutdown, GrpcCode::kUnavailable, "server is shutting down");
  }
  close_after_flush_ = true;
  core_->timers->Set(*this, std::chrono::steady_clock::now() + kLinger);
  FlushSoon();
}

void Connection::CloseIfDone() {
  if (closed_ || lingering_ || !unwritten_.empty()) return;
  const bool ended =
      nghttp2_session_want_read(session_.get()) == 0 && nghttp2_session_want_write(session_.get()) == 0;
  const bool drained = final_goaway_sent_ && stream_count_ == 0;
  if (close_after_flush_ || ended || drained) Linger();
}

void Connection::Break() {
  EndCalls(CancelReason::kConnectionLost);
  session_.reset();
  lingering_ = true;
  if (unwritten_.empty()) {
    Write(core_->write_buffer);
  } else {
    unwritten_.append(core_->write_buffer);
  }
  if (!closed_) Linger();
}

void Connection::EndCalls(CancelReason reason) {
  while (!streams_.empty()) {
    Stream& stream = streams_.front();
    --stream_count_;
    --core_->stats.calls;
    stream.OnClosed(reason);
    intrusive_ptr_release(static_cast<Call*>(&stream));
  }
}

void Connection::Linger() {
  lingering_ = true;
  boost::system::error_code ignored;
  if (unwritten_.empty()) socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  core_->timers->Set(*this, std::chrono::steady_clock::now() + kLinger);
}

void Connection::Close(CancelReason reason) {
  if (std::exchange(closed_, true)) return;
  const std::shared_ptr<Connection> self = shared_from_this();
  core_->timers->Cancel(*this);
  EndCalls(reason);
  session_.reset();
  boost::system::error_code ignored;
  socket_.close(ignored);
  FreeString(&unwritten_);
  core_->OnConnectionClosed(*this);
}

}  // namespace cairn::rpc
