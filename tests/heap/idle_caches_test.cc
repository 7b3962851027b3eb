// Taking objects from the caches of threads that sleep, and of threads that do not.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "os/thread.h"
#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

const WorkBudget kAll(WorkBudget::kUnlimited);

class IdleCachesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!os::barrier_everywhere()) GTEST_SKIP() << "this system has no membarrier";
    static_cast<void>(g_heap.trim());
  }
};

// Fills this thread's bins of some classes.
void work() {
  std::vector<void*> objects;
  for (const std::size_t bytes : {16u, 100u, 1000u, 5000u, 30000u}) {
    for (unsigned i = 0; i < 200; ++i) objects.push_back(g_heap.allocate(bytes));
  }
  for (void* p : objects) g_heap.free(p);
}

// A thread that does as it is told, in steps.
class Sleeper {
 public:
  Sleeper() : thread_([this] { run(); }) { step_.arrive_and_wait(); }
  ~Sleeper() {
    step_.arrive_and_wait();
    thread_.join();
  }
  [[nodiscard]] const ThreadCache& cache() const { return *cache_.load(); }

 private:
  void run() {
    work();
    cache_ = t_cache;
    step_.arrive_and_wait();
    step_.arrive_and_wait();
    work();  // what was taken does not matter to the owner
  }
  std::barrier<> step_{2};
  std::atomic<ThreadCache*> cache_{nullptr};
  std::thread thread_;
};

std::uint64_t cached_objects(const ThreadCache& cache) {
  std::uint64_t sum = 0;
  for (const Bin& bin : cache.bins) sum += bin.size();
  return sum;
}

TEST_F(IdleCachesTest, ASleepingThreadKeepsNothing) {
  {
    Sleeper sleeper;
    EXPECT_GT(cached_objects(sleeper.cache()), 100u);
    constexpr std::uint64_t kStart = 1'000'000'000'000;
    for (const std::uint64_t later : {std::uint64_t{0}, ThreadCaches::kIdleNs - 1}) {
      EXPECT_FALSE(g_heap.caches().take_idle(g_heap, kAll, kStart + later));
      EXPECT_GT(cached_objects(sleeper.cache()), 100u);
    }
    EXPECT_TRUE(g_heap.caches().take_idle(g_heap, kAll, kStart + ThreadCaches::kIdleNs));
    for (const Bin& bin : sleeper.cache().bins) EXPECT_EQ(bin.size(), 0u);
  }
  EXPECT_TRUE(g_heap.is_valid());
}

TEST_F(IdleCachesTest, TrimTakesFromAll) {
  Sleeper one;
  Sleeper two;
  static_cast<void>(g_heap.trim());
  for (const Bin& bin : one.cache().bins) EXPECT_EQ(bin.size(), 0u);
  for (const Bin& bin : two.cache().bins) EXPECT_EQ(bin.size(), 0u);
}

TEST_F(IdleCachesTest, ABudgetOfNothingTakesABatchAtATime) {
  Sleeper sleeper;
  EXPECT_FALSE(g_heap.caches().take_idle(g_heap, WorkBudget(0), 1));
  const std::uint64_t before = cached_objects(sleeper.cache());
  EXPECT_FALSE(g_heap.caches().take_idle(g_heap, WorkBudget(0), 1 + ThreadCaches::kIdleNs));
  EXPECT_LT(cached_objects(sleeper.cache()), before);
}

// Threads that pop and push as fast as they can while others' objects, and theirs, are taken away.
// Each object bears its owner's mark: one that is handed out twice would show two.
TEST_F(IdleCachesTest, NoObjectIsHandedOutTwice) {
  constexpr unsigned kThreads = 3;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      std::vector<std::uint64_t*> live;
      std::uint64_t mark = std::uint64_t{t} << 56;
      for (std::uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
        // In bursts, so that a bin is popped empty while some of it is being claimed.
        const bool grow = live.empty() || (live.size() < 60 && i / 50 % 2 == 0);
        if (grow) {
          auto* p = static_cast<std::uint64_t*>(g_heap.allocate(8 + random.below(40)));
          *p = ++mark;
          live.push_back(p);
          continue;
        }
        const std::uint64_t k = random.below(live.size());
        if (*live[k] >> 56 != t) wrong.fetch_add(1);
        *live[k] = ~std::uint64_t{0};
        g_heap.free(live[k]);
        live[k] = live.back();
        live.pop_back();
        if (i % 1024 == 0) std::this_thread::yield();
      }
      for (std::uint64_t* p : live) {
        if (*p >> 56 != t) wrong.fetch_add(1);
        g_heap.free(p);
      }
    });
  }
  for (unsigned i = 0; i < 4000 * kEffort; ++i) {
    g_heap.caches().take_all(g_heap);
    if (i % 16 == 0) std::this_thread::yield();
  }
  stop = true;
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_TRUE(g_heap.is_valid());
}

// Threads come and go while their caches are looked through.
TEST_F(IdleCachesTest, CachesMayEndMeanwhile) {
  std::atomic<bool> ended{false};
  std::thread spawner([&] {
    for (unsigned i = 0; i < 4 * kEffort; ++i) {
      std::thread a(work);
      std::thread b(work);
      a.join();
      b.join();
    }
    ended = true;
  });
  while (!ended.load()) g_heap.caches().take_all(g_heap);
  spawner.join();
  EXPECT_TRUE(g_heap.is_valid());
}

}  // namespace
}  // namespace ream
