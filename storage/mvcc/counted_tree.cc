#include "storage/mvcc/counted_tree.h"

#include <algorithm>

#include "raft/check.h"

namespace cairn::storage {

namespace {
constexpr int kLeafMax = 64;
constexpr int kInnerMax = 32;
// A bulk build leaves room, so that the first insertions do not split every leaf.
constexpr int kLeafFill = 56;
constexpr int kInnerFill = 28;
}  // namespace

struct CountedTree::Node {
  bool is_leaf;
  uint16_t size = 0;
};

struct CountedTree::Leaf : Node {
  Leaf() { is_leaf = true; }
  Leaf* next = nullptr;
  KeyRecord* records[kLeafMax];

  int LowerBound(std::string_view key) const {
    return static_cast<int>(
        std::lower_bound(records, records + size, key,
                         [](const KeyRecord* r, std::string_view k) { return r->key() < k; }) -
        records);
  }
};

struct CountedTree::Entry {
  Node* child;
  KeyRecord* first;
  uint64_t live;
};

struct CountedTree::Inner : Node {
  Inner() { is_leaf = false; }
  Entry entries[kInnerMax];

  // The child in whose part of the key space `key` lies.
  int ChildOf(std::string_view key) const {
    const Entry* after =
        std::upper_bound(entries + 1, entries + size, key,
                         [](std::string_view k, const Entry& e) { return k < e.first->key(); });
    return static_cast<int>(after - entries) - 1;
  }
  void InsertAt(int at, const Entry& entry) {
    std::copy_backward(entries + at, entries + size, entries + size + 1);
    entries[at] = entry;
    ++size;
  }
  void RemoveAt(int at) {
    std::copy(entries + at + 1, entries + size, entries + at);
    --size;
  }
  void Refresh(int at) { entries[at] = Summary(entries[at].child); }

  // Kept out of line on purpose: inlined behind Rebalance's moves of entries, GCC 12 at -O2 reads counts from
  // before the move (-O1, -fno-strict-aliasing and clang do not). KeyIndexTest's random changes show it.
  [[gnu::noinline]] static Entry Summary(Node* node) {
    Entry entry{node, nullptr, 0};
    if (node->is_leaf) {
      auto* leaf = static_cast<Leaf*>(node);
      if (leaf->size > 0) entry.first = leaf->records[0];
      for (int i = 0; i < leaf->size; ++i) entry.live += leaf->records[i]->newest.live() ? 1 : 0;
    } else {
      auto* inner = static_cast<Inner*>(node);
      entry.first = inner->entries[0].first;
      for (int i = 0; i < inner->size; ++i) entry.live += inner->entries[i].live;
    }
    return entry;
  }
};

CountedTree::CountedTree() : root_(new Leaf()) {}
CountedTree::~CountedTree() { DeleteNode(root_, true); }

void CountedTree::DeleteNode(Node* node, bool with_records) {
  if (node->is_leaf) {
    auto* leaf = static_cast<Leaf*>(node);
    if (with_records) {
      for (int i = 0; i < leaf->size; ++i) KeyRecord::Delete(leaf->records[i]);
    }
    delete leaf;
    return;
  }
  auto* inner = static_cast<Inner*>(node);
  for (int i = 0; i < inner->size; ++i) DeleteNode(inner->entries[i].child, with_records);
  delete inner;
}

KeyRecord* CountedTree::Find(std::string_view key) const {
  const Node* node = root_;
  while (!node->is_leaf) {
    const auto* inner = static_cast<const Inner*>(node);
    node = inner->entries[inner->ChildOf(key)].child;
  }
  const auto* leaf = static_cast<const Leaf*>(node);
  const int at = leaf->LowerBound(key);
  return at < leaf->size && leaf->records[at]->key() == key ? leaf->records[at] : nullptr;
}

// Returns the new right sibling when the node was split, and whether the subtree's first record changed.
std::pair<CountedTree::Node*, bool> CountedTree::InsertInto(Node* node, std::string_view key,
                                                            KeyRecord** record) {
  if (node->is_leaf) {
    auto* leaf = static_cast<Leaf*>(node);
    int at = leaf->LowerBound(key);
    *record = KeyRecord::New(key);
    Leaf* right = nullptr;
    Leaf* target = leaf;
    if (leaf->size == kLeafMax) {
      right = new Leaf();
      // Keys that come in ascending order fill their leaves: an insertion at the very end splits off nothing.
      const int keep = at == kLeafMax ? kLeafMax : kLeafMax / 2;
      std::copy(leaf->records + keep, leaf->records + kLeafMax, right->records);
      right->size = static_cast<uint16_t>(kLeafMax - keep);
      leaf->size = static_cast<uint16_t>(keep);
      right->next = leaf->next;
      leaf->next = right;
      if (at >= keep) {
        target = right;
        at -= keep;
      }
    }
    std::copy_backward(target->records + at, target->records + target->size,
                       target->records + target->size + 1);
    target->records[at] = *record;
    ++target->size;
    return {right, target == leaf && at == 0};
  }
  auto* inner = static_cast<Inner*>(node);
  const int at = inner->ChildOf(key);
  auto [split, first_changed] = InsertInto(inner->entries[at].child, key, record);
  if (split == nullptr) {
    if (first_changed) inner->entries[at].first = *record;  // the new record is dead: counts stay
    return {nullptr, first_changed && at == 0};
  }
  inner->Refresh(at);
  const Entry fresh = Inner::Summary(split);
  if (inner->size < kInnerMax) {
    inner->InsertAt(at + 1, fresh);
    return {nullptr, first_changed && at == 0};
  }
  auto* right = new Inner();
  const int keep = at + 1 == kInnerMax ? kInnerMax - 1 : kInnerMax / 2;
  std::copy(inner->entries + keep, inner->entries + kInnerMax, right->entries);
  right->size = static_cast<uint16_t>(kInnerMax - keep);
  inner->size = static_cast<uint16_t>(keep);
  if (at + 1 <= keep) {
    inner->InsertAt(at + 1, fresh);
  } else {
    right->InsertAt(at + 1 - keep, fresh);
  }
  return {right, first_changed && at == 0};
}

KeyRecord* CountedTree::FindOrInsert(std::string_view key, bool* inserted) {
  KeyRecord* record = Find(key);
  *inserted = record == nullptr;
  if (record != nullptr) return record;
  auto [split, first_changed] = InsertInto(root_, key, &record);
  ++size_;
  if (split != nullptr) {
    auto* root = new Inner();
    root->InsertAt(0, Inner::Summary(root_));
    root->InsertAt(1, Inner::Summary(split));
    root_ = root;
  }
  return record;
}

void CountedTree::AddLive(std::string_view key, int delta) {
  live_ += static_cast<uint64_t>(static_cast<int64_t>(delta));
  Node* node = root_;
  while (!node->is_leaf) {
    auto* inner = static_cast<Inner*>(node);
    Entry& entry = inner->entries[inner->ChildOf(key)];
    entry.live += static_cast<uint64_t>(static_cast<int64_t>(delta));
    node = entry.child;
  }
}

void CountedTree::Rebalance(Inner* parent, int child) {
  if (parent->size < 2) return;
  const int left_at = child == 0 ? 0 : child - 1;
  Node* left_node = parent->entries[left_at].child;
  Node* right_node = parent->entries[left_at + 1].child;
  const int together = left_node->size + right_node->size;
  const auto even_out = [&] [[gnu::noinline]] (auto* left, auto* right, auto* left_items, auto* right_items,
                                               int max) {
    if (together <= max * 3 / 4) {
      std::copy(right_items, right_items + right->size, left_items + left->size);
      left->size = static_cast<uint16_t>(together);
      right->size = 0;
      return;
    }
    const int want = together / 2;
    if (left->size < want) {
      const int move = want - left->size;
      std::copy(right_items, right_items + move, left_items + left->size);
      std::copy(right_items + move, right_items + right->size, right_items);
    } else {
      const int move = left->size - want;
      std::copy_backward(right_items, right_items + right->size, right_items + right->size + move);
      std::copy(left_items + want, left_items + left->size, right_items);
    }
    left->size = static_cast<uint16_t>(want);
    right->size = static_cast<uint16_t>(together - want);
  };
  if (left_node->is_leaf) {
    auto* left = static_cast<Leaf*>(left_node);
    auto* right = static_cast<Leaf*>(right_node);
    even_out(left, right, left->records, right->records, kLeafMax);
    if (right->size == 0) left->next = right->next;
  } else {
    auto* left = static_cast<Inner*>(left_node);
    auto* right = static_cast<Inner*>(right_node);
    even_out(left, right, left->entries, right->entries, kInnerMax);
  }
  parent->Refresh(left_at);
  if (right_node->size == 0) {
    DeleteNode(right_node, false);
    parent->RemoveAt(left_at + 1);
  } else {
    parent->Refresh(left_at + 1);
  }
}

void CountedTree::EraseFrom(Node* node, std::string_view key) {
  if (node->is_leaf) {
    auto* leaf = static_cast<Leaf*>(node);
    const int at = leaf->LowerBound(key);
    CAIRN_CHECK(at < leaf->size && leaf->records[at]->key() == key) << "erased key is not in the index";
    CAIRN_CHECK(!leaf->records[at]->newest.live()) << "erased key is live";
    std::copy(leaf->records + at + 1, leaf->records + leaf->size, leaf->records + at);
    --leaf->size;
    return;
  }
  auto* inner = static_cast<Inner*>(node);
  const int at = inner->ChildOf(key);
  Node* child = inner->entries[at].child;
  EraseFrom(child, key);
  const int min = child->is_leaf ? kLeafMax / 4 : kInnerMax / 4;
  if (child->size < min) {
    // Its neighbours' summaries are right; its own is made anew by Rebalance.
    Rebalance(inner, at);
  } else {
    inner->entries[at].first =
        child->is_leaf ? static_cast<Leaf*>(child)->records[0] : static_cast<Inner*>(child)->entries[0].first;
  }
}

void CountedTree::Erase(std::string_view key) {
  KeyRecord* record = Find(key);
  EraseFrom(root_, key);
  KeyRecord::Delete(record);
  --size_;
  while (!root_->is_leaf && root_->size == 1) {
    auto* old = static_cast<Inner*>(root_);
    root_ = old->entries[0].child;
    delete old;
  }
}

void CountedTree::BulkLoad(std::vector<KeyRecord*> sorted) {
  DeleteNode(root_, true);
  size_ = sorted.size();
  std::vector<Entry> level;
  Leaf* previous = nullptr;
  // Evenly over the nodes, so that none is left with a single child.
  size_t nodes = (sorted.size() + kLeafFill - 1) / kLeafFill;
  for (size_t i = 0; i < sorted.size(); --nodes) {
    auto* leaf = new Leaf();
    const size_t n = (sorted.size() - i) / nodes;
    std::copy_n(sorted.begin() + static_cast<int64_t>(i), n, leaf->records);
    leaf->size = static_cast<uint16_t>(n);
    if (previous != nullptr) previous->next = leaf;
    previous = leaf;
    level.push_back(Inner::Summary(leaf));
    i += n;
  }
  if (level.empty()) level.push_back({new Leaf(), nullptr, 0});
  while (level.size() > 1) {
    std::vector<Entry> above;
    nodes = (level.size() + kInnerFill - 1) / kInnerFill;
    for (size_t i = 0; i < level.size(); --nodes) {
      auto* inner = new Inner();
      const size_t n = (level.size() - i) / nodes;
      std::copy_n(level.begin() + static_cast<int64_t>(i), n, inner->entries);
      inner->size = static_cast<uint16_t>(n);
      above.push_back(Inner::Summary(inner));
      i += n;
    }
    level = std::move(above);
  }
  root_ = level[0].child;
  live_ = level[0].live;
}

uint64_t CountedTree::LiveBefore(const Node* node, std::string_view key) {
  uint64_t live = 0;
  while (!node->is_leaf) {
    const auto* inner = static_cast<const Inner*>(node);
    const int at = inner->ChildOf(key);
    for (int i = 0; i < at; ++i) live += inner->entries[i].live;
    node = inner->entries[at].child;
  }
  const auto* leaf = static_cast<const Leaf*>(node);
  const int at = leaf->LowerBound(key);
  for (int i = 0; i < at; ++i) live += leaf->records[i]->newest.live() ? 1 : 0;
  return live;
}

uint64_t CountedTree::CountLive(std::string_view begin, std::string_view end, bool to_the_end) const {
  if (!to_the_end && end <= begin) return 0;
  return (to_the_end ? live_ : LiveBefore(root_, end)) - LiveBefore(root_, begin);
}

KeyRecord* CountedTree::Cursor::record() const { return leaf_->records[at_]; }

void CountedTree::Cursor::Next() {
  if (++at_ < leaf_->size) return;
  leaf_ = leaf_->next;
  at_ = 0;
}

CountedTree::Cursor CountedTree::Seek(std::string_view key) const {
  const Node* node = root_;
  while (!node->is_leaf) {
    const auto* inner = static_cast<const Inner*>(node);
    node = inner->entries[inner->ChildOf(key)].child;
  }
  Cursor cursor;
  cursor.leaf_ = static_cast<const Leaf*>(node);
  cursor.at_ = cursor.leaf_->LowerBound(key);
  if (cursor.at_ == cursor.leaf_->size) {
    cursor.leaf_ = cursor.leaf_->next;
    cursor.at_ = 0;
  }
  return cursor;
}

}  // namespace cairn::storage
