// A stream's far end for tests of the watch hub: takes so many responses, then no more until told so.
//
// Thread safety: none.
#ifndef CAIRN_TESTS_UNIT_WATCH_FAKE_SINK_H_
#define CAIRN_TESTS_UNIT_WATCH_FAKE_SINK_H_

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proto/etcd/rpc.pb.h"
#include "raft/check.h"
#include "server/watch/watch_hub.h"

namespace cairn::server {

class FakeSink final : public WatchSink {
 public:
  void Send(WatchMessage message) override {
    std::string bytes(message.head.view());
    if (message.tail != nullptr) bytes += *message.tail;
    etcdserverpb::WatchResponse response;
    CAIRN_CHECK(response.ParseFromString(bytes)) << "a response that does not parse";
    responses_.push_back(std::move(response));
    tails_.push_back(std::move(message.tail));
    if (room_ > 0) --room_;
  }
  bool writable() const override { return room_ > 0; }

  // Takes `responses` more before it is full again. Full does not refuse: only writable() says so.
  void SetRoom(size_t responses) { room_ = responses; }
  static constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

  bool empty() const { return responses_.empty(); }
  // What has come since the last call.
  std::vector<etcdserverpb::WatchResponse> Take() {
    tails_.clear();
    return std::exchange(responses_, {});
  }
  // The shared bytes of what has come.
  const std::vector<std::shared_ptr<const std::string>>& tails() const { return tails_; }

 private:
  size_t room_ = kUnlimited;
  std::vector<etcdserverpb::WatchResponse> responses_;
  std::vector<std::shared_ptr<const std::string>> tails_;
};

}  // namespace cairn::server

#endif  // CAIRN_TESTS_UNIT_WATCH_FAKE_SINK_H_
