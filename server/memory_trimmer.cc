#include "server/memory_trimmer.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

// tcmalloc's; null in programs that are not linked with it.
extern "C" [[gnu::weak]] void MallocExtension_ReleaseFreeMemory();

namespace cairn::server {

MemoryTrimmer::Memory MemoryTrimmer::ProcessMemory() {
  Memory memory;
  memory.resident_bytes = [] {
    std::ifstream statm("/proc/self/statm");
    size_t total_pages = 0;
    size_t resident_pages = 0;
    statm >> total_pages >> resident_pages;
    return resident_pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  };
  memory.trim = [] {
    if (MallocExtension_ReleaseFreeMemory != nullptr) return MallocExtension_ReleaseFreeMemory();
    malloc_trim(0);
  };
  return memory;
}

MemoryTrimmer::MemoryTrimmer(Loop& loop, Memory memory)
    : loop_(loop), watch_(std::make_shared<Watch>(Watch{std::move(memory)})) {
  LookLater();
}

void MemoryTrimmer::LookLater() {
  timer_ = loop_.After(kInterval, [this] {
    loop_.Offload([watch = watch_] { Look(*watch); },
                  [this, alive = std::weak_ptr<bool>(alive_)] {
                    if (!alive.expired()) LookLater();
                  });
  });
}

void MemoryTrimmer::Look(Watch& watch) {
  const size_t now = watch.memory.resident_bytes();
  if (watch.base_bytes == 0) watch.base_bytes = now;
  watch.base_bytes = std::min(watch.base_bytes, now);
  if (now < watch.base_bytes + kGrowthBytes) return;
  watch.memory.trim();
  watch.base_bytes = watch.memory.resident_bytes();
}

}  // namespace cairn::server
