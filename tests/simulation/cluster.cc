#include "tests/simulation/cluster.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "raft/check.h"

namespace cairn::sim {
namespace {

constexpr size_t kKeptEvents = 40;
constexpr absl::Duration kWatcherCare = absl::Milliseconds(100);

}  // namespace

Cluster::Cluster(const RunOptions& options)
    : options_(options), dice_(options.seed * 0x9E3779B97F4A7C15ull + 1), network_(scheduler_, dice_) {
  server::NodeOptions node_options;
  node_options.cluster_id = 0xCA1;
  for (int i = 1; i <= options.members; ++i) {
    const raft::NodeId id(static_cast<uint64_t>(i));
    node_options.configuration.voters.push_back(id);
    node_options.members.push_back({id, absl::StrCat("m", i), {}, {}, false});
  }
  node_options.watch.ring_bytes = 4 << 10;  // small, so that watchers fall back to the store
  NetworkFaults network_faults;
  network_faults.loss = dice_.Chance(0.5) ? 0 : 0.02 * static_cast<double>(dice_.Below(6));
  network_.SetFaults(network_faults);
  DiskFaults disk_faults;
  disk_faults.refuse = dice_.Chance(0.3) ? 0.02 : 0;
  for (raft::NodeId id : node_options.configuration.voters) {
    node_options.self = id;
    members_.push_back(std::make_unique<Member>(scheduler_, network_, dice_, node_options, disk_faults));
    Member* member = members_.back().get();
    member->on_fatal = [this, member](const absl::Status& reason) {
      Violate(absl::StrCat("member ", member->id().value(), " gave up: ", reason.ToString()));
    };
    member->on_leader = [this, member](raft::NodeId leader, raft::Term term) {
      Note(absl::StrCat("member ", member->id().value(), " sees leader ", leader.value(), " in term ",
                        term.value()));
    };
    observers_.push_back(nullptr);
  }
  Client::Workload workload;
  workload.compact = dice_.Chance(0.7);
  for (int i = 1; i <= options.clients; ++i) {
    clients_.push_back(std::make_unique<Client>(
        i, scheduler_, dice_.Next(), history_, [this] { return PickRunning(); }, workload));
  }
  for (int i = 0; i < options.watchers; ++i) {
    const bool single = i % 2 == 0;
    Watcher::Wishes wishes{single ? absl::StrCat("k", i) : "k", single ? "" : "l"};
    wishes.prev_kv = dice_.Chance(0.5);
    wishes.no_put = dice_.Chance(0.15);
    wishes.no_delete = !wishes.no_put && dice_.Chance(0.2);
    watchers_.push_back(std::make_unique<Watcher>(std::move(wishes), scheduler_, dice_, nullptr));
  }
}

Cluster::~Cluster() {
  watchers_.clear();
  observers_.clear();
}

RunReport Cluster::Run() {
  for (auto& member : members_) StartMember(*member);
  for (auto& client : clients_) client->Start();
  TendWatchers();
  scheduler_.After(dice_.Between(absl::Seconds(1), absl::Seconds(2)), [this] { NextFault(); });
  if (RunUntil(options_.faulty_time)) {
    Heal();
    if (RunUntil(options_.faulty_time + options_.healing_time / 2)) CheckLiveness();
    for (auto& client : clients_) client->Finish();
    for (auto& watcher : watchers_) watcher->AskProgress();
    if (violation_.empty() && RunUntil(options_.faulty_time + options_.healing_time)) {
      CheckEqualState();
      CollectWatches();
      if (violation_.empty()) violation_ = history_.Check();
      if (violation_.empty()) violation_ = history_.CheckLeasesEnd(options_.faulty_time, scheduler_.now());
    }
  }
  report_.violation = violation_;
  report_.last_events.assign(last_events_.begin(), last_events_.end());
  report_.simulated = scheduler_.now();
  report_.steps = scheduler_.steps();
  report_.digest = scheduler_.digest();
  report_.revisions = history_.last_revision();
  for (auto& client : clients_) {
    report_.operations += client->operations();
    report_.acknowledged += client->acknowledged();
  }
  for (auto& member : members_) report_.elections += member->elections_won();
  return report_;
}

void Cluster::Note(std::string event) {
  for (char c : event) scheduler_.Fold(static_cast<unsigned char>(c));
  last_events_.push_back(
      absl::StrCat("step ", scheduler_.steps(), " at ", absl::FormatDuration(scheduler_.now()), ": ", event));
  if (last_events_.size() > kKeptEvents) last_events_.pop_front();
}

void Cluster::Violate(std::string what) {
  if (violation_.empty()) violation_ = std::move(what);
}

// --- Members and faults ---

void Cluster::StartMember(Member& member) {
  Note(absl::StrCat("member ", member.id().value(), " starts"));
  member.Start();
  checked_applied_[member.id()] = member.store().applied_index();
  auto& observer = observers_[member.id().value() - 1];
  observer = std::make_unique<Watcher>(Watcher::Wishes{std::string(1, '\0'), std::string(1, '\0')},
                                       scheduler_, dice_, [this](int64_t revision, const Changes& changes) {
                                         history_.OnEvents(revision, changes, scheduler_.now());
                                       });
  observer->Connect(member, member.store().revision().value() + 1);
}

void Cluster::CrashMember(Member& member, bool silent) {
  Note(absl::StrCat("member ", member.id().value(), silent ? " loses power" : " is killed"));
  ++report_.crashes;
  auto& observer = observers_[member.id().value() - 1];
  history_.Add(observer->TakeLog());
  observer.reset();
  for (auto& watcher : watchers_) {
    if (watcher->member() == &member) watcher->Disconnect();
  }
  member.Crash(silent);
}

void Cluster::NextFault() {
  if (scheduler_.now() >= options_.faulty_time) return;
  scheduler_.After(dice_.Between(absl::Milliseconds(200), absl::Seconds(4)), [this] { NextFault(); });
  Member& member = *members_[dice_.Below(members_.size())];
  const raft::NodeId other = members_[dice_.Below(members_.size())]->id();
  switch (dice_.Below(12)) {
    case 11:
      return LoseLeaderAndItsWitness();
    case 0:
    case 1:
    case 2:  // crash one; it comes back
      if (!member.running()) return;
      CrashMember(member, dice_.Chance(0.3));
      scheduler_.After(dice_.Between(absl::Milliseconds(10), absl::Seconds(5)), [this, &member] {
        if (!member.running()) StartMember(member);
      });
      return;
    case 3:  // all at once
      if (!dice_.Chance(0.3)) return;
      for (auto& each : members_) {
        if (each->running()) CrashMember(*each, true);
      }
      scheduler_.After(dice_.Between(absl::Milliseconds(10), absl::Seconds(2)), [this] {
        for (auto& each : members_) {
          if (!each->running()) StartMember(*each);
        }
      });
      return;
    case 4: {  // pause
      if (!member.running() || member.paused()) return;
      Note(absl::StrCat("member ", member.id().value(), " is paused"));
      ++report_.pauses;
      member.Pause();
      const uint64_t life = member.lives();
      scheduler_.After(dice_.Between(absl::Milliseconds(50), absl::Seconds(4)), [this, &member, life] {
        if (!member.running() || member.lives() != life) return;
        Note(absl::StrCat("member ", member.id().value(), " goes on"));
        member.Resume();
      });
      return;
    }
    case 5:  // cut off, in both directions or one
    case 6: {
      ++report_.cuts;
      const bool both = dice_.Chance(0.5);
      Note(absl::StrCat("member ", member.id().value(), " is cut off", both ? "" : " for what it sends"));
      for (auto& each : members_) {
        if (each->id() == member.id()) continue;
        network_.Cut(member.id(), each->id());
        if (both) network_.Cut(each->id(), member.id());
      }
      scheduler_.After(dice_.Between(absl::Milliseconds(100), absl::Seconds(5)), [this] {
        Note("the network is whole again");
        network_.HealAll();
      });
      return;
    }
    case 7: {  // the disk holds everything up
      const absl::Duration time = dice_.Between(absl::Milliseconds(100), absl::Seconds(3));
      Note(absl::StrCat("the disk of member ", member.id().value(), " stalls for ",
                        absl::FormatDuration(time)));
      member.StallDisk(scheduler_.now() + time);
      return;
    }
    case 8: {
      const absl::Duration time = dice_.Between(absl::Milliseconds(10), absl::Seconds(2));
      Note(absl::StrCat("the engine of member ", member.id().value(), " refuses writes for ",
                        absl::FormatDuration(time)));
      member.RefuseWrites(scheduler_.now() + time);
      return;
    }
    case 9:  // leadership is moved
      if (!member.running() || member.paused()) return;
      Note(absl::StrCat("member ", member.id().value(), " is asked to make ", other.value(), " the leader"));
      member.node().MoveLeader(other, [](ClientError) {});
      return;
    default:
      if (other == member.id()) return;
      Note(absl::StrCat("the connection ", member.id().value(), "-", other.value(), " breaks"));
      network_.Break(member.id(), other);
  }
}

// The schedule that tries commitment: entries of a leader whose disk stands still reach one other member
// only; then both are gone for a while, and the rest, with the leader as its disk has it, goes on without
// them.
void Cluster::LoseLeaderAndItsWitness() {
  Member* leader = nullptr;
  for (auto& member : members_) {
    if (member->running() && !member->paused() && member->node().raft().role() == raft::Role::kLeader) {
      leader = member.get();
    }
  }
  if (leader == nullptr) return;
  std::vector<raft::NodeId> others;
  for (auto& member : members_) {
    if (member.get() != leader) others.push_back(member->id());
  }
  if (others.empty()) return;
  std::rotate(others.begin(), others.begin() + static_cast<ptrdiff_t>(dice_.Below(others.size())),
              others.end());
  // In the minority of the leader's witnesses: one of three members, two of five.
  const std::vector<raft::NodeId> witnesses(others.begin(),
                                            others.begin() + static_cast<ptrdiff_t>(others.size() / 2));
  const std::vector<raft::NodeId> rest(others.begin() + static_cast<ptrdiff_t>(others.size() / 2),
                                       others.end());
  Note(absl::StrCat("the disk of leader ", leader->id().value(), " stalls, and some do not hear it"));
  ++report_.cuts;
  leader->StallDisk(scheduler_.now() + absl::Seconds(3));
  for (raft::NodeId id : rest) CutOff(id);
  scheduler_.After(dice_.Between(absl::Milliseconds(20), absl::Milliseconds(900)), [this, leader, witnesses] {
    if (scheduler_.now() >= options_.faulty_time) return;
    network_.HealAll();
    for (raft::NodeId id : witnesses) CutOff(id);
    if (leader->running()) CrashMember(*leader, /*silent=*/true);
    leader->StallDisk(scheduler_.now());
    scheduler_.After(dice_.Between(absl::Milliseconds(1), absl::Milliseconds(300)), [this, leader] {
      if (!leader->running()) StartMember(*leader);
    });
    scheduler_.After(dice_.Between(absl::Seconds(2), absl::Seconds(5)), [this] {
      Note("the network is whole again");
      network_.HealAll();
    });
  });
}

void Cluster::CutOff(raft::NodeId id) {
  for (auto& each : members_) {
    if (each->id() == id) continue;
    network_.Cut(id, each->id());
    network_.Cut(each->id(), id);
  }
}

void Cluster::Heal() {
  Note("faults stop");
  network_.HealAll();
  network_.BreakClogged();
  NetworkFaults gentle;
  gentle.slow = 0;
  gentle.clogged = 0;
  network_.SetFaults(gentle);
  DiskFaults quick;
  quick.slow_sync = 0;
  quick.cold = 0;
  for (auto& member : members_) {
    member->SetFaults(quick);
    member->StallDisk(scheduler_.now());
    member->RefuseWrites(scheduler_.now());
    if (!member->running()) StartMember(*member);
    if (member->paused()) member->Resume();
  }
}

Member* Cluster::PickRunning() {
  std::vector<Member*> running;
  for (auto& member : members_) {
    if (member->running()) running.push_back(member.get());
  }
  return running.empty() ? nullptr : running[dice_.Below(running.size())];
}

void Cluster::TendWatchers() {
  for (auto& watcher : watchers_) {
    if (watcher->cancelled()) history_.Add(watcher->TakeLog());
    if (!watcher->connected()) {
      Member* member = PickRunning();
      if (member != nullptr && !member->paused()) watcher->Connect(*member, StartOfWatch(*member));
    } else if (dice_.Chance(0.02)) {
      watcher->Disconnect();
    } else if (dice_.Chance(0.2)) {
      watcher->AskProgress();
    }
  }
  scheduler_.After(kWatcherCare, [this] { TendWatchers(); });
}

// From now on, from the past, or from a revision to come.
int64_t Cluster::StartOfWatch(Member& member) {
  const int64_t revision = member.store().revision().value();
  switch (dice_.Below(4)) {
    case 0:
      return std::max({int64_t{1}, member.store().compact_revision().value(),
                       revision - static_cast<int64_t>(dice_.Below(200))});
    case 1:
      return revision + 2 + static_cast<int64_t>(dice_.Below(20));
    default:
      return revision + 1;
  }
}

// --- Invariants ---

bool Cluster::RunUntil(absl::Duration time) {
  while (scheduler_.now() < time && violation_.empty()) {
    if (!scheduler_.RunNext()) {
      Violate("nothing is left to do");
      break;
    }
    CheckInvariants();
  }
  return violation_.empty();
}

void Cluster::CheckInvariants() {
  for (auto& member : members_) {
    if (!member->running()) continue;
    CheckLeaders(*member);
    CheckCommitted(*member);
  }
}

void Cluster::CheckLeaders(Member& member) {
  if (member.node().raft().role() != raft::Role::kLeader) return;
  // Most steps change nothing.
  const auto seen = std::pair(member.id(), member.node().raft().term());
  if (seen == last_leader_) return;
  last_leader_ = seen;
  auto [it, fresh] = leader_of_term_.try_emplace(member.node().raft().term(), member.id());
  if (!fresh && it->second != member.id()) {
    Violate(absl::StrCat("members ", it->second.value(), " and ", member.id().value(), " both lead in term ",
                         it->first.value()));
  }
}

void Cluster::CheckCommitted(Member& member) {
  raft::LogIndex& checked = checked_applied_[member.id()];
  const raft::LogIndex applied = member.store().applied_index();
  if (applied < checked)
    Violate(absl::StrCat("member ", member.id().value(), " went back in what it applied"));
  if (checked == applied) return;
  auto [hash, fresh] = state_hashes_.try_emplace(applied, member.store().state_hash());
  if (!fresh && hash->second != member.store().state_hash()) {
    Violate(absl::StrCat("member ", member.id().value(), " has another state after index ", applied.value()));
  }
  while (checked < applied) {
    ++checked;
    const size_t position = checked.value() - 1;
    const absl::StatusOr<raft::Term> term = member.log().TermAt(checked);
    if (!term.ok()) {
      Violate(absl::StrCat("member ", member.id().value(), " applied index ", checked.value(),
                           ", not in its log"));
      return;
    }
    if (position == committed_terms_.size()) committed_terms_.push_back(*term);
    if (position > committed_terms_.size() || committed_terms_[position] != *term) {
      Violate(
          absl::StrCat("member ", member.id().value(), " applied another entry at index ", checked.value()));
      return;
    }
  }
}

void Cluster::CheckLiveness() {
  int leaders = 0;
  for (auto& member : members_) {
    if (member->node().raft().role() == raft::Role::kLeader) ++leaders;
    if (member->node().leader() == raft::NodeId()) {
      Violate(
          absl::StrCat("member ", member->id().value(), " knows no leader though all faults have stopped"));
    }
  }
  if (leaders != 1) Violate(absl::StrCat(leaders, " leaders though all faults have stopped"));
}

void Cluster::CheckEqualState() {
  // A lease may run out at any moment: look when no entry is on its way.
  const auto level = [this] {
    return std::all_of(members_.begin(), members_.end(), [this](const auto& member) {
      return member->store().applied_index() == members_.front()->node().raft().last_index();
    });
  };
  while (!level() && RunUntil(scheduler_.now() + absl::Milliseconds(1))) {
    if (scheduler_.now() < options_.faulty_time + 2 * options_.healing_time) continue;
    Violate("the members do not come level though all faults have stopped");
    return;
  }
  std::string hash;
  for (auto& member : members_) {
    if (member->store().revision() != members_.front()->store().revision()) {
      Violate(absl::StrCat("member ", member->id().value(), " is at revision ",
                           member->store().revision().value(), ", member 1 at ",
                           members_.front()->store().revision().value()));
      return;
    }
    // Nothing is cold any more, so that all members are asked at one moment.
    std::unique_ptr<storage::ReadRun> run = member->store().StartHashKv(storage::Revision(0));
    while (run->Resume(absl::Seconds(10), [] {}) != storage::ReadRun::Step::kDone) {
    }
    storage::Result result = run->TakeResult();
    if (&member == &members_.front()) hash = result.body;
    if (result.error != ClientError::kOk || result.body != hash) {
      Violate(absl::StrCat("member ", member->id().value(), " holds another state than member 1 at revision ",
                           member->store().revision().value()));
    }
  }
  for (auto& client : clients_) {
    if (!client->idle()) Violate("an operation has no answer though all faults have stopped");
  }
}

void Cluster::CollectWatches() {
  const int64_t last = members_.front()->store().revision().value();
  for (auto& observer : observers_) {
    if (observer->connected() && observer->next_revision() <= last && history_.last_revision() < last) {
      Violate(absl::StrCat("a watch of everything stands at ", observer->next_revision() - 1, " of ", last));
    }
    history_.Add(observer->TakeLog());
  }
  for (auto& watcher : watchers_) {
    // One that begins in the future has its answer then.
    const bool begun = watcher->next_revision() <= last + 1;
    const auto asked = watcher->progress_asked_at();
    if (begun && asked.has_value() && scheduler_.now() - *asked > absl::Seconds(2)) {
      Violate(absl::StrCat("a watch at ", watcher->next_revision() - 1, " of ", last,
                           " has no progress mark since ", absl::FormatDuration(*asked)));
    }
    history_.Add(watcher->TakeLog());
  }
}

}  // namespace cairn::sim
