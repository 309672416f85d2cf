// Fixed-width integers as bytes: big-endian where the order of the keys matters, little-endian elsewhere.
//
// Thread safety: pure functions.
#ifndef CAIRN_STORAGE_CODING_H_
#define CAIRN_STORAGE_CODING_H_

#include <bit>
#include <cstdint>
#include <cstring>

namespace cairn::storage {

static_assert(std::endian::native == std::endian::little,
              "the stored formats are written for little-endian machines");

inline void StoreLittle64(char* to, uint64_t value) { std::memcpy(to, &value, sizeof value); }
inline uint64_t LoadLittle64(const char* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline void StoreLittle32(char* to, uint32_t value) { std::memcpy(to, &value, sizeof value); }
inline uint32_t LoadLittle32(const char* from) {
  uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline void StoreBig64(char* to, uint64_t value) { StoreLittle64(to, __builtin_bswap64(value)); }
inline uint64_t LoadBig64(const char* from) { return __builtin_bswap64(LoadLittle64(from)); }

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_CODING_H_
