// Power cuts under the log store. Also built with the planted bug CAIRN_MUTATE_NO_SYNC, where it must fail.
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "storage/rocksdb_log_store.h"
#include "tests/unit/storage/fault_fs.h"
#include "tests/unit/storage/manual_loop.h"
#include "tests/unit/storage/storage_test_util.h"

namespace cairn::storage {
namespace {

using raft::Entry;
using raft::HardState;
using raft::LogIndex;
using raft::NodeId;
using raft::Term;

// The content of a log: what a sequence of writes must leave.
struct Model {
  HardState hard_state;
  std::vector<Entry> entries;

  void Apply(const LogWrite& write) {
    if (write.hard_state) hard_state = *write.hard_state;
    if (write.entries.empty()) return;
    entries.resize(write.entries.front().index.value() - 1);
    entries.insert(entries.end(), write.entries.begin(), write.entries.end());
  }

  bool operator==(const Model& other) const {
    return hard_state == other.hard_state &&
           std::equal(entries.begin(), entries.end(), other.entries.begin(), other.entries.end(),
                      [](const Entry& a, const Entry& b) {
                        return a.index == b.index && a.term == b.term && *a.data == *b.data;
                      });
  }
};

struct CrashOptions {
  bool torn_sectors = false;
  bool lying_disk = false;
  size_t max_payload_bytes = 2000;
};

class LogCrashRun {
 public:
  LogCrashRun(uint64_t seed, CrashOptions options) : random_(seed), options_(options) {
    fs_ = std::make_shared<FaultFs>();
    env_ = rocksdb::NewCompositeEnv(fs_);
  }

  // What was lost or damaged, or nothing.
  std::optional<std::string> Run(int crashes) {
    if (auto problem = Open(/*create=*/true)) return problem;
    fs_->LieAboutSyncs(options_.lying_disk);
    for (int i = 0; i < crashes; ++i) {
      Work();
      fs_->CutPower();
      store_.reset();
      while (loop_.waiting() > 0) loop_.RunOne();
      fs_->Crash(random_(), options_.torn_sectors);
      if (auto problem = Open(/*create=*/false)) return problem;
      if (refused_) return std::nullopt;
      if (auto problem = Check()) return problem;
    }
    return std::nullopt;
  }

  bool refused() const { return refused_; }

 private:
  std::optional<std::string> Open(bool create) {
    RocksDbLogStoreOptions options;
    options.path = directory_.path() + "/raft";
    options.create = create;
    options.env = env_.get();
    options.post = loop_.post();
    options.tail_bytes = 1 << 30;
    auto store = RocksDbLogStore::Open(std::move(options));
    if (store.ok()) {
      store_ = *std::move(store);
      return std::nullopt;
    }
    // A torn record in the middle of what is left cannot be told from a rotten one: to refuse is right, to
    // open without it is not.
    refused_ = options_.torn_sectors && absl::IsDataLoss(store.status());
    if (refused_) return std::nullopt;
    return absl::StrCat("does not open: ", store.status().ToString());
  }

  void Work() {
    base_ = newest_;
    submitted_.clear();
    acknowledged_ = 0;
    for (uint64_t i = 5 + random_() % 40; i > 0; --i) {
      LogWrite write = NextWrite();
      newest_.Apply(write);
      submitted_.push_back(write);
      store_->Append(std::move(write), [this](absl::Status status) {
        if (status.ok()) ++acknowledged_;
      });
      if (random_() % 4 == 0) loop_.RunOne();
      while (random_() % 2 == 0 && loop_.waiting() > 0) loop_.RunOne();
    }
    if (random_() % 4 == 0) loop_.RunUntil([this] { return acknowledged_ == submitted_.size(); });
  }

  // As Raft writes: terms grow, committed entries stay.
  LogWrite NextWrite() {
    LogWrite write;
    const uint64_t last = newest_.entries.size();
    uint64_t begin = last + 1;
    if (random_() % 5 == 0) {
      const uint64_t commit = newest_.hard_state.commit.value();
      ++term_;
      begin = commit + 1 + random_() % (last + 1 - commit);
    }
    for (uint64_t i = random_() % 6; i > 0; --i) {
      std::string payload(1 + random_() % options_.max_payload_bytes,
                          static_cast<char>('a' + random_() % 26));
      payload += absl::StrCat("#", ++serial_);
      write.entries.push_back(MakeEntry(begin++, term_, std::move(payload)));
    }
    if (random_() % 3 == 0 || write.entries.empty()) {
      const uint64_t end = write.entries.empty() ? last : begin - 1;
      const uint64_t commit = newest_.hard_state.commit.value();
      write.hard_state =
          HardState{Term(term_), NodeId(random_() % 3), LogIndex(commit + random_() % (end - commit + 1))};
    }
    return write;
  }

  // The log must be what the first k submitted writes leave, for some k that covers all acknowledged ones.
  std::optional<std::string> Check() {
    Model found;
    found.hard_state = store_->initial_hard_state();
    if (store_->LastIndex().value() > 0) {
      found.entries = store_->Entries(LogIndex(1), store_->LastIndex() + 1, size_t{1} << 40).value();
    }
    Model expected = base_;
    for (size_t k = 0; k <= submitted_.size(); ++k) {
      if (k > 0) expected.Apply(submitted_[k - 1]);
      if (k < acknowledged_ || !(expected == found)) continue;
      newest_ = found;
      return std::nullopt;
    }
    return absl::StrCat("of ", submitted_.size(), " writes ", acknowledged_,
                        " were acknowledged, but the log fits no state after them: it ends at ",
                        found.entries.size(), ", term ", found.hard_state.term.value(), ", expected ",
                        expected.entries.size());
  }

  std::mt19937_64 random_;
  const CrashOptions options_;
  TempDir directory_;
  ManualLoop loop_;
  std::shared_ptr<FaultFs> fs_;
  std::unique_ptr<rocksdb::Env> env_;
  std::unique_ptr<RocksDbLogStore> store_;
  bool refused_ = false;

  Model base_;    // at the last opening
  Model newest_;  // with all that was submitted
  std::vector<LogWrite> submitted_;
  size_t acknowledged_ = 0;
  uint64_t term_ = 1;
  uint64_t serial_ = 0;
};

TEST(LogStoreCrashTest, AcknowledgedWritesAndHardStateSurviveAPowerCut) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    auto problem = LogCrashRun(seed, {}).Run(3);
    ASSERT_FALSE(problem) << "seed " << seed << ": " << *problem;
  }
}

TEST(LogStoreCrashTest, AlsoWhileMemtablesAreFlushed) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    auto problem = LogCrashRun(seed, {.max_payload_bytes = 800'000}).Run(2);
    ASSERT_FALSE(problem) << "seed " << seed << ": " << *problem;
  }
}

TEST(LogStoreCrashTest, TornSectorsAreRefusedOrCutOffNeverReadAsData) {
  int refused = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    LogCrashRun run(seed, {.torn_sectors = true});
    auto problem = run.Run(2);
    ASSERT_FALSE(problem) << "seed " << seed << ": " << *problem;
    refused += run.refused();
  }
  EXPECT_LT(refused, 40) << "no run got through";
}

// The proof that the tests above can fail: a disk that answers a sync without doing it.
TEST(LogStoreCrashTest, CheckFindsTheLossOnADiskThatLiesAboutSyncs) {
  int found = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed)
    found += LogCrashRun(seed, {.lying_disk = true}).Run(3).has_value();
  EXPECT_GE(found, 5);
}

}  // namespace
}  // namespace cairn::storage
