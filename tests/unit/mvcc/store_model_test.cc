// Random commands against a naive model that keeps every version of every key, with crashes, compactions and
// checkpoints in between, reads held open across all of it, and a second member that takes the same log
// otherwise. A failure prints its seed.
#include "tests/unit/mvcc/store_model.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/mvcc/store_fixture.h"

namespace cairn::storage {
namespace {

using cairn::internal::Command;
using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using etcdserverpb::TxnRequest;

class ModelRun {
 public:
  ModelRun(uint64_t seed, Form form) : random_(seed), form_(form), h_(Options(), form) {}

  void Run(int steps, int crashes) {
    for (int step = 0; step < steps && !failed(); ++step) {
      Step();
      if (crashes > 0 && step % (steps / crashes) == steps / crashes - 1) Crash();
    }
    held_.clear();
    if (!failed()) CheckAllEvents();
    if (!failed()) CompareWithAnotherMember();
  }

 private:
  struct Held {
    RangeRequest range;
    TxnRequest txn;
    std::unique_ptr<ReadRun> run;
    StoreModel::Answer expected;
    int64_t revision;
    std::shared_ptr<bool> waits = std::make_shared<bool>(false);
  };

  static bool failed() { return testing::Test::HasFatalFailure(); }
  uint64_t Below(uint64_t n) { return random_() % n; }
  bool Chance(uint64_t percent) { return Below(100) < percent; }

  StoreOptions Options() {
    StoreOptions options;
    options.checkpoint_min_events = 50 + Below(300);
    options.flush_work = 20 + Below(400);
    options.hot_value_bytes = Chance(50) ? 4096 : 1 << 20;
    return options;
  }

  void Step() {
    h_.set_cold(Chance(30));
    const uint64_t dice = Below(100);
    if (dice < 60) {
      ProposeSome();
    } else if (dice < 72) {
      CheckRange(RandomRange());
    } else if (dice < 82) {
      if (held_.size() < 5) Hold();
    } else if (dice < 90) {
      h_.Background();
      if (held_.empty()) {
        ASSERT_EQ(h_.store().physically_compacted_revision().value(),
                  std::max<int64_t>(model_.compacted(), 0));
      }
    } else if (dice < 94) {
      h_.store().DoBackgroundWork(absl::Nanoseconds(500));  // a slice
    } else if (dice < 96) {
      CheckAllEvents();
    } else {
      h_.Flush();
    }
    if (failed()) return;
    ResumeSome();
    ASSERT_EQ(h_.store().revision().value(), model_.revision());
    ASSERT_EQ(h_.store().key_count(), static_cast<uint64_t>(model_.live_keys()));
  }

  void Crash() {
    held_.clear();
    const auto seed = random_();
    h_.CrashAndReplay(seed);
    if (failed()) return;
    ASSERT_EQ(h_.store().revision().value(), model_.revision());
    ASSERT_EQ(h_.store().compact_revision().value(), std::max<int64_t>(model_.compacted(), 0));
    RangeRequest everything;
    everything.set_key(std::string(1, '\0'));
    everything.set_range_end(std::string(1, '\0'));
    CheckRange(everything);
    CheckLeases();
    CheckAllEvents();
  }

  // --- Writing

  void ProposeSome() {
    std::vector<Command> commands;
    for (uint64_t i = 1 + Below(3); i > 0; --i) commands.push_back(RandomCommand());
    const int64_t before = model_.revision();
    std::vector<StoreModel::Answer> expected;
    const Outcome outcome = h_.Propose(commands, 1);
    ASSERT_EQ(outcome.results.size(), commands.size());
    for (size_t i = 0; i < commands.size(); ++i) {
      const Result& result = outcome.results[i].result;
      const ClientError refused = CheckOf(commands[i]);
      StoreModel::Answer answer{refused, {}};
      if (refused == ClientError::kOk) answer = model_.Apply(commands[i], 1);
      ASSERT_EQ(result.error, answer.error) << commands[i].ShortDebugString();
      ASSERT_EQ(result.body, answer.body) << commands[i].ShortDebugString();
      ASSERT_EQ(result.revision.value(), model_.revision());
    }
    CompareEvents(outcome.events, before + 1);
    CheckLeases();
  }

  ClientError CheckOf(const Command& command) {
    if (command.has_put()) return h_.store().Check(command.put());
    if (command.has_txn()) return h_.store().Check(command.txn());
    return ClientError::kOk;
  }

  std::string Key() { return "k" + std::to_string(Below(30)); }
  std::string RangeEnd(const std::string& key) {
    switch (Below(6)) {
      case 0:
        return "";
      case 1:
        return Chance(50) ? std::string(1, '\0') : key + "5";
      default:
        return Key();
    }
  }
  int64_t LeaseId() { return static_cast<int64_t>(Below(6)) - 2; }  // 0 = none; some negative
  // Readable, compacted or of the future.
  int64_t RandomRevision() {
    if (Chance(50)) return 0;
    return 1 + static_cast<int64_t>(Below(static_cast<uint64_t>(model_.revision()) + 2));
  }

  etcdserverpb::PutRequest RandomPut() {
    etcdserverpb::PutRequest put;
    put.set_key(Key());
    put.set_prev_kv(Chance(30));
    put.set_ignore_value(Chance(15));
    put.set_ignore_lease(Chance(15));
    if (!put.ignore_value() || Chance(5))
      put.set_value(std::string(Below(40), static_cast<char>('a' + Below(20))));
    if (Chance(40)) put.set_lease(LeaseId());
    return put;
  }
  etcdserverpb::DeleteRangeRequest RandomDelete() {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(Key());
    if (Chance(40)) request.set_range_end(Chance(90) ? request.key() + "5" : RangeEnd(request.key()));
    request.set_prev_kv(Chance(50));
    return request;
  }
  RangeRequest RandomRange() {
    RangeRequest request;
    request.set_key(Key());
    request.set_range_end(RangeEnd(request.key()));
    request.set_revision(RandomRevision());
    if (Chance(40)) request.set_limit(static_cast<int64_t>(Below(8)));
    if (Chance(40)) {
      request.set_sort_order(static_cast<RangeRequest::SortOrder>(Below(3)));
      request.set_sort_target(static_cast<RangeRequest::SortTarget>(Below(5)));
    }
    const auto some = [&] {
      return static_cast<int64_t>(Below(static_cast<uint64_t>(model_.revision()) + 2));
    };
    if (Chance(15)) request.set_min_mod_revision(some());
    if (Chance(15)) request.set_max_mod_revision(some());
    if (Chance(10)) request.set_min_create_revision(some());
    if (Chance(10)) request.set_max_create_revision(some());
    request.set_keys_only(Chance(15));
    request.set_count_only(Chance(15));
    return request;
  }
  Compare RandomCompare() {
    Compare compare;
    compare.set_key(Key());
    if (Chance(30)) compare.set_range_end(RangeEnd(compare.key()));
    compare.set_target(static_cast<Compare::CompareTarget>(Below(5)));
    compare.set_result(static_cast<Compare::CompareResult>(Below(4)));
    const auto revision = static_cast<int64_t>(Below(static_cast<uint64_t>(model_.revision()) + 2));
    switch (compare.target()) {
      case Compare::VERSION:
        compare.set_version(static_cast<int64_t>(Below(4)));
        break;
      case Compare::CREATE:
        compare.set_create_revision(Chance(30) ? 0 : revision);
        break;
      case Compare::MOD:
        compare.set_mod_revision(Chance(30) ? 0 : revision);
        break;
      case Compare::LEASE:
        compare.set_lease(LeaseId());
        break;
      default:
        compare.set_value(std::string(Below(20), static_cast<char>('a' + Below(20))));
    }
    return compare;
  }
  TxnRequest RandomTxn(bool read_only, int depth = 0) {
    TxnRequest txn;
    for (uint64_t i = Below(3); i > 0; --i) *txn.add_compare() = RandomCompare();
    for (auto* branch : {txn.mutable_success(), txn.mutable_failure()}) {
      for (uint64_t i = Below(4); i > 0; --i) {
        auto* op = branch->Add();
        const uint64_t dice = Below(10);
        if (dice < 3 || (read_only && dice < 8)) {
          *op->mutable_request_range() = RandomRange();
          if (Chance(80)) op->mutable_request_range()->clear_revision();  // else most fail as a whole
        } else if (dice < 8) {
          if (Chance(70)) {
            *op->mutable_request_put() = RandomPut();
          } else {
            *op->mutable_request_delete_range() = RandomDelete();
          }
        } else if (depth < 2) {
          *op->mutable_request_txn() = RandomTxn(read_only, depth + 1);
        } else {
          op->mutable_request_range()->set_key(Key());
        }
      }
    }
    return txn;
  }
  Command RandomCommand() {
    Command command;
    const uint64_t dice = Below(100);
    if (dice < 42) {
      *command.mutable_put() = RandomPut();
    } else if (dice < 52) {
      *command.mutable_delete_range() = RandomDelete();
    } else if (dice < 78) {
      *command.mutable_txn() = RandomTxn(false);
    } else if (dice < 84) {
      command.mutable_compact()->set_revision(std::max<int64_t>(model_.compacted(), 0) +
                                              static_cast<int64_t>(Below(60)));
    } else if (dice < 91) {
      const int64_t id = LeaseId();
      command.mutable_lease_grant()->set_id(id == 0 ? 4 : id);
      command.mutable_lease_grant()->set_ttl_s(static_cast<int64_t>(1 + Below(100)));
    } else if (dice < 93) {
      command.mutable_lease_revoke()->set_id(LeaseId());
    } else if (dice < 95) {
      command.mutable_lease_expire()->set_term(1 + Below(2));
      for (int i = 0; i < 2; ++i) command.mutable_lease_expire()->add_ids(LeaseId());
    } else {
      command.mutable_lease_checkpoint()->set_term(1 + Below(2));
      auto* lease = command.mutable_lease_checkpoint()->add_leases();
      lease->set_id(LeaseId());
      lease->set_remaining_ttl_s(static_cast<int64_t>(Below(50)));
    }
    return command;
  }

  // --- Reading

  void CheckRange(const RangeRequest& request) {
    const Result result = h_.Run(h_.store().StartRange(request), absl::Nanoseconds(500));
    const StoreModel::Answer expected = model_.Range(request);
    ASSERT_EQ(result.error, expected.error) << request.ShortDebugString();
    ASSERT_EQ(result.body, expected.body) << request.ShortDebugString();
    ASSERT_EQ(result.revision.value(), model_.revision());
  }

  void Hold() {
    auto held = std::make_unique<Held>();
    held->revision = model_.revision();
    if (Chance(50)) {
      held->range = RandomRange();
      held->run = h_.store().StartRange(held->range);
      held->expected = model_.Range(held->range);
    } else {
      held->txn = RandomTxn(true);
      held->run = h_.store().StartReadTxn(held->txn);
      held->expected = model_.ReadTxn(held->txn);
    }
    held_.push_back(std::move(held));
  }

  // Slices of the reads held open, however long after they began.
  void ResumeSome() {
    for (size_t i = 0; i < held_.size(); ++i) {
      Held& held = *held_[i];
      if (*held.waits || Chance(80)) continue;
      const auto step = held.run->Resume(absl::Nanoseconds(static_cast<int64_t>(Below(800))),
                                         [waits = held.waits] { *waits = false; });
      if (step == ReadRun::Step::kWait) *held.waits = true;
      if (step != ReadRun::Step::kDone) continue;
      const Result result = held.run->TakeResult();
      const std::string what = held.range.ShortDebugString() + held.txn.ShortDebugString();
      ASSERT_EQ(result.error, held.expected.error) << what;
      ASSERT_EQ(result.body, held.expected.body) << what;
      ASSERT_EQ(result.revision.value(), held.revision);
      held_.erase(held_.begin() + static_cast<int64_t>(i));
      --i;
    }
    if (Chance(50)) h_.Drain();
  }

  void CheckAllEvents() {
    const int64_t from = std::max<int64_t>(model_.compacted(), 1);
    CompareEvents(h_.Events(from, model_.revision()), from);
  }
  void CompareEvents(const std::vector<RevisionEvents>& found, int64_t from) {
    auto expected = model_.events().lower_bound(from);
    for (const RevisionEvents& revision : found) {
      ASSERT_NE(expected, model_.events().end());
      ASSERT_EQ(revision.revision.value(), expected->first);
      ASSERT_EQ(revision.events.size(), expected->second.size());
      for (size_t i = 0; i < revision.events.size(); ++i) {
        const Event& event = revision.events[i];
        const ModelEvent& model = expected->second[i];
        ASSERT_EQ(*event.wire, model.event.SerializeAsString());
        ASSERT_EQ(event.key, model.event.kv().key());
        ASSERT_EQ(event.is_delete, model.event.type() == mvccpb::Event::DELETE);
        ASSERT_EQ(event.previous.main.value(), model.before.mod_revision());
        if (model.before.version() == 0) continue;
        const auto before = h_.store().KeyValueAt(event.previous);
        // The value before can be seen as long as a reader just before this revision could read it.
        ASSERT_EQ(before != nullptr, expected->first > model_.compacted()) << model.event.ShortDebugString();
        if (before == nullptr) continue;
        ASSERT_EQ(*before, model.before.SerializeAsString());
      }
      ++expected;
    }
    ASSERT_EQ(expected, model_.events().end());
  }

  void CheckLeases() {
    const std::vector<LeaseInfo> leases = h_.store().Leases();
    ASSERT_EQ(leases.size(), model_.leases().size());
    size_t i = 0;
    for (const auto& [id, lease] : model_.leases()) {
      ASSERT_EQ(leases[i].id.value(), id);
      ASSERT_EQ(leases[i].granted_ttl_s, lease.granted_ttl_s);
      ASSERT_EQ(leases[i].remaining_ttl_s, lease.remaining_ttl_s);
      ASSERT_EQ(h_.store().KeysOfLease(leases[i].id), model_.KeysOf(id));
      ++i;
    }
  }

  // The same log in other batches, with other options, on the other form, with less or nothing removed.
  void CompareWithAnotherMember() {
    StoreOptions options = Options();
    options.self = kSelf + 1;
    const auto disk = MakeStoreDisk(form_ == Form::kMemory ? Form::kRocksDb : Form::kMemory);
    const auto engine = disk->OpenEngine();
    const auto blobs = disk->OpenBlobs();
    auto other = Store::Open(options, engine.get(), blobs.get(),
                             [&](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
                               work();
                               disk->post()(std::move(done));
                             });
    ASSERT_TRUE(other.ok());
    const bool removes = Chance(50);
    Outcome outcome;
    for (size_t at = 0; at < h_.log().size();) {
      const size_t n = std::min<size_t>(1 + Below(60), h_.log().size() - at);
      (*other)->Apply(std::span(h_.log()).subspan(at, n), &outcome);
      CommitAll(**other, *engine, *disk);
      at += n;
      if (removes && Chance(30)) {
        (*other)->DoBackgroundWork(absl::Microseconds(100));
        disk->Drain();
      }
    }
    EXPECT_TRUE(outcome.results.empty());  // nobody waits there
    EXPECT_EQ((*other)->state_hash(), h_.store().state_hash());
    const auto hash = [&](Store& store, int64_t at) {
      auto run = store.StartHashKv(Revision(at));
      while (run->Resume(absl::Milliseconds(1), [] {}) != ReadRun::Step::kDone) {
        disk->Drain();
        h_.Drain();
      }
      return run->TakeResult();
    };
    for (int64_t at : {int64_t{0}, model_.revision(), model_.revision() - 5}) {
      const Result mine = hash(h_.store(), at), theirs = hash(**other, at);
      EXPECT_EQ(mine.error, theirs.error);
      EXPECT_EQ(mine.body, theirs.body) << "at revision " << at;
    }
    disk->Drain();
  }

  std::mt19937_64 random_;
  const Form form_;
  StoreHarness h_;
  StoreModel model_;
  std::vector<std::unique_ptr<Held>> held_;
};

using SeedAndForm = std::tuple<uint64_t, Form>;
class StoreModelTest : public testing::TestWithParam<SeedAndForm> {};

TEST_P(StoreModelTest, AnswersAsTheModelThroughCrashesCompactionsAndCheckpoints) {
  const auto [seed, form] = GetParam();
  SCOPED_TRACE("seed " + std::to_string(seed));
  // A power cut under RocksDB costs a second of waiting, as it sleeps after an error in the background.
  ModelRun(seed, form).Run(2500, form == Form::kMemory ? 60 : 3);
}

const auto kModelName = [](const auto& info) {
  return NameOf(std::get<1>(info.param)) + std::to_string(std::get<0>(info.param));
};
INSTANTIATE_TEST_SUITE_P(Memory, StoreModelTest,
                         testing::Combine(testing::Range<uint64_t>(1, 41), testing::Values(Form::kMemory)),
                         kModelName);
INSTANTIATE_TEST_SUITE_P(RocksDb, StoreModelTest,
                         testing::Combine(testing::Range<uint64_t>(100, 103),
                                          testing::Values(Form::kRocksDb)),
                         kModelName);

}  // namespace
}  // namespace cairn::storage
