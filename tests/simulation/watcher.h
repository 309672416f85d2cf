// A simulated watch client: watches a range, and when the member it talks to is gone goes on at another from
// the next revision it has not got.
#ifndef CAIRN_TESTS_SIMULATION_WATCHER_H_
#define CAIRN_TESTS_SIMULATION_WATCHER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "proto/etcd/rpc.pb.h"
#include "server/watch/watch_hub.h"
#include "tests/simulation/history.h"
#include "tests/simulation/member.h"

namespace cairn::sim {

class Watcher {
 public:
  // `on_events`, if set, hears of each revision as it comes; such a watcher always reads at once, the others
  // do not.
  struct Wishes {
    std::string key;
    std::string range_end;
    bool no_put = false;
    bool no_delete = false;
    bool prev_kv = false;
  };
  Watcher(Wishes wishes, Scheduler& scheduler, Dice& dice,
          std::function<void(int64_t revision, const Changes&)> on_events);
  ~Watcher();

  // Opens a stream at `member`. The first time from `start_revision`, later from where it stands.
  void Connect(Member& member, int64_t start_revision);
  // The member's process is about to end, or the client leaves.
  void Disconnect();

  bool connected() const { return stream_ != nullptr; }
  Member* member() const { return member_; }
  // The next revision it needs; 0 before the first Connect.
  int64_t next_revision() const { return next_revision_; }

  // The hub said that the position is compacted away: a gap that the client is told of. What came before is
  // handed over and the watch starts anew at the compact revision.
  bool cancelled() const { return cancelled_; }

  // Asks for a progress mark.
  void AskProgress();
  // Since when a progress mark has been asked for on this stream and has not come.
  std::optional<absl::Duration> progress_asked_at() const { return progress_asked_at_; }

  // Hands over what was seen since the start (or since the last cancellation).
  WatchLog TakeLog();

 private:
  class Stream;

  void OnResponse(const etcdserverpb::WatchResponse& response);

  const Wishes wishes_;
  Scheduler& scheduler_;
  Dice& dice_;
  const std::function<void(int64_t, const Changes&)> on_events_;

  Member* member_ = nullptr;
  std::shared_ptr<Stream> stream_;
  WatchLog log_;
  int64_t next_revision_ = 0;
  bool cancelled_ = false;
  std::optional<absl::Duration> progress_asked_at_;
};

}  // namespace cairn::sim

#endif  // CAIRN_TESTS_SIMULATION_WATCHER_H_
