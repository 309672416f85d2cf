#include "tests/simulation/member.h"

#include <algorithm>
#include <utility>

#include "raft/check.h"

namespace cairn::sim {

Member::Member(Scheduler& scheduler, Network& network, Dice& dice, server::NodeOptions options,
               const DiskFaults& faults)
    : scheduler_(scheduler), network_(network), dice_(dice), options_(std::move(options)), faults_(faults) {}

Member::~Member() {
  if (running()) Crash(/*silent=*/false);
}

storage::PostFn Member::DiskDelay() {
  return [this, loop = &life_->loop](absl::AnyInvocable<void()> fn) {
    absl::Duration delay = dice_.Between(faults_.sync / 4, faults_.sync);
    if (dice_.Chance(faults_.slow_sync)) delay = dice_.Between(faults_.sync, faults_.slow_sync_time);
    const absl::Duration stall = std::max(stalled_until_ - scheduler_.now(), absl::ZeroDuration());
    loop->Schedule(stall + delay, std::move(fn));
  };
}

void Member::Start() {
  CAIRN_CHECK(!running()) << "member " << id() << " runs already";
  ++lives_;
  life_ = std::make_unique<Life>(scheduler_, dice_, network_, id());
  storage::MemoryLogStoreOptions log_options;
  log_options.schedule = DiskDelay();
  life_->log = std::make_unique<storage::MemoryLogStore>(&log_disk_, std::move(log_options));
  storage::MemoryStateEngineOptions engine_options;
  engine_options.schedule = DiskDelay();
  engine_options.refuse = [this] { return scheduler_.now() < refuse_until_ || dice_.Chance(faults_.refuse); };
  engine_options.cold = [this] { return dice_.Chance(faults_.cold); };
  life_->engine = std::make_unique<storage::MemoryStateEngine>(&state_disk_, std::move(engine_options));
  life_->blobs = std::make_unique<storage::MemoryBlobStore>(&blob_disk_);

  storage::StoreOptions store_options;
  store_options.self = id().value();
  store_options.hot_value_bytes = 4 << 10;  // small, so that cold reads happen
  store_options.flush_work = 40;            // often, so that flushes meet crashes
  store_options.checkpoint_min_events = 120;
  SimLoop* loop = &life_->loop;
  absl::StatusOr<std::unique_ptr<storage::Store>> store =
      storage::Store::Open(store_options, life_->engine.get(), life_->blobs.get(),
                           [loop](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
                             loop->Offload(std::move(work), std::move(done));
                           });
  CAIRN_CHECK(store.ok()) << "member " << id() << " can't open its state: " << store.status().ToString();
  life_->store = *std::move(store);

  life_->node = std::make_unique<server::Node>(
      options_,
      server::Node::Dependencies{life_->loop, life_->net, life_->random, *life_->log, *life_->store, *this});
  network_.Attach(id(), life_->node.get(), &life_->loop);
  life_->node->Start();
}

void Member::Crash(bool silent) {
  CAIRN_CHECK(running()) << "member " << id() << " does not run";
  network_.Detach(id(), silent);
  life_->loop.Kill();
  life_.reset();
  log_disk_.Crash(dice_.Below(log_disk_.pending_writes() + 1));
  // The engine may have flushed by itself up to any write; but never one whose log entries are not durable:
  // the core hands out for applying only what is.
  state_disk_.Crash(dice_.Below(state_disk_.unflushed_writes() + 1));
}

void Member::OnLeader(raft::NodeId leader, raft::Term term) {
  if (leader == id()) ++elections_won_;
  if (on_leader) on_leader(leader, term);
}

void Member::OnFatal(const absl::Status& reason) {
  if (on_fatal) on_fatal(reason);
}

}  // namespace cairn::sim
