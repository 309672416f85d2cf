// Custom metadata of a call: header fields that are neither HTTP's nor gRPC's own.
//
// Thread safety: none. A value type; finding is linear, since calls carry a handful of entries.
#ifndef CAIRN_SERVER_RPC_METADATA_H_
#define CAIRN_SERVER_RPC_METADATA_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::rpc {

class Metadata {
 public:
  using Entry = std::pair<std::string, std::string>;

  // The first value of `key` (lower case).
  std::optional<std::string_view> Find(std::string_view key) const;

  void Add(std::string_view key, std::string_view value) { entries_.emplace_back(key, value); }
  // Adds a field as it stood on the wire: the value of a "-bin" key is base64, or several, separated by
  // commas. False for bad base64.
  [[nodiscard]] bool AddFromWire(std::string_view key, std::string_view value);

  const std::vector<Entry>& entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }
  void Clear() { entries_.clear(); }

 private:
  std::vector<Entry> entries_;  // in order of arrival; keys may repeat
};

// A key whose values are bytes, base64 on the wire.
bool IsBinaryKey(std::string_view key);
// The names that belong to HTTP/2 and gRPC and are never shown as metadata, nor sent as such.
bool IsReservedKey(std::string_view key);

// Base64 as gRPC writes it (no padding); reading takes both forms.
std::string EncodeBase64(std::string_view bytes);
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_METADATA_H_
