// Thread caches: what they hold, when they give back, how they end, and which lists they use.
#include "heap/thread_caches.h"

#include <gtest/gtest.h>

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstring>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "heap/heap_start.h"
#include "heap/stamps.h"
#include "os/thread.h"
#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

// One and a half budgets of a thread that is almost alone.
constexpr std::uint64_t kMostCached = ThreadCache::kMaxCacheBytes + ThreadCache::kMaxCacheBytes / 2;

template <class Body>
void in_thread(Body body) {
  std::thread(body).join();
}

std::uint64_t my_cached_bytes() {
  std::uint64_t sum = 0;
  for (std::size_t c = 1; c < kClassCount; ++c)
    sum += std::uint64_t{t_cache->bins[c].size()} * kSizeClasses[c].object_bytes;
  return sum;
}

void expect_sound(const ThreadCache& cache) {
  EXPECT_EQ(cache.bins[kLargeClass].base, nullptr);
  for (std::size_t c = 1; c < kClassCount; ++c) {
    const Bin& bin = cache.bins[c];
    ASSERT_LE(bin.base, bin.top);
    ASSERT_LE(bin.top, bin.limit);
    ASSERT_LE(bin.capacity(), ThreadCache::max_capacity(static_cast<ClassIndex>(c)));
    for (const Taken* t = bin.base; t != bin.top; ++t) {
      ASSERT_EQ(g_heap.span_of(t->object)->size_class, c);
      const std::uint8_t state = load_state(*t->state);
      ASSERT_TRUE(state == kCached || state == kCachedZero);
    }
  }
}

TEST(ThreadCachesTest, ACacheIsSoundAfterRandomUse) {
  in_thread([] {
    Random random(1);
    std::vector<void*> mine;
    for (unsigned i = 0; i < 5000 * kEffort; ++i) {
      if (mine.empty() || random.below(5) < 3) {
        mine.push_back(g_heap.allocate(random.of_any_magnitude(kMaxSmallBytes)));
      } else {
        std::swap(random.pick(mine), mine.back());
        g_heap.free(mine.back());
        mine.pop_back();
      }
      if (mine.size() > 500) {
        for (void* p : mine) g_heap.free(p);
        mine.clear();
      }
      if (i % 1000 == 0) expect_sound(*t_cache);
    }
    for (void* p : mine) g_heap.free(p);
    expect_sound(*t_cache);
  });
}

TEST(ThreadCachesTest, OneClassAtATimeStaysWithinTheBound) {
  in_thread([] {
    for (std::size_t c = 1; c < kClassCount; ++c) {
      std::vector<void*> objects;
      for (unsigned i = 0; i < 600; ++i)
        objects.push_back(g_heap.allocate(kSizeClasses[c].object_bytes));
      for (void* p : objects) g_heap.free(p);
      ASSERT_LE(my_cached_bytes(), kMostCached) << c;
    }
  });
}

// Arrays that have grown take what is freed without passing a central list, so that trimming never
// becomes due. Disabled until the bound holds for this too.
TEST(ThreadCachesTest, AllClassesAtOnceStayWithinTheBound) {
  in_thread([] {
    for (std::size_t c = 1; c < kClassCount; ++c) {
      std::vector<void*> objects;
      for (unsigned i = 0; i < 600; ++i)
        objects.push_back(g_heap.allocate(kSizeClasses[c].object_bytes));
      for (void* p : objects) g_heap.free(p);
    }
    std::vector<void*> objects;
    for (std::size_t c = 1; c < kClassCount; ++c) {
      for (unsigned i = 0; i < ThreadCache::max_capacity(static_cast<ClassIndex>(c)); ++i)
        objects.push_back(g_heap.allocate(kSizeClasses[c].object_bytes));
    }
    std::uint64_t most = 0;
    for (void* p : objects) {
      g_heap.free(p);
      most = std::max(most, my_cached_bytes());
    }
    EXPECT_LE(most, kMostCached);
  });
}

TEST(ThreadCachesTest, AThreadThatEndsGivesAllBack) {
  g_heap.free(g_heap.allocate(1));
  g_heap.transfers().give_all(g_heap);
  const std::uint64_t threads = g_heap.caches().count();
  const HeapStats before = g_heap.stats();
  in_thread([&] {
    std::vector<void*> objects;
    for (std::size_t c = 1; c < kClassCount; ++c) {
      for (unsigned i = 0; i < 5; ++i)
        objects.push_back(g_heap.allocate(kSizeClasses[c].object_bytes));
    }
    EXPECT_EQ(g_heap.caches().count(), threads + 1);
    for (void* p : objects) g_heap.free(p);
  });
  g_heap.transfers().give_all(g_heap);
  const HeapStats after = g_heap.stats();
  EXPECT_EQ(g_heap.caches().count(), threads);
  EXPECT_EQ(after.cached, before.cached);
  EXPECT_EQ(after.live_objects, before.live_objects);
  EXPECT_EQ(after.nfree - before.nfree, 5 * (kClassCount - 1));
  EXPECT_TRUE(g_heap.is_valid());
}

// What a thread used once must not keep the classes that it uses now from being cached.
TEST(ThreadCachesTest, AFullCacheMakesWayForOtherClasses) {
  in_thread([] {
    for (std::size_t c = kClassCount; --c > 0;) {
      const std::size_t bytes = kSizeClasses[c].object_bytes;
      for (unsigned i = 0; i < 2 * ThreadCache::kMostRefused; ++i)
        g_heap.free(g_heap.allocate(bytes));
      EXPECT_NE(t_cache->bins[c].limit, nullptr) << bytes;
      EXPECT_LE(t_cache->capacity_bytes, kMostCached);
    }
  });
  EXPECT_TRUE(g_heap.is_valid());
}

// An overdrawn bin of another thread counts as empty.
TEST(ThreadCachesTest, StatisticsOfAnOverdrawnBin) {
  in_thread([] {
    const ClassIndex c = class_of(3000);
    void* p = g_heap.allocate(3000);
    g_heap.free(p);
    while (pop(t_cache->bins[c]) != nullptr) {
    }
    EXPECT_EQ(objects_in(t_cache->bins[c]), 0u);
    EXPECT_EQ(objects_in(t_cache->bins[kLargeClass]), 0u);
    static_cast<void>(pop(t_cache->bins[kLargeClass]));
    EXPECT_EQ(objects_in(t_cache->bins[kLargeClass]), 0u);
    settle_overdraft(t_cache->bins[kLargeClass]);
    settle_overdraft(t_cache->bins[c]);
  });
}

// Threads without a cache share an empty one. One of them may be about to find a bin of it dry, at
// any moment of another's first call.
TEST(ThreadCachesTest, TheFirstCallOfAThreadFindsTheSharedCacheOverdrawn) {
  constexpr std::size_t kBytes = 100;
  constexpr unsigned kCalls = 5;
  const auto first_call = [](unsigned call) -> void* {
    switch (call) {
      case 0:
        return g_heap.allocate(kBytes);
      case 1:
        return g_heap.allocate_zeroed(kBytes);
      case 2:
        return g_heap.allocate_aligned(kBytes, 64);
      default:
        return g_heap.allocate_uncached(kBytes);
    }
  };
  for (unsigned call = 0; call < kCalls; ++call) {
    void* other = g_heap.allocate(kBytes);
    in_thread([&] {
      Bin& shared = t_cache->bins[class_of(kBytes)];
      ASSERT_EQ(shared.limit, nullptr);
      for (unsigned overdrawn = 0; overdrawn < 2; ++overdrawn) ASSERT_EQ(pop(shared), nullptr);
      EXPECT_TRUE(is_dry(shared));
      EXPECT_TRUE(is_full(shared));
      if (call == 4) {
        g_heap.free(other);  // what is overdrawn has no room either
        other = nullptr;
        return;
      }
      void* p = first_call(call);
      ASSERT_NE(p, nullptr);
      std::memset(p, 1, kBytes);
      g_heap.free(p);
    });
    g_heap.free(other);
  }
  EXPECT_TRUE(g_heap.is_valid());
}

// What a bin's newest entry says is only true once it is popped: the worker takes it meanwhile.
TEST(ThreadCachesTest, ZeroedMemoryIsZeroWhileTheWorkerTakesObjects) {
  if (!os::barrier_everywhere()) GTEST_SKIP() << "this system has no membarrier";
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> dirty{0};
  std::thread allocating([&] {
    std::vector<unsigned char*> objects;
    while (!stop.load(std::memory_order_relaxed)) {
      for (unsigned i = 0; i < 50; ++i) {
        auto* p = static_cast<unsigned char*>(g_heap.allocate_zeroed(1000));
        if (std::any_of(p, p + 1000, [](unsigned char c) { return c != 0; })) dirty.fetch_add(1);
        std::memset(p, 0xff, 1000);
        objects.push_back(p);
      }
      for (unsigned char* p : objects) g_heap.free(p);
      objects.clear();
    }
  });
  for (unsigned i = 0; i < 200 * kEffort; ++i) {
    g_heap.caches().take_all(g_heap);
    if (i % 16 == 0) static_cast<void>(g_heap.trim());
  }
  stop = true;
  allocating.join();
  EXPECT_EQ(dirty.load(), 0u);
}

TEST(ThreadCachesTest, TwoHundredThreadsAlive) {
  constexpr unsigned kThreads = kDebug ? 50 : 200;
  g_heap.free(g_heap.allocate(1));
  const std::uint64_t before = g_heap.caches().count();
  std::vector<void*> objects(kThreads);
  std::atomic<unsigned> wrong{0};
  std::barrier everyone(kThreads + 1);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      objects[t] = g_heap.allocate(100 + t * 10);
      Stamps::write(objects[t], 100 + t * 10, t);
      everyone.arrive_and_wait();
      everyone.arrive_and_wait();
      const unsigned other = (t + 1) % kThreads;
      wrong += !Stamps::hold(objects[other], 100 + other * 10, other);
      g_heap.free(objects[other]);
    });
  }
  everyone.arrive_and_wait();
  EXPECT_EQ(g_heap.caches().count(), before + kThreads);
  everyone.arrive_and_wait();
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_EQ(g_heap.caches().count(), before);
  EXPECT_TRUE(g_heap.is_valid());
}

// What libc and other libraries allocate and free after the cache has ended.
struct Late {
  pthread_key_t key;
  bool bypassed = false;
  bool served = false;
  std::uint64_t threads = 0;
};
Late g_late;

TEST(ThreadCachesTest, AThreadAfterItsEndIsServedWithoutACache) {
  g_heap.free(g_heap.allocate(1));  // its key comes before ours, so its destructor runs first
  const std::uint64_t threads = g_heap.caches().count();
  const HeapStats before = g_heap.stats();
  ASSERT_EQ(pthread_key_create(&g_late.key,
                               [](void* object) {
                                 g_late.bypassed = t_cache->bypass;
                                 g_heap.free(object);
                                 void* small = g_heap.allocate(300);
                                 void* zeroed = g_heap.allocate_zeroed(300);
                                 void* large = g_heap.allocate(1 << 20);
                                 g_late.served = small != nullptr && large != nullptr &&
                                                 Stamps::all_zero(zeroed, 300);
                                 small = g_heap.reallocate(small, 5000);
                                 for (void* p : {small, zeroed, large}) g_heap.free(p);
                                 g_late.threads = g_heap.caches().count();
                               }),
            0);
  in_thread([] { pthread_setspecific(g_late.key, g_heap.allocate(200)); });
  pthread_key_delete(g_late.key);
  EXPECT_TRUE(g_late.bypassed);
  EXPECT_TRUE(g_late.served);
  EXPECT_EQ(g_late.threads, threads);
  const HeapStats after = g_heap.stats();
  EXPECT_EQ(after.live_objects, before.live_objects);
  EXPECT_EQ(after.nmalloc, after.nfree + after.live_objects);
  EXPECT_TRUE(g_heap.is_valid());
}

TEST(ThreadCachesTest, AThreadLeavesAListWhoseLockIsTaken) {
  start_heap();
  if (g_heap.page_heap().nodes().several())
    GTEST_SKIP() << "several memory nodes: heap_nodes_test.cc has their lists";
  constexpr ClassIndex kClass = 20;
  in_thread([&] {
    ThreadCache& cache = g_heap.caches().get();
    EXPECT_EQ(g_heap.caches().choose_shard(g_heap, cache, kClass), cache.shard);
    const unsigned lists = std::min(os::cpu_count(), Heap::kMaxShards);
    for (unsigned i = 0; i < 2 * lists; ++i) {
      const unsigned before = cache.shard;
      std::barrier step(2);
      std::thread holder([&] {
        os::MutexLock hold(g_heap.central(kClass, before).lock());
        step.arrive_and_wait();
        step.arrive_and_wait();
      });
      step.arrive_and_wait();
      const unsigned chosen = g_heap.caches().choose_shard(g_heap, cache, kClass);
      step.arrive_and_wait();
      holder.join();
      EXPECT_EQ(chosen, (before + 1) % lists);
      EXPECT_EQ(cache.shard, chosen);
      EXPECT_GT(g_heap.caches().shards(), chosen);
    }
  });
  EXPECT_TRUE(g_heap.is_valid());
}

}  // namespace
}  // namespace ream
