// How work comes back to the thread that owns the state.
#ifndef CAIRN_STORAGE_POST_H_
#define CAIRN_STORAGE_POST_H_

#include <functional>

#include "absl/functional/any_invocable.h"

namespace cairn::storage {

// Runs a function on the core loop's thread, soon and never inline. Callable from any thread. The simulated
// disks take one too: there "soon" is the delay that the simulator gives the disk.
using PostFn = std::function<void(absl::AnyInvocable<void()>)>;

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_POST_H_
