// All of a heap is freed, and then nothing happens: what is kept, and is the program really idle?

#include "phase.h"
#include "population.h"
#include "workload.h"

namespace resident {
namespace {

constexpr std::uint64_t kLiveBytes = 1024 * bench::kMiB;

std::uint64_t run(const Effort& effort, void (*then)(const Effort&)) {
  bench::Rng rng(2);
  const std::uint64_t live_bytes = effort.sized(kLiveBytes);
  Population objects(live_bytes, mixed_size, rng);
  const std::uint64_t checksum = objects.live_bytes() + objects.count();
  objects.shuffle(rng);
  const Phase release("freed");
  objects.free_down_to(0);
  release.end();
  then(effort);
  return checksum;
}

void idle(const Effort& effort, const char* name, double seconds) {
  const Phase phase(name);
  sleep_until(spent_now().wall_ns + effort.wait_ns(seconds));
  phase.end();
}

void look_after_2s(const Effort& effort) { idle(effort, "after 2 s", 2); }

// An idle program should be idle: no thread of the allocator's wakes up.
void watch_threads(const Effort& effort) {
  idle(effort, "after 3 s", 3);
  const Phase watch("watched");
  const OtherThreads before = other_threads();
  sleep_until(spent_now().wall_ns + effort.wait_ns(5));
  const OtherThreads after = other_threads();
  watch.end({{"threads", after.count}, {"switches", after.switches - before.switches}});
}

constexpr Workload kReleases[] = {
    {"freeall", "1 GiB filled and freed in random order, then idle for 2 s",
     [](const Effort& effort) { return run(effort, look_after_2s); }},
    {"wakeups", "the same, idle for 3 s, then 5 s in which other threads' switches are counted",
     [](const Effort& effort) { return run(effort, watch_threads); }},
};

}  // namespace

std::span<const Workload> releases() { return kReleases; }

}  // namespace resident
