// A naive store to compare the real one with: every version of every key in a map, every answer made by going
// over all of it. Written from the API's rules, not from the store's code.
#ifndef CAIRN_TESTS_UNIT_MVCC_STORE_MODEL_H_
#define CAIRN_TESTS_UNIT_MVCC_STORE_MODEL_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "proto/errors.h"
#include "proto/etcd/rpc.pb.h"
#include "proto/internal/command.pb.h"

namespace cairn::storage {

struct ModelEvent {
  mvccpb::Event event;      // without prev_kv
  mvccpb::KeyValue before;  // version 0: there was none
};

struct ModelLease {
  int64_t granted_ttl_s = 0;
  int64_t remaining_ttl_s = 0;
};

class StoreModel {
 public:
  struct Answer {
    ClientError error = ClientError::kOk;
    std::string body;  // of the response without its header
  };

  Answer Apply(const cairn::internal::Command& command, uint64_t entry_term);

  // `revision`: what the reader sees as current.
  Answer Range(const etcdserverpb::RangeRequest& request) const;
  Answer ReadTxn(const etcdserverpb::TxnRequest& request);

  int64_t revision() const { return revision_; }
  int64_t compacted() const { return compacted_; }  // -1 = never
  int64_t live_keys() const;
  const std::map<int64_t, std::vector<ModelEvent>>& events() const { return events_; }
  const std::map<int64_t, ModelLease>& leases() const { return leases_; }
  std::vector<std::string> KeysOf(int64_t lease) const;

 private:
  using Path = std::vector<bool>;

  // nullptr: not there.
  const mvccpb::KeyValue* At(const std::string& key, int64_t revision) const;
  std::vector<const mvccpb::KeyValue*> AllAt(const std::string& key, const std::string& end,
                                             int64_t revision) const;
  etcdserverpb::RangeResponse RangeAt(const etcdserverpb::RangeRequest& request, int64_t current) const;
  bool Holds(const etcdserverpb::Compare& compare) const;
  void ChoosePath(const etcdserverpb::TxnRequest& request, Path* path) const;
  ClientError CheckPuts(const etcdserverpb::TxnRequest& request, const Path& path, size_t* at,
                        std::set<std::string>* keys) const;
  ClientError CheckRanges(const etcdserverpb::TxnRequest& request, const Path& path, size_t* at) const;
  etcdserverpb::TxnResponse RunTxn(const etcdserverpb::TxnRequest& request, const Path& path, size_t* at);
  Answer Txn(const etcdserverpb::TxnRequest& request);
  etcdserverpb::PutResponse Put(const etcdserverpb::PutRequest& request);
  etcdserverpb::DeleteRangeResponse Delete(const etcdserverpb::DeleteRangeRequest& request);
  void Change(const std::string& key, const mvccpb::KeyValue& kv);
  void RemoveLease(int64_t id);
  // A transaction's revision: the next one from its first change on.
  int64_t now() const { return revision_ + (changed_ ? 1 : 0); }
  void End();

  std::map<std::string, std::map<int64_t, mvccpb::KeyValue>> keys_;  // version 0 = a deletion
  std::map<int64_t, ModelLease> leases_;
  std::map<int64_t, std::vector<ModelEvent>> events_;
  int64_t revision_ = 1;
  int64_t compacted_ = -1;
  bool changed_ = false;
};

}  // namespace cairn::storage

#endif  // CAIRN_TESTS_UNIT_MVCC_STORE_MODEL_H_
