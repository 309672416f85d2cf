// RAII around nghttp2's handles, and the settings that all sessions of a server share. Internal to
// server/rpc.
#ifndef CAIRN_SERVER_RPC_NGHTTP2_H_
#define CAIRN_SERVER_RPC_NGHTTP2_H_

#include <nghttp2/nghttp2.h>

#include <memory>
#include <string_view>

namespace cairn::rpc {

struct ServerOptions;

struct SessionDeleter {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};
using SessionPtr = std::unique_ptr<nghttp2_session, SessionDeleter>;

// Callbacks and options, built once.
class Http2Settings {
 public:
  explicit Http2Settings(const ServerOptions& options);
  ~Http2Settings();
  Http2Settings(const Http2Settings&) = delete;
  Http2Settings& operator=(const Http2Settings&) = delete;

  // A session whose callbacks get `connection` as user data.
  SessionPtr NewSession(void* connection) const;

 private:
  nghttp2_session_callbacks* callbacks_ = nullptr;
  nghttp2_option* option_ = nullptr;
};

// A field whose bytes outlive the frame (literals, strings of the stream).
inline nghttp2_nv Field(std::string_view name, std::string_view value, bool copy_value = false) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          static_cast<uint8_t>(copy_value ? NGHTTP2_NV_FLAG_NO_COPY_NAME
                                          : NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)};
}

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_NGHTTP2_H_
