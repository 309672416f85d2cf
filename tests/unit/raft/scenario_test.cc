// Runs the text files of tests/scenario/: each is a story of a small cluster, one command a line.
// The commands are described in tests/scenario/README.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/unit/raft/cluster.h"

namespace cairn::raft {
namespace {

using Words = std::vector<std::string>;

std::string Join(const Words& words, size_t from) {
  std::string text;
  for (size_t i = from; i < words.size(); ++i) text += (i > from ? " " : "") + words[i];
  return text;
}

std::string RoleName(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  return "?";
}

std::string ResultName(ProposeResult result) {
  switch (result) {
    case ProposeResult::kAccepted:
      return "accepted";
    case ProposeResult::kNotLeader:
      return "not-leader";
    case ProposeResult::kTransferring:
      return "transferring";
    case ProposeResult::kTooMuchUncommitted:
      return "too-much";
  }
  return "?";
}

class Scenario {
 public:
  void Run(const std::string& line) {
    std::istringstream in(line.substr(0, line.find('#')));
    Words words;
    for (std::string word; in >> word;) words.push_back(word);
    if (words.empty()) return;
    if (words[0] == "cluster") {
      cluster_ =
          std::make_unique<Cluster>(std::stoi(words.at(1)), words.size() > 3 ? std::stoi(words[3]) : 0);
      return;
    }
    ASSERT_NE(cluster_, nullptr) << "the first command is 'cluster N'";
    if (words[0] == "expect") {
      words.erase(words.begin());
      Expect(words);
    } else if (!Network(words) && !Member(words)) {
      FAIL() << "unknown command";
    }
  }

  void End() {
    ASSERT_NE(cluster_, nullptr);
    EXPECT_GT(expectations_, 0) << "a scenario that expects nothing";
    cluster_->CheckLogMatching();
  }

 private:
  static uint64_t Id(const std::string& word) { return std::stoull(word); }

  // "1->2"
  static std::pair<uint64_t, uint64_t> Link(const std::string& word) {
    return {Id(word), Id(word.substr(word.find("->") + 2))};
  }

  std::vector<size_t> On(const std::string& link) {
    const auto [from, to] = Link(link);
    std::vector<size_t> positions;
    for (size_t i = 0; i < cluster_->network().size(); ++i) {
      const Message& message = cluster_->network()[i];
      if (message.from == NodeId(from) && message.to == NodeId(to)) positions.push_back(i);
    }
    return positions;
  }

  bool Network(const Words& words) {
    std::deque<Message>& network = cluster_->network();
    if (words[0] == "deliver" && words.size() == 1) {
      cluster_->Deliver();
    } else if (words[0] == "deliver") {
      for (size_t i = 1; i < words.size(); ++i) {
        cluster_->DeliverLink(Link(words[i]).first, Link(words[i]).second);
      }
    } else if (words[0] == "drop") {  // what is under way; all of it without a link
      if (words.size() == 1) network.clear();
      for (size_t i = 1; i < words.size(); ++i) cluster_->Lose(Link(words[i]).first, Link(words[i]).second);
    } else if (words[0] == "duplicate") {
      for (size_t i : On(words.at(1))) network.push_back(Message(network[i]));
    } else if (words[0] == "reverse") {
      const std::vector<size_t> on = On(words.at(1));
      for (size_t i = 0; i < on.size() / 2; ++i) std::swap(network[on[i]], network[on[on.size() - 1 - i]]);
    } else if (words[0] == "hold") {  // takes messages out of the network, until "release"
      for (size_t i : On(words.at(1))) held_.push_back(network[i]);
      cluster_->Lose(Link(words.at(1)).first, Link(words.at(1)).second);
    } else if (words[0] == "release") {
      network.insert(network.end(), held_.begin(), held_.end());
      held_.clear();
    } else if (words[0] == "cut") {
      cluster_->Cut(Link(words.at(1)).first, Link(words.at(1)).second);
    } else if (words[0] == "isolate") {
      for (size_t i = 1; i < words.size(); ++i) cluster_->Isolate(Id(words[i]));
    } else if (words[0] == "heal") {
      cluster_->Heal();
    } else {
      return false;
    }
    return true;
  }

  bool Member(const Words& words) {
    const uint64_t id = Id(words.at(1));
    const std::string& verb = words[0];
    if (verb == "tick") {
      cluster_->Tick(id, words.size() > 2 ? std::stoi(words[2]) : 1);
    } else if (verb == "campaign") {
      cluster_->Campaign(id);
    } else if (verb == "propose") {
      const ProposeResult result = cluster_->Propose(id, words.at(2));
      EXPECT_EQ(ResultName(result), words.size() > 3 ? words[3] : "accepted");
    } else if (verb == "read") {
      cluster_->node(id).reads.erase(Id(words.at(2)));
      EXPECT_EQ(cluster_->raft(id).ReadIndex(Id(words.at(2))), words.size() < 4 || words[3] != "no-leader");
      cluster_->Pump(id);
    } else if (verb == "transfer") {
      cluster_->raft(id).TransferLeadership(NodeId(Id(words.at(2))));
      cluster_->Pump(id);
    } else if (verb == "stepdown") {
      cluster_->raft(id).StepDown();
      cluster_->Pump(id);
    } else if (verb == "leader-unreachable") {
      cluster_->raft(id).LeaderUnreachable();
      cluster_->Pump(id);
    } else if (verb == "peer-unreachable") {
      cluster_->raft(id).PeerUnreachable(NodeId(Id(words.at(2))));
      cluster_->Pump(id);
    } else if (verb == "disk") {
      cluster_->node(id).manual_disk = words.at(2) == "manual";
      if (!cluster_->node(id).manual_disk) {
        cluster_->Persist(id);
        cluster_->Pump(id);
      }
    } else if (verb == "persist") {
      cluster_->Persist(id, words.size() > 2 ? std::stoul(words[2]) : SIZE_MAX);
    } else if (verb == "crash") {
      cluster_->Crash(id);
    } else if (verb == "restart") {
      cluster_->Restart(id);
    } else if (verb == "preset") {  // preset ID TERM term:data …
      std::vector<Entry> log;
      for (size_t i = 3; i < words.size(); ++i) {
        log.push_back(MakeEntry(Id(words[i]), i - 2, words[i].substr(words[i].find(':') + 1)));
      }
      cluster_->Preset(id, {Term(Id(words.at(2))), NodeId(0), LogIndex(0)}, log);
    } else {
      return false;
    }
    return true;
  }

  void Expect(const Words& words) {
    ++expectations_;
    const std::string& what = words.at(0);
    if (what == "quiet") {
      EXPECT_EQ(cluster_->network().size(), 0u);
      return;
    }
    if (what == "messages") {  // messages 1->2 N
      EXPECT_EQ(On(words.at(1)).size(), std::stoul(words.at(2)));
      return;
    }
    const uint64_t id = Id(words.at(1));
    if (what == "log") {
      EXPECT_EQ(cluster_->LogText(id), Join(words, 2));
    } else if (what == "applied") {
      EXPECT_EQ(cluster_->AppliedText(id), Join(words, 2));
    } else if (what == "leader") {
      EXPECT_EQ(cluster_->raft(id).leader().value(), words.at(2) == "none" ? 0 : Id(words[2]));
    } else if (what == "role") {
      EXPECT_EQ(RoleName(cluster_->raft(id).role()), words.at(2));
    } else if (what == "term") {
      EXPECT_EQ(cluster_->raft(id).term().value(), Id(words.at(2)));
    } else if (what == "commit") {
      EXPECT_EQ(cluster_->raft(id).commit().value(), Id(words.at(2)));
    } else if (what == "refused") {
      EXPECT_EQ(cluster_->raft(id).refused_count(), Id(words.at(2)));
    } else if (what == "syncs") {
      EXPECT_EQ(cluster_->node(id).syncs, std::stoi(words.at(2)));
    } else if (what == "read") {
      ExpectRead(id, words);
    } else {
      FAIL() << "unknown expectation";
    }
  }

  // read ID CONTEXT waiting | failed | INDEX
  void ExpectRead(uint64_t id, const Words& words) {
    const auto& reads = cluster_->node(id).reads;
    const auto read = reads.find(Id(words.at(2)));
    if (words.at(3) == "waiting") {
      EXPECT_TRUE(read == reads.end());
      return;
    }
    ASSERT_TRUE(read != reads.end()) << "no answer";
    if (words[3] == "failed") {
      EXPECT_FALSE(read->second.ok);
      return;
    }
    EXPECT_TRUE(read->second.ok);
    EXPECT_EQ(read->second.index.value(), Id(words[3]));
  }

  std::unique_ptr<Cluster> cluster_;
  std::vector<Message> held_;
  int expectations_ = 0;
};

std::vector<std::string> Files() {
  std::vector<std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(CAIRN_SCENARIO_DIR)) {
    if (file.path().extension() == ".txt") files.push_back(file.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class ScenarioTest : public testing::TestWithParam<std::string> {};

TEST_P(ScenarioTest, GoesAsWritten) {
  std::ifstream file(GetParam());
  Scenario scenario;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    SCOPED_TRACE(GetParam() + ":" + std::to_string(++number) + ": " + line);
    scenario.Run(line);
    if (HasFatalFailure()) return;
  }
  scenario.End();
}

INSTANTIATE_TEST_SUITE_P(Files, ScenarioTest, testing::ValuesIn(Files()), [](const auto& info) {
  std::string name = std::filesystem::path(info.param).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
  return name;
});

}  // namespace
}  // namespace cairn::raft
