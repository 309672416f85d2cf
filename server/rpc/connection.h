// One client connection: the socket, its HTTP/2 session and the streams on it. Internal to server/rpc.
//
// A connection sniffs the first bytes (HTTP/2 or HTTP/1), then speaks HTTP/2, may be drained by GOAWAY, and
// lingers for a moment after its own end so that the last frames reach the client before the socket is
// closed.
//
// Thread safety: none; the loop's thread.
// Lifetime:      shared by the server core and the waits it has running.
// Invariants:    the session is destroyed only outside of its own callbacks; while bytes wait for the socket
//                no more are taken from the session (but its last words), so that all that waits for a slow
//                client waits in its streams, counted.
#ifndef CAIRN_SERVER_RPC_CONNECTION_H_
#define CAIRN_SERVER_RPC_CONNECTION_H_

#include <memory>
#include <string>
#include <string_view>

#include "boost/asio/ip/tcp.hpp"
#include "boost/intrusive/list.hpp"
#include "server/rpc/keepalive.h"
#include "server/rpc/nghttp2.h"
#include "server/rpc/server_core.h"
#include "server/rpc/stream.h"
#include "server/rpc/timer_queue.h"

namespace cairn::rpc {

class Connection final : public std::enable_shared_from_this<Connection>, private TimerEntry {
 public:
  Connection(std::shared_ptr<ServerCore> core, boost::asio::ip::tcp::socket socket);
  ~Connection();

  void Start();
  // Writes what the session has to say, as far as the socket takes it.
  void Flush();
  // Tells the client to go elsewhere, and ends once its calls have.
  void Drain();
  // Ends all calls with UNAVAILABLE, then the connection.
  void Cut();
  // At once. Not from within a callback of the session.
  void Close(CancelReason reason);

  // --- For streams ---
  ServerCore& core() { return *core_; }
  const std::shared_ptr<ServerCore>& shared_core() { return core_; }
  nghttp2_session* session() { return session_.get(); }
  const std::shared_ptr<const std::string>& peer() const { return peer_; }
  void FlushSoon();
  void AddQueued(ptrdiff_t bytes);
  void AddReceived(ptrdiff_t bytes);
  size_t queued_bytes() const { return queued_bytes_; }
  size_t received_bytes() const { return received_bytes_; }
  // Have `stream` told when it is writable again.
  void WaitForWritable(const Stream& stream);

  // --- Called by the session. Non-zero is one of nghttp2's errors. ---
  int OnBeginHeaders(const nghttp2_frame& frame);
  int OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  int OnFrame(const nghttp2_frame& frame);
  int OnDataChunk(int32_t stream_id, std::string_view chunk);
  int OnFrameSent(const nghttp2_frame& frame);
  int OnStreamClose(int32_t stream_id);
  int OnSendData(Stream& stream, const uint8_t* frame_header, size_t length);
  bool output_full() const;

 private:
  using StreamList =
      boost::intrusive::list<Stream,
                             boost::intrusive::member_hook<Stream, ListHook, &Stream::connection_hook>,
                             boost::intrusive::constant_time_size<false>>;
  using BlockedList =
      boost::intrusive::list<Stream, boost::intrusive::member_hook<Stream, ListHook, &Stream::blocked_hook>,
                             boost::intrusive::constant_time_size<false>>;

  void OnTimer() override;
  void WaitReadable();
  void OnReadable(const boost::system::error_code& error);
  void OnBytes(std::string_view bytes);
  void Sniff(std::string_view bytes);
  void OpenSession();
  void HandOver();
  void Receive(std::string_view bytes);
  void Write(std::string_view bytes);
  void OnWritable(const boost::system::error_code& error);
  void NotifyWritable();
  bool Fill();
  void OnPing(const nghttp2_frame& frame);
  void SendFinalGoAway();
  // The client broke the protocol: its calls end now. What stands in the write buffer, the GOAWAY that says
  // why last, goes out, and nothing else.
  void Break();
  void EndCalls(CancelReason reason);
  void Linger();
  void CloseIfDone();
  Stream* Find(int32_t stream_id);
  bool below_low_water(const Stream& stream) const;

  const std::shared_ptr<ServerCore> core_;
  boost::asio::ip::tcp::socket socket_;
  std::shared_ptr<const std::string> peer_;
  SessionPtr session_;     // null while sniffing, and when closed
  std::string sniffed_;    // a part of the preface
  std::string unwritten_;  // taken from the session, not yet by the socket

  StreamList streams_;  // each holds one reference
  size_t stream_count_ = 0;
  BlockedList blocked_;
  Stream* chunk_stream_ = nullptr;  // was fed a part of the bytes being received and has not copied it
  size_t queued_bytes_ = 0;
  size_t received_bytes_ = 0;

  PingPolicy ping_policy_;
  Time last_read_;
  Time ping_sent_{};
  bool ping_outstanding_ = false;

  bool handshake_done_ = false;
  bool dirty_ = false;
  bool draining_ = false;
  bool final_goaway_sent_ = false;
  bool broken_ = false;  // the session has said, or will say, a GOAWAY with an error; Break follows
  bool close_after_flush_ = false;
  bool lingering_ = false;
  bool waiting_writable_ = false;
  bool closed_ = false;
};

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_CONNECTION_H_
