// Servers: several threads with long-lived objects, some of which end in another thread than they
// began in.

#include <atomic>
#include <deque>
#include <mutex>
#include <vector>

#include "support.h"

namespace bench {
namespace {

std::uint64_t drop_all(std::vector<Block>& blocks) {
  std::uint64_t sum = 0;
  for (Block& block : blocks) {
    sum += drop_block(block);
  }
  blocks.clear();
  return sum;
}

// After Larson's server simulation: each set of objects is worked on by one thread, which ends
// after a while and leaves the set to a new one. Most objects are freed by a thread that did not
// make them.
Result larson(double scale) {
  constexpr std::size_t kSlots = 5000;
  constexpr unsigned kGenerations = 20;
  struct alignas(64) Set {
    Rng rng{0};
    std::vector<Block> slots;
    std::uint64_t sum = 0;
  };
  std::vector<Set> sets(kThreads);
  for (unsigned i = 0; i < kThreads; ++i) {
    sets[i].rng = Rng(100 + i);
    sets[i].slots.resize(kSlots);
  }
  const std::uint64_t ops = scaled(250'000, scale);
  for (unsigned generation = 0; generation < kGenerations; ++generation) {
    run_threads(kThreads, [&](unsigned self) {
      Set& set = sets[(self + generation) % kThreads];
      for (std::uint64_t i = 0; i < ops; ++i) {
        Block& slot = set.slots[set.rng.below(kSlots)];
        set.sum += drop_block(slot);
        slot = make_block(set.rng.between(16, kKiB), static_cast<std::uint32_t>(i));
      }
    });
  }
  Result result;
  for (Set& set : sets) {
    result.checksum += set.sum + drop_all(set.slots);
  }
  result.ops = 2 * ops * kThreads * kGenerations;
  return result;
}

// After xmalloc-test: every thread makes batches for a common queue and frees batches it takes from
// there, whoever made them. The queue is short, so a block's life is too.
Result async_frees(double scale) {
  constexpr std::size_t kBatch = 120;
  constexpr std::size_t kQueue = 32;
  std::mutex mutex;
  std::deque<std::vector<Block>> queue;  // guarded by mutex
  std::atomic<std::uint64_t> sum{0};
  const std::uint64_t batches = scaled(12'000, scale);
  run_threads(kThreads, [&](unsigned self) {
    Rng rng(200 + self);
    std::uint64_t my_sum = 0;
    std::vector<Block> batch;
    for (std::uint64_t i = 0; i < batches; ++i) {
      batch.reserve(kBatch);
      for (std::size_t k = 0; k < kBatch; ++k) {
        batch.push_back(make_block(rng.log_between(16, 2 * kKiB), static_cast<std::uint32_t>(k)));
      }
      std::vector<Block> taken;
      {
        const std::lock_guard lock(mutex);
        queue.push_back(std::move(batch));
        if (queue.size() > kQueue) {
          taken = std::move(queue.front());
          queue.pop_front();
        }
      }
      batch = std::vector<Block>();
      my_sum += drop_all(taken);
    }
    sum += my_sum;
  });
  Result result;
  for (std::vector<Block>& batch : queue) {
    sum += drop_all(batch);
  }
  result.checksum = sum;
  result.ops = 2 * kBatch * batches * kThreads;
  return result;
}

// After mimalloc's stress test: threads with a mix of mostly small and a few large objects keep
// some of them, pass others on through a common table, and end; new threads go on with the table.
Result mstress(double scale) {
  constexpr unsigned kGenerations = 30;
  constexpr std::size_t kTable = 1000;
  constexpr std::size_t kKeptMax = 2000;
  std::mutex mutex;
  std::vector<Block> table(kTable);  // guarded by mutex
  std::atomic<std::uint64_t> sum{0};
  const std::uint64_t steps = scaled(60'000, scale);
  for (unsigned generation = 0; generation < kGenerations; ++generation) {
    run_threads(kThreads, [&](unsigned self) {
      Rng rng(300 + self + kThreads * generation);
      std::vector<Block> kept;
      std::uint64_t my_sum = 0;
      for (std::uint64_t i = 0; i < steps; ++i) {
        const std::uint64_t choice = rng.below(100);
        if (choice < 55 && kept.size() < kKeptMax) {
          const std::size_t bytes =
              choice == 0 ? rng.log_between(4 * kKiB, 256 * kKiB) : rng.log_between(16, kKiB);
          kept.push_back(make_block(bytes, static_cast<std::uint32_t>(i)));
        } else if (choice < 95) {
          if (!kept.empty()) {
            std::swap(kept[rng.below(kept.size())], kept.back());
            my_sum += drop_block(kept.back());
            kept.pop_back();
          }
        } else if (!kept.empty()) {
          const std::size_t slot = rng.below(kTable);
          const std::lock_guard lock(mutex);
          std::swap(table[slot], kept.back());
        }
      }
      sum += my_sum + drop_all(kept);
    });
  }
  Result result;
  sum += drop_all(table);
  result.checksum = sum;
  result.ops = steps * kThreads * kGenerations;
  return result;
}

// After rptest: in each thread many blocks of 16 B to 8 KiB, allocated in runs and freed in another
// order; every fourth run is left to the next thread, which frees it.
Result cross_runs(double scale) {
  constexpr std::size_t kRun = 64;
  constexpr std::size_t kRuns = 64;
  struct alignas(64) Inbox {
    std::mutex mutex;
    std::vector<Block> blocks;  // guarded by mutex
  };
  std::vector<Inbox> inboxes(kThreads);
  std::atomic<std::uint64_t> sum{0};
  const std::uint64_t loops = scaled(20'000, scale);
  run_threads(kThreads, [&](unsigned self) {
    Rng rng(400 + self);
    std::vector<std::vector<Block>> runs(kRuns);
    std::vector<Block> received;
    std::uint64_t my_sum = 0;
    for (std::uint64_t i = 0; i < loops; ++i) {
      std::vector<Block>& run = runs[rng.below(kRuns)];
      if (i % 4 == 3) {
        Inbox& next = inboxes[(self + 1) % kThreads];
        const std::lock_guard lock(next.mutex);
        next.blocks.insert(next.blocks.end(), run.begin(), run.end());
        run.clear();
      } else {
        my_sum += drop_all(run);
      }
      for (std::size_t k = 0; k < kRun; ++k) {
        run.push_back(make_block(rng.log_between(16, 8 * kKiB), static_cast<std::uint32_t>(k)));
      }
      {
        const std::lock_guard lock(inboxes[self].mutex);
        received.swap(inboxes[self].blocks);
      }
      my_sum += drop_all(received);
    }
    for (std::vector<Block>& run : runs) {
      my_sum += drop_all(run);
    }
    sum += my_sum;
  });
  Result result;
  for (Inbox& inbox : inboxes) {
    sum += drop_all(inbox.blocks);
  }
  result.checksum = sum;
  result.ops = 2 * loops * kRun * kThreads;
  return result;
}

constexpr Workload kServers[] = {
    {"larson", "4 threads replace 16 B to 1 KiB in sets they inherit from ended threads", larson},
    {"async_frees", "4 threads free batches of each other from a common queue", async_frees},
    {"mstress", "4 threads, short lived, keep some, pass some on, 1 % large", mstress},
    {"cross_runs", "4 threads, runs of 16 B to 8 KiB, one in four freed by the neighbour",
     cross_runs},
};

}  // namespace

std::span<const Workload> servers() { return kServers; }

}  // namespace bench
