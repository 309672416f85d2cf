// The connections of a run, spread over the endpoints in turn as clients would.
//
// Thread safety: none.
#ifndef CAIRN_BENCHMARKS_LOAD_POOL_H_
#define CAIRN_BENCHMARKS_LOAD_POOL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "benchmarks/load/channel.h"

namespace cairn::load {

class Pool {
 public:
  explicit Pool(Reactor& reactor) : reactor_(reactor) {}

  absl::Status Connect(const std::vector<std::string>& endpoints, int connections) {
    for (int i = 0; i < connections; ++i) {
      auto channel = Channel::Connect(reactor_, endpoints[static_cast<size_t>(i) % endpoints.size()]);
      if (!channel.ok()) return channel.status();
      channels_.push_back(*std::move(channel));
    }
    return absl::OkStatus();
  }

  Channel& operator[](size_t i) { return *channels_[i % channels_.size()]; }
  size_t size() const { return channels_.size(); }

 private:
  Reactor& reactor_;
  std::vector<std::unique_ptr<Channel>> channels_;
};

}  // namespace cairn::load

#endif  // CAIRN_BENCHMARKS_LOAD_POOL_H_
