// Threads: many that start, allocate a little and end, and many that idle at the same time.

#include <condition_variable>
#include <mutex>
#include <vector>

#include "support.h"

namespace bench {
namespace {

// Threads that come and go, eight at a time. Half of what each allocates outlives it.
Result thread_churn(double scale) {
  constexpr unsigned kAtOnce = 8;
  constexpr std::size_t kBlocks = 400;
  Result result;
  const std::uint64_t waves = scaled(500, scale);
  std::vector<std::vector<Block>> left(kAtOnce);
  std::vector<std::uint64_t> sums(kAtOnce);
  for (std::uint64_t wave = 0; wave < waves; ++wave) {
    run_threads(kAtOnce, [&](unsigned self) {
      Rng rng(wave * kAtOnce + self);
      // The first to use the list of the previous wave's thread frees what that one left.
      for (Block& block : left[self]) {
        sums[self] += drop_block(block);
      }
      left[self].clear();
      for (std::size_t i = 0; i < kBlocks; ++i) {
        Block block = make_block(rng.log_between(16, 4 * kKiB), static_cast<std::uint32_t>(i));
        if (i % 2 == 0) {
          left[self].push_back(block);
        } else {
          sums[self] += drop_block(block);
        }
      }
    });
  }
  for (unsigned i = 0; i < kAtOnce; ++i) {
    for (Block& block : left[i]) {
      sums[i] += drop_block(block);
    }
    result.checksum += sums[i];
  }
  result.ops = 2 * waves * kAtOnce * kBlocks;
  return result;
}

// A thousand threads alive at once, each of which has worked for a moment and then waits with a few
// blocks in hand. Peak RSS tells what a thread costs.
Result idle_threads(double scale) {
  constexpr std::size_t kLive = 50;
  constexpr unsigned kSteps = 3000;
  const auto count = static_cast<unsigned>(scaled(1000, scale));
  std::mutex mutex;
  std::condition_variable all_ready;
  unsigned ready = 0;          // guarded by mutex
  std::uint64_t checksum = 0;  // guarded by mutex
  run_threads(count, [&](unsigned self) {
    Rng rng(self);
    std::vector<Block> blocks(kLive);
    std::uint64_t sum = 0;
    for (unsigned i = 0; i < kSteps; ++i) {
      Block& block = blocks[rng.below(kLive)];
      sum += drop_block(block);
      block = make_block(rng.log_between(16, 8 * kKiB), i);
    }
    {
      std::unique_lock lock(mutex);
      if (++ready == count) {
        all_ready.notify_all();
      }
      all_ready.wait(lock, [&] { return ready == count; });
    }
    for (Block& block : blocks) {
      sum += drop_block(block);
    }
    const std::lock_guard lock(mutex);
    checksum += sum;
  });
  return {checksum, std::uint64_t{2} * count * kSteps};
}

constexpr Workload kThreadWorkloads[] = {
    {"thread_churn", "4000 threads, 8 at a time, half of their blocks outlive them", thread_churn},
    {"idle_threads", "1000 threads that have worked and now wait, all alive at once", idle_threads},
};

}  // namespace

std::span<const Workload> threads() { return kThreadWorkloads; }

}  // namespace bench
