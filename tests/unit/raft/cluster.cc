#include "tests/unit/raft/cluster.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cairn::raft {
namespace {

bool Same(const Entry& a, const Entry& b) {
  if (a.term != b.term || a.index != b.index || (a.data == nullptr) != (b.data == nullptr)) return false;
  return a.data == b.data || *a.data == *b.data;
}

std::string Text(const std::vector<Entry>& entries, bool with_term) {
  std::string text;
  for (const Entry& entry : entries) {
    if (!with_term && entry.data == nullptr) continue;
    if (!text.empty()) text += ' ';
    if (with_term) text += std::to_string(entry.term.value()) + ":";
    text += entry.data == nullptr ? "-" : *entry.data;
  }
  return text;
}

}  // namespace

Entry MakeEntry(uint64_t term, uint64_t index, const std::string& data) {
  Payload payload = data == "-" ? nullptr : std::make_shared<const std::string>(data);
  return {Term(term), LogIndex(index), EntryType::kCommand, std::move(payload)};
}

absl::StatusOr<Term> TestLog::TermAt(LogIndex index) const {
  if (index == LogIndex(0)) return Term(0);
  if (index > LastIndex()) return absl::OutOfRangeError("not there yet");
  return visible[index.value() - 1].term;
}

absl::StatusOr<std::vector<Entry>> TestLog::Entries(LogIndex begin, LogIndex end, size_t max_bytes) {
  if (loading) return absl::UnavailableError("being loaded");
  if (begin == LogIndex(0) || end > LastIndex() + 1) return absl::OutOfRangeError("not there");
  std::vector<Entry> entries;
  size_t bytes = 0;
  for (; begin < end && (entries.empty() || bytes < max_bytes); ++begin) {
    entries.push_back(visible[begin.value() - 1]);
    bytes += entries.back().size_bytes();
  }
  return entries;
}

void TestLog::Write(std::vector<Entry>* log, const std::vector<Entry>& fresh) {
  if (fresh.empty()) return;
  ASSERT_LE(fresh.front().index.value(), log->size() + 1) << "a gap in the log";
  log->resize(fresh.front().index.value() - 1);
  log->insert(log->end(), fresh.begin(), fresh.end());
}

Cluster::Cluster(int voters, int learners, Options options) {
  for (int i = 1; i <= voters + learners; ++i) {
    const NodeId id(static_cast<uint64_t>(i));
    (i <= voters ? configuration_.voters : configuration_.learners).push_back(id);
  }
  for (int i = 1; i <= voters + learners; ++i) {
    const uint64_t id = static_cast<uint64_t>(i);
    nodes_[id].options = options;
    nodes_[id].options.self = NodeId(id);
    Start(id);
  }
}

void Cluster::Start(uint64_t id) {
  TestNode& node = nodes_.at(id);
  Options options = node.options;
  options.seed = node.options.seed * 1000 + id * 100 + ++node.lives;
  node.log.visible = node.log.durable;
  node.applied.clear();
  node.reads.clear();
  seen_commit_[id] = LogIndex(0);
  node.raft = std::make_unique<Raft>(options, node.log.hard_state, configuration_, LogIndex(0), &node.log);
}

void Cluster::Preset(uint64_t id, HardState hard_state, std::vector<Entry> log) {
  TestNode& node = nodes_.at(id);
  node.log.durable = std::move(log);
  node.log.hard_state = hard_state;
  Start(id);
  Pump(id);
}

void Cluster::Tick(uint64_t id, int count) {
  for (int i = 0; i < count && alive(id); ++i) {
    raft(id).Tick();
    Pump(id);
  }
}

void Cluster::Campaign(uint64_t id) {
  raft(id).Campaign();
  Pump(id);
}

ProposeResult Cluster::Propose(uint64_t id, const std::string& data) {
  const ProposeResult result = raft(id).Propose({std::make_shared<const std::string>(data)});
  Pump(id);
  return result;
}

void Cluster::Step(uint64_t id, Message message) {
  if (!alive(id)) return;
  raft(id).Step(std::move(message));
  Pump(id);
}

void Cluster::Emit(std::vector<Message>& messages) {
  for (Message& message : messages) {
    if (cut_.contains({message.from.value(), message.to.value()})) continue;
    network_.push_back(std::move(message));
  }
}

void Cluster::Pump(uint64_t id) {
  TestNode& node = nodes_.at(id);
  while (node.raft != nullptr && node.raft->HasReady()) {
    Ready ready = node.raft->TakeReady();
    EXPECT_TRUE(ready.must_persist || ready.entries.empty()) << "entries that need no disk";
    TestLog::Write(&node.log.visible, ready.entries);
    Emit(ready.messages);
    for (const ReadState& read : ready.reads) node.reads[read.context] = read;
    for (Entry& entry : ready.committed) {
      const bool next = entry.index == LogIndex(node.applied.size() + 1);
      EXPECT_TRUE(next) << "member " << id << " applies " << entry.index << " after " << node.applied.size();
      node.applied.push_back(std::move(entry));
    }
    if (!ready.committed.empty() && !node.manual_apply) {
      node.raft->Applied(LogIndex(node.applied.size()));
    }
    PendingWrite write = {std::move(ready.hard_state), std::move(ready.entries),
                          std::move(ready.messages_after_persist)};
    // Without must_persist there is nothing to wait for, whatever else is under way.
    if (ready.must_persist) {
      node.writes.push_back(std::move(write));
      ++node.syncs;
      if (!node.manual_disk) Persist(id);
    } else {
      Finish(id, std::move(write));
    }
  }
  CheckAfterStep(id);
}

void Cluster::Finish(uint64_t id, PendingWrite write) {
  TestNode& node = nodes_.at(id);
  // A commit index alone is dropped when a write is still under way before it: it need not survive.
  if (write.hard_state.has_value() && node.writes.empty()) node.log.hard_state = *write.hard_state;
  TestLog::Write(&node.log.durable, write.entries);
  if (!write.entries.empty()) node.raft->Persisted(write.entries.back().term, write.entries.back().index);
  std::vector<Message> outside;
  for (Message& message : write.then_send) {
    if (message.to == NodeId(id)) {
      node.raft->Step(std::move(message));
    } else {
      outside.push_back(std::move(message));
    }
  }
  Emit(outside);
}

void Cluster::Persist(uint64_t id, size_t count) {
  TestNode& node = nodes_.at(id);
  for (; count > 0 && !node.writes.empty(); --count) {
    PendingWrite write = std::move(node.writes.front());
    node.writes.pop_front();
    if (write.hard_state.has_value()) node.log.hard_state = *write.hard_state;
    Finish(id, std::move(write));
  }
  if (node.manual_disk) Pump(id);
}

void Cluster::Crash(uint64_t id) {
  TestNode& node = nodes_.at(id);
  node.raft.reset();
  node.writes.clear();
}

void Cluster::Restart(uint64_t id) {
  Start(id);
  Pump(id);
}

void Cluster::DeliverAt(size_t position) {
  Message message = std::move(network_[position]);
  network_.erase(network_.begin() + static_cast<ptrdiff_t>(position));
  const uint64_t to = message.to.value();
  Step(to, std::move(message));
}

void Cluster::Deliver() {
  for (int i = 0; !network_.empty(); ++i) {
    ASSERT_LT(i, 100000) << "the members never stop talking";
    DeliverAt(0);
  }
}

void Cluster::DeliverLink(uint64_t from, uint64_t to) {
  std::vector<Message> due;
  for (const Message& message : network_) {
    if (message.from == NodeId(from) && message.to == NodeId(to)) due.push_back(message);
  }
  Lose(from, to);
  for (Message& message : due) Step(to, std::move(message));
}

void Cluster::Lose(uint64_t from, uint64_t to) {
  std::erase_if(network_, [&](const Message& message) {
    return message.from == NodeId(from) && message.to == NodeId(to);
  });
}

void Cluster::Isolate(uint64_t id) {
  for (const auto& [other, node] : nodes_) {
    if (other == id) continue;
    Cut(id, other);
    Cut(other, id);
  }
}

std::string Cluster::LogText(uint64_t id) { return Text(nodes_.at(id).log.visible, true); }

std::string Cluster::AppliedText(uint64_t id) { return Text(nodes_.at(id).applied, false); }

uint64_t Cluster::Leader() {
  uint64_t leader = 0;
  for (auto& [id, node] : nodes_) {
    if (node.raft == nullptr || node.raft->role() != Role::kLeader) continue;
    if (leader == 0 || raft(leader).term() < node.raft->term()) leader = id;
  }
  return leader;
}

// Raft paper, figure 3: Election Safety, Leader Completeness, State Machine Safety.
void Cluster::CheckAfterStep(uint64_t id) {
  TestNode& node = nodes_.at(id);
  if (node.raft == nullptr) return;
  const std::vector<Entry>& log = node.log.visible;
  if (node.raft->role() == Role::kLeader) {
    const auto [known, fresh] = leaders_.emplace(node.raft->term(), id);
    ASSERT_EQ(known->second, id) << "two leaders in term " << node.raft->term();
    if (fresh) {
      for (const Entry& entry : committed_) {
        if (entry.term >= node.raft->term()) break;
        ASSERT_TRUE(log.size() >= entry.index.value() && Same(log[entry.index.value() - 1], entry))
            << "leader " << id << " of term " << node.raft->term() << " lacks committed entry "
            << entry.index;
      }
    }
  }
  const LogIndex commit = node.raft->commit();
  ASSERT_GE(commit, seen_commit_[id]) << "the commit index of " << id << " went back";
  for (uint64_t i = seen_commit_[id].value(); i < commit.value(); ++i) {
    ASSERT_LT(i, log.size());
    if (i < committed_.size()) {
      ASSERT_TRUE(Same(log[i], committed_[i])) << "committed entry " << i + 1 << " differs on " << id;
    } else {
      committed_.push_back(log[i]);
    }
  }
  seen_commit_[id] = commit;
  for (const Entry& entry : node.applied) {
    if (entry.index.value() + 8 < node.applied.size()) continue;  // the older ones were compared before
    ASSERT_LE(entry.index.value(), committed_.size()) << id << " applied what is not committed";
    ASSERT_TRUE(Same(entry, committed_[entry.index.value() - 1])) << id << " applied another " << entry.index;
  }
}

void Cluster::CheckLogMatching() {
  for (auto& [a, node_a] : nodes_) {
    for (auto& [b, node_b] : nodes_) {
      if (a >= b) continue;
      const std::vector<Entry>& x = node_a.log.visible;
      const std::vector<Entry>& y = node_b.log.visible;
      bool equal_from_here = false;
      for (size_t i = std::min(x.size(), y.size()); i-- > 0;) {
        equal_from_here = equal_from_here || x[i].term == y[i].term;
        if (equal_from_here) {
          ASSERT_TRUE(Same(x[i], y[i]))
              << "logs of " << a << " and " << b << " differ at " << i + 1 << " below a position they share";
        }
      }
    }
  }
}

}  // namespace cairn::raft
