// Messages that a broken peer could send, mixed into the traffic of a working cluster: none may end a
// member's process, and none may grow its memory without bound. (What such a peer can do to the data is
// another matter: Raft trusts its members.)
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/raft/cluster.h"

namespace cairn::raft {
namespace {

class Fuzzer {
 public:
  explicit Fuzzer(uint64_t seed) : random_(seed) {
    Configuration configuration = {{NodeId(1), NodeId(2), NodeId(3)}, {}, {}};
    Options options;
    options.self = NodeId(1);
    options.seed = seed;
    options.max_pending_reads = 64;
    raft_ = std::make_unique<Raft>(options, HardState{}, configuration, LogIndex(0), &log_);
  }

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      switch (Below(12)) {
        case 0:
          raft_->Tick();
          break;
        case 1:
          raft_->Campaign();
          Grant();
          break;
        case 2:
          raft_->Propose({std::make_shared<const std::string>("x")});
          break;
        case 3:
          raft_->ReadIndex(i);
          break;
        default:
          raft_->Step(Random());
      }
      Drain();
    }
  }

  uint64_t refused() const { return raft_->refused_count(); }
  int led() const { return led_; }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }

  // Small numbers near the state; now and then huge ones.
  uint64_t Number(uint64_t near) {
    switch (Below(8)) {
      case 0:
        return random_();
      case 1:
        return UINT64_MAX - Below(3);
      default:
        return near + Below(5) - std::min<uint64_t>(near, Below(5));
    }
  }

  // Lets a campaign succeed, so that the member is a leader at times.
  void Grant() {
    Drain();
    Message grant;
    grant.from = NodeId(2);
    grant.to = NodeId(1);
    grant.type = MessageType::kPreVoteReply;
    grant.term = raft_->term() + 1;
    raft_->Step(grant);
    Drain();
    grant.type = MessageType::kVoteReply;
    grant.term = raft_->term();
    raft_->Step(grant);
    led_ += raft_->role() == Role::kLeader ? 1 : 0;
  }

  Message Random() {
    Message message;
    message.type = static_cast<MessageType>(Below(14));
    message.from = NodeId(Below(6));
    message.to = NodeId(Below(10) == 0 ? 2 : 1);
    message.term = Below(3) == 0 ? Term(Number(raft_->term().value())) : raft_->term();
    if (message.term.value() > 1000000) message.term = Term(UINT64_MAX - Below(3));
    message.log_term = Term(Number(raft_->term().value()));
    message.index = LogIndex(Number(raft_->last_index().value()));
    message.commit = LogIndex(Number(raft_->commit().value()));
    message.reject = Below(2) == 0;
    message.reject_hint = LogIndex(Number(raft_->last_index().value()));
    message.reject_term = Term(Number(raft_->term().value()));
    message.context = Below(4) == 0 ? random_() : Below(20);
    message.force = Below(2) == 0;
    if (Below(2) == 0) {  // a position that fits, so that some appends go in
      message.index = LogIndex(Below(raft_->last_index().value() + 1));
      message.log_term = log_.TermAt(message.index).value_or(Term(0));
    }
    const uint64_t count = Below(4);
    for (uint64_t i = 0; i < count; ++i) {
      message.entries.push_back(
          MakeEntry(Below(8) == 0 ? Number(raft_->term().value()) : message.term.value(),
                    message.index.value() + 1 + i + (Below(20) == 0 ? 1 : 0), "y"));
    }
    return message;
  }

  void Drain() {
    for (int i = 0; raft_->HasReady(); ++i) {
      ASSERT_LT(i, 1000) << "never done";
      Ready ready = raft_->TakeReady();
      TestLog::Write(&log_.visible, ready.entries);
      if (!ready.entries.empty()) raft_->Persisted(ready.entries.back().term, ready.entries.back().index);
      for (Message& message : ready.messages_after_persist) {
        if (message.to == NodeId(1)) raft_->Step(std::move(message));
      }
      if (!ready.committed.empty()) raft_->Applied(ready.committed.back().index);
    }
  }

  std::mt19937_64 random_;
  TestLog log_;
  std::unique_ptr<Raft> raft_;
  int led_ = 0;
};

TEST(FuzzTest, NoMessageEndsTheProcess) {
  uint64_t refused = 0;
  int led = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Fuzzer fuzzer(seed);
    fuzzer.Run(2000);
    refused += fuzzer.refused();
    led += fuzzer.led();
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(led, 1000) << "the member must be a leader at times";
}

}  // namespace
}  // namespace cairn::raft
