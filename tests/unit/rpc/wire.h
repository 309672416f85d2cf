// HTTP/2 bytes as a client writes them, right and wrong ones, without a client library that would object.
#ifndef CAIRN_TESTS_UNIT_RPC_WIRE_H_
#define CAIRN_TESTS_UNIT_RPC_WIRE_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/rpc/framing.h"

namespace cairn::rpc {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline nghttp2_nv Header(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

inline std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string frame = {static_cast<char>(payload.size() >> 16),
                       static_cast<char>(payload.size() >> 8),
                       static_cast<char>(payload.size()),
                       static_cast<char>(type),
                       static_cast<char>(flags),
                       static_cast<char>(stream >> 24),
                       static_cast<char>(stream >> 16),
                       static_cast<char>(stream >> 8),
                       static_cast<char>(stream)};
  return frame.append(payload);
}

inline std::string Hpack(std::vector<nghttp2_nv> fields) {
  nghttp2_hd_deflater* deflater = nullptr;
  nghttp2_hd_deflate_new(&deflater, 0);  // no dynamic table: blocks stand alone
  std::string block(nghttp2_hd_deflate_bound(deflater, fields.data(), fields.size()), '\0');
  const ssize_t size = nghttp2_hd_deflate_hd(deflater, reinterpret_cast<uint8_t*>(block.data()), block.size(),
                                             fields.data(), fields.size());
  nghttp2_hd_deflate_del(deflater);
  block.resize(static_cast<size_t>(size));
  return block;
}

inline std::string RequestHeaders(std::string_view path, std::vector<nghttp2_nv> more = {}) {
  std::vector<nghttp2_nv> fields = {Header(":method", "POST"),
                                    Header(":scheme", "http"),
                                    Header(":path", path),
                                    Header(":authority", "fuzz"),
                                    Header("content-type", "application/grpc"),
                                    Header("te", "trailers")};
  fields.insert(fields.end(), more.begin(), more.end());
  return Hpack(std::move(fields));
}

inline std::string Framed(std::string_view message) {
  const auto header = FrameHeader(false, message.size());
  return std::string(header.begin(), header.end()) + std::string(message);
}

inline std::string Opening() { return std::string(kPreface) + Frame(NGHTTP2_SETTINGS, 0, 0, ""); }

inline std::string UnaryCall(uint32_t stream, std::string_view message) {
  return Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, RequestHeaders("/fuzz.Fuzz/Unary")) +
         Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, Framed(message));
}

}  // namespace cairn::rpc

#endif  // CAIRN_TESTS_UNIT_RPC_WIRE_H_
