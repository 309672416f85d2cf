// A small gRPC client over nghttp2: as little CPU of its own as possible, so that on a machine of few cores
// the servers are what is measured. Unary calls and bidirectional streams; no retries, no deadlines, no TLS.
//
// Thread safety: none; on its reactor's thread.
// When the connection breaks, every call ends with kUnavailable and broken() turns true; it stays so.
#ifndef CAIRN_BENCHMARKS_LOAD_CHANNEL_H_
#define CAIRN_BENCHMARKS_LOAD_CHANNEL_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "benchmarks/load/reactor.h"
#include "server/rpc/framing.h"

namespace cairn::load {

inline constexpr int kOk = 0;
inline constexpr int kUnavailable = 14;

class Channel final : public Reactor::Handler {
 public:
  // `code` is the gRPC status code; `reply` is empty unless it is kOk.
  using OnDone = absl::AnyInvocable<void(int code, std::string_view reply)>;
  using OnMessage = absl::AnyInvocable<void(std::string_view message)>;
  using OnEnd = absl::AnyInvocable<void(int code)>;
  using StreamId = int32_t;

  // Connects at once, waiting for it. `endpoint` is "127.0.0.1:2379".
  static absl::StatusOr<std::unique_ptr<Channel>> Connect(Reactor& reactor, const std::string& endpoint);
  ~Channel();

  // `path` and `message` need to live only during the call.
  void Call(std::string_view path, std::string_view message, OnDone done);

  StreamId OpenStream(std::string_view path, OnMessage on_message, OnEnd on_end);
  void Send(StreamId stream, std::string_view message);

  bool broken() const { return broken_; }

  // --- Reactor::Handler ---
  void OnReadable() override;
  void OnWritable() override;
  void Flush() override;

 private:
  struct Stream {
    rpc::FrameReader reader;
    std::string out;
    size_t sent = 0;
    bool out_ends = false;  // no more messages follow
    bool deferred = false;
    int code = kUnavailable;
    std::string reply;  // of a unary call
    OnDone done;
    OnMessage on_message;
    OnEnd on_end;
  };

  Channel(Reactor& reactor, int fd, std::string authority);
  static nghttp2_session_callbacks* Callbacks();

  StreamId Submit(std::string_view path, std::unique_ptr<Stream> stream);
  Stream* Find(StreamId id);
  void FlushSoon();
  void Break();
  void OnData(Stream& stream, std::string_view chunk);
  void OnStreamClosed(StreamId id);

  Reactor& reactor_;
  const int fd_;
  const std::string authority_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<StreamId, std::unique_ptr<Stream>> streams_;
  std::string out_;
  size_t written_ = 0;
  bool flush_asked_ = false;
  bool writable_ = true;
  bool broken_ = false;
};

}  // namespace cairn::load

#endif  // CAIRN_BENCHMARKS_LOAD_CHANNEL_H_
