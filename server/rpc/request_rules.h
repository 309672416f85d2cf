// What HTTP/2 demands of a request's header block (RFC 9113 section 8), as far as it matters to a server that
// forwards nothing. nghttp2's own checks are off, because they also look into :authority, where grpc-go
// before 1.34 sends the whole URL it was given ("http://10.0.0.1:2379"); Debian's etcdctl does.
//
// Thread safety: none. A value type of two bytes.
#ifndef CAIRN_SERVER_RPC_REQUEST_RULES_H_
#define CAIRN_SERVER_RPC_REQUEST_RULES_H_

#include <cstdint>
#include <string_view>

namespace cairn::rpc {

class RequestRules {
 public:
  // One field of the header block or, after OnHeadersEnd, of the trailers. False: the request is malformed.
  [[nodiscard]] bool OnField(std::string_view name, std::string_view value);
  // The end of the header block; false when something is missing.
  [[nodiscard]] bool OnHeadersEnd();

 private:
  uint8_t pseudo_seen_ = 0;     // one bit a pseudo-header field
  bool pseudo_allowed_ = true;  // until the first other field
};

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_REQUEST_RULES_H_
