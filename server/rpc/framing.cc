#include "server/rpc/framing.h"

namespace cairn::rpc {
namespace {

uint32_t ReadBigEndian(const char* bytes) {
  const auto* b = reinterpret_cast<const uint8_t*>(bytes);
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
}

// An emptied buffer larger than this gives its memory back.
constexpr size_t kKeepCapacityBytes = 4096;

}  // namespace

void FrameReader::Feed(std::string_view chunk) {
  if (kept_at_ == kept_.size()) {
    Keep();  // a chunk fed before and not pulled to the end
  }
  if (kept_at_ < kept_.size()) {
    kept_.append(chunk);
  } else {
    chunk_ = chunk;
  }
}

FrameReader::Result FrameReader::Peek(size_t max_message_bytes, Frame* frame) const {
  const std::string_view bytes = kept_at_ < kept_.size() ? std::string_view(kept_).substr(kept_at_) : chunk_;
  if (bytes.size() < kFrameHeaderBytes) return Result::kNeedMore;
  const auto flag = static_cast<uint8_t>(bytes[0]);
  if (flag > 1) return Result::kBadFlag;
  frame->compressed = flag == 1;
  frame->announced_bytes = ReadBigEndian(bytes.data() + 1);
  if (frame->announced_bytes > max_message_bytes) return Result::kTooLarge;
  if (bytes.size() - kFrameHeaderBytes < frame->announced_bytes) return Result::kNeedMore;
  frame->payload = bytes.substr(kFrameHeaderBytes, frame->announced_bytes);
  return Result::kMessage;
}

FrameReader::Result FrameReader::Pull(size_t max_message_bytes, Frame* frame) {
  const Result result = Peek(max_message_bytes, frame);
  if (result != Result::kMessage) return result;
  const size_t used = kFrameHeaderBytes + frame->announced_bytes;
  if (kept_at_ < kept_.size()) {
    kept_at_ += used;
  } else {
    chunk_.remove_prefix(used);
  }
  return result;
}

void FrameReader::Keep() {
  if (kept_at_ == kept_.size()) {
    kept_at_ = 0;
    if (kept_.capacity() > kKeepCapacityBytes) {
      FreeString(&kept_);
    } else {
      kept_.clear();
    }
  } else if (kept_at_ > kept_.size() / 2) {
    kept_.erase(0, kept_at_);
    kept_at_ = 0;
  }
  kept_.append(chunk_);
  chunk_ = {};
}

void FrameReader::Clear() {
  FreeString(&kept_);
  kept_at_ = 0;
  chunk_ = {};
}

std::array<char, kFrameHeaderBytes> FrameHeader(bool compressed, size_t message_bytes) {
  const auto length = static_cast<uint32_t>(message_bytes);
  return {static_cast<char>(compressed ? 1 : 0), static_cast<char>(length >> 24),
          static_cast<char>(length >> 16), static_cast<char>(length >> 8), static_cast<char>(length)};
}

}  // namespace cairn::rpc
