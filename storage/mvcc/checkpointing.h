// The state of an index checkpoint that is being written.
//
// Thread safety: the core loop's thread; the writer is used by one offloaded call at a time.
#ifndef CAIRN_STORAGE_MVCC_CHECKPOINTING_H_
#define CAIRN_STORAGE_MVCC_CHECKPOINTING_H_

#include <memory>
#include <string>

#include "storage/blob_store.h"
#include "storage/mvcc/checkpoint.h"
#include "storage/mvcc/store_impl.h"

namespace cairn::storage {

struct Checkpointing {
  Checkpointing(const CheckpointHeader& h, StoreImpl* store)
      : header(h), encoder(h), pin(store, h.revision) {}

  const CheckpointHeader header;
  CheckpointEncoder encoder;
  const Pin pin;  // the index keeps what the checkpoint has yet to visit
  std::shared_ptr<BlobWriter> writer;
  std::string next_key;
  DeadRevisions dead;  // awaiting removal when the checkpoint began
  bool all_visited = false;
  bool writing = false;  // an offloaded call uses `writer`
};

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_MVCC_CHECKPOINTING_H_
