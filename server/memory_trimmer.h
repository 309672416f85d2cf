// Gives memory that a burst has left free in the heap back to the system: glibc does so only for the very end
// of its heap, and ten thousand closed connections leave holes before it.
//
// Thread safety: none; made and destroyed on the core loop. Looks and trims where blocking is allowed.
// Lifetime:      the loop outlives it; work under way may outlive it.
#ifndef CAIRN_SERVER_MEMORY_TRIMMER_H_
#define CAIRN_SERVER_MEMORY_TRIMMER_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "server/ports.h"

namespace cairn::server {

class MemoryTrimmer {
 public:
  struct Memory {
    std::function<size_t()> resident_bytes;  // 0 = not known
    std::function<void()> trim;
  };
  static Memory ProcessMemory();

  static constexpr absl::Duration kInterval = absl::Seconds(5);
  // Grown by so much since it was last smallest or trimmed: worth a try.
  static constexpr size_t kGrowthBytes = size_t{24} << 20;

  MemoryTrimmer(Loop& loop, Memory memory);

 private:
  struct Watch {
    Memory memory;
    size_t base_bytes = 0;  // 0 = first look
  };

  void LookLater();
  static void Look(Watch& watch);

  Loop& loop_;
  std::shared_ptr<Watch> watch_;  // shared with the work under way
  std::unique_ptr<Timer> timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // gone: work that ends late does nothing
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_MEMORY_TRIMMER_H_
