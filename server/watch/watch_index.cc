#include "server/watch/watch_index.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "raft/check.h"

namespace cairn::server {

bool WatchRange::Contains(std::string_view candidate) const {
  switch (kind) {
    case Kind::kSingleKey:
      return candidate == key;
    case Kind::kBounded:
      return key <= candidate && candidate < end;
    case Kind::kFromKey:
      return key <= candidate;
  }
  return false;
}

WatchRange WatchGroup::range() const {
  const std::string_view all = bytes;
  return {kind, all.substr(0, key_bytes), all.substr(key_bytes)};
}

// An AVL tree of ranges, ordered by (key, unbounded, end); each node knows the node of its subtree that
// reaches furthest, so a search skips subtrees that end before the key.
class WatchIndex::RangeTree {
 public:
  WatchGroup*& Insert(const WatchRange& range) {
    Node* found = nullptr;
    root_ = Insert(std::move(root_), range, &found);
    return found->groups;
  }

  void Erase(const WatchRange& range) { root_ = Erase(std::move(root_), range); }

  void Find(std::string_view key, std::vector<WatchGroup*>* groups) const { Find(root_.get(), key, groups); }

 private:
  struct Node;
  using NodePtr = std::unique_ptr<Node>;
  struct Node {
    std::string key;
    std::string end;
    bool unbounded = false;
    int height = 1;
    const Node* furthest = this;  // in the subtree
    NodePtr left;
    NodePtr right;
    WatchGroup* groups = nullptr;

    bool EndsAfter(std::string_view candidate) const { return unbounded || candidate < end; }
  };

  static auto OrderOf(const WatchRange& range) {
    return std::tuple(range.key, range.kind == WatchRange::Kind::kFromKey, range.end);
  }
  static auto OrderOf(const Node& node) {
    return std::tuple(std::string_view(node.key), node.unbounded, std::string_view(node.end));
  }
  static bool EndsBefore(const Node& a, const Node& b) {
    return std::tie(a.unbounded, a.end) < std::tie(b.unbounded, b.end);
  }
  static int HeightOf(const NodePtr& node) { return node == nullptr ? 0 : node->height; }
  static int Balance(const NodePtr& node) { return HeightOf(node->left) - HeightOf(node->right); }

  static void Update(Node& node) {
    node.height = 1 + std::max(HeightOf(node.left), HeightOf(node.right));
    node.furthest = &node;
    for (const Node* child : {node.left.get(), node.right.get()}) {
      if (child != nullptr && EndsBefore(*node.furthest, *child->furthest)) node.furthest = child->furthest;
    }
  }

  static NodePtr RotateRight(NodePtr node) {
    NodePtr top = std::move(node->left);
    node->left = std::move(top->right);
    Update(*node);
    top->right = std::move(node);
    Update(*top);
    return top;
  }

  static NodePtr RotateLeft(NodePtr node) {
    NodePtr top = std::move(node->right);
    node->right = std::move(top->left);
    Update(*node);
    top->left = std::move(node);
    Update(*top);
    return top;
  }

  static NodePtr Rebalance(NodePtr node) {
    Update(*node);
    if (Balance(node) > 1) {
      if (Balance(node->left) < 0) node->left = RotateLeft(std::move(node->left));
      return RotateRight(std::move(node));
    }
    if (Balance(node) < -1) {
      if (Balance(node->right) > 0) node->right = RotateRight(std::move(node->right));
      return RotateLeft(std::move(node));
    }
    return node;
  }

  static NodePtr Insert(NodePtr node, const WatchRange& range, Node** found) {
    if (node == nullptr) {
      node = std::make_unique<Node>();
      node->key = range.key;
      node->end = range.end;
      node->unbounded = range.kind == WatchRange::Kind::kFromKey;
      *found = node.get();
      return node;
    }
    if (OrderOf(range) == OrderOf(*node)) {
      *found = node.get();
      return node;
    }
    NodePtr& side = OrderOf(range) < OrderOf(*node) ? node->left : node->right;
    side = Insert(std::move(side), range, found);
    return Rebalance(std::move(node));
  }

  // Takes the leftmost node out of `node`'s subtree.
  static NodePtr TakeFirst(NodePtr node, NodePtr* first) {
    if (node->left == nullptr) {
      NodePtr rest = std::move(node->right);
      *first = std::move(node);
      return rest;
    }
    node->left = TakeFirst(std::move(node->left), first);
    return Rebalance(std::move(node));
  }

  static NodePtr Erase(NodePtr node, const WatchRange& range) {
    CAIRN_CHECK(node != nullptr) << "a watched range that the index does not know";
    if (OrderOf(range) != OrderOf(*node)) {
      NodePtr& side = OrderOf(range) < OrderOf(*node) ? node->left : node->right;
      side = Erase(std::move(side), range);
      return Rebalance(std::move(node));
    }
    if (node->left == nullptr) return std::move(node->right);
    if (node->right == nullptr) return std::move(node->left);
    NodePtr next;
    NodePtr right = TakeFirst(std::move(node->right), &next);
    next->left = std::move(node->left);
    next->right = std::move(right);
    return Rebalance(std::move(next));
  }

  static void Find(const Node* node, std::string_view key, std::vector<WatchGroup*>* groups) {
    if (node == nullptr || !node->furthest->EndsAfter(key)) return;
    Find(node->left.get(), key, groups);
    if (key < node->key) return;
    if (node->EndsAfter(key)) {
      for (WatchGroup* group = node->groups; group != nullptr; group = group->next_same_range) {
        groups->push_back(group);
      }
    }
    Find(node->right.get(), key, groups);
  }

  NodePtr root_;
};

WatchIndex::WatchIndex() : ranges_(std::make_unique<RangeTree>()) {}
WatchIndex::~WatchIndex() = default;

WatchGroup*& WatchIndex::ListOf(const WatchRange& range) {
  return range.kind == WatchRange::Kind::kSingleKey ? single_keys_[range.key] : ranges_->Insert(range);
}

WatchGroup* WatchIndex::Acquire(const WatchRange& range, WatchWishes wishes) {
  const bool single = range.kind == WatchRange::Kind::kSingleKey;
  WatchGroup* first = nullptr;
  if (single) {
    auto found = single_keys_.find(range.key);
    if (found != single_keys_.end()) first = found->second;
  } else {
    first = ranges_->Insert(range);
  }
  for (WatchGroup* group = first; group != nullptr; group = group->next_same_range) {
    if (group->wishes == wishes) {
      ++group->watchers;
      return group;
    }
  }
  auto* group = new WatchGroup;
  group->bytes.reserve(range.key.size() + range.end.size());
  group->bytes.append(range.key).append(range.end);
  group->key_bytes = static_cast<uint32_t>(range.key.size());
  group->kind = range.kind;
  group->wishes = wishes;
  group->watchers = 1;
  if (first == nullptr) {
    // The map's key must point into the group, not into the request.
    ListOf(group->range()) = group;
  } else {
    // Behind the first, which the map's key points into.
    group->next_same_range = first->next_same_range;
    first->next_same_range = group;
  }
  return group;
}

void WatchIndex::Release(WatchGroup* group) {
  if (--group->watchers > 0) return;
  const WatchRange range = group->range();
  WatchGroup*& first = ListOf(range);
  if (first != group) {
    WatchGroup* before = first;
    while (before->next_same_range != group) before = before->next_same_range;
    before->next_same_range = group->next_same_range;
  } else if (group->next_same_range != nullptr) {
    WatchGroup* heir = group->next_same_range;
    if (range.kind == WatchRange::Kind::kSingleKey) {
      single_keys_.erase(range.key);
      single_keys_[heir->range().key] = heir;
    } else {
      first = heir;
    }
  } else if (range.kind == WatchRange::Kind::kSingleKey) {
    single_keys_.erase(range.key);
  } else {
    ranges_->Erase(range);
  }
  delete group;
}

void WatchIndex::Find(std::string_view key, std::vector<WatchGroup*>* groups) const {
  const auto found = single_keys_.find(key);
  if (found != single_keys_.end()) {
    for (WatchGroup* group = found->second; group != nullptr; group = group->next_same_range)
      groups->push_back(group);
  }
  ranges_->Find(key, groups);
}

}  // namespace cairn::server
