// Checks of requests that do not depend on the state. Which error wins follows etcd.
//
// Thread safety: pure functions.
#ifndef CAIRN_STORAGE_MVCC_REQUEST_CHECK_H_
#define CAIRN_STORAGE_MVCC_REQUEST_CHECK_H_

#include <map>
#include <string>
#include <string_view>

#include "proto/errors.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::storage {

ClientError CheckRange(const etcdserverpb::RangeRequest& request);
ClientError CheckPut(const etcdserverpb::PutRequest& request);
ClientError CheckDeleteRange(const etcdserverpb::DeleteRangeRequest& request);
// `max_ops` of each list; a nested transaction counts on its own.
ClientError CheckTxn(const etcdserverpb::TxnRequest& request, int max_ops);

// Keys of [key, range_end) as the API writes them.
struct KeyRange {
  std::string_view begin;
  std::string_view end;     // of a range that ends
  bool single = false;      // only `begin`
  bool to_the_end = false;  // "\0": everything from `begin` on

  static KeyRange Of(std::string_view key, std::string_view range_end) {
    if (range_end.empty()) return {key, {}, true, false};
    if (range_end == std::string_view("\0", 1)) return {key, {}, false, true};
    return {key, range_end, false, false};
  }
  bool Contains(std::string_view key) const {
    if (single) return key == begin;
    return key >= begin && (to_the_end || key < end);
  }
};

// A set of keys made of ranges, kept disjoint.
class KeyRangeSet {
 public:
  void Add(const KeyRange& range);
  void AddAll(const KeyRangeSet& other);
  bool Contains(std::string_view key) const;

 private:
  struct End {
    std::string at;  // exclusive
    bool infinite = false;
    bool operator<(const End& other) const { return infinite ? false : other.infinite || at < other.at; }
  };
  void AddRange(std::string begin, End end);

  std::map<std::string, End, std::less<>> ranges_;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_REQUEST_CHECK_H_
