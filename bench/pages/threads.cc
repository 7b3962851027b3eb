// Many threads on one SharedPages: each holds some runs of 1 to 16 pages, and again and again frees
// one of them at random and allocates another.
//
//   bench_pages_threads [PAIRS [RUNS...]]      pairs of each thread; live runs of each thread
//
// For 1, 2, 8 and 64 threads: operations a second of all together and as a multiple of one
// thread's; the same multiple of one thread that holds as many runs as all together, which misses
// the caches as they do but waits for nobody; CPU time of an operation; operations for each time
// that the lock was taken; and how far the pages spread, the part of the heap below the highest of
// them as a multiple of what is live. Runs of 1 thread precede each of the others, since machines
// are noisy. Twice the throughput needs two processors that are idle else.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "heap.h"
#include "os/mutex.h"
#include "page/shared_pages.h"
#include "random.h"

namespace ream::bench {
namespace {

using Geometry = page::HeapWindow;
using Pool = page::SharedPages<Geometry, os::Mutex>;

constexpr Bytes kHeap = 64_GiB;
constexpr std::uint64_t kLongest = 16;

struct Run {
  Addr base;
  Pages pages;
};

struct Measured {
  double operations_per_second;
  double cpu_ns;
  double operations_per_lock;
  double spread;
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

class Bench {
 public:
  Bench(unsigned threads, std::uint64_t pairs, std::size_t live)
      : threads_(threads), pairs_(pairs), live_(live) {
    pool_->with_lock([this](page::PageAlloc<Geometry>& pages) {
      require(pages.init(memory_.environment()) == page::InitResult::kOk, "init");
      require(pages.grow(Addr(), kHeap) == page::GrowResult::kOk, "grow");
    });
  }
  ~Bench() {
    pool_->with_lock([](page::PageAlloc<Geometry>& pages) { pages.release(); });
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  Measured run() {
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < threads_; ++t) threads.emplace_back([this, t] { work(t); });
    while (ready_.load() != threads_) std::this_thread::yield();
    const std::uint64_t lockings = pool_->lockings();
    const double cpu = cpu_seconds();
    const auto begin = std::chrono::steady_clock::now();
    go_.store(true);
    for (std::thread& t : threads) t.join();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    const double operations = 2.0 * static_cast<double>(pairs_) * threads_;
    return {operations / time.count(), (cpu_seconds() - cpu) * 1e9 / operations,
            operations / static_cast<double>(std::max(pool_->lockings() - lockings, 1ul)),
            static_cast<double>(highest_.load()) / static_cast<double>(live_pages_.load())};
  }

 private:
  Run take(page::PageLessee<Geometry>& mine, Random& random) {
    const Pages pages(1 + random.below(kLongest));
    const page::Allocation got = pool_->alloc(mine, pages);
    require(got.ok, "alloc");
    return {got.base, pages};
  }

  void work(unsigned self) {
    page::PageLessee<Geometry> mine;
    Random random(8000 + self);
    std::vector<Run> runs(live_);
    for (Run& run : runs) run = take(mine, random);
    ready_.fetch_add(1);
    while (!go_.load()) std::this_thread::yield();
    for (std::uint64_t i = 0; i < pairs_; ++i) {
      Run& run = runs[random.below(live_)];
      require(pool_->free(mine, run.base, run.pages), "free");
      run = take(mine, random);
    }
    note_spread(runs);
    pool_->end(mine);
  }

  void note_spread(const std::vector<Run>& runs) {
    std::uint64_t highest = 0;
    std::uint64_t live = 0;
    for (const Run& run : runs) {
      highest = std::max(highest, (run.base.n >> Geometry::kPageShift) + run.pages.n);
      live += run.pages.n;
    }
    live_pages_.fetch_add(live);
    std::uint64_t before = highest_.load();
    while (before < highest && !highest_.compare_exchange_weak(before, highest)) {
    }
  }

  unsigned threads_;
  std::uint64_t pairs_;
  std::size_t live_;
  page::test::MetadataMemory memory_;
  std::unique_ptr<Pool> pool_ = std::make_unique<Pool>();
  std::atomic<unsigned> ready_{0};
  std::atomic<bool> go_{false};
  std::atomic<std::uint64_t> highest_{0};
  std::atomic<std::uint64_t> live_pages_{0};
};

void compare(std::uint64_t pairs, std::size_t live) {
  std::printf(
      "%zu live runs a thread\n"
      "  threads   Mops/s  of 1 thread's  of 1 with all runs  CPU ns/op  ops/lock  spread\n",
      live);
  for (const unsigned threads : {1u, 2u, 8u, 64u}) {
    const double one = Bench(1, pairs, live).run().operations_per_second;
    const double all = Bench(1, pairs, live * threads).run().operations_per_second;
    const std::uint64_t each = std::max<std::uint64_t>(pairs * 2 / std::max(threads, 2u), 1000);
    const Measured m = Bench(threads, each, live).run();
    std::printf("  %7u  %7.1f  %13.2f  %18.2f  %9.1f  %8.0f  %6.2f\n", threads,
                m.operations_per_second / 1e6, m.operations_per_second / one,
                m.operations_per_second / all, m.cpu_ns, m.operations_per_lock, m.spread);
  }
}

}  // namespace
}  // namespace ream::bench

int main(int argc, char** argv) {
  const std::uint64_t pairs = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 3'000'000;
  std::vector<std::size_t> live{100, 1000, 10000};
  if (argc > 2) live.clear();
  for (int i = 2; i < argc; ++i) live.push_back(std::strtoull(argv[i], nullptr, 10));
  for (const std::size_t runs : live) {
    if (pairs == 0 || runs == 0) {
      std::fprintf(stderr, "usage: bench_pages_threads [PAIRS [RUNS...]], none of them 0\n");
      return 2;
    }
    ream::bench::compare(pairs, runs);
  }
  return 0;
}
