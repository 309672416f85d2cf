// grpc++ against the gRPC server, item by item.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "proto/grpc/health.grpc.pb.h"
#include "proto/grpc/reflection_v1.grpc.pb.h"
#include "proto/grpc/reflection_v1alpha.grpc.pb.h"
#include "tests/conformance/rpc/echo.grpc.pb.h"

namespace cairn {
namespace {

using grpc::StatusCode;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Echo;
using test::EchoReply;
using test::EchoRequest;

std::chrono::system_clock::time_point In(milliseconds time) {
  return std::chrono::system_clock::now() + time;
}

// The echo server as a child process.
class EchoServer {
 public:
  EchoServer() {
    int fds[2];
    if (pipe(fds) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      dup2(fds[1], STDOUT_FILENO);
      close(fds[0]);
      close(fds[1]);
      execl(CAIRN_ECHO_SERVER, CAIRN_ECHO_SERVER, nullptr);
      _exit(127);
    }
    close(fds[1]);
    FILE* out = fdopen(fds[0], "r");
    if (std::fscanf(out, "port %d", &port_) != 1) port_ = 0;
    std::fclose(out);
  }
  ~EchoServer() {
    Terminate();
    Wait();
  }

  void Terminate() {
    if (pid_ != 0) kill(pid_, SIGTERM);
  }
  // The exit code, once the process has ended.
  int Wait() {
    if (pid_ == 0) return exit_code_;
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return exit_code_;
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  pid_t pid_ = 0;
  int port_ = 0;
  int exit_code_ = -1;
};

class GrpcppTest : public testing::Test {
 protected:
  GrpcppTest() { Connect({}); }

  void Connect(grpc::ChannelArguments arguments) {
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    channel_ = grpc::CreateCustomChannel(server_.address(), grpc::InsecureChannelCredentials(), arguments);
    stub_ = Echo::NewStub(channel_);
  }

  test::Observation Observe() {
    grpc::ClientContext context;
    test::Observation observation;
    EXPECT_TRUE(stub_->Observe(&context, {}, &observation).ok());
    return observation;
  }

  grpc::Status Call(const EchoRequest& request, EchoReply* reply) {
    grpc::ClientContext context;
    context.set_deadline(In(seconds(20)));
    return stub_->Unary(&context, request, reply);
  }

  EchoServer server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Echo::Stub> stub_;
};

TEST_F(GrpcppTest, UnaryCallsOfManySizesComeBack) {
  for (const size_t size : {0, 1, 100, 16384, 65536, 1000000, 2000000}) {
    EchoRequest request;
    request.set_payload(std::string(size, 'p'));
    EchoReply reply;
    const grpc::Status status = Call(request, &reply);
    ASSERT_TRUE(status.ok()) << size << ": " << status.error_message();
    EXPECT_EQ(reply.payload(), request.payload());
  }
}

TEST_F(GrpcppTest, StatusCarriesCodeAndUtf8Message) {
  for (int code = 1; code <= 16; ++code) {
    EchoRequest request;
    request.set_error_code(code);
    request.set_error_message("grün 100% 日本\nline");
    EchoReply reply;
    const grpc::Status status = Call(request, &reply);
    EXPECT_EQ(status.error_code(), code);
    EXPECT_EQ(status.error_message(), request.error_message());
  }
}

TEST_F(GrpcppTest, UnknownMethodAndServiceAreUnimplemented) {
  const auto call = [this](const char* path) {
    const grpc::internal::RpcMethod method(path, grpc::internal::RpcMethod::NORMAL_RPC);
    grpc::ClientContext context;
    const EchoRequest request;
    EchoReply reply;
    return grpc::internal::BlockingUnaryCallImpl<EchoRequest, EchoReply>(channel_.get(), method, &context,
                                                                         request, &reply)
        .status();
  };
  const grpc::Status method = call("/cairn.test.Echo/Nothing");
  EXPECT_EQ(method.error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(method.error_message(), "unknown method Nothing for service cairn.test.Echo");
  const grpc::Status service = call("/no.Such/Thing");
  EXPECT_EQ(service.error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(service.error_message(), "unknown service no.Such");
}

TEST_F(GrpcppTest, MetadataTravelsBothWaysAlsoBinary) {
  const std::string bytes("\0\x01\xff,=\n", 6);
  grpc::ClientContext context;
  context.AddMetadata("token", "abc.1");
  context.AddMetadata("raw-bin", bytes);
  EchoRequest request;
  request.set_echo_metadata(true);
  EchoReply reply;
  ASSERT_TRUE(stub_->Unary(&context, request, &reply).ok());
  const auto& headers = context.GetServerInitialMetadata();
  const auto& trailers = context.GetServerTrailingMetadata();
  ASSERT_EQ(headers.count("echo-h-token"), 1u);
  EXPECT_EQ(headers.find("echo-h-token")->second, "abc.1");
  ASSERT_EQ(headers.count("echo-h-raw-bin"), 1u);
  EXPECT_EQ(headers.find("echo-h-raw-bin")->second, grpc::string_ref(bytes.data(), bytes.size()));
  ASSERT_EQ(trailers.count("echo-t-raw-bin"), 1u);
  EXPECT_EQ(trailers.find("echo-t-raw-bin")->second, grpc::string_ref(bytes.data(), bytes.size()));
}

TEST_F(GrpcppTest, GzipWorksBothWays) {
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  EchoRequest request;
  request.set_payload(std::string(500000, 'z'));
  EchoReply reply;
  ASSERT_TRUE(stub_->Unary(&context, request, &reply).ok());
  EXPECT_EQ(reply.payload(), request.payload());
}

TEST_F(GrpcppTest, UnknownCompressionIsUnimplemented) {
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_DEFLATE);
  EchoRequest request;
  request.set_payload(std::string(1000, 'z'));
  EchoReply reply;
  const grpc::Status status = stub_->Unary(&context, request, &reply);
  EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("deflate"));
}

TEST_F(GrpcppTest, TooLargeMessagesAreRefusedPlainOrCompressed) {
  EchoRequest request;
  request.set_payload(std::string(3 << 20, 'l'));
  EchoReply reply;
  grpc::Status status = Call(request, &reply);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(),
              testing::HasSubstr("grpc: received message larger than max (3145733 vs. 2097152)"));
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  status = stub_->Unary(&context, request, &reply);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("after decompression larger than max"));
}

TEST_F(GrpcppTest, DeadlinePassesOnBothSides) {
  grpc::ClientContext context;
  context.set_deadline(In(milliseconds(100)));
  EchoRequest request;
  request.set_delay_ms(-1);
  EchoReply reply;
  EXPECT_EQ(stub_->Unary(&context, request, &reply).error_code(), StatusCode::DEADLINE_EXCEEDED);
  // The client's RST_STREAM and the server's own timer race; either way the handler hears of it.
  while (true) {
    const test::Observation seen = Observe();
    if (seen.cancelled_calls() + seen.expired_calls() == 1) break;
  }
}

TEST_F(GrpcppTest, CancelReachesTheHandler) {
  grpc::ClientContext context;
  const auto stream = stub_->Bidi(&context);
  EchoRequest request;
  request.set_payload("one");
  ASSERT_TRUE(stream->Write(request));
  EchoReply reply;
  ASSERT_TRUE(stream->Read(&reply));
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::CANCELLED);
  while (Observe().cancelled_calls() == 0) {
  }
  EXPECT_EQ(Observe().calls_under_way(), 1);
}

TEST_F(GrpcppTest, ClientStreamAndBidiHalfClose) {
  grpc::ClientContext context;
  EchoReply reply;
  const auto writer = stub_->ClientStream(&context, &reply);
  EchoRequest request;
  request.set_payload("ab");
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(writer->Write(request));
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(reply.payload().size(), 2000u);

  grpc::ClientContext bidi_context;
  const auto bidi = stub_->Bidi(&bidi_context);
  for (int i = 0; i < 100; ++i) {
    request.set_payload(std::to_string(i));
    ASSERT_TRUE(bidi->Write(request));
    ASSERT_TRUE(bidi->Read(&reply));
    EXPECT_EQ(reply.payload(), std::to_string(i));
  }
  bidi->WritesDone();
  EXPECT_FALSE(bidi->Read(&reply));
  EXPECT_TRUE(bidi->Finish().ok());
}

TEST_F(GrpcppTest, BigAnswersPassFlowControl) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  Connect(arguments);
  EchoRequest request;
  request.set_answer_bytes(50 << 20);
  EchoReply reply;
  ASSERT_TRUE(Call(request, &reply).ok());
  EXPECT_EQ(reply.payload().size(), 50u << 20);
}

TEST_F(GrpcppTest, SlowReaderHoldsTheHandlerBack) {
  grpc::ClientContext context;
  test::StreamRequest request;
  request.set_count(2000);
  request.set_message_bytes(64 << 10);
  const auto reader = stub_->ServerStream(&context, request);
  EchoReply reply;
  ASSERT_TRUE(reader->Read(&reply));
  // 125 MiB would be queued if the handler were not held back; it sees its high-water mark instead, and the
  // rest comes when read.
  const test::Observation seen = Observe();
  EXPECT_LT(seen.most_queued_bytes(), 512 << 10);
  EXPECT_LT(seen.messages_sent(), 2000);
  int count = 1;
  while (reader->Read(&reply)) ++count;
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(count, 2000);
}

TEST_F(GrpcppTest, HealthAnswersCheckAndWatch) {
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  HealthCheckRequest request;
  HealthCheckResponse response;
  grpc::ClientContext check;
  ASSERT_TRUE(health->Check(&check, request, &response).ok());
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  request.set_service("nobody");
  grpc::ClientContext unknown;
  EXPECT_EQ(health->Check(&unknown, request, &response).error_code(), StatusCode::NOT_FOUND);

  grpc::ClientContext watch_unknown;
  const auto unknown_watch = health->Watch(&watch_unknown, request);
  ASSERT_TRUE(unknown_watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVICE_UNKNOWN);
  watch_unknown.TryCancel();

  request.set_service("blinking");
  grpc::ClientContext watch_context;
  const auto watch = health->Watch(&watch_context, request);
  ASSERT_TRUE(watch->Read(&response));
  const auto first = response.status();
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_NE(response.status(), first);
  watch_context.TryCancel();
}

template <typename Service, typename Request, typename Response>
void ExpectReflection(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = Service::NewStub(channel);
  grpc::ClientContext context;
  const auto stream = stub->ServerReflectionInfo(&context);
  Request request;
  Response response;
  request.set_list_services("");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
  EXPECT_THAT(names, testing::IsSupersetOf({"cairn.test.Echo", "grpc.health.v1.Health"}));
  request.set_file_containing_symbol("cairn.test.Echo");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 1);
  request.set_file_containing_symbol("no.such.Symbol");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), StatusCode::NOT_FOUND);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GrpcppTest, ReflectionAnswersInBothVersions) {
  namespace v1 = grpc::reflection::v1;
  namespace v1alpha = grpc::reflection::v1alpha;
  ExpectReflection<v1::ServerReflection, v1::ServerReflectionRequest, v1::ServerReflectionResponse>(channel_);
  ExpectReflection<v1alpha::ServerReflection, v1alpha::ServerReflectionRequest,
                   v1alpha::ServerReflectionResponse>(channel_);
}

TEST_F(GrpcppTest, ClientThatPingsTooOftenIsToldToCalmDown) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 100);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  Connect(arguments);
  EchoRequest request;
  request.set_delay_ms(-1);
  EchoReply reply;
  const grpc::Status status = Call(request, &reply);
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(GrpcppTest, StopLetsCallsFinishAndEndsStreamsAfterTheGracePeriod) {
  grpc::ClientContext stream_context;
  test::StreamRequest stream_request;
  stream_request.set_count(1);
  stream_request.set_hold_open(true);
  const auto stream = stub_->ServerStream(&stream_context, stream_request);
  EchoReply reply;
  ASSERT_TRUE(stream->Read(&reply));
  grpc::Status slow_status;
  std::string slow_payload;
  std::thread slow([&] {
    EchoRequest request;
    request.set_payload("slow");
    request.set_delay_ms(700);
    EchoReply slow_reply;
    slow_status = Call(request, &slow_reply);
    slow_payload = slow_reply.payload();
  });
  while (Observe().calls_under_way() < 3) {
  }
  server_.Terminate();
  slow.join();
  EXPECT_TRUE(slow_status.ok()) << slow_status.error_message();
  EXPECT_EQ(slow_payload, "slow");
  EXPECT_FALSE(stream->Read(&reply));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "server is shutting down");
  EXPECT_EQ(server_.Wait(), 0);
}

}  // namespace
}  // namespace cairn
