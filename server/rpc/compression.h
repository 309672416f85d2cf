// gzip for messages, with a bound on what may come out of it.
//
// Thread safety: free functions.
#ifndef CAIRN_SERVER_RPC_COMPRESSION_H_
#define CAIRN_SERVER_RPC_COMPRESSION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::rpc {

enum class GunzipResult : uint8_t { kOk, kTooLarge, kCorrupt };

// Never holds more than max_bytes plus one block, whatever the input claims (decompression bombs).
GunzipResult Gunzip(std::string_view compressed, size_t max_bytes, std::string* message);

std::string Gzip(std::string_view message);

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_COMPRESSION_H_
