#include "server/rpc/output_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "server/rpc/framing.h"

namespace cairn::rpc {
namespace {

// False when the node has no room for all of `bytes`.
bool AppendInline(std::string_view bytes, OutputNode* node) {
  if (bytes.size() > OutputNode::kInlineBytes - node->inline_size) return false;
  if (bytes.empty()) return true;  // and perhaps null, which memcpy does not take
  std::memcpy(node->inlined.data() + node->inline_size, bytes.data(), bytes.size());
  node->inline_size += static_cast<uint8_t>(bytes.size());
  return true;
}

}  // namespace

OutputPool::~OutputPool() {
  while (free_ != nullptr) delete std::exchange(free_, free_->next);
}

OutputNode* OutputPool::Get() {
  if (free_ == nullptr) return new OutputNode;
  --free_count_;
  return std::exchange(free_, free_->next);
}

void OutputPool::Put(OutputNode* node) {
  if (free_count_ == kMaxFree) {
    delete node;
    return;
  }
  FreeString(&node->owned);
  node->shared.reset();
  node->inline_size = 0;
  node->begins_message = false;
  node->next = free_;
  free_ = node;
  ++free_count_;
}

OutputNode* OutputQueue::Append(OutputPool& pool) {
  OutputNode* node = pool.Get();
  node->next = nullptr;
  (head_ == nullptr ? head_ : tail_->next) = node;
  tail_ = node;
  return node;
}

void OutputQueue::Push(OutputPool& pool, bool compressed, std::string_view prefix, std::string body) {
  OutputNode* node = Append(pool);
  node->begins_message = true;
  const auto header = FrameHeader(compressed, prefix.size() + body.size());
  AppendInline({header.data(), header.size()}, node);
  if (!AppendInline(prefix, node)) {
    body.insert(0, prefix);
    node->owned = std::move(body);
  } else if (!AppendInline(body, node)) {
    node->owned = std::move(body);
  }
  size_ += node->size();
}

void OutputQueue::PushShared(OutputPool& pool, std::string_view prefix, absl::Span<const SharedBytes> parts) {
  size_t message_bytes = prefix.size();
  for (const SharedBytes& part : parts) message_bytes += part->size();
  OutputNode* node = Append(pool);
  node->begins_message = true;
  const auto header = FrameHeader(/*compressed=*/false, message_bytes);
  AppendInline({header.data(), header.size()}, node);
  if (!AppendInline(prefix, node)) node->owned.assign(prefix);
  for (const SharedBytes& part : parts) {
    if (part->empty()) continue;
    if (node->shared) node = Append(pool);
    node->shared = part;
  }
  size_ += header.size() + message_bytes;
}

void OutputQueue::MoveTo(OutputPool& pool, size_t bytes, std::string* out) {
  size_ -= bytes;
  while (bytes > 0) {
    OutputNode& node = *head_;
    size_t skip = head_offset_;
    for (const std::string_view piece :
         {std::string_view(node.inlined.data(), node.inline_size), std::string_view(node.owned),
          node.shared ? std::string_view(*node.shared) : std::string_view()}) {
      if (skip >= piece.size()) {
        skip -= piece.size();
        continue;
      }
      const size_t take = std::min(piece.size() - skip, bytes);
      out->append(piece.data() + skip, take);
      skip = 0;
      head_offset_ += take;
      bytes -= take;
      if (bytes == 0) break;
    }
    if (head_offset_ == node.size()) {
      head_ = node.next;
      head_offset_ = 0;
      pool.Put(&node);
    }
  }
  if (head_ == nullptr) tail_ = nullptr;
}

void OutputQueue::Clear(OutputPool& pool) {
  while (head_ != nullptr) pool.Put(std::exchange(head_, head_->next));
  tail_ = nullptr;
  head_offset_ = 0;
  size_ = 0;
}

}  // namespace cairn::rpc
