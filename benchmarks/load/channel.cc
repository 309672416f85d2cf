#include "benchmarks/load/channel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "raft/check.h"
#include "server/rpc/nghttp2.h"

namespace cairn::load {
namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr size_t kMaxMessageBytes = 512 << 20;
constexpr int32_t kStreamWindow = 8 << 20;
constexpr int32_t kConnectionWindow = 64 << 20;

std::string_view View(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

int IntOf(std::string_view text, int otherwise) {
  int value = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void AppendFramed(std::string_view message, std::string* out) {
  const auto header = rpc::FrameHeader(false, message.size());
  out->append(header.data(), header.size());
  out->append(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Channel>> Channel::Connect(Reactor& reactor, const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (colon == std::string::npos ||
      inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(endpoint, ": an IPv4 address and a port are needed"));
  }
  address.sin_port = htons(static_cast<uint16_t>(IntOf(std::string_view(endpoint).substr(colon + 1), 0)));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    close(fd);
    return absl::ErrnoToStatus(error, absl::StrCat("connecting to ", endpoint));
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return std::unique_ptr<Channel>(new Channel(reactor, fd, endpoint));
}

nghttp2_session_callbacks* Channel::Callbacks() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void* self) {
        if (View(name, name_size) != "grpc-status") return 0;
        Stream* stream = static_cast<Channel*>(self)->Find(frame->hd.stream_id);
        if (stream != nullptr) stream->code = IntOf(View(value, value_size), kUnavailable);
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
        auto* channel = static_cast<Channel*>(self);
        if (Stream* stream = channel->Find(id)) channel->OnData(*stream, View(data, size));
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks, [](nghttp2_session*, int32_t id, uint32_t, void* self) {
        static_cast<Channel*>(self)->OnStreamClosed(id);
        return 0;
      });
  return callbacks;
}

Channel::Channel(Reactor& reactor, int fd, std::string authority)
    : reactor_(reactor), fd_(fd), authority_(std::move(authority)) {
  nghttp2_session_callbacks* callbacks = Callbacks();
  CAIRN_CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0) << "out of memory";
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                             {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  reactor_.Add(fd_, this);
  FlushSoon();
}

Channel::~Channel() {
  reactor_.Remove(fd_, this);
  nghttp2_session_del(session_);
  close(fd_);
}

void Channel::Call(std::string_view path, std::string_view message, OnDone done) {
  auto stream = std::make_unique<Stream>();
  AppendFramed(message, &stream->out);
  stream->out_ends = true;
  stream->done = std::move(done);
  Submit(path, std::move(stream));
}

Channel::StreamId Channel::OpenStream(std::string_view path, OnMessage on_message, OnEnd on_end) {
  auto stream = std::make_unique<Stream>();
  stream->on_message = std::move(on_message);
  stream->on_end = std::move(on_end);
  return Submit(path, std::move(stream));
}

void Channel::Send(StreamId id, std::string_view message) {
  Stream* stream = Find(id);
  if (stream == nullptr || broken_) return;
  AppendFramed(message, &stream->out);
  if (std::exchange(stream->deferred, false)) nghttp2_session_resume_data(session_, id);
  FlushSoon();
}

Channel::StreamId Channel::Submit(std::string_view path, std::unique_ptr<Stream> stream) {
  const nghttp2_nv headers[] = {
      rpc::Field(":method", "POST"),         rpc::Field(":scheme", "http"),
      rpc::Field(":path", path, true),       rpc::Field(":authority", authority_),
      rpc::Field("te", "trailers"),          rpc::Field("content-type", "application/grpc"),
      rpc::Field("user-agent", "cairn-load")};
  nghttp2_data_provider body;
  body.source.ptr = stream.get();
  body.read_callback = [](nghttp2_session*, int32_t, uint8_t* buffer, size_t length, uint32_t* flags,
                          nghttp2_data_source* source, void*) -> ssize_t {
    auto& from = *static_cast<Stream*>(source->ptr);
    const size_t size = std::min(length, from.out.size() - from.sent);
    if (size == 0 && !from.out_ends) {
      from.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    std::memcpy(buffer, from.out.data() + from.sent, size);
    from.sent += size;
    if (from.sent == from.out.size()) {
      from.out.clear();
      from.sent = 0;
      if (from.out_ends) *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return static_cast<ssize_t>(size);
  };
  const StreamId id =
      broken_ ? -1 : nghttp2_submit_request(session_, nullptr, headers, std::size(headers), &body, nullptr);
  if (id < 0) {
    if (stream->done) stream->done(kUnavailable, {});
    if (stream->on_end) stream->on_end(kUnavailable);
    return id;
  }
  streams_.emplace(id, std::move(stream));
  FlushSoon();
  return id;
}

Channel::Stream* Channel::Find(StreamId id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.get();
}

void Channel::OnData(Stream& stream, std::string_view chunk) {
  stream.reader.Feed(chunk);
  rpc::Frame frame;
  while (stream.reader.Pull(kMaxMessageBytes, &frame) == rpc::FrameReader::Result::kMessage) {
    if (stream.on_message) {
      stream.on_message(frame.payload);
    } else {
      stream.reply.assign(frame.payload);
    }
  }
  stream.reader.Keep();
}

void Channel::OnStreamClosed(StreamId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  const std::unique_ptr<Stream> stream = std::move(found->second);
  streams_.erase(found);
  if (stream->done) stream->done(stream->code, stream->reply);
  if (stream->on_end) stream->on_end(stream->code);
}

void Channel::OnReadable() {
  static thread_local std::vector<uint8_t> buffer(kReadBytes);
  while (!broken_) {
    const ssize_t size = recv(fd_, buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) break;
    if (size <= 0) return Break();
    if (nghttp2_session_mem_recv(session_, buffer.data(), static_cast<size_t>(size)) < 0) return Break();
    if (static_cast<size_t>(size) < buffer.size()) break;
  }
  if (nghttp2_session_want_write(session_) != 0) FlushSoon();
}

void Channel::OnWritable() {
  if (std::exchange(writable_, true)) return;
  FlushSoon();
}

void Channel::FlushSoon() {
  if (flush_asked_ || broken_) return;
  flush_asked_ = true;
  reactor_.FlushSoon(this);
}

void Channel::Flush() {
  flush_asked_ = false;
  if (broken_) return;
  for (;;) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) return Break();
    if (size == 0) break;
    out_.append(View(bytes, static_cast<size_t>(size)));
  }
  while (writable_ && written_ < out_.size()) {
    const ssize_t size = send(fd_, out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) {
      writable_ = false;
    } else if (size < 0) {
      return Break();
    } else {
      written_ += static_cast<size_t>(size);
    }
  }
  if (written_ == out_.size()) {
    out_.clear();
    written_ = 0;
  }
}

void Channel::Break() {
  if (std::exchange(broken_, true)) return;
  for (auto& [id, stream] : std::exchange(streams_, {})) {
    if (stream->done) stream->done(kUnavailable, {});
    if (stream->on_end) stream->on_end(kUnavailable);
  }
}

}  // namespace cairn::load
