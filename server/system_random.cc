#include "server/system_random.h"

namespace cairn::server {
namespace {

std::mt19937_64 SeededGenerator() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device(), device(), device(), device(), device()};
  return std::mt19937_64(seed);
}

}  // namespace

SystemRandom::SystemRandom() : generator_(SeededGenerator()) {}

uint64_t SystemRandom::Next() { return generator_(); }

}  // namespace cairn::server
