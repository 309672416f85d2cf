#include "server/rpc/nghttp2.h"

#include "raft/check.h"
#include "server/rpc/connection.h"
#include "server/rpc/server.h"

namespace cairn::rpc {
namespace {

Connection& Of(void* user_data) { return *static_cast<Connection*>(user_data); }

std::string_view View(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  return Of(user).OnBeginHeaders(*frame);
}

int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
             const uint8_t* value, size_t value_size, uint8_t, void* user) {
  return Of(user).OnHeader(*frame, View(name, name_size), View(value, value_size));
}

int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) { return Of(user).OnFrame(*frame); }

int OnDataChunk(nghttp2_session*, uint8_t, int32_t stream_id, const uint8_t* data, size_t size, void* user) {
  return Of(user).OnDataChunk(stream_id, View(data, size));
}

int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  return Of(user).OnFrameSent(*frame);
}

int OnStreamClose(nghttp2_session*, int32_t stream_id, uint32_t, void* user) {
  return Of(user).OnStreamClose(stream_id);
}

int OnSendData(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_header, size_t length,
               nghttp2_data_source* source, void* user) {
  return Of(user).OnSendData(*static_cast<Stream*>(source->ptr), frame_header, length);
}

}  // namespace

Http2Settings::Http2Settings(const ServerOptions& options) {
  CAIRN_CHECK(nghttp2_session_callbacks_new(&callbacks_) == 0) << "out of memory";
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks_, &rpc::OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks_, &rpc::OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks_, &rpc::OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks_, &rpc::OnDataChunk);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks_, &rpc::OnFrameSent);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks_, &rpc::OnStreamClose);
  nghttp2_session_callbacks_set_send_data_callback(callbacks_, &rpc::OnSendData);

  CAIRN_CHECK(nghttp2_option_new(&option_) == 0) << "out of memory";
  nghttp2_option_set_no_auto_window_update(option_, 1);
  nghttp2_option_set_no_closed_streams(option_, 1);
  nghttp2_option_set_no_http_messaging(option_, 1);  // RequestRules checks what matters
  nghttp2_option_set_stream_reset_rate_limit(option_, options.stream_reset_burst,
                                             options.stream_resets_per_second);
}

Http2Settings::~Http2Settings() {
  nghttp2_option_del(option_);
  nghttp2_session_callbacks_del(callbacks_);
}

SessionPtr Http2Settings::NewSession(void* connection) const {
  nghttp2_session* session = nullptr;
  CAIRN_CHECK(nghttp2_session_server_new2(&session, callbacks_, connection, option_) == 0) << "out of memory";
  return SessionPtr(session);
}

}  // namespace cairn::rpc
