// The process's heap against a model of its objects and their contents, and its counters.
#include "heap/heap.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "heap/stamps.h"
#include "support/effort.h"
#include "support/no_worker.h"
#include "support/random.h"

namespace ream {
namespace {

constexpr std::uint64_t kLargest = 3 << 20;

void expect_identities(const HeapStats& s) {
  EXPECT_EQ(s.nmalloc, s.nfree + s.live_objects);
  EXPECT_EQ(s.size, s.small_live + s.large_live);
  EXPECT_EQ(s.grown, s.in_use + s.free);
  EXPECT_LE(s.scavenged, s.free);
  EXPECT_GE(s.max, s.in_use);
}

// A size as programs ask for: mostly small.
std::size_t some_size(Random& random) {
  return random.of_any_magnitude(random.one_in(30) ? kLargest : random.one_in(4) ? 300'000 : 2000);
}

TEST(HeapTest, RandomOperationsEqualTheModel) {
  struct Object {
    std::size_t bytes;
    std::uint64_t tag;
  };
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    REAM_TRACE_SEED(seed);
    Random random(seed);
    const HeapStats before = g_heap.stats();
    std::map<std::uint64_t, Object> live;
    std::uint64_t made = 0;
    std::uint64_t usable = 0;
    const auto enter = [&](void* p, std::size_t bytes) {
      ASSERT_NE(p, nullptr);
      const std::size_t size = g_heap.usable_size(p);
      ASSERT_GE(size, bytes);
      ASSERT_EQ(Addr(p).n % kMinAlignment, 0u);
      const auto above = live.lower_bound(Addr(p).n);
      ASSERT_TRUE(above == live.end() || Addr(p).n + size <= above->first);
      ASSERT_TRUE(above == live.begin() ||
                  std::prev(above)->first + std::prev(above)->second.bytes <= Addr(p).n);
      usable += size;
      Stamps::write(p, bytes, ++made);
      live[Addr(p).n] = {bytes, made};
    };
    for (unsigned i = 0; i < 4000 * kEffort; ++i) {
      auto it = live.begin();
      if (!live.empty()) {
        it = live.lower_bound(live.begin()->first +
                              random.below(1 + live.rbegin()->first - live.begin()->first));
      }
      const std::size_t bytes = some_size(random);
      const std::uint64_t kind = random.below(10);
      if (live.size() < 2000 && kind < 3) {
        enter(g_heap.allocate(bytes), bytes);
      } else if (live.size() < 2000 && kind == 3) {
        void* p = g_heap.allocate_zeroed(bytes);
        ASSERT_TRUE(Stamps::all_zero(p, bytes));
        enter(p, bytes);
      } else if (live.size() < 2000 && kind == 4) {
        const std::size_t alignment = std::size_t{1} << random.below(18);
        void* p = g_heap.allocate_aligned(bytes, alignment);
        ASSERT_EQ(Addr(p).n % alignment, 0u);
        enter(p, bytes);
      } else if (it != live.end()) {
        void* p = Addr(it->first).ptr();
        const Object o = it->second;
        ASSERT_TRUE(Stamps::hold(p, o.bytes, o.tag));
        usable -= g_heap.usable_size(p);
        live.erase(it);
        if (kind < 8) {
          random.one_in(2) ? g_heap.free(p) : g_heap.free_sized(p, o.bytes);
        } else {
          p = g_heap.reallocate(p, bytes);
          ASSERT_TRUE(Stamps::hold(p, std::min(bytes, o.bytes), o.tag));
          enter(p, bytes);
        }
      }
      if (testing::Test::HasFatalFailure()) return;
      if (random.one_in(2000)) g_heap.trim();
      if (i % 500 != 0) continue;
      const HeapStats now = g_heap.stats();
      expect_identities(now);
      ASSERT_EQ(now.live_objects - before.live_objects, live.size());
      ASSERT_EQ(now.size - before.size, Bytes(usable));
      ASSERT_TRUE(g_heap.is_valid());
    }
    for (const auto& [address, o] : live) {
      ASSERT_TRUE(Stamps::hold(Addr(address).ptr(), o.bytes, o.tag));
      g_heap.free(Addr(address).ptr());
    }
    const HeapStats after = g_heap.stats();
    expect_identities(after);
    EXPECT_EQ(after.live_objects, before.live_objects);
    EXPECT_EQ(after.size, before.size);
    EXPECT_TRUE(g_heap.is_valid());
  }
}

TEST(HeapTest, EverySizeHasItsUsableSize) {
  for (std::size_t bytes = 0; bytes < 300'000; bytes += bytes < 2048 ? 1 : 997) {
    void* p = g_heap.allocate(bytes);
    const std::size_t usable = g_heap.usable_size(p);
    if (bytes <= kMaxSmallBytes) {
      EXPECT_EQ(usable, kSizeClasses[class_of(bytes)].object_bytes);
    } else {
      const std::size_t least = round_up(bytes, kPageBytes);
      EXPECT_GE(usable, least);
      EXPECT_LE(usable, least + least / 8 + kPageBytes);  // a span freed a moment ago
    }
    g_heap.free_sized(p, usable);
  }
}

TEST(HeapTest, ImpossibleRequestsAreNullAndChangeNothing) {
  void* p = g_heap.allocate(100);
  void* large = g_heap.allocate(1 << 20);
  Stamps::write(large, 1 << 20, 1);
  for (const std::size_t bytes :
       {std::size_t{1} << 46, std::size_t{1} << 63, ~std::size_t{0} - 8192, ~std::size_t{0}}) {
    EXPECT_EQ(g_heap.allocate(bytes), nullptr);
    EXPECT_EQ(g_heap.allocate_zeroed(bytes), nullptr);
    EXPECT_EQ(g_heap.allocate_aligned(bytes, 4096), nullptr);
    EXPECT_EQ(g_heap.reallocate(p, bytes), nullptr);
    EXPECT_EQ(g_heap.reallocate(large, bytes), nullptr);
  }
  EXPECT_EQ(g_heap.allocate_aligned(1, std::size_t{1} << 63), nullptr);
  EXPECT_EQ(g_heap.usable_size(p), 112u);
  EXPECT_TRUE(Stamps::hold(large, 1 << 20, 1));
  g_heap.free(p);
  g_heap.free(large);
  g_heap.free(nullptr);
  EXPECT_TRUE(g_heap.is_valid());
}

TEST(HeapTest, ClassStatsCountOneClass) {
  constexpr std::size_t kBytes = 3000;
  const ClassIndex c = class_of(kBytes);
  const ClassStats before = g_heap.class_stats(c);
  std::vector<void*> objects;
  for (unsigned i = 0; i < 100; ++i) objects.push_back(g_heap.allocate(kBytes));
  for (unsigned i = 0; i < 30; ++i) {
    g_heap.free(objects.back());
    objects.pop_back();
  }
  const ClassStats now = g_heap.class_stats(c);
  EXPECT_EQ(now.live - before.live, 70u);
  EXPECT_EQ(now.nmalloc - before.nmalloc, 100u);
  EXPECT_EQ(now.nfree - before.nfree, 30u);
  EXPECT_EQ(now.live + now.cached + now.free, now.spans * kSizeClasses[c].objects);
  for (void* p : objects) g_heap.free(p);
}

TEST(HeapTest, TrimGivesBackWhatIsNotUsed) {
  std::vector<void*> objects;
  for (unsigned i = 0; i < 20'000; ++i) {
    objects.push_back(g_heap.allocate(1000));
    Stamps::write(objects.back(), 1000, i);
  }
  for (void* p : objects) g_heap.free(p);
  g_heap.trim();
  const HeapStats now = g_heap.stats();
  EXPECT_EQ(now.cached, Bytes());
  EXPECT_EQ(now.free, now.scavenged);
  EXPECT_TRUE(g_heap.is_valid());
}

// One thread makes objects, others free them: what is held stays near what is live.
TEST(HeapTest, ObjectsFreedByOtherThreadsComeBack) {
  constexpr std::size_t kBytes = 2000, kQueue = 500;
  std::mutex lock;
  std::deque<std::pair<void*, std::uint64_t>> queue;
  bool done = false;
  std::atomic<unsigned> wrong{0};
  std::vector<std::thread> consumers;
  const Bytes before = g_heap.stats().in_use;
  for (unsigned t = 0; t < 2; ++t) {
    consumers.emplace_back([&] {
      for (;;) {
        std::pair<void*, std::uint64_t> got{};
        {
          const std::lock_guard hold(lock);
          if (queue.empty() && done) return;
          if (!queue.empty()) got = queue.front(), queue.pop_front();
        }
        if (got.first == nullptr) {
          std::this_thread::yield();
          continue;
        }
        wrong += !Stamps::hold(got.first, kBytes, got.second);
        g_heap.free(got.first);
      }
    });
  }
  for (std::uint64_t i = 0; i < 20'000 * kEffort;) {
    const std::lock_guard hold(lock);
    if (queue.size() >= kQueue) continue;
    void* p = g_heap.allocate(kBytes);
    Stamps::write(p, kBytes, i);
    queue.emplace_back(p, i++);
  }
  {
    const std::lock_guard hold(lock);
    done = true;
  }
  for (std::thread& t : consumers) t.join();
  EXPECT_EQ(wrong.load(), 0u);
  // Of 40 MB and more that went through: the queue, caches of three threads, spans in part used.
  EXPECT_LE(g_heap.stats().in_use, before + 16_MiB);
  EXPECT_TRUE(g_heap.is_valid());
}

TEST(HeapTest, StressOfThreadsThatShareObjects) {
  constexpr unsigned kThreads = 4, kSlots = 256;
  std::vector<std::atomic<void*>> slots(kSlots);
  std::atomic<unsigned> wrong{0};
  const HeapStats before = g_heap.stats();
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= kThreads; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      for (unsigned i = 0; i < 5000 * kEffort; ++i) {
        const std::size_t bytes = 16 + some_size(random) / (random.one_in(10) ? 1 : 100);
        auto* p = static_cast<std::uint64_t*>(g_heap.allocate(bytes));
        p[0] = bytes;
        p[1] = Addr(p).n ^ bytes;
        auto* old = static_cast<std::uint64_t*>(slots[random.below(kSlots)].exchange(p));
        if (old == nullptr) continue;
        wrong += old[1] != (Addr(old).n ^ old[0]) || g_heap.usable_size(old) < old[0];
        old[1] = 0;
        g_heap.free(old);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (auto& slot : slots) g_heap.free(slot.load());
  EXPECT_EQ(wrong.load(), 0u);
  const HeapStats after = g_heap.stats();
  expect_identities(after);
  EXPECT_EQ(after.live_objects, before.live_objects);
  EXPECT_TRUE(g_heap.is_valid());
}

}  // namespace
}  // namespace ream
