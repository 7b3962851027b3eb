// A large heap in random access: how well does its layout suit the TLB?
//
// Each object's first word is the address of another; all objects are one ring in random order. A
// walk along it reads nothing but the objects.

#include <cstring>

#include "phase.h"
#include "population.h"
#include "tlb_misses.h"
#include "workload.h"

namespace resident {
namespace {

constexpr std::uint64_t kLiveBytes = 4096 * bench::kMiB;
constexpr std::uint64_t kSteps = 20'000'000;

std::size_t record_size(bench::Rng& rng) { return log_uniform(rng, 64, 4 * bench::kKiB); }

// Returns an object of the ring.
void* link_ring(std::span<bench::Block> objects) {
  void* next = objects.front().data;
  for (std::size_t i = objects.size(); i-- > 0;) {
    std::memcpy(objects[i].data, &next, sizeof next);
    next = objects[i].data;
  }
  return next;
}

void* walk(void* at, std::uint64_t steps) {
  for (std::uint64_t i = 0; i < steps; ++i) {
    std::memcpy(&at, at, sizeof at);
  }
  return at;
}

std::uint64_t random_4g(const Effort& effort) {
  bench::Rng rng(3);
  const std::uint64_t live_bytes = effort.sized(kLiveBytes);
  Population objects(live_bytes, record_size, rng);

  objects.shuffle(rng);
  void* const start = link_ring(objects.blocks());
  const std::uint64_t steps = effort.sized(kSteps);
  const TlbMisses misses;
  const Phase access("walked");
  bench::escape(walk(start, steps));
  access.end({{"count", static_cast<std::int64_t>(steps)}, {"tlb_misses", misses.count()}});
  return objects.live_bytes() + objects.count();
}

constexpr Workload kRandomAccesses[] = {
    {"random_4g", "4 GiB in objects of 64 B to 4 KiB, walked along in random order", random_4g},
};

}  // namespace

std::span<const Workload> random_accesses() { return kRandomAccesses; }

}  // namespace resident
