// Programs that free and soon need again: giving memory back costs them page faults.

#include <cstdlib>

#include "mapped_array.h"
#include "phase.h"
#include "workload.h"

namespace resident {
namespace {

// One block at a time, allocated, touched and freed.
std::uint64_t churn(std::size_t bytes, std::uint64_t count) {
  report_start(0);
  const Phase phase("churned");
  for (std::uint64_t i = 0; i < count; ++i) {
    void* const p = bench::must_malloc(bytes);
    bench::touch_pages(p, bytes);
    bench::escape(p);
    std::free(p);
  }
  phase.end({{"count", static_cast<std::int64_t>(count)}});
  return bytes * count;
}

// Each second the heap grows to 500 MB and is freed. The first cycle is apart: there memory is new.
std::uint64_t sawtooth(const Effort& effort) {
  constexpr std::size_t kBlockBytes = 64 * bench::kKiB;
  constexpr int kCycles = 6;
  const std::uint64_t blocks = effort.sized(500'000'000 / kBlockBytes);
  report_start(static_cast<std::int64_t>(MappedArray<void*>::bytes_for(blocks)));
  MappedArray<void*> held(blocks);
  const auto grow_and_free = [&](std::int64_t cycle_end_ns) {
    for (void*& p : held.all()) {
      p = bench::must_malloc(kBlockBytes);
      bench::touch_pages(p, kBlockBytes);
    }
    for (void* const p : held.all()) {
      std::free(p);
    }
    sleep_until(cycle_end_ns);
  };
  const std::int64_t start_ns = spent_now().wall_ns;
  const Phase first("first cycle");
  grow_and_free(start_ns + effort.wait_ns(1));
  first.end({{"count", 1}});
  const Phase later("later cycles");
  for (int cycle = 1; cycle < kCycles; ++cycle) {
    grow_and_free(start_ns + effort.wait_ns(cycle + 1));
  }
  later.end({{"count", kCycles - 1}});
  return blocks * kBlockBytes * kCycles;
}

constexpr Workload kPaces[] = {
    {"churn_800k", "20,000 times 800 kB allocated, touched and freed",
     [](const Effort& effort) { return churn(800'000, effort.sized(20'000)); }},
    {"churn_64m", "200 times 64 MB allocated, touched and freed",
     [](const Effort& effort) { return churn(64'000'000, effort.sized(200)); }},
    {"sawtooth", "each second 500 MB in blocks of 64 KiB, touched, then freed, for 6 s", sawtooth},
};

}  // namespace

std::span<const Workload> paces() { return kPaces; }

}  // namespace resident
