// The header field of etcd's answers, as bytes to be put in front of a body (protobuf fields may be
// concatenated).
//
// Thread safety: free functions.
#ifndef CAIRN_SERVER_ETCD_HEADER_H_
#define CAIRN_SERVER_ETCD_HEADER_H_

#include <array>
#include <cstdint>
#include <string_view>

#include "raft/types.h"
#include "storage/types.h"

namespace cairn::server {

// Field 1 of a response: ResponseHeader. Never on the heap.
class HeaderBytes {
 public:
  // Tag and length, then four fields of a tag and a varint of at most 10 bytes each.
  static constexpr size_t kMaxBytes = 2 + 4 * 11;

  // Revision 0 is left out, as in the answers of calls that do not touch the store.
  HeaderBytes(uint64_t cluster_id, raft::NodeId member, storage::Revision revision, raft::Term term);

  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  void AppendField(int number, uint64_t value);

  std::array<char, kMaxBytes> bytes_;
  size_t size_ = 0;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_ETCD_HEADER_H_
