#include "server/transport/peer_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace cairn::server {
namespace {

using ::testing::HasSubstr;

const raft::NodeId kFrom(0xa1);
const raft::NodeId kTo(0xb2);

raft::Payload Bytes(std::string s) { return std::make_shared<const std::string>(std::move(s)); }

raft::Message AppendOf(int entries, size_t bytes) {
  raft::Message message;
  message.type = raft::MessageType::kAppend;
  message.from = kFrom;
  message.to = kTo;
  message.term = raft::Term(7);
  message.log_term = raft::Term(6);
  message.index = raft::LogIndex(1'000'000);
  message.commit = raft::LogIndex(999'999);
  for (int i = 1; i <= entries; ++i) {
    message.entries.push_back(
        {raft::Term(7), message.index + i, raft::EntryType::kCommand,
         bytes == 0 ? nullptr : Bytes(std::string(bytes, static_cast<char>('a' + i % 26)))});
  }
  return message;
}

PeerBatch FullBatch() {
  PeerBatch batch;
  batch.raft.push_back(AppendOf(3, 300));
  batch.raft.push_back(AppendOf(1, 0));
  raft::Message reply;
  reply.type = raft::MessageType::kAppendReply;
  reply.from = kFrom;
  reply.to = kTo;
  reply.term = raft::Term(~uint64_t{0});
  reply.index = raft::LogIndex(5);
  reply.reject = true;
  reply.reject_hint = raft::LogIndex(4);
  reply.reject_term = raft::Term(3);
  reply.context = ~uint64_t{0};
  reply.force = true;
  batch.raft.push_back(reply);
  batch.forward = {Bytes("one"), Bytes(std::string(5000, 'x'))};
  batch.forward_term = raft::Term(9);
  batch.refused = {{11, ClientError::kTimeout}};
  batch.lease_calls = {{12, -13, true}, {14, 15, false}};
  batch.lease_answers = {{16, -1, 60, ClientError::kOk}};
  return batch;
}

void ExpectEqual(const PeerBatch& a, const PeerBatch& b) {
  ASSERT_EQ(a.raft.size(), b.raft.size());
  for (size_t i = 0; i < a.raft.size(); ++i) {
    const raft::Message &x = a.raft[i], &y = b.raft[i];
    EXPECT_EQ(x.type, y.type);
    EXPECT_EQ(x.from, y.from);
    EXPECT_EQ(x.to, y.to);
    EXPECT_EQ(x.term, y.term);
    EXPECT_EQ(x.log_term, y.log_term);
    EXPECT_EQ(x.index, y.index);
    EXPECT_EQ(x.commit, y.commit);
    EXPECT_EQ(x.reject, y.reject);
    EXPECT_EQ(x.reject_hint, y.reject_hint);
    EXPECT_EQ(x.reject_term, y.reject_term);
    EXPECT_EQ(x.context, y.context);
    EXPECT_EQ(x.force, y.force);
    ASSERT_EQ(x.entries.size(), y.entries.size());
    for (size_t j = 0; j < x.entries.size(); ++j) {
      EXPECT_EQ(x.entries[j].term, y.entries[j].term);
      EXPECT_EQ(x.entries[j].index, y.entries[j].index);
      EXPECT_EQ(x.entries[j].type, y.entries[j].type);
      ASSERT_EQ(x.entries[j].data == nullptr, y.entries[j].data == nullptr);
      if (x.entries[j].data == nullptr) continue;
      EXPECT_EQ(*x.entries[j].data, *y.entries[j].data);
    }
  }
  ASSERT_EQ(a.forward.size(), b.forward.size());
  for (size_t i = 0; i < a.forward.size(); ++i) EXPECT_EQ(*a.forward[i], *b.forward[i]);
  EXPECT_EQ(a.forward_term, b.forward_term);
  ASSERT_EQ(a.refused.size(), b.refused.size());
  for (size_t i = 0; i < a.refused.size(); ++i) {
    EXPECT_EQ(a.refused[i].request_id, b.refused[i].request_id);
    EXPECT_EQ(a.refused[i].error, b.refused[i].error);
  }
  ASSERT_EQ(a.lease_calls.size(), b.lease_calls.size());
  for (size_t i = 0; i < a.lease_calls.size(); ++i) {
    EXPECT_EQ(a.lease_calls[i].call_id, b.lease_calls[i].call_id);
    EXPECT_EQ(a.lease_calls[i].lease_id, b.lease_calls[i].lease_id);
    EXPECT_EQ(a.lease_calls[i].keep_alive, b.lease_calls[i].keep_alive);
  }
  ASSERT_EQ(a.lease_answers.size(), b.lease_answers.size());
  for (size_t i = 0; i < a.lease_answers.size(); ++i) {
    EXPECT_EQ(a.lease_answers[i].call_id, b.lease_answers[i].call_id);
    EXPECT_EQ(a.lease_answers[i].ttl_s, b.lease_answers[i].ttl_s);
    EXPECT_EQ(a.lease_answers[i].granted_ttl_s, b.lease_answers[i].granted_ttl_s);
    EXPECT_EQ(a.lease_answers[i].error, b.lease_answers[i].error);
  }
}

std::string Encode(const PeerBatch& batch) {
  std::string out;
  BatchEncoder encoder;
  EXPECT_TRUE(encoder.Append(batch, &out));
  return out;
}

void Feed(FrameReader* reader, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> space = reader->Space();
    const size_t n = std::min(space.size(), bytes.size());
    std::copy_n(bytes.data(), n, space.data());
    reader->Commit(n);
    bytes.remove_prefix(n);
  }
}

absl::StatusOr<PeerBatch> Decode(std::string_view body) {
  internal::PeerFrame scratch;
  return DecodeBatch(body, kFrom, kTo, &scratch);
}

TEST(PeerCodecTest, GivesBackWhatWasEncoded) {
  FrameReader reader(kMaxFrameBytes);
  Feed(&reader, Encode(FullBatch()));
  const auto frame = reader.Next();
  ASSERT_TRUE(frame.ok() && frame->has_value());
  EXPECT_EQ((*frame)->type, FrameType::kBatch);
  const absl::StatusOr<PeerBatch> decoded = Decode((*frame)->body);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ExpectEqual(FullBatch(), *decoded);
}

// The entries are written by hand: protobuf must read the same from them.
TEST(PeerCodecTest, HandWrittenBytesAreTheMessageThatProtobufKnows) {
  const std::string bytes = Encode(FullBatch());
  internal::PeerFrame frame;
  ASSERT_TRUE(frame.ParseFromString(bytes.substr(kFrameHeaderBytes)));
  EXPECT_EQ(frame.raft(0).entries_size(), 3);
  EXPECT_EQ(frame.raft(0).entries(2).index(), 1'000'003u);
  EXPECT_EQ(frame.SerializeAsString().size(), bytes.size() - kFrameHeaderBytes);
}

TEST(PeerCodecTest, CutsFramesOutOfAnyPieces) {
  std::string stream;
  BatchEncoder encoder;
  for (int i = 0; i < 20; ++i) {
    PeerBatch batch;
    batch.raft.push_back(AppendOf(i, 10'000));
    ASSERT_TRUE(encoder.Append(batch, &stream));
  }
  std::mt19937_64 random(3);
  FrameReader reader(kMaxFrameBytes);
  std::string_view rest = stream;
  int frames = 0;
  while (!rest.empty()) {
    const size_t n = std::min<size_t>(rest.size(), random() % 50'000);
    Feed(&reader, rest.substr(0, n));
    rest.remove_prefix(n);
    while (true) {
      const auto frame = reader.Next();
      ASSERT_TRUE(frame.ok()) << frame.status();
      if (!frame->has_value()) break;
      const auto batch = Decode((*frame)->body);
      ASSERT_TRUE(batch.ok());
      EXPECT_EQ(batch->raft[0].entries.size(), static_cast<size_t>(frames++));
    }
  }
  EXPECT_EQ(frames, 20);
}

TEST(PeerCodecTest, RefusesAFrameThatIsTooLargeBeforeItArrives) {
  FrameReader reader(kMaxHelloBytes);
  PeerBatch batch;
  batch.forward = {Bytes(std::string(kMaxHelloBytes, 'x'))};
  Feed(&reader, Encode(batch).substr(0, kFrameHeaderBytes));
  const auto frame = reader.Next();
  ASSERT_FALSE(frame.ok());
  EXPECT_THAT(std::string(frame.status().message()), HasSubstr("allowed are 4096"));
}

TEST(PeerCodecTest, DoesNotEncodeABatchTooLargeForAFrame) {
  PeerBatch batch;
  batch.forward = {Bytes(std::string(kMaxFrameBytes, 'x'))};
  std::string out = "before";
  BatchEncoder encoder;
  EXPECT_FALSE(encoder.Append(batch, &out));
  EXPECT_EQ(out, "before");
}

TEST(PeerCodecTest, MemoryFollowsWhatArrivesNotWhatIsAnnounced) {
  FrameReader reader(kMaxFrameBytes);
  PeerBatch batch;
  batch.forward = {Bytes(std::string(kMaxFrameBytes - 100, 'x'))};
  Feed(&reader, Encode(batch).substr(0, kFrameHeaderBytes + 10));
  ASSERT_TRUE(reader.Next().ok());
  EXPECT_LE(reader.Space().size(), 256u << 10);
}

TEST(PeerCodecTest, NoticesEveryFlippedBit) {
  PeerBatch batch;
  batch.raft.push_back(AppendOf(1, 20));
  const std::string good = Encode(batch);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    FrameReader reader(kMaxFrameBytes);
    Feed(&reader, bad);
    const auto frame = reader.Next();
    // A longer length waits for bytes that the checksum will not fit.
    EXPECT_TRUE(!frame.ok() || !frame->has_value()) << bit;
  }
}

TEST(PeerCodecTest, RefusesMessagesOfOthersAndOfUnknownKinds) {
  auto refused = [](auto change) {
    internal::PeerFrame frame;
    internal::RaftMessage* message = frame.add_raft();
    message->set_type(1);
    message->set_from(kFrom.value());
    message->set_to(kTo.value());
    internal::RaftEntry* entry = message->add_entries();
    entry->set_index(1);
    change(*message);
    return !Decode(frame.SerializeAsString()).ok();
  };
  EXPECT_FALSE(refused([](internal::RaftMessage&) {}));
  EXPECT_TRUE(refused([](internal::RaftMessage& m) { m.set_from(1); }));
  EXPECT_TRUE(refused([](internal::RaftMessage& m) { m.set_to(1); }));
  EXPECT_TRUE(refused([](internal::RaftMessage& m) { m.set_type(0); }));
  EXPECT_TRUE(refused([](internal::RaftMessage& m) { m.set_type(12); }));
  EXPECT_TRUE(refused([](internal::RaftMessage& m) { m.set_type(257); }));
  EXPECT_TRUE(refused([](internal::RaftMessage& m) { m.set_type(2); }));
  EXPECT_TRUE(refused([](internal::RaftMessage& m) { m.mutable_entries(0)->set_index(2); }));
  EXPECT_TRUE(refused([](internal::RaftMessage& m) { m.mutable_entries(0)->set_type(2); }));
}

TEST(PeerCodecTest, TakesAnErrorThatOnlyANewerMemberKnowsAsUnknownOutcome) {
  internal::PeerFrame frame;
  frame.add_refused()->set_error(100'000);
  frame.add_refused()->set_error(255);
  const auto batch = Decode(frame.SerializeAsString());
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->refused[0].error, ClientError::kTimeout);
  EXPECT_EQ(batch->refused[1].error, ClientError::kTimeout);
}

TEST(PeerCodecTest, SurvivesRandomAndMutatedBytes) {
  std::mt19937_64 random(11);
  const std::string good = Encode(FullBatch());
  int decoded = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string body = good.substr(kFrameHeaderBytes);
    const int changes = static_cast<int>(random() % 4);
    for (int i = 0; i < changes; ++i) body[random() % body.size()] = static_cast<char>(random());
    if (random() % 4 == 0) body.resize(random() % body.size());
    if (Decode(body).ok()) ++decoded;

    std::string stream = good;
    for (int i = 0; i < 3; ++i) stream[random() % 24] = static_cast<char>(random());
    FrameReader reader(kMaxFrameBytes);
    Feed(&reader, stream);
    while (true) {
      const auto frame = reader.Next();
      if (!frame.ok() || !frame->has_value()) break;
    }
  }
  EXPECT_GT(decoded, 100);
}

}  // namespace
}  // namespace cairn::server
