#include "server/transport/peer_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "raft/check.h"

namespace cairn::server {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

constexpr size_t kReadChunkBytes = 64 << 10;
constexpr size_t kKeepBufferBytes = 1 << 20;

constexpr uint32_t BytesTag(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}
constexpr uint32_t VarintTag(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_VARINT);
}

void AppendVarint(uint64_t value, std::string* out) {
  uint8_t bytes[10];
  const uint8_t* end = CodedOutputStream::WriteVarint64ToArray(value, bytes);
  out->append(reinterpret_cast<const char*>(bytes), end - bytes);
}

void AppendBytesField(uint32_t tag, std::string_view bytes, std::string* out) {
  AppendVarint(tag, out);
  AppendVarint(bytes.size(), out);
  out->append(bytes);
}

void AppendLittleEndian(uint64_t value, int bytes, char* out) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

uint64_t ReadLittleEndian(const char* in, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(static_cast<uint8_t>(in[i])) << (8 * i);
  return value;
}

uint64_t Checksum(uint32_t type, std::string_view body) {
  return XXH3_64bits_withSeed(body.data(), body.size(), (static_cast<uint64_t>(type) << 32) + body.size());
}

// Fills in the header of the frame that begins at `start` and ends with the string.
void FinishFrame(FrameType type, size_t start, std::string* out) {
  const std::string_view body = std::string_view(*out).substr(start + kFrameHeaderBytes);
  const uint32_t type_number = static_cast<uint32_t>(type);
  const uint64_t checksum = Checksum(type_number, body);
  char* header = out->data() + start;
  AppendLittleEndian(body.size(), 4, header);
  AppendLittleEndian(type_number, 4, header + 4);
  AppendLittleEndian(checksum, 8, header + 8);
}

// As protobuf does, fields that are zero (the type of a command, the data of a no-op) are left out.
size_t EntrySize(const raft::Entry& entry) {
  size_t size = 2 + CodedOutputStream::VarintSize64(entry.term.value()) +
                CodedOutputStream::VarintSize64(entry.index.value());
  if (entry.type != raft::EntryType::kCommand) size += 2;
  if (entry.size_bytes() > 0) {
    size += 1 + CodedOutputStream::VarintSize64(entry.size_bytes()) + entry.size_bytes();
  }
  return size;
}

void AppendEntry(const raft::Entry& entry, std::string* out) {
  AppendVarint(VarintTag(internal::RaftEntry::kTermFieldNumber), out);
  AppendVarint(entry.term.value(), out);
  AppendVarint(VarintTag(internal::RaftEntry::kIndexFieldNumber), out);
  AppendVarint(entry.index.value(), out);
  if (entry.type != raft::EntryType::kCommand) {
    AppendVarint(VarintTag(internal::RaftEntry::kTypeFieldNumber), out);
    AppendVarint(static_cast<uint32_t>(entry.type), out);
  }
  if (entry.size_bytes() > 0)
    AppendBytesField(BytesTag(internal::RaftEntry::kDataFieldNumber), *entry.data, out);
}

ClientError ErrorFromWire(uint32_t number) {
  // An error that only a newer member knows: the outcome is unknown.
  return number <= 0xff ? InfoOf(static_cast<ClientError>(number)).error : ClientError::kTimeout;
}

absl::StatusOr<raft::Message> DecodeMessage(internal::RaftMessage* in, raft::NodeId from, raft::NodeId to) {
  // kSnapshot is hand-over of a snapshot, which does not travel in these frames.
  if (in->type() < static_cast<uint32_t>(raft::MessageType::kAppend) ||
      in->type() >= static_cast<uint32_t>(raft::MessageType::kSnapshot)) {
    return absl::InvalidArgumentError(absl::StrCat("raft message of unknown type ", in->type()));
  }
  if (in->from() != from.value() || in->to() != to.value()) {
    return absl::InvalidArgumentError(absl::StrCat("raft message from ", absl::Hex(in->from()), " to ",
                                                   absl::Hex(in->to()), " on the connection from ",
                                                   absl::Hex(from.value()), " to ", absl::Hex(to.value())));
  }
  raft::Message out;
  out.type = static_cast<raft::MessageType>(in->type());
  out.from = from;
  out.to = to;
  out.term = raft::Term(in->term());
  out.log_term = raft::Term(in->log_term());
  out.index = raft::LogIndex(in->index());
  out.commit = raft::LogIndex(in->commit());
  out.reject = in->reject();
  out.reject_hint = raft::LogIndex(in->reject_hint());
  out.reject_term = raft::Term(in->reject_term());
  out.context = in->context();
  out.force = in->force();
  out.entries.reserve(in->entries_size());
  for (internal::RaftEntry& entry : *in->mutable_entries()) {
    if (entry.type() > static_cast<uint32_t>(raft::EntryType::kConfChange)) {
      return absl::InvalidArgumentError(absl::StrCat("log entry of unknown type ", entry.type()));
    }
    raft::Entry& decoded = out.entries.emplace_back();
    decoded.term = raft::Term(entry.term());
    decoded.index = raft::LogIndex(entry.index());
    decoded.type = static_cast<raft::EntryType>(entry.type());
    if (decoded.index != out.index + out.entries.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("log entry ", entry.index(), " does not follow ", in->index()));
    }
    if (!entry.data().empty()) decoded.data = std::make_shared<std::string>(std::move(*entry.mutable_data()));
  }
  if (!out.entries.empty() && out.type != raft::MessageType::kAppend) {
    return absl::InvalidArgumentError(absl::StrCat("entries in a raft message of type ", in->type()));
  }
  return out;
}

}  // namespace

void AppendHello(const internal::Hello& hello, std::string* out) {
  const size_t start = out->size();
  out->append(kFrameHeaderBytes, '\0');
  hello.AppendToString(out);
  FinishFrame(FrameType::kHello, start, out);
}

bool BatchEncoder::Append(const PeerBatch& batch, std::string* out) {
  const size_t start = out->size();
  out->append(kFrameHeaderBytes, '\0');
  for (const raft::Message& message : batch.raft) AppendMessage(message, out);
  for (const raft::Payload& command : batch.forward) {
    AppendBytesField(BytesTag(internal::PeerFrame::kForwardFieldNumber), *command, out);
  }
  rest_.Clear();
  rest_.set_forward_term(batch.forward_term.value());
  for (const ForwardRefused& refused : batch.refused) {
    internal::ForwardRefused* added = rest_.add_refused();
    added->set_request_id(refused.request_id);
    added->set_error(static_cast<uint32_t>(refused.error));
  }
  for (const LeaseCall& call : batch.lease_calls) {
    internal::LeaseCall* added = rest_.add_lease_calls();
    added->set_call_id(call.call_id);
    added->set_lease_id(call.lease_id);
    added->set_keep_alive(call.keep_alive);
  }
  for (const LeaseAnswer& answer : batch.lease_answers) {
    internal::LeaseAnswer* added = rest_.add_lease_answers();
    added->set_call_id(answer.call_id);
    added->set_ttl_s(answer.ttl_s);
    added->set_granted_ttl_s(answer.granted_ttl_s);
    added->set_error(static_cast<uint32_t>(answer.error));
  }
  rest_.AppendToString(out);
  if (out->size() - start - kFrameHeaderBytes > kMaxFrameBytes) {
    out->resize(start);
    return false;
  }
  FinishFrame(FrameType::kBatch, start, out);
  return true;
}

void BatchEncoder::AppendMessage(const raft::Message& message, std::string* out) {
  CAIRN_CHECK(message.type != raft::MessageType::kSnapshot) << "snapshots do not travel in peer frames";
  message_.Clear();
  message_.set_type(static_cast<uint32_t>(message.type));
  message_.set_from(message.from.value());
  message_.set_to(message.to.value());
  message_.set_term(message.term.value());
  message_.set_log_term(message.log_term.value());
  message_.set_index(message.index.value());
  message_.set_commit(message.commit.value());
  message_.set_reject(message.reject);
  message_.set_reject_hint(message.reject_hint.value());
  message_.set_reject_term(message.reject_term.value());
  message_.set_context(message.context);
  message_.set_force(message.force);
  size_t size = message_.ByteSizeLong();
  for (const raft::Entry& entry : message.entries) {
    const size_t entry_size = EntrySize(entry);
    size += 1 + CodedOutputStream::VarintSize64(entry_size) + entry_size;
  }
  AppendVarint(BytesTag(internal::PeerFrame::kRaftFieldNumber), out);
  AppendVarint(size, out);
  message_.AppendToString(out);
  for (const raft::Entry& entry : message.entries) {
    AppendVarint(BytesTag(internal::RaftMessage::kEntriesFieldNumber), out);
    AppendVarint(EntrySize(entry), out);
    AppendEntry(entry, out);
  }
}

absl::StatusOr<PeerBatch> DecodeBatch(std::string_view body, raft::NodeId from, raft::NodeId to,
                                      internal::PeerFrame* scratch) {
  if (!scratch->ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return absl::InvalidArgumentError("a batch that is not a PeerFrame");
  }
  PeerBatch batch;
  batch.raft.reserve(scratch->raft_size());
  for (internal::RaftMessage& message : *scratch->mutable_raft()) {
    absl::StatusOr<raft::Message> decoded = DecodeMessage(&message, from, to);
    if (!decoded.ok()) return decoded.status();
    batch.raft.push_back(*std::move(decoded));
  }
  for (std::string& command : *scratch->mutable_forward()) {
    batch.forward.push_back(std::make_shared<std::string>(std::move(command)));
  }
  batch.forward_term = raft::Term(scratch->forward_term());
  for (const internal::ForwardRefused& refused : scratch->refused()) {
    batch.refused.push_back({refused.request_id(), ErrorFromWire(refused.error())});
  }
  for (const internal::LeaseCall& call : scratch->lease_calls()) {
    batch.lease_calls.push_back({call.call_id(), call.lease_id(), call.keep_alive()});
  }
  for (const internal::LeaseAnswer& answer : scratch->lease_answers()) {
    batch.lease_answers.push_back(
        {answer.call_id(), answer.ttl_s(), answer.granted_ttl_s(), ErrorFromWire(answer.error())});
  }
  return batch;
}

std::span<char> FrameReader::Space() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (buffer_.size() > kKeepBufferBytes) std::vector<char>().swap(buffer_);
  }
  const size_t chunk = std::min(kReadChunkBytes, kFrameHeaderBytes + max_body_bytes_);
  if (buffer_.size() - end_ < chunk) {
    if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    // Doubling follows what has arrived, never what a header announces.
    if (buffer_.size() - end_ < chunk) buffer_.resize(std::max(end_ + chunk, 2 * end_));
  }
  return std::span<char>(buffer_).subspan(end_);
}

absl::StatusOr<std::optional<Frame>> FrameReader::Next() {
  if (end_ - begin_ < kFrameHeaderBytes) return std::nullopt;
  const char* header = buffer_.data() + begin_;
  const size_t length = ReadLittleEndian(header, 4);
  const uint32_t type = static_cast<uint32_t>(ReadLittleEndian(header + 4, 4));
  if (type != static_cast<uint32_t>(FrameType::kHello) && type != static_cast<uint32_t>(FrameType::kBatch)) {
    return absl::InvalidArgumentError(absl::StrCat("frame of unknown type ", type, ": not a cairn member"));
  }
  if (length > max_body_bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("frame of ", length, " bytes, allowed are ", max_body_bytes_));
  }
  if (end_ - begin_ < kFrameHeaderBytes + length) return std::nullopt;
  const std::string_view body(header + kFrameHeaderBytes, length);
  if (ReadLittleEndian(header + 8, 8) != Checksum(type, body)) {
    return absl::DataLossError(absl::StrCat("frame of ", length, " bytes with a wrong checksum"));
  }
  begin_ += kFrameHeaderBytes + length;
  return Frame{static_cast<FrameType>(type), body};
}

}  // namespace cairn::server
