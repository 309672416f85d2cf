#include "server/etcd/header.h"

#include <cstdint>
#include <limits>
#include <string>

#include "gtest/gtest.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::server {
namespace {

etcdserverpb::ResponseHeader Read(const HeaderBytes& header) {
  etcdserverpb::PutResponse response;
  EXPECT_TRUE(response.ParseFromString(std::string(header.view())));
  return response.header();
}

TEST(HeaderBytesTest, IsFieldOneOfAResponse) {
  const auto header = Read(HeaderBytes(11, raft::NodeId(22), storage::Revision(33), raft::Term(44)));
  EXPECT_EQ(header.cluster_id(), 11u);
  EXPECT_EQ(header.member_id(), 22u);
  EXPECT_EQ(header.revision(), 33);
  EXPECT_EQ(header.raft_term(), 44u);
}

TEST(HeaderBytesTest, HoldsTheLargestValues) {
  constexpr uint64_t kLargest = std::numeric_limits<uint64_t>::max();
  const HeaderBytes bytes(kLargest, raft::NodeId(kLargest), storage::Revision(-1), raft::Term(kLargest));
  EXPECT_EQ(bytes.view().size(), HeaderBytes::kMaxBytes);
  const auto header = Read(bytes);
  EXPECT_EQ(header.cluster_id(), kLargest);
  EXPECT_EQ(header.member_id(), kLargest);
  EXPECT_EQ(header.revision(), -1);
  EXPECT_EQ(header.raft_term(), kLargest);
}

TEST(HeaderBytesTest, IsWrittenAsProtobufWritesIt) {
  etcdserverpb::PutResponse response;
  response.mutable_header()->set_cluster_id(300);
  response.mutable_header()->set_raft_term(2);
  EXPECT_EQ(HeaderBytes(300, raft::NodeId(0), storage::Revision(0), raft::Term(2)).view(),
            response.SerializeAsString());
}

}  // namespace
}  // namespace cairn::server
