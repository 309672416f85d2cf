#include "server/transport/handshake.h"

#include "absl/strings/str_cat.h"
#include "server/transport/peer_codec.h"

namespace cairn::server {
namespace {

constexpr size_t kMaxReasonBytes = 512;

}  // namespace

internal::Hello Handshake::HelloTo(raft::NodeId to) const {
  internal::Hello hello;
  hello.set_protocol_version(kPeerProtocolVersion);
  hello.set_cluster_id(cluster_id_);
  hello.set_member_id(self_.value());
  hello.set_to_member_id(to.value());
  hello.set_incarnation_id(incarnation_id_);
  return hello;
}

internal::Hello Handshake::Refusal(raft::NodeId to, const absl::Status& reason) const {
  internal::Hello hello = HelloTo(to);
  hello.set_refused(std::string(reason.message().substr(0, kMaxReasonBytes)));
  return hello;
}

absl::Status Handshake::Check(const internal::Hello& hello) {
  if (hello.protocol_version() != kPeerProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat("peer protocol version ", hello.protocol_version(),
                                                      ", this member speaks ", kPeerProtocolVersion,
                                                      ": run the same release of cairnd on all members"));
  }
  if (hello.cluster_id() != cluster_id_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "wrong cluster: ", absl::Hex(hello.cluster_id()), ", this member belongs to ", absl::Hex(cluster_id_),
        ": --initial-cluster and --initial-cluster-token must be the same on "
        "all members"));
  }
  const raft::NodeId sender(hello.member_id());
  if (sender == self_) {
    return absl::FailedPreconditionError(absl::StrCat("both sides are member ", absl::Hex(self_.value()),
                                                      ": a peer URL of --initial-cluster leads back to the "
                                                      "member itself, or two processes run as one member"));
  }
  if (hello.to_member_id() != self_.value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("wrong member: ", absl::Hex(hello.to_member_id()), " was called, this is ",
                     absl::Hex(self_.value()), ": a peer URL of --initial-cluster leads to another member"));
  }
  const auto member = members_.find(sender);
  if (member == members_.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("unknown member: ", absl::Hex(sender.value()), " is not one of this cluster's members"));
  }
  uint64_t& known = member->second.incarnation_id;
  if (known != 0 && known != hello.incarnation_id()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "member ", member->second.name, " comes with another data directory (",
        absl::Hex(hello.incarnation_id()), ", known is ", absl::Hex(known),
        "): it has forgotten its votes and must not vote again; give it its old data directory back"));
  }
  known = hello.incarnation_id();
  return absl::OkStatus();
}

absl::Status Handshake::CheckAnswer(const internal::Hello& hello, raft::NodeId called) {
  if (!hello.refused().empty()) {
    return absl::FailedPreconditionError(absl::StrCat("refused by the other side: ", hello.refused()));
  }
  if (hello.cluster_id() == cluster_id_ && hello.member_id() != called.value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("wrong member: called ", absl::Hex(called.value()), ", ", absl::Hex(hello.member_id()),
                     " answered: a peer URL of --initial-cluster leads to another member"));
  }
  return Check(hello);
}

}  // namespace cairn::server
