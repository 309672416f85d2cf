#include "storage/log_record.h"

#include <bit>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "storage/coding.h"
#include "xxhash.h"

namespace cairn::storage {

using raft::Entry;
using raft::EntryType;
using raft::LogIndex;
using raft::Term;

namespace {

// Index, term and type go into the seed, so that a record under another's key is found too.
uint64_t Checksum(LogIndex index, Term term, EntryType type, std::string_view payload) {
  const uint64_t seed = index.value() ^ std::rotl(term.value(), 32) ^ (static_cast<uint64_t>(type) << 56);
  return XXH3_64bits_withSeed(payload.data(), payload.size(), seed);
}

}  // namespace

LogKey EncodeLogKey(LogIndex index) {
  LogKey key;
  StoreBig64(key.data(), index.value());
  return key;
}

LogHeader EncodeLogHeader(const Entry& entry) {
  LogHeader header;
  header[0] = static_cast<char>(entry.type);
  StoreLittle64(header.data() + 1, entry.term.value());
  const std::string_view payload = entry.data == nullptr ? std::string_view() : *entry.data;
  StoreLittle64(header.data() + 9, Checksum(entry.index, entry.term, entry.type, payload));
  return header;
}

absl::StatusOr<Entry> DecodeLogRecord(std::string_view key, std::string_view value) {
  if (key.size() != kLogKeySize || value.size() < kLogHeaderSize) {
    return absl::DataLossError(absl::StrCat("a record of the Raft log has ", key.size(), " bytes of key and ",
                                            value.size(), " of value: too short"));
  }
  Entry entry;
  entry.index = LogIndex(LoadBig64(key.data()));
  entry.type = static_cast<EntryType>(value[0]);
  entry.term = Term(LoadLittle64(value.data() + 1));
  const std::string_view payload = value.substr(kLogHeaderSize);
  if (LoadLittle64(value.data() + 9) != Checksum(entry.index, entry.term, entry.type, payload)) {
    return absl::DataLossError(
        absl::StrCat("entry ", entry.index.value(),
                     " of the Raft log does not match its checksum: the disk gave back "
                     "other bytes than were written"));
  }
  if (!payload.empty()) entry.data = std::make_shared<const std::string>(payload);
  return entry;
}

}  // namespace cairn::storage
