// Makes up the operations of one session from a seed and from what the answers told so far.
//
// The same seed and the same answers give the same operations; so a run replays from its seed.
// Thread safety: none; belongs to one session.
#ifndef CAIRN_TESTS_DIFFERENTIAL_GENERATOR_H_
#define CAIRN_TESTS_DIFFERENTIAL_GENERATOR_H_

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "proto/etcd/rpc.pb.h"
#include "tests/differential/call.h"

namespace cairn::differential {

// What a session may touch, and what it knows of the store. Revisions are in the session's names
// (translate.h).
struct View {
  std::string prefix;      // all its keys begin so; empty: the whole store is its own
  int64_t lease_base = 0;  // ids it picks are above
  int64_t revision = 1;    // newest it knows
  int64_t oldest = 0;      // oldest still readable
  std::vector<int64_t> leases;
};

class Generator {
 public:
  Generator(uint64_t seed, const View* view) : random_(seed), view_(*view) {}

  // A uniform number of [0, n).
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  bool Chance(int per_thousand) { return Below(1000) < per_thousand; }
  bool whole_store() const { return view_.prefix.empty(); }

  Call Read();    // a range, or a transaction of ranges only
  Call Write();   // put, delete, transaction, lease grant or revoke
  Call Inform();  // time to live, lease list, member list, status, hash; failing compactions
  etcdserverpb::WatchCreateRequest Watch();
  int64_t Lease();  // mostly a known one

  std::string Key();

 private:
  std::string Value();
  int64_t Revision();  // of the past, mostly readable
  int64_t PastRevision();
  std::pair<std::string, std::string> Span();  // key and range_end in all their forms
  etcdserverpb::RangeRequest Range();
  etcdserverpb::PutRequest Put(bool may_ignore);
  etcdserverpb::DeleteRangeRequest Delete();
  etcdserverpb::TxnRequest Txn(int depth, bool deletes);
  etcdserverpb::Compare Comparison();
  void AddOp(int depth, bool deletes, google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>* ops);
  etcdserverpb::LeaseGrantRequest Grant();

  std::mt19937_64 random_;
  const View& view_;
};

}  // namespace cairn::differential

#endif  // CAIRN_TESTS_DIFFERENTIAL_GENERATOR_H_
