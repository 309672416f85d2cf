// Names that the two systems choose for themselves, made comparable: lease ids picked by the server and,
// where clients run side by side, revisions.
//
// A session speaks in names of its own: for a lease the id etcd chose; for a revision either the number
// itself (one client: both systems count alike) or its *rank*, the number of changes this client knew of by
// then. A client sees only keys that it alone changes, so every revision in its answers is one of its own.
//
// Thread safety: none; belongs to one session.
#ifndef CAIRN_TESTS_DIFFERENTIAL_TRANSLATE_H_
#define CAIRN_TESTS_DIFFERENTIAL_TRANSLATE_H_

#include <google/protobuf/message.h>

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace cairn::differential {

enum Side { kEtcd = 0, kCairn = 1 };
constexpr std::array<Side, 2> kSides = {kEtcd, kCairn};

class Translator {
 public:
  // Revisions from here on stand for the future and pass through unchanged.
  static constexpr int64_t kFuture = int64_t{1} << 50;

  explicit Translator(bool rank_revisions) : rank_revisions_(rank_revisions) { ranks_.push_back({0, 0}); }

  bool rank_revisions() const { return rank_revisions_; }

  void AddLease(int64_t etcd_id, int64_t cairn_id);
  // Both systems moved to these revisions by one change of this session. Returns the session's name for it.
  int64_t AddRevision(int64_t etcd_revision, int64_t cairn_revision);

  // From the session's names to what `side` calls them, in every field of `request`.
  void ToSide(Side side, google::protobuf::Message* request) const;
  // Back. A revision that the session never heard of becomes negative, so that it matches nothing.
  void FromSide(Side side, google::protobuf::Message* response) const;
  int64_t RevisionFromSide(Side side, int64_t revision) const;

 private:
  bool rank_revisions_;
  std::array<std::unordered_map<int64_t, int64_t>, 2>
      leases_;                                 // [kCairn]: etcd's id -> cairn's; [kEtcd]: back
  std::vector<std::array<int64_t, 2>> ranks_;  // rank -> revision of each side
  std::array<std::unordered_map<int64_t, int64_t>, 2> rank_of_;  // revision of a side -> rank
};

}  // namespace cairn::differential

#endif  // CAIRN_TESTS_DIFFERENTIAL_TRANSLATE_H_
