// What a server does with its connections, seen by a client that writes its own bytes. Server and client
// share one thread.
#include "server/rpc/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/write.hpp"
#include "tests/unit/rpc/wire.h"

namespace cairn::rpc {
namespace {

using boost::asio::ip::tcp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kUnary[] = "/test.Test/Unary";
constexpr char kStream[] = "/test.Test/Stream";

// A stream that only notes how it ends.
class NotingStream final : public StreamHandler {
 public:
  NotingStream(CallPtr call, std::vector<CancelReason>* ends) : call_(std::move(call)), ends_(ends) {}
  void OnMessage(std::string_view) override {}
  void OnHalfClose() override {}
  void OnCancel(CancelReason reason) override { ends_->push_back(reason); }

 private:
  const CallPtr call_;
  std::vector<CancelReason>* const ends_;
};

struct ReceivedFrame {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string payload;
};

class ServerTest : public testing::Test {
 protected:
  void Start(const ServerOptions& options = {}) {
    server_ = std::make_unique<Server>(loop_, options);
    server_->AddUnary(
        kUnary, [](const CallPtr& call, std::string_view request) { call->Respond(std::string(request)); });
    server_->AddStream(
        kStream, [this](CallPtr call) { return std::make_unique<NotingStream>(std::move(call), &ends_); });
    port_ = server_->Listen("127.0.0.1", 0).value();
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

  tcp::socket Connect() {
    tcp::socket client(loop_);
    client.connect({boost::asio::ip::address_v4::loopback(), port_});
    client.non_blocking(true);
    return client;
  }

  void Write(tcp::socket& client, std::string_view bytes) {
    boost::asio::write(client, boost::asio::buffer(bytes.data(), bytes.size()));
  }

  // Reads what has come. False once the server has closed.
  bool Drain(tcp::socket& client, std::string* received) {
    char buffer[4096];
    boost::system::error_code error;
    while (!error) received->append(buffer, client.read_some(boost::asio::buffer(buffer), error));
    return error == boost::asio::error::would_block;
  }

  std::string ReadUntilClosed(tcp::socket& client) {
    std::string received;
    RunUntil([&] { return !Drain(client, &received); });
    return received;
  }

  // The next frame of this type, on this stream unless it is 0.
  ReceivedFrame ReadFrame(tcp::socket& client, std::string* received, uint8_t type, uint32_t stream = 0) {
    std::optional<ReceivedFrame> found;
    RunUntil([&] {
      Drain(client, received);
      while (!found && received->size() >= 9) {
        const auto* b = reinterpret_cast<const uint8_t*>(received->data());
        const size_t size = size_t{b[0]} << 16 | size_t{b[1]} << 8 | b[2];
        if (received->size() < 9 + size) break;
        ReceivedFrame frame{b[3], b[4],
                            uint32_t{b[5]} << 24 | uint32_t{b[6]} << 16 | uint32_t{b[7]} << 8 | b[8],
                            received->substr(9, size)};
        received->erase(0, 9 + size);
        if (frame.type == type && (stream == 0 || frame.stream == stream)) found = std::move(frame);
      }
      return found.has_value();
    });
    return found.value_or(ReceivedFrame());
  }

  static std::string ErrorCode(const ReceivedFrame& frame, size_t at) { return frame.payload.substr(at, 4); }

  boost::asio::io_context loop_{1};
  std::vector<CancelReason> ends_;
  std::unique_ptr<Server> server_;
  uint16_t port_ = 0;
};

std::string Code(uint8_t code) { return {'\0', '\0', '\0', static_cast<char>(code)}; }

std::string CallWith(uint32_t stream, std::vector<nghttp2_nv> fields, std::string_view message) {
  return Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, Hpack(std::move(fields))) +
         Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, Framed(message));
}

// grpc-go before 1.34, and so Debian's etcdctl, for an endpoint given as a URL.
TEST_F(ServerTest, AUrlAsAuthorityIsServed) {
  Start();
  tcp::socket client = Connect();
  Write(client, Opening() + CallWith(1,
                                     {Header(":method", "POST"), Header(":scheme", "http"),
                                      Header(":path", kUnary), Header(":authority", "http://127.0.0.1:2379"),
                                      Header("content-type", "application/grpc"), Header("te", "trailers")},
                                     "hello"));
  std::string received;
  EXPECT_THAT(ReadFrame(client, &received, NGHTTP2_DATA, 1).payload, HasSubstr("hello"));
}

TEST_F(ServerTest, AMalformedRequestIsResetAndTheConnectionGoesOn) {
  Start();
  tcp::socket client = Connect();
  Write(client, Opening() +
                    CallWith(1,
                             {Header(":method", "POST"), Header(":path", kUnary), Header(":scheme", "http"),
                              Header("connection", "close")},
                             "bad") +
                    CallWith(3, {Header(":method", "POST"), Header(":path", kUnary)}, "no scheme") +
                    CallWith(5,
                             {Header(":method", "POST"), Header(":scheme", "http"), Header(":path", kUnary),
                              Header("content-type", "application/grpc")},
                             "good"));
  std::string received;
  EXPECT_EQ(ErrorCode(ReadFrame(client, &received, NGHTTP2_RST_STREAM, 1), 0), Code(NGHTTP2_PROTOCOL_ERROR));
  EXPECT_EQ(ErrorCode(ReadFrame(client, &received, NGHTTP2_RST_STREAM, 3), 0), Code(NGHTTP2_PROTOCOL_ERROR));
  EXPECT_THAT(ReadFrame(client, &received, NGHTTP2_DATA, 5).payload, HasSubstr("good"));
  EXPECT_EQ(server_->stats().calls_started, 1u);
}

TEST_F(ServerTest, TrailersThatDoNotEndTheRequestCancelTheCall) {
  Start();
  tcp::socket client = Connect();
  Write(client, Opening() + Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, RequestHeaders(kStream)) +
                    Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, Hpack({Header("trailer", "v")})));
  std::string received;
  EXPECT_EQ(ErrorCode(ReadFrame(client, &received, NGHTTP2_RST_STREAM, 1), 0), Code(NGHTTP2_PROTOCOL_ERROR));
  EXPECT_THAT(ends_, ElementsAre(CancelReason::kRefused));
  EXPECT_EQ(server_->stats().calls, 0u);
}

TEST_F(ServerTest, AProtocolErrorEndsTheOtherCallsAtOnce) {
  Start();
  tcp::socket client = Connect();
  Write(client, Opening() + Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, RequestHeaders(kStream)) +
                    Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 3, RequestHeaders(kStream)));
  RunUntil([&] { return server_->stats().calls == 2; });
  Write(client, Frame(NGHTTP2_DATA, 0, 0, "data belong to a stream"));
  RunUntil([&] { return !ends_.empty(); });
  EXPECT_THAT(ends_, ElementsAre(CancelReason::kConnectionLost, CancelReason::kConnectionLost));
  EXPECT_EQ(server_->stats().calls, 0u);
  EXPECT_EQ(server_->stats().connections, 1u);  // for the client to read why
  std::string received;
  EXPECT_EQ(ErrorCode(ReadFrame(client, &received, NGHTTP2_GOAWAY), 4), Code(NGHTTP2_PROTOCOL_ERROR));
  client.close();
  RunUntil([&] { return server_->stats().connections == 0; });
}

// Otherwise it would stay until the next keep-alive, two hours later.
TEST_F(ServerTest, AClientThatBrokeTheProtocolIsClosedEvenIfItDoesNotRead) {
  Start();
  tcp::socket client = Connect();
  Write(client, Opening() + Frame(NGHTTP2_DATA, 0, 0, "data belong to a stream"));
  RunUntil([&] { return server_->stats().connections == 1; });
  RunUntil([&] { return server_->stats().connections == 0; });
}

TEST_F(ServerTest, AConnectionThatDoesNotGreetIsClosedInTime) {
  ServerOptions options;
  options.handshake_timeout = absl::Milliseconds(20);
  Start(options);
  tcp::socket silent = Connect();
  tcp::socket half = Connect();
  tcp::socket without_settings = Connect();
  tcp::socket honest = Connect();
  Write(half, kPreface.substr(0, 10));
  Write(without_settings, kPreface);
  Write(honest, Opening());
  RunUntil([&] { return server_->stats().connections_accepted == 4; });
  RunUntil([&] { return server_->stats().connections == 1; });
  for (tcp::socket* client : {&silent, &half, &without_settings}) ReadUntilClosed(*client);
  Write(honest, UnaryCall(1, "still here"));
  std::string received;
  EXPECT_EQ(ReadFrame(honest, &received, NGHTTP2_HEADERS, 1).stream, 1u);
}

TEST_F(ServerTest, AnIdleClientIsPingedAndLivesIfItAnswers) {
  ServerOptions options;
  options.ping_after_idle = absl::Milliseconds(20);
  options.ping_timeout = absl::Seconds(30);
  Start(options);
  tcp::socket client = Connect();
  Write(client, Opening());
  std::string received;
  for (int round = 0; round < 3; ++round) {
    const ReceivedFrame ping = ReadFrame(client, &received, NGHTTP2_PING);
    ASSERT_EQ(ping.payload.size(), 8u);
    Write(client, Frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping.payload));
  }
  EXPECT_EQ(server_->stats().connections, 1u);
}

TEST_F(ServerTest, AnIdleClientThatDoesNotAnswerThePingIsClosed) {
  ServerOptions options;
  options.ping_after_idle = absl::Milliseconds(20);
  options.ping_timeout = absl::Milliseconds(20);
  Start(options);
  tcp::socket client = Connect();
  Write(client, Opening() + Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, RequestHeaders(kStream)));
  ReadUntilClosed(client);
  EXPECT_THAT(ends_, ElementsAre(CancelReason::kConnectionLost));
}

TEST_F(ServerTest, ConnectionsBeyondTheLimitAreClosedOnArrival) {
  ServerOptions options;
  options.max_connections = 2;
  Start(options);
  tcp::socket first = Connect();
  tcp::socket second = Connect();
  RunUntil([&] { return server_->stats().connections == 2; });
  tcp::socket third = Connect();
  EXPECT_THAT(ReadUntilClosed(third), IsEmpty());
  EXPECT_EQ(server_->stats().connections_refused, 1u);
  first.close();
  RunUntil([&] { return server_->stats().connections == 1; });
  tcp::socket fourth = Connect();
  RunUntil([&] { return server_->stats().connections == 2; });
  EXPECT_EQ(server_->stats().connections_refused, 1u);
}

TEST_F(ServerTest, Http1IsHandedOverWithWhatWasReadOfIt) {
  Start();
  std::string taken;
  std::optional<tcp::socket> handed;
  server_->SetHttp1Handler([&](tcp::socket socket, std::string read_so_far) {
    handed.emplace(std::move(socket));
    taken = std::move(read_so_far);
  });
  tcp::socket client = Connect();
  Write(client, "P");  // begins as the HTTP/2 preface does
  RunUntil([&] { return server_->stats().connections == 1; });
  Write(client, "UT /v1 HTTP/1.1\r\n");
  RunUntil([&] { return handed.has_value(); });
  EXPECT_THAT(taken, HasSubstr("PUT /v1"));
  EXPECT_EQ(server_->stats().connections, 0u);
  boost::asio::write(*handed, boost::asio::buffer(std::string_view("HTTP/1.1 204 \r\n\r\n")));
  handed->close();
  EXPECT_EQ(ReadUntilClosed(client), "HTTP/1.1 204 \r\n\r\n");
}

}  // namespace
}  // namespace cairn::rpc
