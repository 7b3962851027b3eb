// Threads that have worked and sleep: what do their caches keep, when nothing is live?

#include <array>
#include <cstdlib>
#include <cstring>
#include <latch>
#include <thread>
#include <vector>

#include "phase.h"
#include "workload.h"

namespace resident {
namespace {

// Objects of a thread: 300 KB on average. Their addresses are on its stack, touched before the
// start is measured, as is all else that a thread costs without an allocator.
constexpr std::size_t kObjects = 400;
using Addresses = std::array<void*, kObjects>;

// Returns the bytes that were live at once.
std::uint64_t work(Addresses& objects, bench::Rng& rng) {
  std::uint64_t live_bytes = 0;
  for (void*& p : objects) {
    const std::size_t bytes = rng.log_between(16, 4 * bench::kKiB);
    p = bench::must_malloc(bytes);
    std::memset(p, 1, bytes);
    live_bytes += bytes;
  }
  for (void* const p : objects) {
    std::free(p);
  }
  return live_bytes;
}

std::uint64_t sleep_after_work(const Effort& effort) {
  const auto count = static_cast<unsigned>(effort.sized(1000));
  std::vector<std::uint64_t> live_bytes(count);  // element i is thread i's until `done`
  std::latch ready(count);
  std::latch go(1);
  std::latch done(count);
  std::latch end(1);
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (unsigned self = 0; self < count; ++self) {
    threads.emplace_back([&, self] {
      bench::Rng rng(self);
      Addresses objects{};
      bench::escape(objects.data());
      ready.count_down();
      go.wait();
      live_bytes[self] = work(objects, rng);
      done.count_down();
      end.wait();
    });
  }
  ready.wait();
  report_start(0);
  const Phase working("worked");
  go.count_down();
  done.wait();
  working.end();
  const Phase sleeping("after 2 s");
  sleep_until(spent_now().wall_ns + effort.wait_ns(2));
  sleeping.end({{"threads", count}});
  end.count_down();
  std::uint64_t checksum = 0;
  for (unsigned i = 0; i < count; ++i) {
    threads[i].join();
    checksum += live_bytes[i];
  }
  return checksum;
}

constexpr Workload kSleepers[] = {
    {"sleepers", "1000 threads that each made and freed 300 KB of small objects, and sleep",
     sleep_after_work},
};

}  // namespace

std::span<const Workload> sleepers() { return kSleepers; }

}  // namespace resident
