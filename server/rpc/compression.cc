#include "server/rpc/compression.h"

#include <zlib.h>

#include <algorithm>
#include <memory>

#include "raft/check.h"

namespace cairn::rpc {
namespace {

constexpr int kGzipWindowBits = 15 + 16;  // zlib's way to ask for the gzip format
constexpr size_t kBlockBytes = 16 << 10;

Bytef* Input(std::string_view bytes) { return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data())); }

}  // namespace

GunzipResult Gunzip(std::string_view compressed, size_t max_bytes, std::string* message) {
  z_stream z{};
  CAIRN_CHECK(inflateInit2(&z, kGzipWindowBits) == Z_OK) << "zlib: out of memory";
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&z, inflateEnd);
  z.next_in = Input(compressed);
  z.avail_in = static_cast<uInt>(compressed.size());
  message->clear();
  while (true) {
    const size_t have = message->size();
    message->resize(have + std::max(kBlockBytes, std::min(have, max_bytes - std::min(have, max_bytes))));
    z.next_out = reinterpret_cast<Bytef*>(message->data() + have);
    z.avail_out = static_cast<uInt>(message->size() - have);
    const int result = inflate(&z, Z_NO_FLUSH);
    message->resize(message->size() - z.avail_out);
    if (message->size() > max_bytes) return GunzipResult::kTooLarge;
    if (result == Z_STREAM_END) {
      if (z.avail_in == 0) return GunzipResult::kOk;
      // A gzip file may have several members, one after another.
      if (inflateReset(&z) != Z_OK) return GunzipResult::kCorrupt;
      continue;
    }
    const bool cut_short = z.avail_in == 0 && z.avail_out > 0;
    if (result != Z_OK || cut_short) return GunzipResult::kCorrupt;
  }
}

std::string Gzip(std::string_view message) {
  constexpr int kMemoryLevel = 8;
  z_stream z{};
  CAIRN_CHECK(deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, kGzipWindowBits, kMemoryLevel, Z_DEFAULT_STRATEGY) ==
              Z_OK)
      << "zlib: out of memory";
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&z, deflateEnd);
  std::string compressed(deflateBound(&z, message.size()), '\0');
  z.next_in = Input(message);
  z.avail_in = static_cast<uInt>(message.size());
  z.next_out = reinterpret_cast<Bytef*>(compressed.data());
  z.avail_out = static_cast<uInt>(compressed.size());
  CAIRN_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END) << "zlib's own bound was too small";
  compressed.resize(z.total_out);
  return compressed;
}

}  // namespace cairn::rpc
