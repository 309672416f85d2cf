// Chance in production: a fast generator seeded from the operating system. Not for secrets.
//
// Thread safety: none; belongs to the core loop.
#ifndef CAIRN_SERVER_SYSTEM_RANDOM_H_
#define CAIRN_SERVER_SYSTEM_RANDOM_H_

#include <random>

#include "server/ports.h"

namespace cairn::server {

class SystemRandom final : public Random {
 public:
  SystemRandom();
  uint64_t Next() override;

 private:
  std::mt19937_64 generator_;
};

}  // namespace cairn::server

#endif  // CAIRN_SERVER_SYSTEM_RANDOM_H_
