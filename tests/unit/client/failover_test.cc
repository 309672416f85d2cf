// What the client does when a member fails: reads, writes, watches, leases.
#include <atomic>
#include <future>
#include <memory>
#include <string>

#include "client/client.h"
#include "client/lease_keeper.h"
#include "client/watcher.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fake_member.h"

namespace cairn::client {
namespace {

class FailoverTest : public ::testing::Test {
 protected:
  std::unique_ptr<Client> Connect(absl::Duration timeout = absl::Seconds(20)) {
    ClientOptions options;
    options.endpoints = {first_.address(), second_.address()};
    options.timeout = timeout;
    auto client = Client::Create(options);
    EXPECT_TRUE(client.ok()) << client.status().ToString();
    return *std::move(client);
  }

  static etcdserverpb::PutRequest SomePut() {
    etcdserverpb::PutRequest put;
    put.set_key("k");
    return put;
  }
  static etcdserverpb::RangeRequest SomeRange() {
    etcdserverpb::RangeRequest range;
    range.set_key("k");
    return range;
  }

  FakeMember first_;
  FakeMember second_;
};

TEST_F(FailoverTest, AReadMovesOnFromADeadMember) {
  first_.Kill();
  auto client = Connect();
  EXPECT_TRUE(client->Range(SomeRange()).ok());
  EXPECT_TRUE(client->Range(SomeRange()).ok());
  EXPECT_EQ(second_.ranges(), 2);
}

TEST_F(FailoverTest, AWriteMovesOnFromADeadMemberToo) {
  first_.Kill();
  auto client = Connect();
  EXPECT_TRUE(client->Put(SomePut()).ok());
  EXPECT_EQ(second_.puts(), 1);
}

TEST_F(FailoverTest, AReadIsRepeatedAfterAnUnknownOutcome) {
  first_.on_range = [](auto&, auto*) { return WireStatus(ClientError::kTimeout); };
  auto client = Connect();
  EXPECT_TRUE(client->Range(SomeRange()).ok());
  EXPECT_EQ(second_.ranges(), 1);
}

TEST_F(FailoverTest, AWriteOfUnknownOutcomeIsNotRepeated) {
  first_.on_put = [](auto&, auto*) { return WireStatus(ClientError::kTimeout); };
  auto client = Connect();
  const auto answer = client->Put(SomePut());
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(OutcomeUnknown(answer.status()));
  EXPECT_EQ(first_.puts() + second_.puts(), 1);
}

TEST_F(FailoverTest, AWriteThatDidNotHappenIsSentToTheNext) {
  first_.on_put = [](auto&, auto*) { return WireStatus(ClientError::kNoLeader); };
  auto client = Connect();
  EXPECT_TRUE(client->Put(SomePut()).ok());
  EXPECT_EQ(first_.puts(), 1);
  EXPECT_EQ(second_.puts(), 1);
}

TEST_F(FailoverTest, AWrongRequestIsAskedOnce) {
  for (FakeMember* member : {&first_, &second_}) {
    member->on_range = [](auto&, auto*) { return WireStatus(ClientError::kCompacted); };
  }
  auto client = Connect();
  EXPECT_EQ(client->Range(SomeRange()).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(first_.ranges() + second_.ranges(), 1);
}

TEST_F(FailoverTest, WithNobodyThereTheErrorNamesTheMembers) {
  first_.Kill();
  second_.Kill();
  const auto answer = Connect(absl::Milliseconds(200))->Put(SomePut());
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(OutcomeUnknown(answer.status()));
  EXPECT_NE(std::string(answer.status().message()).find(second_.address()), std::string::npos);
}

etcdserverpb::WatchResponse Created(int64_t revision) {
  etcdserverpb::WatchResponse response;
  response.mutable_header()->set_revision(revision);
  response.set_created(true);
  return response;
}
etcdserverpb::WatchResponse EventAt(int64_t revision) {
  etcdserverpb::WatchResponse response;
  response.mutable_header()->set_revision(revision);
  response.add_events()->mutable_kv()->set_mod_revision(revision);
  return response;
}
// Holds the stream open until the client is gone.
grpc::Status UntilGone(FakeMember::WatchStream* stream) {
  etcdserverpb::WatchRequest request;
  while (stream->Read(&request)) {
  }
  return grpc::Status::OK;
}

TEST_F(FailoverTest, AWatchGoesOnAtTheNextMemberFromTheNextRevision) {
  first_.on_watch = [](const auto& create, FakeMember::WatchStream* stream) {
    EXPECT_EQ(create.start_revision(), 0);
    stream->Write(Created(4));
    stream->Write(EventAt(7));
    return WireStatus(ClientError::kNoLeader);
  };
  second_.on_watch = [](const auto& create, FakeMember::WatchStream* stream) {
    stream->Write(Created(20));
    stream->Write(EventAt(create.start_revision()));
    return UntilGone(stream);
  };
  auto client = Connect();
  Watcher watcher(*client, {});
  EXPECT_TRUE(watcher.Next()->created());
  EXPECT_EQ(watcher.Next()->events(0).kv().mod_revision(), 7);
  const auto resumed = watcher.Next();  // no second `created`
  ASSERT_EQ(resumed->events_size(), 1);
  EXPECT_EQ(resumed->events(0).kv().mod_revision(), 8);
}

TEST_F(FailoverTest, AWatchFromNowThatBreaksBeforeItsFirstEventMissesNothing) {
  first_.on_watch = [](const auto&, FakeMember::WatchStream* stream) {
    stream->Write(Created(4));
    return WireStatus(ClientError::kStopped);
  };
  second_.on_watch = [](const auto& create, FakeMember::WatchStream* stream) {
    EXPECT_EQ(create.start_revision(), 5);
    stream->Write(EventAt(9));
    return UntilGone(stream);
  };
  auto client = Connect();
  Watcher watcher(*client, {});
  EXPECT_TRUE(watcher.Next()->created());
  EXPECT_EQ(watcher.Next()->events(0).kv().mod_revision(), 9);
}

TEST_F(FailoverTest, AWatchOfCompactedHistoryEndsAndSaysFromWhereThereIsAny) {
  first_.on_watch = [](const auto&, FakeMember::WatchStream* stream) {
    stream->Write(Created(4));
    etcdserverpb::WatchResponse canceled;
    canceled.set_canceled(true);
    canceled.set_compact_revision(90);
    stream->Write(canceled);
    return UntilGone(stream);
  };
  auto client = Connect();
  Watcher watcher(*client, {});
  EXPECT_TRUE(watcher.Next()->created());
  EXPECT_EQ(watcher.Next().status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(watcher.compact_revision(), 90);
}

TEST_F(FailoverTest, CancelEndsAWatchThatWaits) {
  first_.on_watch = [](const auto&, FakeMember::WatchStream* stream) {
    stream->Write(Created(4));
    return UntilGone(stream);
  };
  auto client = Connect();
  Watcher watcher(*client, {});
  EXPECT_TRUE(watcher.Next()->created());
  auto waiting = std::async(std::launch::async, [&] { return watcher.Next().status(); });
  watcher.Cancel();
  EXPECT_EQ(waiting.get().code(), absl::StatusCode::kCancelled);
}

TEST_F(FailoverTest, CancelEndsAWatchThatFindsNobody) {
  first_.Kill();
  second_.Kill();
  auto client = Connect();
  Watcher watcher(*client, {});
  auto waiting = std::async(std::launch::async, [&] { return watcher.Next().status(); });
  watcher.Cancel();
  EXPECT_EQ(waiting.get().code(), absl::StatusCode::kCancelled);
}

TEST_F(FailoverTest, ALeaseIsRenewedUntilItIsGone) {
  std::atomic<int> asked = 0;
  second_.ttl_of = first_.ttl_of = [&asked](int64_t) { return ++asked == 1 ? 1 : 0; };
  auto client = Connect();
  std::promise<int64_t> renewed;
  std::promise<absl::Status> lost;
  const LeaseKeeper keeper(*client, 5,
                           {.on_renewed = [&](const auto& response) { renewed.set_value(response.ttl()); },
                            .on_lost = [&](const absl::Status& status) { lost.set_value(status); }});
  EXPECT_EQ(renewed.get_future().get(), 1);
  EXPECT_EQ(lost.get_future().get().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace cairn::client
