// Peer messages as bytes. One frame on the wire:
//
//   bytes 0-3    length of the body, little-endian; at most kMaxFrameBytes
//   bytes 4-7    frame type, little-endian: 1 = Hello, 2 = PeerFrame
//   bytes 8-15   XXH3-64 of the body, seeded with type * 2^32 + length, little-endian
//   then         the body: a message of proto/internal/peer.proto
//
// A reader closes the connection at the first frame it does not understand: what follows has no meaning.
//
// Thread safety: none; each connection has its own reader and encoder.
#ifndef CAIRN_SERVER_TRANSPORT_PEER_CODEC_H_
#define CAIRN_SERVER_TRANSPORT_PEER_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/internal/peer.pb.h"
#include "raft/types.h"
#include "server/ports.h"

namespace cairn::server {

inline constexpr uint32_t kPeerProtocolVersion = 1;
inline constexpr size_t kFrameHeaderBytes = 16;
inline constexpr size_t kMaxHelloBytes = 4 << 10;
inline constexpr size_t kMaxFrameBytes = 64 << 20;

enum class FrameType : uint32_t { kHello = 1, kBatch = 2 };

void AppendHello(const internal::Hello& hello, std::string* out);

class BatchEncoder {
 public:
  // Appends one frame to `out`; each payload is copied once, into it. False when the frame would be larger
  // than kMaxFrameBytes: `out` is as before.
  bool Append(const PeerBatch& batch, std::string* out);

 private:
  void AppendMessage(const raft::Message& message, std::string* out);

  // Kept for their memory.
  internal::RaftMessage message_;
  internal::PeerFrame rest_;
};

// `scratch` is kept by the caller for its memory. Every message must come from `from` and be meant for `to`.
absl::StatusOr<PeerBatch> DecodeBatch(std::string_view body, raft::NodeId from, raft::NodeId to,
                                      internal::PeerFrame* scratch);

struct Frame {
  FrameType type;
  std::string_view body;  // valid until the reader's next call
};

// Cuts a stream of bytes into frames. Holds no more memory than twice what has really arrived, and a chunk.
class FrameReader {
 public:
  explicit FrameReader(size_t max_body_bytes) : max_body_bytes_(max_body_bytes) {}

  void set_max_body_bytes(size_t bytes) { max_body_bytes_ = bytes; }

  // Where to read to next; then Commit what was read.
  std::span<char> Space();
  void Commit(size_t bytes) { end_ += bytes; }

  // The next whole frame, nothing when more bytes are needed, or why the stream is broken.
  absl::StatusOr<std::optional<Frame>> Next();

 private:
  size_t max_body_bytes_;
  std::vector<char> buffer_;
  size_t begin_ = 0;  // of what is not cut into frames yet
  size_t end_ = 0;    // of what has arrived
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_TRANSPORT_PEER_CODEC_H_
