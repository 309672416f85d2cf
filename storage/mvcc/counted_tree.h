// An ordered set of KeyRecords (byte-wise by key) that knows, for each subtree, how many of its keys are
// live: counting a range costs O(log n). A B+tree; leaves hold pointers to records and are linked in order.
//
// Thread safety: none.
// Ownership:     owns the records; a record's address is stable until Erase.
// Invariants:    every inner entry's `first` is the first record and `live` the number of live records below
// it.
#ifndef CAIRN_STORAGE_MVCC_COUNTED_TREE_H_
#define CAIRN_STORAGE_MVCC_COUNTED_TREE_H_

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/mvcc/key_record.h"

namespace cairn::storage {

class CountedTree {
  struct Node;

 public:
  CountedTree();
  ~CountedTree();
  CountedTree(const CountedTree&) = delete;
  CountedTree& operator=(const CountedTree&) = delete;

  KeyRecord* Find(std::string_view key) const;

  // Makes the record of `key`, which is not in the tree. It is made dead: call AddLive once the key is alive.
  KeyRecord* Insert(std::string_view key);

  // Adds `delta` to the number of live keys on the path to `key`, which is in the tree.
  void AddLive(std::string_view key, int delta);

  // Takes the record out and deletes it. It must be dead.
  void Erase(std::string_view key);

  // Replaces the content by records in ascending order.
  void BulkLoad(std::vector<KeyRecord*> sorted);

  // Live keys in [begin, end), or all from `begin` on.
  uint64_t CountLive(std::string_view begin, std::string_view end, bool to_the_end) const;

  uint64_t live() const { return live_; }
  uint64_t size() const { return size_; }

  // A place in the order. Any insertion or erasure makes it invalid.
  class Cursor {
   public:
    bool Valid() const { return leaf_ != nullptr; }
    KeyRecord* record() const;
    void Next();

   private:
    friend class CountedTree;
    const Node* leaf_ = nullptr;
    int at_ = 0;
  };
  // At the first record with a key >= `key`.
  Cursor Seek(std::string_view key) const;

 private:
  struct Entry;

  const Node* LeafOf(std::string_view key) const;
  static Node* InsertIntoLeaf(Node* leaf, int at, KeyRecord* record);
  static std::pair<Node*, bool> InsertInto(Node* node, std::string_view key, KeyRecord* record);
  static void EraseFrom(Node* node, std::string_view key);
  template <typename T>
  static void EvenOut(Node* left, Node* right, T* left_items, T* right_items, int max);
  static void Rebalance(Node* parent, int child);
  uint64_t LiveBefore(std::string_view key) const;
  static void DeleteNode(Node* node, bool with_records);

  Node* root_;
  uint64_t live_ = 0;
  uint64_t size_ = 0;
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_COUNTED_TREE_H_
