// The file form of an index checkpoint: the key index as of one revision. Layout: docs/formats.md.
//
// Thread safety: none.
#ifndef CAIRN_STORAGE_MVCC_CHECKPOINT_H_
#define CAIRN_STORAGE_MVCC_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "storage/mvcc/key_index.h"

namespace cairn::storage {

struct CheckpointHeader {
  uint64_t database_id = 0;
  uint64_t applied_index = 0;
  int64_t revision = 0;
};

// Applied index and revision stand in the name, so that the newest is found and the oldest's revision is
// known without reading it. Names sort by applied index.
std::string CheckpointName(const CheckpointHeader& header);
bool ParseCheckpointName(std::string_view name, CheckpointHeader* header);

// Makes the bytes piece by piece. Records come in ascending order.
class CheckpointEncoder {
 public:
  explicit CheckpointEncoder(const CheckpointHeader& header);

  // What a reader at the header's revision and before may see of the record.
  void Add(const KeyRecord& record);
  // Dead revisions that still await their removal, then the end.
  void Finish(const DeadRevisions& dead);

  size_t pending_bytes() const { return out_.size() + payload_.size(); }
  // Takes the bytes made so far.
  std::string Take();

 private:
  void CloseChunk(char kind);
  void AddPositions(char kind, const std::deque<EventPosition>& positions);

  const CheckpointHeader header_;
  std::string out_;
  std::string payload_;
  std::string last_key_;
  uint64_t chunks_ = 0;
  uint64_t keys_ = 0;
};

// DATA_LOSS: torn or rotten. FAILED_PRECONDITION: another database's, or of a newer format. On success the
// caller owns the records.
absl::Status DecodeCheckpoint(std::string_view bytes, uint64_t database_id, CheckpointHeader* header,
                              std::vector<KeyRecord*>* records, DeadRevisions* dead);

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_CHECKPOINT_H_
