// Fork while other threads allocate: the child allocates, frees what the parent had, starts
// threads.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "heap/stamps.h"
#include "os/child.h"
#include "os/sanitized.h"
#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

// Small and large objects come and go, and hold their contents. Returns whether they did.
bool work(std::uint64_t seed, unsigned rounds) {
  Random random(seed);
  std::vector<std::pair<void*, std::size_t>> mine;
  bool good = true;
  for (unsigned i = 0; i < rounds; ++i) {
    const std::size_t bytes = 16 + random.of_any_magnitude(random.one_in(50) ? 2 << 20 : 5000);
    mine.emplace_back(g_heap.allocate(bytes), bytes);
    Stamps::write(mine.back().first, bytes, bytes);
    if (mine.size() < 100) continue;
    std::swap(random.pick(mine), mine.back());
    good = good && Stamps::hold(mine.back().first, mine.back().second, mine.back().second);
    g_heap.free(mine.back().first);
    mine.pop_back();
  }
  for (auto& [p, bytes] : mine) {
    good = good && Stamps::hold(p, bytes, bytes);
    g_heap.free(p);
  }
  return good;
}

TEST(ForkTest, ChildrenOfABusyParentAllocateAndStartThreads) {
  if (os::kSanitized) GTEST_SKIP() << "sanitizers allow no threads in a child";
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= 3; ++t) {
    threads.emplace_back([&, t] {
      while (!stop.load()) work(t, 500);
    });
  }
  for (unsigned i = 0; i < 20 * kEffort; ++i) {
    void* of_parent = g_heap.allocate(100);
    void* large_of_parent = g_heap.allocate(1 << 20);
    const int result = os::exit_of_child([&] {
      g_heap.free(of_parent);
      g_heap.free(large_of_parent);
      if (!work(i, 1000)) return 1;
      bool good = false;
      std::thread([&] { good = work(i + 1, 1000); }).join();
      if (!good) return 2;
      return g_heap.is_valid() ? 0 : 3;
    });
    g_heap.free(of_parent);
    g_heap.free(large_of_parent);
    ASSERT_EQ(result, 0) << "child " << i;
  }
  stop = true;
  for (std::thread& t : threads) t.join();
  EXPECT_TRUE(g_heap.is_valid());
}

TEST(ForkTest, AChildTakesOverWhatOtherThreadsCached) {
  std::atomic<int> step{0};
  std::thread other([&] {
    std::vector<void*> objects;
    for (unsigned i = 0; i < 200; ++i) objects.push_back(g_heap.allocate(777));
    for (void* p : objects) g_heap.free(p);
    step = 1;
    while (step.load() != 2) std::this_thread::yield();
  });
  while (step.load() != 1) std::this_thread::yield();
  g_heap.free(g_heap.allocate(777));
  const int result = os::exit_of_child([] {
    if (g_heap.caches().count() < 2) return 1;
    std::vector<void*> objects;
    for (unsigned i = 0; i < 2000; ++i) objects.push_back(g_heap.allocate(777));
    if (g_heap.caches().count() != 1) return 2;
    for (void* p : objects) g_heap.free(p);
    return g_heap.is_valid() ? 0 : 3;
  });
  step = 2;
  other.join();
  EXPECT_EQ(result, 0);
}

// A thread that was shifting its array at the moment of the fork has an object in it twice, and
// perhaps halves of two.
TEST(ForkTest, AnObjectTwiceInAnOrphanedCacheIsTakenOnce) {
  constexpr std::size_t kBytes = 1500;
  std::atomic<ThreadCache*> cache{nullptr};
  std::atomic<bool> stop{false};
  std::thread other([&] {
    std::vector<void*> objects;
    for (unsigned i = 0; i < 100; ++i) objects.push_back(g_heap.allocate(kBytes));
    for (void* p : objects) g_heap.free(p);
    cache = t_cache;
    while (!stop.load()) std::this_thread::yield();
  });
  while (cache.load() == nullptr) std::this_thread::yield();
  Bin& bin = cache.load()->bins[class_of(kBytes)];
  ASSERT_GE(bin.size(), 4u);
  const int result = os::exit_of_child([&] {
    for (Taken* t = bin.base; t + 4 != bin.top; ++t) *t = t[2];
    bin.top[-4].object = bin.top[-3].object;
    std::vector<void*> objects;
    for (unsigned i = 0; i < 1000; ++i) objects.push_back(g_heap.allocate(kBytes));
    for (void* p : objects) g_heap.free(p);
    return g_heap.is_valid() ? 0 : 1;
  });
  stop = true;
  other.join();
  EXPECT_EQ(result, 0);
}

// A thread that was about to find a bin dry has overdrawn it, perhaps one without an array. And
// what the worker took from a bin whose owner was moving the rest is the worker's.
TEST(ForkTest, AnOrphanedCacheMayBeOverdrawn) {
  constexpr std::size_t kBytes = 1500;
  std::atomic<ThreadCache*> cache{nullptr};
  std::atomic<bool> stop{false};
  std::thread other([&] {
    std::vector<void*> objects;
    for (unsigned i = 0; i < 4; ++i) objects.push_back(g_heap.allocate(kBytes));
    for (void* p : objects) g_heap.free(p);
    cache = t_cache;
    while (!stop.load()) std::this_thread::yield();
  });
  while (cache.load() == nullptr) std::this_thread::yield();
  Bin& none = cache.load()->bins[class_of(777)];
  Bin& some = cache.load()->bins[class_of(kBytes)];
  ASSERT_EQ(none.limit, nullptr);
  ASSERT_GE(some.size(), 4u);
  const int result = os::exit_of_child([&] {
    static_cast<void>(pop(none));
    store_state(*some.base->state, kFree);  // a list has it
    std::vector<void*> objects;
    for (unsigned i = 0; i < 1000; ++i) objects.push_back(g_heap.allocate(100));
    for (void* p : objects) g_heap.free(p);
    return g_heap.caches().count() == 1 ? 0 : 1;
  });
  stop = true;
  other.join();
  EXPECT_EQ(result, 0);
}

}  // namespace
}  // namespace ream
