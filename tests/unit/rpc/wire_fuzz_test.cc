// Hostile input for the gRPC server: random bytes, valid sessions mutated and cut at random points, floods.
// After each case the server must have let go of the connection's calls and bytes, and still serve an honest
// client.
//
// Everything comes from a seed, printed on failure; server and client share one thread.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/write.hpp"
#include "server/rpc/framing.h"
#include "server/rpc/server.h"
#include "tests/unit/rpc/wire.h"

namespace cairn::rpc {
namespace {

using boost::asio::ip::tcp;

class EchoStream final : public StreamHandler {
 public:
  explicit EchoStream(CallPtr call) : call_(std::move(call)) {}
  void OnMessage(std::string_view message) override { call_->Send(std::string(message)); }
  void OnHalfClose() override { call_->Finish(); }
  void OnCancel(CancelReason) override {}

 private:
  const CallPtr call_;
};

class WireFuzzTest : public testing::Test {
 protected:
  WireFuzzTest() : server_(loop_, Options()) {
    server_.AddUnary("/fuzz.Fuzz/Unary", [](const CallPtr& call, std::string_view request) {
      call->Respond(std::string(request));
    });
    server_.AddStream("/fuzz.Fuzz/Bidi",
                      [](CallPtr call) { return std::make_unique<EchoStream>(std::move(call)); });
    port_ = server_.Listen("127.0.0.1", 0).value();
  }

  static ServerOptions Options() {
    ServerOptions options;
    options.max_receive_message_bytes = 1 << 20;
    options.max_connection_received_bytes = 4 << 20;
    return options;
  }

  // Lets the server work until `done`. Fails after a time no healthy run needs.
  template <typename Done>
  void RunUntil(Done done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "the server does not get there";
      loop_.run_one_for(std::chrono::milliseconds(5));
    }
  }

  // Writes `bytes` in random pieces while reading what comes, goes on reading until `expected` has come, then
  // closes. Returns what was read.
  std::string Send(std::string_view bytes, std::mt19937_64& random, std::string_view expected = {}) {
    tcp::socket client(loop_);
    client.connect({boost::asio::ip::address_v4::loopback(), port_});
    client.non_blocking(true);
    std::string received;
    bool open = true;
    while (open && !bytes.empty()) {
      const size_t piece = std::min<size_t>(bytes.size(), 1 + random() % (random() % 8 == 0 ? 70000 : 200));
      boost::system::error_code error;
      const size_t written = client.write_some(boost::asio::buffer(bytes.data(), piece), error);
      if (!error) bytes.remove_prefix(written);
      if (error && error != boost::asio::error::would_block) open = false;
      for (int i = 0; i < 4; ++i) loop_.poll_one();
      most_received_ = std::max(most_received_, server_.stats().received_bytes);
      open = open && Drain(client, &received);
    }
    RunUntil([&] {
      const bool still_open = Drain(client, &received);
      return !still_open || received.find(expected) != std::string::npos;
    });
    return received;
  }

  bool Drain(tcp::socket& client, std::string* received) {
    char buffer[65536];
    boost::system::error_code error;
    while (!error) received->append(buffer, client.read_some(boost::asio::buffer(buffer), error));
    return error == boost::asio::error::would_block;
  }

  void ExpectNothingLeft() {
    RunUntil([this] { return server_.stats().connections == 0; });
    const ServerStats stats = server_.stats();
    EXPECT_EQ(stats.calls, 0u);
    EXPECT_EQ(stats.queued_bytes, 0u);
    EXPECT_EQ(stats.received_bytes, 0u);
  }

  // One good call on a connection of its own.
  void ExpectServes() {
    std::mt19937_64 random(1);
    const std::string received = Send(Opening() + UnaryCall(1, "are you there?"), random, "are you there?");
    EXPECT_NE(received.find("are you there?"), std::string::npos);
    ExpectNothingLeft();
  }

  // A session with calls of all kinds, fit to be mutated.
  std::string ValidSession(std::mt19937_64& random) {
    std::string session = Opening();
    session += Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, std::string("\0\x10\0\0", 4));  // room for all answers
    session += Frame(NGHTTP2_PING, 0, 0, "12345678");  // more than three would be impolite
    uint32_t stream = 1;
    for (int i = 0; i < 20; ++i, stream += 2) {
      const std::string message(random() % 3000, 'm');
      switch (random() % 6) {
        case 0:
          session += UnaryCall(stream, message);
          break;
        case 1:
          session +=
              Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, RequestHeaders("/fuzz.Fuzz/Bidi"));
          for (int k = 0; k < 3; ++k) session += Frame(NGHTTP2_DATA, 0, stream, Framed(message));
          session += Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, "");
          break;
        case 2:
          session +=
              Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, RequestHeaders("/fuzz.Fuzz/Bidi"));
          session += Frame(NGHTTP2_RST_STREAM, 0, stream, std::string("\0\0\0\x8", 4));
          break;
        case 3:
          session += Frame(
              NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, stream,
              RequestHeaders("/no.Such/Method", {Header("grpc-timeout", "1m"), Header("k-bin", "AAE")}));
          break;
        case 4:
          session += Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, std::string("\0\x1\0\0", 4));
          break;
        default: {
          const std::string block = RequestHeaders(
              "/fuzz.Fuzz/Unary", {Header("grpc-encoding", "gzip"), Header("grpc-timeout", "5S")});
          session += Frame(NGHTTP2_HEADERS, 0, stream, block.substr(0, block.size() / 2));
          session +=
              Frame(NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, stream, block.substr(block.size() / 2));
          session +=
              Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, std::string("\x01\0\0\0\x4gzip", 9));
        }
      }
    }
    return session;
  }

  boost::asio::io_context loop_{1};
  Server server_;
  uint16_t port_ = 0;
  size_t most_received_ = 0;  // bytes of unfinished requests the server held at once
};

TEST_F(WireFuzzTest, RandomBytes) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    std::string bytes = seed % 2 == 0 ? Opening() : "";
    const size_t size = random() % 20000;
    while (bytes.size() < size) bytes.push_back(static_cast<char>(random()));
    Send(bytes, random);
  }
  ExpectNothingLeft();
  ExpectServes();
}

TEST_F(WireFuzzTest, ValidSessionsWhateverTheSplit) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const std::string session = ValidSession(random) + UnaryCall(9999, "the last call");
    EXPECT_NE(Send(session, random, "the last call").find("the last call"), std::string::npos);
  }
  ExpectNothingLeft();
  ExpectServes();
}

TEST_F(WireFuzzTest, MutatedSessions) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    std::string session = ValidSession(random);
    for (uint64_t count = 1 + random() % 8; count > 0; --count) {
      const size_t at = kPreface.size() + random() % (session.size() - kPreface.size());
      switch (random() % 5) {
        case 0:
          session[at] = static_cast<char>(random());
          break;
        case 1:
          session[at] = static_cast<char>(session[at] ^ 1 << random() % 8);
          break;
        case 2:
          session.erase(at, random() % 30);
          break;
        case 3:
          session.insert(at, session.substr(random() % session.size(), random() % 100));
          break;
        default:
          session.insert(at, Frame(static_cast<uint8_t>(random() % 12), static_cast<uint8_t>(random()),
                                   static_cast<uint32_t>(random() % 64), std::string(random() % 50, '\x7f')));
      }
    }
    if (random() % 4 == 0) session.resize(kPreface.size() + random() % (session.size() - kPreface.size()));
    Send(session, random);
  }
  ExpectNothingLeft();
  ExpectServes();
}

TEST_F(WireFuzzTest, HeaderFloodsEndTheCallOrTheConnection) {
  std::mt19937_64 random(1);
  const std::string value(8000, 'v');
  std::vector<nghttp2_nv> large(5, Header("k", value));
  std::string block = RequestHeaders("/fuzz.Fuzz/Unary", large);
  std::string session = Opening() + Frame(NGHTTP2_HEADERS, 0, 1, block.substr(0, 16384));
  for (size_t at = 16384; at < block.size(); at += 16384) {
    const bool last = at + 16384 >= block.size();
    session += Frame(NGHTTP2_CONTINUATION, last ? NGHTTP2_FLAG_END_HEADERS : 0, 1, block.substr(at, 16384));
  }
  Send(session, random);
  // CONTINUATION frames without end.
  session = Opening() + Frame(NGHTTP2_HEADERS, 0, 1, RequestHeaders("/fuzz.Fuzz/Unary"));
  for (int i = 0; i < 10000; ++i) session += Frame(NGHTTP2_CONTINUATION, 0, 1, "");
  Send(session, random);
  ExpectNothingLeft();
  EXPECT_EQ(server_.stats().calls_started, 0u);
  ExpectServes();
}

TEST_F(WireFuzzTest, RapidResetsEndTheConnection) {
  std::mt19937_64 random(1);
  std::string session = Opening();
  const std::string block = RequestHeaders("/fuzz.Fuzz/Bidi");
  for (uint32_t i = 0; i < 60000; ++i) {
    session += Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 2 * i + 1, block);
    session += Frame(NGHTTP2_RST_STREAM, 0, 2 * i + 1, std::string("\0\0\0\x8", 4));
  }
  Send(session, random);
  EXPECT_LT(server_.stats().calls_started, 60000u);
  ExpectNothingLeft();
  ExpectServes();
}

TEST_F(WireFuzzTest, PingAndSettingsFloodsEndTheConnection) {
  std::mt19937_64 random(1);
  std::string pings = Opening();
  std::string settings = Opening();
  for (int i = 0; i < 20000; ++i) {
    pings += Frame(NGHTTP2_PING, 0, 0, "12345678");
    settings += Frame(NGHTTP2_SETTINGS, 0, 0, "");
  }
  EXPECT_NE(Send(pings, random, "too_many_pings").find("too_many_pings"), std::string::npos);
  Send(settings, random);
  ExpectNothingLeft();
  ExpectServes();
}

TEST_F(WireFuzzTest, UnfinishedRequestsAreBoundedInBytes) {
  std::mt19937_64 random(1);
  // Fifty calls that each announce a message of 900 kB and send a part of it.
  std::string session = Opening();
  const auto header = FrameHeader(false, 900'000);
  for (uint32_t stream = 1; stream < 101; stream += 2) {
    session += Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, RequestHeaders("/fuzz.Fuzz/Unary"));
    session += Frame(NGHTTP2_DATA, 0, stream, std::string_view(header.data(), header.size()));
    for (int i = 0; i < 14; ++i) session += Frame(NGHTTP2_DATA, 0, stream, std::string(16384, 'b'));
  }
  Send(session, random);
  EXPECT_GT(most_received_, 3u << 20);
  EXPECT_LE(most_received_, Options().max_connection_received_bytes);
  ExpectNothingLeft();
  ExpectServes();
}

TEST_F(WireFuzzTest, Http1IsToldWhatThisPortSpeaks) {
  std::mt19937_64 random(1);
  EXPECT_TRUE(Send("GET / HTTP/1.1\r\nhost: x\r\n\r\n", random, "only.").starts_with("HTTP/1.1 505 "));
  ExpectNothingLeft();
}

}  // namespace
}  // namespace cairn::rpc
