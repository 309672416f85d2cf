// Judges a client's HTTP/2 pings, as grpc-go's server does: a ping that comes too soon after the last is a
// strike, the third strike in a row ends the connection. Anything the server sent in between clears them,
// because clients measure bandwidth with pings of their own after data has come.
//
// Thread safety: none. A value type without a clock of its own.
#ifndef CAIRN_SERVER_RPC_KEEPALIVE_H_
#define CAIRN_SERVER_RPC_KEEPALIVE_H_

#include "absl/time/time.h"

namespace cairn::rpc {

class PingPolicy {
 public:
  PingPolicy(absl::Duration min_interval, bool permit_without_calls)
      : min_interval_(min_interval), permit_without_calls_(permit_without_calls) {}

  // False: the client pings too often; close with ENHANCE_YOUR_CALM. `now` is monotonic.
  [[nodiscard]] bool OnPing(absl::Duration now, bool has_calls) {
    const absl::Duration since_last = now - last_ping_;
    last_ping_ = now;
    if (sent_since_ping_) {
      sent_since_ping_ = false;
      strikes_ = 0;
      return true;
    }
    const absl::Duration allowed = has_calls || permit_without_calls_ ? min_interval_ : kWithoutCalls;
    if (since_last < allowed) ++strikes_;
    return strikes_ <= kMaxStrikes;
  }

  // Headers or data went out.
  void OnSent() { sent_since_ping_ = true; }

 private:
  static constexpr int kMaxStrikes = 2;
  static constexpr absl::Duration kWithoutCalls = absl::Hours(2);

  absl::Duration min_interval_;
  bool permit_without_calls_;
  bool sent_since_ping_ = false;
  int strikes_ = 0;
  absl::Duration last_ping_ = -absl::InfiniteDuration();
};

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_KEEPALIVE_H_
