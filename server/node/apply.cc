// Applying: committed entries into the store, and what follows from them.
#include <algorithm>
#include <optional>
#include <utility>

#include "server/node/node.h"

namespace cairn::server {
namespace {

// A turn applies for about so long; the rest waits for the next, so that heartbeats and reads go on.
constexpr absl::Duration kApplySlice = absl::Milliseconds(3);
// One batch of the store: so many entries or bytes.
constexpr size_t kApplyEntries = 64;
constexpr size_t kApplyBytes = 512 << 10;
// How long to leave the engine alone when it refuses a write.
constexpr absl::Duration kEngineRetry = absl::Milliseconds(2);
// An engine that takes nothing for so long is worth telling.
constexpr absl::Duration kStallReported = absl::Seconds(1);
constexpr absl::Duration kBackgroundSlice = absl::Milliseconds(1);

}  // namespace

void Node::ApplySome() {
  if (engine_refuses_) return;
  const absl::Duration began = loop_.Now();
  while (!to_apply_.empty() && !stopped_) {
    if (loop_.Now() - began > kApplySlice) {
      apply_again_posted_ = true;
      loop_.Post([this, alive = alive_] {
        if (!*alive || stopped_) return;
        apply_again_posted_ = false;
        ApplySome();
        SendOutbox();
      });
      break;
    }
    // By the entry, and the clock after each: small commands may be many in few bytes.
    size_t entries = 0;
    size_t bytes = 0;
    while (!to_apply_.empty() && entries < kApplyEntries && bytes < kApplyBytes) {
      const raft::Entry entry = std::move(to_apply_.front());
      to_apply_.pop_front();
      bytes += entry.size_bytes();
      ++entries;
      store_.Apply({&entry, 1}, &outcome_);
      if (loop_.Now() - began > kApplySlice) break;
    }
    if (!CommitStore()) break;
  }
}

bool Node::CommitStore() {
  absl::Status status = store_.Commit();
  if (absl::IsUnavailable(status)) {
    // The engine can't take more just now. Heartbeats, votes and replication go on; apply waits, and behind
    // it, by the core's limit on entries handed out and not applied, everything else.
    engine_refuses_ = true;
    if (!engine_refuses_since_) engine_refuses_since_ = loop_.Now();
    if (!stall_reported_ && loop_.Now() - *engine_refuses_since_ >= kStallReported) {
      stall_reported_ = true;
      observer_.OnApplyStalled(status);
    }
    engine_retry_timer_ = loop_.After(kEngineRetry, [this] {
      engine_refuses_ = false;
      if (!CommitStore()) return;
      ScheduleDrive();
      RunStoreBackground();
    });
    return false;
  }
  if (!status.ok()) {
    Fail(status);
    return false;
  }
  const std::optional<absl::Duration> refused_since = std::exchange(engine_refuses_since_, std::nullopt);
  if (std::exchange(stall_reported_, false)) observer_.OnApplyResumed(loop_.Now() - *refused_since);
  PublishOutcome();
  return !stopped_;
}

void Node::PublishOutcome() {
  storage::Outcome outcome = std::exchange(outcome_, storage::Outcome());
  const raft::LogIndex applied = store_.applied_index();
  raft_->Applied(applied);
  read_round_refused_ = false;

  watches_->OnApplied(std::move(outcome.events));
  if (outcome.compacted) watches_->OnCompacted(outcome.compacted);

  if (!outcome.leases.empty()) lessor_.OnLeaseChanges(outcome.leases);
  if (is_leader() && store_.applied_term() == raft_->term() && !lessor_.leading()) {
    lessor_.BecomeLeader(raft_->term(), store_.Leases());
  }

  for (storage::CommandResult& result : outcome.results) {
    if (result.wait_for_physical_compaction > store_.physically_compacted_revision()) {
      physical_compactions_.push_back(
          {result.wait_for_physical_compaction, result.request_id, std::move(result.result)});
    } else {
      proposals_.Complete(result.request_id, std::move(result.result));
    }
  }
  if (store_.applied_term() > newest_applied_term_) {
    newest_applied_term_ = store_.applied_term();
    proposals_.FailSentBefore(newest_applied_term_);
  }
  barriers_.Applied(applied);
  ScheduleDrive();
}

void Node::AnswerPhysicalCompactions() {
  std::vector<PhysicalCompaction> ready;
  std::erase_if(physical_compactions_, [&](PhysicalCompaction& compaction) {
    if (compaction.revision > store_.physically_compacted_revision()) return false;
    ready.push_back(std::move(compaction));
    return true;
  });
  for (PhysicalCompaction& compaction : ready) {
    proposals_.Complete(compaction.request_id, std::move(compaction.result));
  }
}

void Node::RunStoreBackground() {
  if (background_posted_) return;
  background_posted_ = true;
  loop_.Post([this, alive = alive_] {
    if (!*alive || stopped_) return;
    background_posted_ = false;
    // Never while a batch waits for the engine: what the store does now would go in front of it. Goes on when
    // the engine has taken the batch.
    if (engine_refuses_) return;
    switch (store_.DoBackgroundWork(kBackgroundSlice)) {
      case storage::BackgroundWork::kNone:
        return;
      case storage::BackgroundWork::kMore:
        return RunStoreBackground();
      case storage::BackgroundWork::kRefused:
        background_retry_timer_ = loop_.After(kEngineRetry, [this] { RunStoreBackground(); });
    }
  });
}

}  // namespace cairn::server
