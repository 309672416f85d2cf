// Cuts a call's request bytes into messages: one byte "compressed", four bytes length (big-endian), the
// message.
//
// Use: Feed a chunk, Pull until it yields no message, Keep. What lies complete within one chunk is never
// copied; Keep copies the rest before the chunk goes away.
//
// Thread safety: none.
// Invariants:    holds no more than one chunk beyond the largest message allowed, whatever is fed, if Pull is
//                called after each Feed; grows with the bytes that came, not with the length a client
//                announces.
#ifndef CAIRN_SERVER_RPC_FRAMING_H_
#define CAIRN_SERVER_RPC_FRAMING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::rpc {

// Empties a string and gives its memory back: assigning an empty one keeps the capacity.
inline void FreeString(std::string* s) { std::string().swap(*s); }

inline constexpr size_t kFrameHeaderBytes = 5;

struct Frame {
  bool compressed = false;
  std::string_view payload;  // valid until the next call of a FrameReader method
  uint32_t announced_bytes = 0;
};

class FrameReader {
 public:
  enum class Result : uint8_t {
    kMessage,
    kNeedMore,
    kTooLarge,  // announced_bytes says how large; the stream cannot be read any further
    kBadFlag,   // first byte neither 0 nor 1; likewise
  };

  void Feed(std::string_view chunk);
  // The next message. Peek leaves it where it is.
  Result Pull(size_t max_message_bytes, Frame* frame);
  Result Peek(size_t max_message_bytes, Frame* frame) const;
  void Keep();

  // Bytes not pulled yet.
  size_t waiting_bytes() const { return kept_.size() - kept_at_ + chunk_.size(); }
  size_t kept_bytes() const { return kept_.size(); }
  void Clear();

 private:
  std::string kept_;        // bytes of earlier chunks
  size_t kept_at_ = 0;      // how many of them were pulled
  std::string_view chunk_;  // the chunk just fed; used directly while nothing is kept
};

// The five bytes before a message.
std::array<char, kFrameHeaderBytes> FrameHeader(bool compressed, size_t message_bytes);

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_FRAMING_H_
