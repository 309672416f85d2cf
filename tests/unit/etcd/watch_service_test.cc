// Watch over real connections: what a client sees of it when it is slow, leaves, asks for much, or the member
// has no leader or stops. What the hub itself promises is tested in tests/unit/watch.
#include "server/etcd/watch_service.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "tests/unit/etcd/door_fixture.h"

namespace cairn::server {
namespace {

using ::testing::HasSubstr;

// One client's watch stream.
class Watcher {
 public:
  explicit Watcher(const std::shared_ptr<grpc::Channel>& channel, bool hasleader = false)
      : stub_(Watch::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    if (hasleader) context_.AddMetadata("hasleader", "true");
    stream_ = stub_->Watch(&context_);
  }
  ~Watcher() { context_.TryCancel(); }

  void Create(const std::string& key) {
    WatchRequest request;
    request.mutable_create_request()->set_key(key);
    Write(request);
  }
  void Write(const WatchRequest& request) { ASSERT_TRUE(stream_->Write(request)); }
  bool Read(WatchResponse* response) { return stream_->Read(response); }
  void HalfClose() { stream_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }
  grpc::Status Finish() { return stream_->Finish(); }

 private:
  grpc::ClientContext context_;
  const std::unique_ptr<Watch::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<WatchRequest, WatchResponse>> stream_;
};

class WatchServiceTest : public EtcdDoorTest {
 protected:
  // Does `blocking` on a thread of its own while the kernel's loop turns here.
  void WhileTheLoopTurns(const std::function<void()>& blocking) {
    std::future<void> done = std::async(std::launch::async, blocking);
    while (done.wait_for(std::chrono::microseconds(100)) != std::future_status::ready) {
      OnLoop([this] { kernel_->Settle(); });
    }
    done.get();
  }
  void Created(Watcher& watcher) {
    WhileTheLoopTurns([&] {
      WatchResponse response;
      ASSERT_TRUE(watcher.Read(&response));
      ASSERT_TRUE(response.created());
    });
  }
  // Reads until the events up to `last` have come: each exactly once, from `first` on.
  void ReadEvents(Watcher& watcher, int64_t first, int64_t last) {
    WhileTheLoopTurns([&] {
      for (int64_t next = first; next <= last;) {
        WatchResponse response;
        ASSERT_TRUE(watcher.Read(&response)) << "before revision " << next;
        for (const mvccpb::Event& event : response.events()) ASSERT_EQ(event.kv().mod_revision(), next++);
      }
    });
  }
  void AwaitStreams(size_t count) {
    for (size_t streams = count + 1; streams != count;) {
      OnLoop([&] { streams = kernel_->watches().stats().streams; });
    }
  }
  size_t QueuedBytes() {
    size_t bytes = 0;
    OnLoop([&] {
      kernel_->Settle();
      bytes = server_->stats().queued_bytes;
    });
    return bytes;
  }
};

TEST_F(WatchServiceTest, EventsComeWithTheHeaderOfThisMember) {
  Watcher watcher(Connect());
  watcher.Create("k");
  Created(watcher);
  ASSERT_TRUE(Put("k", "v").ok());
  WatchResponse response;
  WhileTheLoopTurns([&] { ASSERT_TRUE(watcher.Read(&response)); });
  ExpectHeader(response.header(), 2);
  ASSERT_EQ(response.events_size(), 1);
  EXPECT_EQ(response.events(0).kv().value(), "v");
}

TEST_F(WatchServiceTest, AClientThatDoesNotReadCostsLittleDelaysNobodyAndLosesNothing) {
  Watcher slow(Connect());
  Watcher quick(Connect());
  for (Watcher* watcher : {&slow, &quick}) {
    watcher->Create("k");
    Created(*watcher);
  }
  constexpr int64_t kPuts = 400;  // 40 MB: more than the hub keeps in memory
  size_t most_queued = 0;
  for (int64_t revision = 2; revision < 2 + kPuts; ++revision) {
    ASSERT_TRUE(Put("k", std::string(100'000, 'v')).ok());
    ReadEvents(quick, revision, revision);
    most_queued = std::max(most_queued, QueuedBytes());
  }
  EXPECT_GT(most_queued, 100'000u) << "the slow client was not slow";
  EXPECT_LT(most_queued, 3u << 20);
  ReadEvents(slow, 2, 1 + kPuts);
}

TEST_F(WatchServiceTest, HalfClosingEndsNothing) {
  Watcher watcher(Connect());
  watcher.Create("k");
  watcher.HalfClose();
  Created(watcher);
  ASSERT_TRUE(Put("k", "v").ok());
  ReadEvents(watcher, 2, 2);
}

TEST_F(WatchServiceTest, AClientThatLeavesIsForgotten) {
  Watcher stays(Connect());
  stays.Create("k");
  Created(stays);
  auto leaves = std::make_unique<Watcher>(Connect());
  leaves->Create("k");
  Created(*leaves);
  Watcher cancels(Connect());
  cancels.Create("k");
  Created(cancels);
  AwaitStreams(3);
  cancels.Cancel();
  EXPECT_EQ(cancels.Finish().error_code(), grpc::StatusCode::CANCELLED);
  AwaitStreams(2);
  leaves.reset();
  AwaitStreams(1);
  OnLoop([&] { EXPECT_EQ(kernel_->watches().stats().watchers, 1u); });
  ASSERT_TRUE(Put("k", "v").ok());
  ReadEvents(stays, 2, 2);
}

TEST_F(WatchServiceTest, OnlyStreamsThatNeedALeaderAreCutAfterThreeElectionTimeoutsWithout) {
  Watcher needs(Connect(), /*hasleader=*/true);
  Watcher plain(Connect());
  for (Watcher* watcher : {&needs, &plain}) {
    watcher->Create("k");
    Created(*watcher);
  }
  OnLoop([&] {
    kernel_->set_time_without_leader(absl::Milliseconds(2999));
    kernel_->fake_loop().Advance(absl::Seconds(1));
  });
  AwaitStreams(2);
  OnLoop([&] {
    kernel_->set_time_without_leader(absl::Seconds(3));
    kernel_->fake_loop().Advance(absl::Seconds(1));
  });
  WatchResponse response;
  EXPECT_FALSE(needs.Read(&response));
  ExpectError(needs.Finish(), ClientError::kNoLeader);
  AwaitStreams(1);
  ASSERT_TRUE(Put("k", "v").ok());
  ReadEvents(plain, 2, 2);
}

TEST_F(WatchServiceTest, AStreamThatNeedsALeaderIsRefusedWithoutOne) {
  OnLoop([&] { kernel_->set_leader(raft::NodeId(0)); });
  Watcher watcher(Connect(), /*hasleader=*/true);
  WatchResponse response;
  EXPECT_FALSE(watcher.Read(&response));
  ExpectError(watcher.Finish(), ClientError::kNoLeader);
}

TEST_F(WatchServiceTest, StoppingSendsStreamsElsewhere) {
  Watcher early(Connect());
  early.Create("k");
  Created(early);
  OnLoop([&] { watches_->EndStreams(); });
  Watcher late(Connect());
  for (Watcher* watcher : {&early, &late}) {
    WatchResponse response;
    EXPECT_FALSE(watcher->Read(&response));
    ExpectError(watcher->Finish(), ClientError::kStopped);
  }
  AwaitStreams(0);
}

TEST_F(WatchServiceTest, ManyWatchesOnOneStreamGetTheirOwnEvents) {
  constexpr int kWatches = 500;
  Watcher watcher(Connect());
  for (int i = 0; i < kWatches; ++i) watcher.Create("k" + std::to_string(i));
  WhileTheLoopTurns([&] {
    for (int i = 0; i < kWatches; ++i) {
      WatchResponse response;
      ASSERT_TRUE(watcher.Read(&response));
      EXPECT_TRUE(response.created());
      EXPECT_EQ(response.watch_id(), i);
    }
  });
  for (const int i : {499, 0, 250}) {
    ASSERT_TRUE(Put("k" + std::to_string(i), "v").ok());
    WatchResponse response;
    WhileTheLoopTurns([&] { ASSERT_TRUE(watcher.Read(&response)); });
    EXPECT_EQ(response.watch_id(), i);
    ASSERT_EQ(response.events_size(), 1);
    EXPECT_EQ(response.events(0).kv().key(), "k" + std::to_string(i));
  }
}

// One transaction of 5 MB; with fragments no response is above 2 MiB, and only the last says it is.
TEST_F(WatchServiceTest, ALargeRevisionComesInFragmentsWhereAskedFor) {
  constexpr int kKeys = 50;
  OnLoop([&] {
    internal::Command command;
    for (int i = 0; i < kKeys; ++i) {
      PutRequest* put = command.mutable_txn()->add_success()->mutable_request_put();
      put->set_key("k" + std::to_string(100 + i));
      put->set_value(std::string(100'000, 'v'));
    }
    kernel_->Propose(std::move(command),
                     [](storage::Result&& result) { ASSERT_EQ(result.error, ClientError::kOk); });
  });
  for (const bool fragment : {true, false}) {
    Watcher watcher(Connect());
    WatchRequest request;
    WatchCreateRequest& create = *request.mutable_create_request();
    create.set_key("k");
    create.set_range_end("l");
    create.set_start_revision(2);
    create.set_fragment(fragment);
    watcher.Write(request);
    Created(watcher);
    WhileTheLoopTurns([&] {
      int responses = 0;
      for (int events = 0; events < kKeys; ++responses) {
        WatchResponse response;
        ASSERT_TRUE(watcher.Read(&response));
        if (fragment) {
          EXPECT_LT(response.ByteSizeLong(), 2u << 20);
        }
        for (const mvccpb::Event& event : response.events()) {
          ASSERT_EQ(event.kv().key(), "k" + std::to_string(100 + events++));
        }
        EXPECT_EQ(response.fragment(), events < kKeys);
      }
      EXPECT_EQ(responses, fragment ? 3 : 1);
    });
  }
}

TEST_F(WatchServiceTest, BytesThatAreNoRequestEndTheStream) {
  grpc::ClientContext context;
  grpc::internal::RpcMethod method("/etcdserverpb.Watch/Watch", grpc::internal::RpcMethod::BIDI_STREAMING);
  const auto channel = Connect();
  const std::unique_ptr<grpc::ClientReaderWriter<LeaseKeepAliveRequest, WatchResponse>> stream(
      grpc::internal::ClientReaderWriterFactory<LeaseKeepAliveRequest, WatchResponse>::Create(
          channel.get(), method, &context));
  LeaseKeepAliveRequest request;
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(1, "\xff");
  ASSERT_TRUE(stream->Write(request));
  WatchResponse response;
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(status.error_message(), HasSubstr("no etcdserverpb.WatchRequest"));
  AwaitStreams(0);
}

}  // namespace
}  // namespace cairn::server
