// Most of a heap expires: 1 GiB is filled, nine objects in ten are freed at random, and after a
// while the heap is filled again, in other sizes.
//
// What is left lies scattered over all that was in use. How much of the rest goes back, how soon,
// and does the refill fit into what was kept?

#include <array>
#include <cstdlib>

#include "phase.h"
#include "population.h"
#include "workload.h"

namespace resident {
namespace {

constexpr std::uint64_t kLiveBytes = 1024 * bench::kMiB;
constexpr std::int64_t kTickNs = 1'000'000;

// `rng` is for the pass alone: how often it is asked depends on the clock.
using Pass = void (*)(std::int64_t until_ns, bench::Rng& rng);

void be_idle(std::int64_t until_ns, bench::Rng&) { sleep_until(until_ns); }

// 100 small objects made and freed each millisecond: a server with little to do.
void be_busy(std::int64_t until_ns, bench::Rng& rng) {
  std::array<void*, 100> held;
  for (std::int64_t next_ns = spent_now().wall_ns; next_ns < until_ns; next_ns += kTickNs) {
    sleep_until(next_ns);
    for (void*& p : held) {
      p = bench::must_malloc(log_uniform(rng, 16, bench::kKiB));
      *static_cast<volatile char*>(p) = 1;
    }
    for (void* const p : held) {
      std::free(p);
    }
  }
}

std::uint64_t run(const Effort& effort, Pass pass) {
  bench::Rng rng(1);
  const std::uint64_t live_bytes = effort.sized(kLiveBytes);
  Population objects(live_bytes, mixed_size, rng);

  objects.shuffle(rng);
  const Phase expire("freed");
  objects.free_down_to(objects.count() / 10);
  expire.end({{"live_bytes", static_cast<std::int64_t>(objects.live_bytes())},
              {"objects", static_cast<std::int64_t>(objects.count())}});

  const std::int64_t freed_ns = spent_now().wall_ns;
  bench::Rng pass_rng(4);
  const Phase short_wait("after 2 s");
  pass(freed_ns + effort.wait_ns(2), pass_rng);
  short_wait.end();
  const Phase long_wait("after 10 s");
  pass(freed_ns + effort.wait_ns(10), pass_rng);
  long_wait.end();
  const Phase count("counted");
  count.end({{"pages_held", static_cast<std::int64_t>(objects.pages_held())}});

  reset_peak_rss();
  const Phase refill("refilled");
  objects.fill(live_bytes, buffer_size, rng);
  refill.end({{"live_bytes", static_cast<std::int64_t>(objects.live_bytes())},
              {"peak_rss_kib", peak_rss_kib()}});
  return objects.drop_all();
}

constexpr Workload kExpiries[] = {
    {"expire", "1 GiB filled, 90 % freed at random, idle for 10 s, refilled with other sizes",
     [](const Effort& effort) { return run(effort, be_idle); }},
    {"busy", "the same, but 100 small objects are made and freed each millisecond of the 10 s",
     [](const Effort& effort) { return run(effort, be_busy); }},
};

}  // namespace

std::span<const Workload> expiries() { return kExpiries; }

}  // namespace resident
