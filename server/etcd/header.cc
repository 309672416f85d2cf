#include "server/etcd/header.h"

namespace cairn::server {
namespace {

constexpr int kVarint = 0;
constexpr int kLengthDelimited = 2;

constexpr char Tag(int number, int wire_type) { return static_cast<char>(number << 3 | wire_type); }

}  // namespace

HeaderBytes::HeaderBytes(uint64_t cluster_id, raft::NodeId member, storage::Revision revision,
                         raft::Term term) {
  bytes_[0] = Tag(1, kLengthDelimited);
  size_ = 2;  // the length fits one byte; it is written last
  AppendField(1, cluster_id);
  AppendField(2, member.value());
  AppendField(3, static_cast<uint64_t>(revision.value()));
  AppendField(4, term.value());
  bytes_[1] = static_cast<char>(size_ - 2);
}

void HeaderBytes::AppendField(int number, uint64_t value) {
  if (value == 0) return;
  bytes_[size_++] = Tag(number, kVarint);
  for (; value >= 0x80; value >>= 7) bytes_[size_++] = static_cast<char>(value | 0x80);
  bytes_[size_++] = static_cast<char>(value);
}

}  // namespace cairn::server
