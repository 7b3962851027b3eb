// Objects of sub-heaps on the process's heap, against a model of what each holds; the budget under
// random operations and many threads; the end of a sub-heap.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "heap/page_units.h"
#include "heap/stamps.h"
#include "support/effort.h"
#include "support/no_worker.h"
#include "support/random.h"

namespace ream {
namespace {

class SubHeapObjectsTest : public testing::Test {
 protected:
  ~SubHeapObjectsTest() override {
    EXPECT_TRUE(g_heap.is_valid());
    if (sub != nullptr) g_heap.destroy_sub_heap(*sub);
    EXPECT_TRUE(g_heap.is_valid());
  }
  SubHeap* sub = g_heap.create_sub_heap("test", 4_MiB);
};

std::size_t some_size(Random& random) {
  return random.of_any_magnitude(random.one_in(30) ? 2 << 20 : random.one_in(4) ? 300'000 : 2000);
}

TEST_F(SubHeapObjectsTest, LiveObjectsHaveAStateOfTheirOwn) {
  for (const std::size_t bytes : {std::size_t{24}, std::size_t{1} << 20}) {
    void* p = g_heap.allocate_in(*sub, bytes);
    const Span* span = g_heap.span_of(p);
    EXPECT_TRUE(span->is_owned());
    EXPECT_EQ(owner_of(*span), sub);
    EXPECT_EQ(load_state(span->states()[0]), kLiveOwned);
    EXPECT_EQ(g_heap.sub_heap_of(p), sub);
    g_heap.free(p);
  }
}

// Every operation of the heap on objects of two sub-heaps and of none.
TEST_F(SubHeapObjectsTest, RandomOperationsEqualTheModel) {
  struct Object {
    std::size_t bytes;
    std::uint64_t tag;
    SubHeap* owner;
  };
  SubHeap* const unbounded = g_heap.create_sub_heap("unbounded", 0_B);
  sub->budget.set(512_KiB);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    REAM_TRACE_SEED(seed);
    Random random(seed);
    const HeapStats before = g_heap.stats();
    std::map<std::uint64_t, Object> live;
    std::uint64_t made = 0;
    unsigned refused = 0;
    const auto enter = [&](void* p, std::size_t bytes, SubHeap* owner) {
      if (p == nullptr) {
        ASSERT_EQ(owner, sub);  // the others have no bound
        ++refused;
        return;
      }
      ASSERT_EQ(g_heap.sub_heap_of(p), owner);
      ASSERT_GE(g_heap.usable_size(p), bytes);
      const auto above = live.lower_bound(Addr(p).n);
      ASSERT_TRUE(above == live.end() || Addr(p).n + g_heap.usable_size(p) <= above->first);
      Stamps::write(p, bytes, ++made);
      live[Addr(p).n] = {bytes, made, owner};
    };
    for (unsigned i = 0; i < 4000 * kEffort; ++i) {
      auto it = live.begin();
      if (!live.empty()) {
        it = live.lower_bound(live.begin()->first +
                              random.below(1 + live.rbegin()->first - live.begin()->first));
      }
      const std::size_t bytes = some_size(random);
      SubHeap* const owner = random.one_in(3) ? unbounded : sub;
      const std::uint64_t kind = random.below(10);
      if (live.size() < 2000 && kind < 3) {
        if (random.one_in(4))
          enter(g_heap.allocate(bytes), bytes, nullptr);
        else
          enter(g_heap.allocate_in(*owner, bytes), bytes, owner);
      } else if (live.size() < 2000 && kind == 3) {
        void* p = g_heap.allocate_zeroed_in(*owner, bytes);
        ASSERT_TRUE(p == nullptr || Stamps::all_zero(p, bytes));
        enter(p, bytes, owner);
      } else if (live.size() < 2000 && kind == 4) {
        const std::size_t alignment = std::size_t{1} << random.below(18);
        void* p = g_heap.allocate_aligned_in(*owner, bytes, alignment);
        ASSERT_EQ(Addr(p).n % alignment, 0u);
        enter(p, bytes, owner);
      } else if (it != live.end()) {
        void* p = Addr(it->first).ptr();
        const Object o = it->second;
        ASSERT_TRUE(Stamps::hold(p, o.bytes, o.tag));
        live.erase(it);
        if (kind < 8) {
          if (o.owner != nullptr && random.one_in(2))
            g_heap.free_in(*o.owner, p);
          else
            g_heap.free_sized(p, o.bytes);
        } else {
          void* to = o.owner != nullptr && random.one_in(2)
                         ? g_heap.reallocate_in(*o.owner, p, bytes)
                         : g_heap.reallocate(p, bytes);
          if (to == nullptr) {
            ASSERT_EQ(o.owner, sub);
            ASSERT_TRUE(Stamps::hold(p, o.bytes, o.tag));
            live[Addr(p).n] = o;
          } else {
            ASSERT_TRUE(Stamps::hold(to, std::min(bytes, o.bytes), o.tag));
            enter(to, bytes, o.owner);
          }
        }
      }
      if (testing::Test::HasFatalFailure()) return;
      ASSERT_LE(sub->budget.used(), 512_KiB);
      if (random.one_in(2000)) g_heap.trim();
      if (i % 500 != 0) continue;
      const HeapStats now = g_heap.stats();
      ASSERT_EQ(now.nmalloc, now.nfree + now.live_objects);
      ASSERT_EQ(now.live_objects - before.live_objects, live.size());
      ASSERT_TRUE(g_heap.is_valid());  // also: what is charged is the sum of the spans
    }
    EXPECT_GT(refused, 0u);
    EXPECT_LE(sub->budget.peak(), 512_KiB);
    for (const auto& [address, o] : live) {
      ASSERT_TRUE(Stamps::hold(Addr(address).ptr(), o.bytes, o.tag));
      g_heap.free(Addr(address).ptr());
    }
    const HeapStats after = g_heap.stats();
    EXPECT_EQ(after.live_objects, before.live_objects);
    EXPECT_EQ(after.size, before.size);
    EXPECT_EQ(after.nmalloc, after.nfree + after.live_objects);
    sub->release_empty(g_heap.page_heap());
    EXPECT_EQ(sub->budget.used(), 0_B);
    EXPECT_TRUE(g_heap.is_valid());
  }
  g_heap.destroy_sub_heap(*unbounded);
}

TEST_F(SubHeapObjectsTest, ImpossibleRequestsAreNullAndAskNobody) {
  unsigned calls = 0;
  PressureCallbacks* table = sub->make_callbacks(g_heap.page_heap());
  ASSERT_TRUE(table->add({[](PressureCallbacks::Callback::Function, PressureLevel, Bytes,
                             void* arg) { ++*static_cast<unsigned*>(arg); },
                          [] {}, &calls}));
  for (const std::size_t bytes : {std::size_t{1} << 46, std::size_t{1} << 63, ~std::size_t{0}}) {
    EXPECT_EQ(g_heap.allocate_in(*sub, bytes), nullptr);
    EXPECT_EQ(g_heap.allocate_zeroed_in(*sub, bytes), nullptr);
    EXPECT_EQ(g_heap.allocate_aligned_in(*sub, bytes, 4096), nullptr);
  }
  EXPECT_EQ(g_heap.allocate_aligned_in(*sub, 1, std::size_t{1} << 63), nullptr);
  EXPECT_EQ(calls, 0u);
  EXPECT_EQ(g_heap.allocate_in(*sub, 5 << 20), nullptr);
  EXPECT_EQ(calls, 1u);
  EXPECT_EQ(sub->budget.used(), 0_B);
}

// What grows by moving its pages needs room for what is added, not for a second copy.
TEST_F(SubHeapObjectsTest, ALargeObjectGrowsToTheBudget) {
  void* p = g_heap.allocate_in(*sub, 2 << 20);
  void* wall = g_heap.allocate(8192);  // so that it cannot grow where it lies, at first
  Stamps::write(p, 2 << 20, 5);
  p = g_heap.reallocate(p, 4 << 20);
  ASSERT_NE(p, nullptr);
  EXPECT_TRUE(Stamps::hold(p, 2 << 20, 5));
  EXPECT_EQ(sub->budget.used(), 4_MiB);
  EXPECT_EQ(sub->budget.peak(), 4_MiB);
  EXPECT_EQ(g_heap.reallocate(p, (4 << 20) + 1), nullptr);
  EXPECT_TRUE(Stamps::hold(p, 2 << 20, 5));
  p = g_heap.reallocate(p, 1 << 20);
  EXPECT_EQ(sub->budget.used(), 1_MiB);
  EXPECT_TRUE(Stamps::hold(p, 1 << 20, 5));
  g_heap.free(p);
  g_heap.free(wall);
  EXPECT_EQ(sub->budget.used(), 0_B);
}

// Threads fill the sub-heap to its budget and free what others made. One watches.
TEST_F(SubHeapObjectsTest, ThreadsTogetherNeverExceedTheBudget) {
  constexpr unsigned kThreads = 4, kSlots = 600;
  std::vector<std::atomic<void*>> slots(kSlots);
  std::atomic<unsigned> wrong{0}, refused{0};
  std::atomic<bool> stop{false};
  const HeapStats before = g_heap.stats();
  std::thread watcher([&] {
    while (!stop.load()) wrong += sub->budget.used() > 4_MiB;
  });
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= kThreads; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      for (unsigned i = 0; i < 5000 * kEffort; ++i) {
        const std::size_t bytes = 16 + some_size(random) / (random.one_in(10) ? 1 : 20);
        auto* p = static_cast<std::uint64_t*>(g_heap.allocate_in(*sub, bytes));
        if (p == nullptr) {
          ++refused;
        } else {
          p[0] = bytes;
          p[1] = Addr(p).n ^ bytes;
        }
        auto* old = static_cast<std::uint64_t*>(slots[random.below(kSlots)].exchange(p));
        if (old == nullptr) continue;
        wrong += old[1] != (Addr(old).n ^ old[0]) || g_heap.usable_size(old) < old[0] ||
                 g_heap.sub_heap_of(old) != sub;
        old[1] = 0;
        g_heap.free(old);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  stop = true;
  watcher.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(refused.load(), 0u);
  EXPECT_LE(sub->budget.peak(), 4_MiB);
  EXPECT_TRUE(g_heap.is_valid());
  for (auto& slot : slots) g_heap.free(slot.load());
  const HeapStats after = g_heap.stats();
  EXPECT_EQ(after.live_objects, before.live_objects);
  EXPECT_EQ(after.nmalloc, after.nfree + after.live_objects);
}

TEST_F(SubHeapObjectsTest, ItsEndFreesWhatItHolds) {
  const HeapStats before = g_heap.stats();
  std::vector<void*> mine;
  for (unsigned i = 0; i < 3000; ++i) mine.push_back(g_heap.allocate_in(*sub, 16 + i % 1000));
  mine.push_back(g_heap.allocate_in(*sub, 500'000));
  mine.push_back(g_heap.allocate_in(*sub, 600'000));
  EXPECT_EQ(g_heap.stats().live_objects, before.live_objects + mine.size());
  for (unsigned i = 0; i < 1000; ++i) {
    g_heap.free(mine.back());
    mine.pop_back();
  }
  g_heap.destroy_sub_heap(*sub);
  EXPECT_FALSE(sub->exists());
  sub = nullptr;
  const HeapStats after = g_heap.stats();
  EXPECT_EQ(after.live_objects, before.live_objects);
  EXPECT_EQ(after.size, before.size);
  EXPECT_EQ(after.in_use, before.in_use);
  EXPECT_EQ(after.nmalloc, after.nfree + after.live_objects);
  for (void* p : mine) ASSERT_EQ(g_heap.span_of(p), nullptr);
}

// What one made and ended costs is used again by the next.
TEST_F(SubHeapObjectsTest, ManyOneAfterAnotherCostNoMore) {
  const auto round = [] {
    SubHeap* one = g_heap.create_sub_heap("one", 1_MiB);
    for (unsigned i = 0; i < 100; ++i) static_cast<void>(g_heap.allocate_in(*one, i * 37));
    g_heap.destroy_sub_heap(*one);
  };
  round();
  const HeapStats before = g_heap.stats();
  for (unsigned i = 0; i < 1000; ++i) round();
  const HeapStats after = g_heap.stats();
  EXPECT_EQ(after.metadata_touched, before.metadata_touched);
  EXPECT_EQ(after.grown, before.grown);
  EXPECT_EQ(after.live_objects, before.live_objects);
}

using SubHeapObjectsDeathTest = SubHeapObjectsTest;

std::string text(const char* what, const void* at) {
  char line[128];
  std::snprintf(line, sizeof line, "^ream: %s: %p\n$", what, at);
  return line;
}

TEST_F(SubHeapObjectsDeathTest, FreedTwiceByEveryEntryPoint) {
  for (const std::size_t bytes : {std::size_t{100}, std::size_t{1} << 20}) {
    void* p = g_heap.allocate_in(*sub, bytes);
    void* stays = g_heap.allocate_in(*sub, bytes);
    g_heap.free(p);
    const auto dies = [p](auto act, const char* what) {
      EXPECT_EXIT(act(), testing::KilledBySignal(SIGABRT), text(what, p));
    };
    dies([&] { g_heap.free(p); }, kFreeTexts.freed);
    dies([&] { g_heap.free_in(*sub, p); }, kFreeTexts.freed);
    dies([&] { g_heap.free_sized(p, 1); }, kFreeTexts.freed);
    dies([&] { static_cast<void>(g_heap.reallocate(p, 1)); }, kReallocTexts.freed);
    dies([&] { static_cast<void>(g_heap.reallocate_in(*sub, p, 1)); }, kReallocTexts.freed);
    dies([&] { g_heap.reallocate_in_to_nothing(*sub, p); }, kReallocTexts.freed);
    dies([&] { static_cast<void>(g_heap.usable_size(p)); }, kUsableTexts.freed);
    g_heap.free(stays);
  }
}

TEST_F(SubHeapObjectsDeathTest, InsideAnObject) {
  char* p = static_cast<char*>(g_heap.allocate_in(*sub, 100));
  EXPECT_EXIT(g_heap.free(p + 16), testing::KilledBySignal(SIGABRT),
              text(kFreeTexts.interior, p + 16));
  EXPECT_EXIT(g_heap.free_in(*sub, p + 16), testing::KilledBySignal(SIGABRT),
              text(kFreeTexts.interior, p + 16));
}

TEST_F(SubHeapObjectsDeathTest, OfAnotherHeap) {
  void* plain = g_heap.allocate(100);
  EXPECT_EXIT(g_heap.free_in(*sub, plain), testing::KilledBySignal(SIGABRT),
              text(kFreeInOther, plain));
  EXPECT_EXIT(static_cast<void>(g_heap.reallocate_in(*sub, plain, 10)),
              testing::KilledBySignal(SIGABRT), text(kReallocInOther, plain));
  g_heap.free(plain);
}

TEST_F(SubHeapObjectsDeathTest, AfterTheEndOfTheSubHeap) {
  void* small = g_heap.allocate_in(*sub, 100);
  void* large = g_heap.allocate_in(*sub, 1 << 20);
  g_heap.destroy_sub_heap(*sub);
  sub = nullptr;
  for (void* p : {small, large}) {
    EXPECT_EXIT(g_heap.free(p), testing::KilledBySignal(SIGABRT), text(kFreeTexts.freed, p));
    EXPECT_EXIT(static_cast<void>(g_heap.reallocate(p, 10)), testing::KilledBySignal(SIGABRT),
                text(kReallocTexts.freed, p));
  }
}

}  // namespace
}  // namespace ream
