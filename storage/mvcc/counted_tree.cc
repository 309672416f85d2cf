#include "storage/mvcc/counted_tree.h"

#include <algorithm>

#include "raft/check.h"

namespace cairn::storage {

namespace {
constexpr int kLeafMax = 96;  // a leaf is as large as an inner node
constexpr int kInnerMax = 32;
// A bulk build leaves room, so that the first insertions do not split every leaf.
constexpr int kLeafFill = 84;
constexpr int kInnerFill = 28;
}  // namespace

struct CountedTree::Entry {
  Node* child;
  KeyRecord* first;
  uint64_t live;
};

// Leaf and inner node are one type on purpose. As two types derived from one base, `size` is reached on two
// paths (Leaf's base, Inner's base) that type-based alias analysis holds for different objects. GCC 12.2's
// partial redundancy elimination merges the loads of both branches of Summary into one, typed as an inner
// node's, and moves it above the store of a leaf's new size: counts of before a merge came out, at -O2, from
// a program without undefined behaviour. With one type there is one path. CountedTreeTest shows it in release
// builds.
struct CountedTree::Node {
  explicit Node(bool leaf) : is_leaf(leaf) {}

  const bool is_leaf;
  uint16_t size = 0;
  Node* next = nullptr;  // of a leaf: the one behind it
  union {
    KeyRecord* records[kLeafMax];  // of a leaf
    Entry entries[kInnerMax];      // of an inner node
  };

  int min() const { return is_leaf ? kLeafMax / 4 : kInnerMax / 4; }
  KeyRecord* first() const { return is_leaf ? records[0] : entries[0].first; }

  // In a leaf: the first record with a key >= `key`.
  int LowerBound(std::string_view key) const {
    return static_cast<int>(
        std::lower_bound(records, records + size, key,
                         [](const KeyRecord* r, std::string_view k) { return r->key() < k; }) -
        records);
  }
  // In an inner node: the child in whose part of the key space `key` lies.
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

  static Entry Summary(Node* node) {
    Entry entry{node, node->size > 0 ? node->first() : nullptr, 0};
    for (int i = 0; i < node->size; ++i) {
      entry.live += node->is_leaf ? (node->records[i]->newest.live() ? 1 : 0) : node->entries[i].live;
    }
    return entry;
  }
};

CountedTree::CountedTree() : root_(new Node(true)) {}
CountedTree::~CountedTree() { DeleteNode(root_, true); }

void CountedTree::DeleteNode(Node* node, bool with_records) {
  for (int i = 0; i < node->size; ++i) {
    if (!node->is_leaf) {
      DeleteNode(node->entries[i].child, with_records);
    } else if (with_records) {
      KeyRecord::Delete(node->records[i]);
    }
  }
  delete node;
}

const CountedTree::Node* CountedTree::LeafOf(std::string_view key) const {
  const Node* node = root_;
  while (!node->is_leaf) node = node->entries[node->ChildOf(key)].child;
  return node;
}

KeyRecord* CountedTree::Find(std::string_view key) const {
  const Node* leaf = LeafOf(key);
  const int at = leaf->LowerBound(key);
  return at < leaf->size && leaf->records[at]->key() == key ? leaf->records[at] : nullptr;
}

CountedTree::Node* CountedTree::InsertIntoLeaf(Node* leaf, int at, KeyRecord* record) {
  Node* right = nullptr;
  Node* target = leaf;
  if (leaf->size == kLeafMax) {
    right = new Node(true);
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
  target->records[at] = record;
  ++target->size;
  return right;
}

// Returns the new right sibling when the node was split, and whether the subtree's first record changed.
std::pair<CountedTree::Node*, bool> CountedTree::InsertInto(Node* node, std::string_view key,
                                                            KeyRecord* record) {
  if (node->is_leaf) {
    const int at = node->LowerBound(key);
    return {InsertIntoLeaf(node, at, record), at == 0};
  }
  const int at = node->ChildOf(key);
  auto [split, first_changed] = InsertInto(node->entries[at].child, key, record);
  if (split == nullptr) {
    if (first_changed) node->entries[at].first = record;  // the new record is dead: counts stay
    return {nullptr, first_changed && at == 0};
  }
  node->Refresh(at);
  const Entry fresh = Node::Summary(split);
  if (node->size < kInnerMax) {
    node->InsertAt(at + 1, fresh);
    return {nullptr, first_changed && at == 0};
  }
  auto* right = new Node(false);
  const int keep = at + 1 == kInnerMax ? kInnerMax - 1 : kInnerMax / 2;
  std::copy(node->entries + keep, node->entries + kInnerMax, right->entries);
  right->size = static_cast<uint16_t>(kInnerMax - keep);
  node->size = static_cast<uint16_t>(keep);
  if (at + 1 <= keep) {
    node->InsertAt(at + 1, fresh);
  } else {
    right->InsertAt(at + 1 - keep, fresh);
  }
  return {right, first_changed && at == 0};
}

KeyRecord* CountedTree::Insert(std::string_view key) {
  KeyRecord* record = KeyRecord::New(key);
  Node* split = InsertInto(root_, key, record).first;
  ++size_;
  if (split != nullptr) {
    auto* root = new Node(false);
    root->InsertAt(0, Node::Summary(root_));
    root->InsertAt(1, Node::Summary(split));
    root_ = root;
  }
  return record;
}

void CountedTree::AddLive(std::string_view key, int delta) {
  live_ += static_cast<uint64_t>(static_cast<int64_t>(delta));
  Node* node = root_;
  while (!node->is_leaf) {
    Entry& entry = node->entries[node->ChildOf(key)];
    entry.live += static_cast<uint64_t>(static_cast<int64_t>(delta));
    node = entry.child;
  }
}

// Shares what two neighbours hold: all to the left one when it has room to spare, else half each.
template <typename T>
void CountedTree::EvenOut(Node* left, Node* right, T* left_items, T* right_items, int max) {
  const int together = left->size + right->size;
  const int want = together <= max * 3 / 4 ? together : together / 2;
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
}

void CountedTree::Rebalance(Node* parent, int child) {
  if (parent->size < 2) return;
  const int left_at = child == 0 ? 0 : child - 1;
  Node* left = parent->entries[left_at].child;
  Node* right = parent->entries[left_at + 1].child;
  if (left->is_leaf) {
    EvenOut(left, right, left->records, right->records, kLeafMax);
    if (right->size == 0) left->next = right->next;
  } else {
    EvenOut(left, right, left->entries, right->entries, kInnerMax);
  }
  parent->Refresh(left_at);
  if (right->size == 0) {
    DeleteNode(right, false);
    parent->RemoveAt(left_at + 1);
  } else {
    parent->Refresh(left_at + 1);
  }
}

void CountedTree::EraseFrom(Node* node, std::string_view key) {
  if (node->is_leaf) {
    const int at = node->LowerBound(key);
    CAIRN_CHECK(at < node->size && node->records[at]->key() == key) << "erased key is not in the index";
    CAIRN_CHECK(!node->records[at]->newest.live()) << "erased key is live";
    std::copy(node->records + at + 1, node->records + node->size, node->records + at);
    --node->size;
    return;
  }
  const int at = node->ChildOf(key);
  Node* child = node->entries[at].child;
  EraseFrom(child, key);
  if (child->size < child->min()) {
    // Its neighbours' summaries are right; its own is made anew by Rebalance.
    Rebalance(node, at);
  } else {
    node->entries[at].first = child->first();
  }
}

void CountedTree::Erase(std::string_view key) {
  KeyRecord* record = Find(key);
  EraseFrom(root_, key);
  KeyRecord::Delete(record);
  --size_;
  while (!root_->is_leaf && root_->size == 1) {
    Node* old = root_;
    root_ = old->entries[0].child;
    delete old;
  }
}

void CountedTree::BulkLoad(std::vector<KeyRecord*> sorted) {
  DeleteNode(root_, true);
  size_ = sorted.size();
  std::vector<Entry> level;
  Node* previous = nullptr;
  // Evenly over the nodes, so that none is left with a single child.
  size_t nodes = (sorted.size() + kLeafFill - 1) / kLeafFill;
  for (size_t i = 0; i < sorted.size(); --nodes) {
    auto* leaf = new Node(true);
    const size_t n = (sorted.size() - i) / nodes;
    std::copy_n(sorted.begin() + static_cast<int64_t>(i), n, leaf->records);
    leaf->size = static_cast<uint16_t>(n);
    if (previous != nullptr) previous->next = leaf;
    previous = leaf;
    level.push_back(Node::Summary(leaf));
    i += n;
  }
  if (level.empty()) level.push_back({new Node(true), nullptr, 0});
  while (level.size() > 1) {
    std::vector<Entry> above;
    nodes = (level.size() + kInnerFill - 1) / kInnerFill;
    for (size_t i = 0; i < level.size(); --nodes) {
      auto* inner = new Node(false);
      const size_t n = (level.size() - i) / nodes;
      std::copy_n(level.begin() + static_cast<int64_t>(i), n, inner->entries);
      inner->size = static_cast<uint16_t>(n);
      above.push_back(Node::Summary(inner));
      i += n;
    }
    level = std::move(above);
  }
  root_ = level[0].child;
  live_ = level[0].live;
}

uint64_t CountedTree::LiveBefore(std::string_view key) const {
  uint64_t live = 0;
  const Node* node = root_;
  while (!node->is_leaf) {
    const int at = node->ChildOf(key);
    for (int i = 0; i < at; ++i) live += node->entries[i].live;
    node = node->entries[at].child;
  }
  const int at = node->LowerBound(key);
  for (int i = 0; i < at; ++i) live += node->records[i]->newest.live() ? 1 : 0;
  return live;
}

uint64_t CountedTree::CountLive(std::string_view begin, std::string_view end, bool to_the_end) const {
  if (!to_the_end && end <= begin) return 0;
  return (to_the_end ? live_ : LiveBefore(end)) - LiveBefore(begin);
}

KeyRecord* CountedTree::Cursor::record() const { return leaf_->records[at_]; }

void CountedTree::Cursor::Next() {
  if (++at_ < leaf_->size) return;
  leaf_ = leaf_->next;
  at_ = 0;
}

CountedTree::Cursor CountedTree::Seek(std::string_view key) const {
  Cursor cursor;
  cursor.leaf_ = LeafOf(key);
  cursor.at_ = cursor.leaf_->LowerBound(key);
  if (cursor.at_ == cursor.leaf_->size) {
    cursor.leaf_ = cursor.leaf_->next;
    cursor.at_ = 0;
  }
  return cursor;
}

}  // namespace cairn::storage
