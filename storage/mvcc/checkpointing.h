// The state of an index checkpoint that is being written.
//
// Thread safety: the core loop's thread; while `writing`, the thread of the offloaded call, which may outlive
// the store.
#ifndef CAIRN_STORAGE_MVCC_CHECKPOINTING_H_
#define CAIRN_STORAGE_MVCC_CHECKPOINTING_H_

#include <memory>
#include <string>

#include "storage/blob_store.h"
#include "storage/mvcc/checkpoint.h"
#include "storage/mvcc/store_impl.h"

namespace cairn::storage {

struct Checkpointing {
  explicit Checkpointing(const CheckpointHeader& h) : header(h), encoder(h) {}

  const CheckpointHeader header;
  CheckpointEncoder encoder;
  std::unique_ptr<BlobWriter> writer;
  std::string next_key;
  DeadRevisions dead;  // awaiting removal when the checkpoint began
  bool all_visited = false;
  bool writing = false;  // an offloaded call has the encoder, the writer and `dead`
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_CHECKPOINTING_H_
