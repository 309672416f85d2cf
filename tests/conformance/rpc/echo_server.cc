// The server that the conformance tests talk to: serves echo.proto, health and reflection on a port of the
// system's choice.
//
// Prints "port N" once it listens. SIGTERM stops it gently, with two seconds for calls to finish.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "boost/asio/io_context.hpp"
#include "boost/asio/signal_set.hpp"
#include "boost/asio/steady_timer.hpp"
#include "server/rpc/health.h"
#include "server/rpc/reflection.h"
#include "server/rpc/server.h"
#include "tests/conformance/rpc/echo.pb.h"

namespace {

using cairn::GrpcCode;
using cairn::rpc::CallPtr;
using cairn::rpc::CancelReason;
using cairn::rpc::Server;
using cairn::rpc::SharedBytes;
using cairn::rpc::StreamHandler;
using cairn::test::EchoReply;
using cairn::test::EchoRequest;
using cairn::test::Observation;
using cairn::test::ObserveRequest;
using cairn::test::StreamRequest;

constexpr absl::Duration kGrace = absl::Seconds(2);

struct Seen {
  int64_t cancelled = 0;
  int64_t expired = 0;
  int64_t most_queued = 0;

  void Count(CancelReason reason) { ++(reason == CancelReason::kDeadlineExceeded ? expired : cancelled); }
};

void EchoMetadata(const CallPtr& call) {
  for (const auto& [key, value] : call->metadata().entries()) {
    call->AddHeader("echo-h-" + key, value);
    call->AddTrailer("echo-t-" + key, value);
  }
}

EchoReply ReplyTo(EchoRequest& request) {
  EchoReply reply;
  if (request.answer_bytes() > 0) {
    reply.set_payload(std::string(request.answer_bytes(), 'x'));
  } else {
    reply.set_payload(std::move(*request.mutable_payload()));
  }
  return reply;
}

void Unary(boost::asio::io_context& loop, Seen& seen, const CallPtr& call, EchoRequest& request) {
  if (request.echo_metadata()) EchoMetadata(call);
  if (request.error_code() != 0) {
    return call->Finish(static_cast<GrpcCode>(request.error_code()), request.error_message());
  }
  if (request.delay_ms() == 0) return call->Respond(ReplyTo(request));
  call->SetOnCancel([&seen](CancelReason reason) { seen.Count(reason); });
  if (request.delay_ms() < 0) return;
  auto timer =
      std::make_shared<boost::asio::steady_timer>(loop, std::chrono::milliseconds(request.delay_ms()));
  timer->async_wait(
      [timer, call, reply = ReplyTo(request)](const boost::system::error_code&) { call->Respond(reply); });
}

// Bidi and, with `collect`, ClientStream: answers each message, or all together at the end.
class EchoHandler final : public StreamHandler {
 public:
  EchoHandler(CallPtr call, Seen& seen, bool collect)
      : call_(std::move(call)), seen_(seen), collect_(collect) {}

  void OnMessage(std::string_view message) override {
    EchoRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return call_->Finish(GrpcCode::kInternal, "not an EchoRequest");
    }
    if (request.echo_metadata()) EchoMetadata(call_);
    if (request.error_code() != 0) {
      return call_->Finish(static_cast<GrpcCode>(request.error_code()), request.error_message());
    }
    if (collect_) {
      collected_.mutable_payload()->append(request.payload());
      return;
    }
    call_->Send(ReplyTo(request));
    if (!call_->writable()) call_->PauseReading();
  }
  void OnHalfClose() override {
    if (collect_) call_->Send(collected_);
    call_->Finish();
  }
  void OnCancel(CancelReason reason) override { seen_.Count(reason); }
  void OnWritable() override { call_->ResumeReading(); }

 private:
  const CallPtr call_;
  Seen& seen_;
  const bool collect_;
  EchoReply collected_;
};

// Sends `count` messages as fast as the client reads them, each made of a number (its prefix) and bytes that
// all share.
class ServerStreamHandler final : public StreamHandler {
 public:
  ServerStreamHandler(CallPtr call, Seen& seen) : call_(std::move(call)), seen_(seen) {}

  void OnMessage(std::string_view message) override {
    if (!request_.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return call_->Finish(GrpcCode::kInternal, "not a StreamRequest");
    }
    EchoReply reply;
    reply.set_payload(std::string(request_.message_bytes(), 's'));
    message_ = std::make_shared<const std::string>(reply.SerializeAsString());
    Go();
  }
  void OnHalfClose() override {}
  void OnCancel(CancelReason reason) override { seen_.Count(reason); }
  void OnWritable() override { Go(); }

 private:
  void Go() {
    while (sent_ < request_.count()) {
      if (!call_->writable()) return;
      call_->Send("", {message_});
      seen_.most_queued = std::max<int64_t>(seen_.most_queued, call_->queued_bytes());
      ++sent_;
    }
    if (!request_.hold_open()) call_->Finish();
  }

  const CallPtr call_;
  Seen& seen_;
  StreamRequest request_;
  SharedBytes message_;
  int64_t sent_ = 0;
};

void AddEcho(Server& server, boost::asio::io_context& loop, Seen& seen) {
  server.AddUnary<EchoRequest>(
      "/cairn.test.Echo/Unary",
      [&loop, &seen](const CallPtr& call, EchoRequest& request) { Unary(loop, seen, call, request); });
  server.AddStream("/cairn.test.Echo/ServerStream", [&seen](CallPtr call) {
    return std::make_unique<ServerStreamHandler>(std::move(call), seen);
  });
  server.AddStream("/cairn.test.Echo/ClientStream", [&seen](CallPtr call) {
    return std::make_unique<EchoHandler>(std::move(call), seen, /*collect=*/true);
  });
  server.AddStream("/cairn.test.Echo/Bidi", [&seen](CallPtr call) {
    return std::make_unique<EchoHandler>(std::move(call), seen, /*collect=*/false);
  });
  server.AddUnary<ObserveRequest>(
      "/cairn.test.Echo/Observe", [&server, &seen](const CallPtr& call, ObserveRequest&) {
        const cairn::rpc::ServerStats stats = server.stats();
        Observation observation;
        observation.set_cancelled_calls(seen.cancelled);
        observation.set_expired_calls(seen.expired);
        observation.set_calls_under_way(static_cast<int64_t>(stats.calls));
        observation.set_queued_bytes(static_cast<int64_t>(stats.queued_bytes));
        observation.set_most_queued_bytes(seen.most_queued);
        observation.set_received_bytes(static_cast<int64_t>(stats.received_bytes));
        observation.set_messages_sent(static_cast<int64_t>(stats.messages_sent));
        call->Respond(observation);
      });
}

}  // namespace

int main() {
  boost::asio::io_context loop(1);
  Seen seen;
  Server server(loop, cairn::rpc::ServerOptions{});
  AddEcho(server, loop, seen);
  cairn::rpc::HealthService health(server);
  // Lets clients see a change: SERVING and NOT_SERVING in turn, each half a second.
  health.SetServing("blinking", true);
  boost::asio::steady_timer blink(loop);
  std::function<void(bool)> blink_next = [&](bool serving) {
    blink.expires_after(std::chrono::milliseconds(500));
    blink.async_wait([&, serving](const boost::system::error_code& error) {
      if (error) return;
      health.SetServing("blinking", serving);
      blink_next(!serving);
    });
  };
  blink_next(false);
  cairn::rpc::AddReflection(server);
  const auto port = server.Listen("127.0.0.1", 0);
  if (!port.ok()) {
    std::fprintf(stderr, "%s\n", std::string(port.status().message()).c_str());
    return 1;
  }
  boost::asio::signal_set signals(loop, SIGTERM);
  signals.async_wait([&](const boost::system::error_code& error, int) {
    if (error) return;
    server.Shutdown(kGrace, [&] { blink.cancel(); });
  });
  std::printf("port %u\n", unsigned{*port});
  std::fflush(stdout);
  loop.run();  // ends when the last connection has, after SIGTERM
  return 0;
}
