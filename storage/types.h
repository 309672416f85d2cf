// The distinct integers of the store.
#ifndef CAIRN_STORAGE_TYPES_H_
#define CAIRN_STORAGE_TYPES_H_

#include <cstdint>

#include "raft/strong_int.h"

namespace cairn::storage {

using Revision = StrongInt<struct RevisionTag,
                           int64_t>;  // store-wide counter, one per write transaction; an empty store is at 1
using LeaseId = StrongInt<struct LeaseIdTag, int64_t>;  // 0 = no lease

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_TYPES_H_
