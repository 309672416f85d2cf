// The bytes a call has sent and its connection has not yet taken: a chain of nodes from a pool shared by all
// calls.
//
// A node holds a few bytes of its own (frame header and prefix), an owned string and a shared one, in that
// order; so a watch event costs one node and no allocation.
//
// Thread safety: none.
// Ownership:     the pool outlives its queues' contents; Clear before a queue is destroyed.
#ifndef CAIRN_SERVER_RPC_OUTPUT_QUEUE_H_
#define CAIRN_SERVER_RPC_OUTPUT_QUEUE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/rpc/call.h"

namespace cairn::rpc {

struct OutputNode {
  static constexpr size_t kInlineBytes = 94;

  OutputNode* next = nullptr;
  std::string owned;
  SharedBytes shared;
  bool begins_message = false;
  uint8_t inline_size = 0;
  std::array<char, kInlineBytes> inlined;

  size_t size() const { return inline_size + owned.size() + (shared ? shared->size() : 0); }
};

class OutputPool {
 public:
  OutputPool() = default;
  OutputPool(const OutputPool&) = delete;
  OutputPool& operator=(const OutputPool&) = delete;
  ~OutputPool();

  OutputNode* Get();
  void Put(OutputNode* node);

 private:
  static constexpr size_t kMaxFree = 4096;

  OutputNode* free_ = nullptr;
  size_t free_count_ = 0;
};

class OutputQueue {
 public:
  OutputQueue() = default;
  OutputQueue(const OutputQueue&) = delete;
  OutputQueue& operator=(const OutputQueue&) = delete;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // One message, `prefix` and then `body`, with its frame header. A body that does not fit a node's own bytes
  // is kept as the string it is.
  void Push(OutputPool& pool, bool compressed, std::string_view prefix, std::string body);
  void PushShared(OutputPool& pool, std::string_view prefix, absl::Span<const SharedBytes> parts);

  // Moves the first `bytes` (at most size()) to the end of `out`.
  void MoveTo(OutputPool& pool, size_t bytes, std::string* out);

  // True when the first message in the queue has been moved in part: it cannot be taken back.
  bool within_message() const { return head_ != nullptr && (head_offset_ > 0 || !head_->begins_message); }
  void Clear(OutputPool& pool);

 private:
  OutputNode* Append(OutputPool& pool);

  OutputNode* head_ = nullptr;
  OutputNode* tail_ = nullptr;
  size_t head_offset_ = 0;  // bytes of the first node already moved
  size_t size_ = 0;
};

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_OUTPUT_QUEUE_H_
