// The streamed calls, one stream to each system: what comes back on one is matched with what comes on the
// other.
#ifndef CAIRN_TESTS_DIFFERENTIAL_STREAMS_H_
#define CAIRN_TESTS_DIFFERENTIAL_STREAMS_H_

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proto/etcd/rpc.grpc.pb.h"
#include "tests/differential/call.h"
#include "tests/differential/translate.h"

namespace cairn::differential {

// One answer on a watch stream, or one event out of it, in the session's names.
struct WatchItem {
  enum Kind { kCreated, kCanceled, kProgress, kEvent };
  Kind kind;
  std::string content;  // normalised message in text
  int64_t watch_id = 0;
  int64_t revision = 0;  // of the event
  bool by_compaction = false;
};

// Puts the items of one stream beside those of the other, watch by watch, in order. Pure; for its own tests
// too.
class WatchMatcher {
 public:
  void Add(Side side, WatchItem item) { queues_[item.watch_id][side].push_back(std::move(item)); }
  // From here on either side may leave out the last events of this watch (expected_differences.h, 10).
  void CanceledByClient(int64_t watch_id) { canceled_.insert(watch_id); }

  // Removes what agrees. Empty, or the first two items that do not.
  std::string Match();
  bool empty() const;
  std::string Leftovers() const;

  int64_t events() const { return events_; }
  // Pairs of matched answers so far.
  const std::vector<WatchItem>& created() const { return created_; }
  int64_t progress_count() const { return progress_count_; }
  int64_t canceled_count() const { return canceled_count_; }
  // Revision of the last event matched for this watch; 0 = none.
  int64_t last_revision(int64_t watch_id) const;

 private:
  using Queues = std::array<std::deque<WatchItem>, 2>;
  std::string MatchOne(int64_t watch_id, Queues* queues);

  std::map<int64_t, Queues> queues_;
  std::set<int64_t> canceled_;
  std::vector<WatchItem> created_;
  std::map<int64_t, int64_t> last_revision_;
  int64_t events_ = 0;
  int64_t progress_count_ = 0;
  int64_t canceled_count_ = 0;
};

// A watch stream to each system. All methods from the session's thread; one reader thread a side fills the
// queues.
class WatchPair {
 public:
  WatchPair(const Target& etcd, int etcd_member, const Target& cairn, int cairn_member,
            const Translator* names);
  ~WatchPair();
  WatchPair(const WatchPair&) = delete;
  WatchPair& operator=(const WatchPair&) = delete;

  int cairn_member() const { return cairn_member_; }
  void Send(const etcdserverpb::WatchRequest& request);

  // Each returns "" or the difference. Those that wait give up after a time and then say what is missing.
  std::string Match();
  std::string WaitForCreated(int64_t count);
  std::string WaitForProgress(int64_t count);
  std::string WaitForCanceled(int64_t count);
  std::string WaitForEvent(int64_t watch_id, int64_t revision);
  std::string WaitUntilEmpty();

  const WatchMatcher& matcher() const { return matcher_; }
  // Responses that came in parts, of each side.
  std::array<int64_t, 2> fragments() const { return fragments_; }

 private:
  struct Stream {
    std::unique_ptr<etcdserverpb::Watch::Stub> stub;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>> rpc;
    std::thread reader;
    std::vector<etcdserverpb::WatchResponse> arrived;  // guarded by mutex_
    bool ended = false;                                // guarded by mutex_
    std::map<int64_t, std::pair<int64_t, bool>> last;  // of a watch: last revision, more parts to come
  };

  template <typename Done>
  std::string WaitFor(const char* what, const Done& done);
  std::string Take(Side side, const etcdserverpb::WatchResponse& response);

  const Translator& names_;
  int cairn_member_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::array<Stream, 2> streams_;
  WatchMatcher matcher_;
  std::array<int64_t, 2> fragments_ = {0, 0};
};

// A keep-alive stream to one member of each system; one question at a time.
class KeepAlivePair {
 public:
  KeepAlivePair(const Target& etcd, int etcd_member, const Target& cairn, int cairn_member);
  ~KeepAlivePair();

  // `ids`: what each side calls the lease.
  std::array<Outcome, 2> Ask(std::array<int64_t, 2> ids);

 private:
  struct Stream {
    std::unique_ptr<etcdserverpb::Lease::Stub> stub;
    grpc::ClientContext context;
    std::unique_ptr<
        grpc::ClientReaderWriter<etcdserverpb::LeaseKeepAliveRequest, etcdserverpb::LeaseKeepAliveResponse>>
        rpc;
  };
  std::array<Stream, 2> streams_;
};

}  // namespace cairn::differential

#endif  // CAIRN_TESTS_DIFFERENTIAL_STREAMS_H_
