#include "server/transport/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <optional>
#include <random>

#include "server/system_random.h"
#include "server/transport/peer_codec.h"

namespace cairn::server {
namespace {

using boost::asio::ip::tcp;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr uint64_t kCluster = 77;

class RecordingLogger final : public Logger {
 public:
  bool Enabled(LogLevel) const override { return true; }
  std::vector<std::string> lines;

 protected:
  void Write(LogLevel level, std::string_view message, std::span<const LogField> fields) override {
    lines.push_back(FormatLogLine(LogFormat::kText, absl::UnixEpoch(), level, message, fields));
  }
};

// One member's transport, and all that it has told.
struct Member : public NetEvents {
  Member(AsioLoop& loop, Random& random, uint64_t id, TransportOptions options = {}) {
    options.self = raft::NodeId(id);
    if (options.cluster_id == 0) options.cluster_id = kCluster;
    if (options.incarnation_id == 0) options.incarnation_id = id + 1000;
    transport = std::make_unique<Transport>(options, loop, random, log);
    const absl::StatusOr<uint16_t> bound = transport->Listen(Url{"127.0.0.1", port});
    EXPECT_TRUE(bound.ok()) << bound.status();
    port = bound.value_or(0);
    self = {raft::NodeId(id), "n" + std::to_string(id), {Url{"127.0.0.1", port}}};
  }

  void OnPeerBatch(raft::NodeId from, PeerBatch batch) override {
    for (const raft::Payload& payload : batch.forward) received[from].push_back(*payload);
    if (on_batch) on_batch();
  }
  void OnPeerUp(raft::NodeId peer) override {
    EXPECT_FALSE(up[peer]);
    up[peer] = true;
    ++ups[peer];
  }
  void OnPeerDown(raft::NodeId peer) override {
    EXPECT_TRUE(up[peer]);
    up[peer] = false;
    ++downs[peer];
  }
  bool Send(const Member& to, std::string text) {
    PeerBatch batch;
    batch.forward = {std::make_shared<const std::string>(std::move(text))};
    return transport->Send(to.self.id, std::move(batch));
  }

  RecordingLogger log;
  uint16_t port = 0;
  ClusterMember self;
  std::map<raft::NodeId, bool> up;
  std::map<raft::NodeId, int> ups, downs;
  std::map<raft::NodeId, std::vector<std::string>> received;
  std::function<void()> on_batch;
  std::unique_ptr<Transport> transport;
};

class TransportTest : public testing::Test {
 protected:
  // Runs the loop until `condition` holds; fails the test when it does not within ten seconds.
  void RunUntil(const std::function<bool()>& condition) {
    const absl::Duration limit = loop_.Now() + absl::Seconds(10);
    const auto wake = loop_.After(absl::Seconds(10), [] {});
    while (!condition() && loop_.Now() < limit) loop_.io().run_one();
    ASSERT_TRUE(condition());
  }

  void Start(std::initializer_list<Member*> members) {
    std::vector<ClusterMember> all;
    for (Member* member : members) all.push_back(member->self);
    for (Member* member : members) member->transport->Start(all, member);
  }

  tcp::socket Connect(const Member& member) {
    tcp::socket socket(loop_.io());
    socket.connect(tcp::endpoint(boost::asio::ip::address_v4::loopback(), member.port));
    return socket;
  }

  // What the member answers a stranger who says `hello`.
  internal::Hello Answer(tcp::socket& socket, const std::string& bytes) {
    boost::asio::write(socket, boost::asio::buffer(bytes));
    std::optional<internal::Hello> answer;
    FrameReader reader(kMaxHelloBytes);
    std::function<void()> read = [&] {
      const std::span<char> space = reader.Space();
      socket.async_read_some(boost::asio::buffer(space.data(), space.size()),
                             [&](const boost::system::error_code& error, size_t n) {
                               ASSERT_FALSE(error) << error.message();
                               reader.Commit(n);
                               const auto frame = reader.Next();
                               ASSERT_TRUE(frame.ok());
                               if (!frame->has_value()) return read();
                               answer.emplace();
                               EXPECT_TRUE(answer->ParseFromString(std::string((*frame)->body)));
                             });
    };
    read();
    RunUntil([&] { return answer.has_value(); });
    return answer.value_or(internal::Hello());
  }

  // Runs until the member has closed `socket`.
  void ExpectClosed(tcp::socket& socket) {
    bool closed = false;
    char byte;
    socket.async_read_some(boost::asio::buffer(&byte, 1),
                           [&](const boost::system::error_code& error, size_t) { closed = bool(error); });
    RunUntil([&] { return closed; });
  }

  static internal::Hello GoodHello(const Member& to, uint64_t from) {
    internal::Hello hello;
    hello.set_protocol_version(kPeerProtocolVersion);
    hello.set_cluster_id(kCluster);
    hello.set_member_id(from);
    hello.set_to_member_id(to.self.id.value());
    hello.set_incarnation_id(5);
    return hello;
  }

  static std::string Frame(const internal::Hello& hello) {
    std::string bytes;
    AppendHello(hello, &bytes);
    return bytes;
  }

  AsioLoop loop_{1};
  SystemRandom random_;
};

TEST_F(TransportTest, ConnectsAllMembersAndCarriesBatchesBothWays) {
  Member a(loop_, random_, 1), b(loop_, random_, 2), c(loop_, random_, 3);
  EXPECT_FALSE(a.Send(b, "too early"));
  Start({&a, &b, &c});
  RunUntil([&] {
    for (Member* m : {&a, &b, &c}) {
      for (Member* other : {&a, &b, &c}) {
        if (m != other && !m->up[other->self.id]) return false;
      }
    }
    return true;
  });
  EXPECT_TRUE(a.Send(b, "a to b"));
  EXPECT_TRUE(b.Send(a, "b to a"));
  EXPECT_TRUE(c.Send(b, "c to b"));
  RunUntil([&] { return a.received.size() == 1 && b.received.size() == 2; });
  EXPECT_EQ(b.received[c.self.id].front(), "c to b");
  EXPECT_THAT(a.log.lines, Contains(HasSubstr("peer connected")));
}

TEST_F(TransportTest, DeliversInOrder) {
  Member a(loop_, random_, 1), b(loop_, random_, 2);
  Start({&a, &b});
  RunUntil([&] { return a.up[b.self.id]; });
  std::mt19937_64 random(5);
  std::vector<std::string> sent;
  for (int i = 0; i < 2000; ++i) {
    sent.push_back(std::to_string(i) + std::string(random() % 3000, 'x'));
    ASSERT_TRUE(a.Send(b, sent.back()));
  }
  RunUntil([&] { return b.received[a.self.id].size() == sent.size(); });
  EXPECT_EQ(b.received[a.self.id], sent);
}

TEST_F(TransportTest, TellsAtOnceWhenAPeerIsGoneAndFindsItAgain) {
  Member a(loop_, random_, 1);
  auto b = std::make_unique<Member>(loop_, random_, 2);
  Start({&a, b.get()});
  const raft::NodeId b_id = b->self.id;
  RunUntil([&] { return a.up[b_id] && b->up[a.self.id]; });
  const uint16_t port = b->port;
  const absl::Duration closed_at = loop_.Now();
  b->transport->Stop();
  RunUntil([&] { return !a.up[b_id]; });
  EXPECT_LT(loop_.Now() - closed_at, absl::Milliseconds(500));
  EXPECT_EQ(a.downs[b_id], 1);
  EXPECT_FALSE(a.Send(*b, "lost"));
  EXPECT_THAT(a.log.lines, Contains(HasSubstr("peer lost")));

  // The same data directory, started again on the same port.
  const ClusterMember b_member = b->self;
  b.reset();
  TransportOptions options;
  options.cluster_id = kCluster;
  options.self = b_id;
  options.incarnation_id = b_id.value() + 1000;
  RecordingLogger log;
  struct Sink : NetEvents {
    bool up = false;
    void OnPeerBatch(raft::NodeId, PeerBatch) override {}
    void OnPeerUp(raft::NodeId) override { up = true; }
    void OnPeerDown(raft::NodeId) override { up = false; }
  } sink;
  Transport again(options, loop_, random_, log);
  ASSERT_TRUE(again.Listen(Url{"127.0.0.1", port}).ok());
  again.Start({a.self, b_member}, &sink);
  RunUntil([&] { return a.up[b_id] && sink.up; });
  EXPECT_EQ(a.ups[b_id], 2);
}

TEST_F(TransportTest, RefusesToQueueWithoutLimitForAPeerThatDoesNotRead) {
  TransportOptions options;
  options.max_queued_bytes = 1 << 20;
  Member a(loop_, random_, 1, options), b(loop_, random_, 2);
  Start({&a, &b});
  RunUntil([&] { return a.up[b.self.id]; });
  // The loop does not turn, so nobody reads.
  const std::string text(100'000, 'x');
  int sent = 0;
  while (a.Send(b, text)) ASSERT_LT(++sent, 100'000);
  EXPECT_GE(sent, 10);
  RunUntil([&] { return b.received[a.self.id].size() == static_cast<size_t>(sent); });
  EXPECT_TRUE(a.Send(b, "again"));
}

TEST_F(TransportTest, RefusesAnotherClusterAndBothSidesSayWhy) {
  TransportOptions other;
  other.cluster_id = 78;
  Member a(loop_, random_, 1), b(loop_, random_, 2, other);
  Start({&a, &b});
  RunUntil([&] {
    return testing::Matches(Contains(HasSubstr("peer connection refused")))(a.log.lines) &&
           testing::Matches(Contains(HasSubstr("cannot reach peer")))(b.log.lines);
  });
  EXPECT_THAT(a.log.lines, Contains(HasSubstr("wrong cluster: 4e")));
  EXPECT_THAT(b.log.lines, Contains(HasSubstr("refused by the other side: wrong cluster: 4e")));
  EXPECT_TRUE(a.ups.empty() && b.ups.empty());
}

TEST_F(TransportTest, RefusesStrangersWithTheReason) {
  Member a(loop_, random_, 1), b(loop_, random_, 2);
  a.transport->Start({a.self, b.self}, &a);  // b does not answer
  const auto refusal = [&](const std::function<void(internal::Hello&)>& change) {
    internal::Hello hello = GoodHello(a, 2);
    change(hello);
    tcp::socket socket = Connect(a);
    return Answer(socket, Frame(hello)).refused();
  };
  EXPECT_THAT(refusal([](auto& h) { h.set_protocol_version(2); }), HasSubstr("version 2"));
  EXPECT_THAT(refusal([](auto& h) { h.set_cluster_id(1); }), HasSubstr("wrong cluster"));
  EXPECT_THAT(refusal([](auto& h) { h.set_member_id(9); }), HasSubstr("unknown member: 9"));
  EXPECT_THAT(refusal([](auto& h) { h.set_member_id(1); }), HasSubstr("both sides are member 1"));
  EXPECT_THAT(refusal([](auto& h) { h.set_to_member_id(3); }), HasSubstr("wrong member: 3"));
  EXPECT_EQ(refusal([](auto&) {}), "");
  EXPECT_THAT(refusal([](auto& h) { h.set_incarnation_id(6); }), HasSubstr("another data directory"));
}

TEST_F(TransportTest, ClosesWhatDoesNotSpeakTheProtocol) {
  Member a(loop_, random_, 1), b(loop_, random_, 2);
  a.transport->Start({a.self, b.self}, &a);
  std::mt19937_64 random(9);
  std::string noise(10'000, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  std::string batch_first;
  ASSERT_TRUE(BatchEncoder().Append(PeerBatch(), &batch_first));
  std::string bad_checksum = Frame(GoodHello(a, 2));
  bad_checksum[8] = static_cast<char>(bad_checksum[8] ^ 1);
  for (const std::string& bytes :
       {noise, std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), batch_first, bad_checksum}) {
    tcp::socket socket = Connect(a);
    boost::asio::write(socket, boost::asio::buffer(bytes));
    ExpectClosed(socket);
  }
  EXPECT_THAT(a.log.lines, Contains(HasSubstr("wrong checksum")));
  EXPECT_TRUE(a.ups.empty());
}

TEST_F(TransportTest, ClosesStrangersThatKeepSilent) {
  TransportOptions options;
  options.handshake_timeout = absl::Milliseconds(50);
  Member a(loop_, random_, 1, options), b(loop_, random_, 2);
  a.transport->Start({a.self, b.self}, &a);
  tcp::socket silent = Connect(a);
  ExpectClosed(silent);
  tcp::socket half = Connect(a);
  boost::asio::write(half, boost::asio::buffer(Frame(GoodHello(a, 2)).substr(0, 10)));
  ExpectClosed(half);
  EXPECT_THAT(a.log.lines, Contains(HasSubstr("no hello in time")));
}

TEST_F(TransportTest, AFloodOfSilentConnectionsDoesNotLockMembersOut) {
  TransportOptions options;
  options.max_strangers = 8;
  Member a(loop_, random_, 1, options), b(loop_, random_, 2);
  std::vector<tcp::socket> flood;
  for (int i = 0; i < 100; ++i) flood.push_back(Connect(a));
  Start({&a, &b});
  RunUntil([&] { return a.up[b.self.id] && b.up[a.self.id]; });
  ExpectClosed(flood.front());
}

TEST_F(TransportTest, BreaksTheLinkOnABatchThatMakesNoSense) {
  Member a(loop_, random_, 1), b(loop_, random_, 2);
  a.transport->Start({a.self, b.self}, &a);
  tcp::socket socket = Connect(a);
  ASSERT_EQ(Answer(socket, Frame(GoodHello(a, 2))).refused(), "");
  PeerBatch batch;
  batch.raft.emplace_back().from = raft::NodeId(99);
  std::string bytes;
  ASSERT_TRUE(BatchEncoder().Append(batch, &bytes));
  boost::asio::write(socket, boost::asio::buffer(bytes));
  ExpectClosed(socket);
}

TEST_F(TransportTest, SaysWhenItsAddressIsInUse) {
  Member a(loop_, random_, 1);
  RecordingLogger log;
  Transport second(TransportOptions{}, loop_, random_, log);
  const absl::StatusOr<uint16_t> port = second.Listen(Url{"127.0.0.1", a.port});
  ASSERT_FALSE(port.ok());
  EXPECT_THAT(std::string(port.status().message()), HasSubstr("--listen-peer-urls"));
}

TEST_F(TransportTest, MayBeStoppedFromWithinAnEvent) {
  Member a(loop_, random_, 1), b(loop_, random_, 2);
  Start({&a, &b});
  RunUntil([&] { return a.up[b.self.id] && b.up[a.self.id]; });
  b.on_batch = [&] { b.transport->Stop(); };
  ASSERT_TRUE(a.Send(b, "stop"));
  RunUntil([&] { return !a.up[b.self.id]; });
  EXPECT_EQ(b.downs[a.self.id], 0);
}

}  // namespace
}  // namespace cairn::server
