// The registry: sweeps over sub-heaps that come and go, and fork.
#include "heap/sub_heaps.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "heap/page_units.h"
#include "heap/stamps.h"
#include "os/child.h"
#include "os/sanitized.h"
#include "support/effort.h"
#include "support/no_worker.h"
#include "support/random.h"

namespace ream {
namespace {

using Sweep = CentralList::Sweep;

SubHeaps& all() { return g_heap.sub_heaps(); }

SubHeaps::Swept sweep(Sweep what) {
  SubHeaps::Swept swept;
  all().begin_sweep();
  while (all().sweep_step(g_heap.page_heap(), what, swept)) {
  }
  return swept;
}

// Objects in a sub-heap, of which one in n stays live.
struct Sparse {
  explicit Sparse(unsigned n) {
    std::vector<void*> objects;
    for (unsigned i = 0; i < 2000; ++i) {
      objects.push_back(g_heap.allocate_in(*sub, 2000));
      Stamps::write(objects.back(), 2000, 1);
    }
    for (unsigned i = 0; i < objects.size(); ++i) {
      if (i % n == 0)
        live.push_back(objects[i]);
      else
        g_heap.free(objects[i]);
    }
  }
  ~Sparse() { g_heap.destroy_sub_heap(*sub); }
  Sparse(const Sparse&) = delete;
  Sparse& operator=(const Sparse&) = delete;

  [[nodiscard]] bool holds() const {
    for (void* p : live) {
      if (!Stamps::hold(p, 2000, 1)) return false;
    }
    return true;
  }
  SubHeap* sub = g_heap.create_sub_heap("sparse", 0_B);
  std::vector<void*> live;
};

TEST(SubHeapsTest, AreCountedAndHaveNames) {
  const std::uint64_t before = all().count();
  SubHeap* a = g_heap.create_sub_heap("a name", 1_MiB);
  SubHeap* b = g_heap.create_sub_heap(nullptr, 0_B);
  EXPECT_EQ(all().count(), before + 2);
  EXPECT_STREQ(a->name(), "a name");
  EXPECT_STREQ(b->name(), "");
  g_heap.destroy_sub_heap(*a);
  g_heap.destroy_sub_heap(*b);
  EXPECT_EQ(all().count(), before);
}

TEST(SubHeapsTest, ASweepGivesBackWhatTwoPassesFoundUntouched) {
  Sparse sparse(20);
  EXPECT_TRUE(all().wants_sweep());
  const Bytes before = g_heap.stats().inside_purged;
  const SubHeaps::Swept first = sweep(Sweep::kUntouched);
  EXPECT_EQ(first.given, 0_B);
  EXPECT_TRUE(first.again);
  EXPECT_TRUE(all().wants_sweep());
  const SubHeaps::Swept second = sweep(Sweep::kUntouched);
  EXPECT_GE(second.given, 2_MiB);  // of 4, where one object in 20 keeps a page or two
  EXPECT_FALSE(second.again);
  EXPECT_FALSE(all().wants_sweep());
  EXPECT_EQ(g_heap.stats().inside_purged, before + second.given);
  EXPECT_TRUE(sparse.holds());
  EXPECT_TRUE(g_heap.is_valid());
  // Taken into use again, it reads as zero.
  for (unsigned i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Stamps::all_zero(g_heap.allocate_zeroed_in(*sparse.sub, 2000), 2000));
  }
  EXPECT_GE(sweep(Sweep::kUntouched).taken, 1_MiB);
}

TEST(SubHeapsTest, TrimGivesBackAllThatTheyDoNotUse) {
  const std::unique_ptr<Sparse> sparse[] = {std::make_unique<Sparse>(20),
                                            std::make_unique<Sparse>(50)};
  EXPECT_GE(g_heap.trim(), 5_MiB);
  for (const auto& one : sparse) EXPECT_TRUE(one->holds());
  EXPECT_TRUE(g_heap.is_valid());
}

TEST(SubHeapsTest, ASweepGoesOnWhereItsSubHeapEnds) {
  auto a = std::make_unique<Sparse>(20);
  auto b = std::make_unique<Sparse>(20);
  auto c = std::make_unique<Sparse>(20);
  SubHeaps::Swept swept;
  all().begin_sweep();
  ASSERT_TRUE(all().sweep_step(g_heap.page_heap(), Sweep::kAll, swept));  // some of c
  c.reset();
  ASSERT_TRUE(all().sweep_step(g_heap.page_heap(), Sweep::kAll, swept));
  b.reset();
  const Bytes before = swept.given;
  while (all().sweep_step(g_heap.page_heap(), Sweep::kAll, swept)) {
  }
  EXPECT_GE(swept.given, before + 2_MiB);  // all of a
  EXPECT_TRUE(a->holds());
  a.reset();
  EXPECT_FALSE(all().sweep_step(g_heap.page_heap(), Sweep::kAll, swept));
}

TEST(SubHeapsTest, ReleaseGivesUpEmptySpansOnly) {
  SubHeap* sub = g_heap.create_sub_heap("empty", 0_B);
  void* p = g_heap.allocate_in(*sub, 100);
  g_heap.free(g_heap.allocate_in(*sub, 1000));
  const Bytes both = sub->budget.used();
  all().release_empty(g_heap.page_heap());
  EXPECT_LT(sub->budget.used(), both);
  EXPECT_NE(sub->budget.used(), 0_B);
  g_heap.free(p);
  all().release_empty(g_heap.page_heap());
  EXPECT_EQ(sub->budget.used(), 0_B);
  g_heap.destroy_sub_heap(*sub);
}

TEST(SubHeapsTest, ComeAndGoWhileOthersSweep) {
  std::atomic<bool> stop{false};
  std::thread sweeper([&] {
    while (!stop.load()) {
      sweep(Sweep::kUntouched);
      static_cast<void>(g_heap.stats());
      all().release_empty(g_heap.page_heap());
    }
  });
  std::vector<std::thread> threads;
  std::atomic<unsigned> wrong{0};
  for (std::uint64_t t = 1; t <= 3; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      for (unsigned i = 0; i < 100 * kEffort; ++i) {
        SubHeap* sub = g_heap.create_sub_heap("short", 1_MiB);
        std::vector<void*> mine;
        for (unsigned k = 0; k < 100; ++k) {
          const std::size_t bytes = 16 + random.of_any_magnitude(20'000);
          void* p = g_heap.allocate_in(*sub, bytes);
          if (p == nullptr) continue;
          Stamps::write(p, 16, k);
          mine.push_back(p);
        }
        wrong += mine.empty() || sub->budget.used() > 1_MiB;
        for (unsigned k = 0; k < mine.size(); k += 3) g_heap.free(mine[k]);
        g_heap.destroy_sub_heap(*sub);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  stop = true;
  sweeper.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_TRUE(g_heap.is_valid());
}

// In the child every sub-heap works, whatever other threads were doing with it.
TEST(SubHeapsTest, ChildrenOfABusyParentUseEverySubHeap) {
  if (os::kSanitized) GTEST_SKIP() << "sanitizers allow no threads in a child";
  SubHeap* const sub = g_heap.create_sub_heap("shared", 8_MiB);
  SubHeap* const unbounded = g_heap.create_sub_heap("unbounded", 0_B);
  std::atomic<bool> stop{false};
  const auto work = [&](std::uint64_t seed, unsigned rounds) {
    Random random(seed);
    std::vector<void*> mine;
    SubHeap* own = g_heap.create_sub_heap("own", 0_B);
    for (unsigned i = 0; i < rounds; ++i) {
      SubHeap& in = random.one_in(3) ? *own : random.one_in(2) ? *unbounded : *sub;
      const std::size_t bytes = 16 + random.of_any_magnitude(random.one_in(20) ? 1 << 20 : 3000);
      void* p = g_heap.allocate_in(in, bytes);
      if (p != nullptr && &in != own) mine.push_back(p);
      if (mine.size() < 50) continue;
      std::swap(random.pick(mine), mine.back());
      g_heap.free(mine.back());
      mine.pop_back();
    }
    for (void* p : mine) g_heap.free(p);
    g_heap.destroy_sub_heap(*own);
  };
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= 3; ++t) {
    threads.emplace_back([&, t] {
      while (!stop.load()) work(t, 300);
    });
  }
  for (unsigned i = 0; i < 20 * kEffort; ++i) {
    void* of_parent = g_heap.allocate_in(*unbounded, 100);
    void* large_of_parent = g_heap.allocate_in(*unbounded, 1 << 20);
    const int result = os::exit_of_child([&] {
      if (!all().is_valid()) return 1;  // also: what is charged is what there is
      g_heap.free(of_parent);
      g_heap.free(large_of_parent);
      work(i, 500);
      std::thread([&] { work(i + 1, 500); }).join();
      if (sub->budget.peak() > 8_MiB) return 2;
      g_heap.destroy_sub_heap(*sub);
      g_heap.destroy_sub_heap(*unbounded);
      return g_heap.is_valid() ? 0 : 3;
    });
    g_heap.free(of_parent);
    g_heap.free(large_of_parent);
    ASSERT_EQ(result, 0) << "child " << i;
  }
  stop = true;
  for (std::thread& t : threads) t.join();
  EXPECT_TRUE(g_heap.is_valid());
  g_heap.destroy_sub_heap(*sub);
  g_heap.destroy_sub_heap(*unbounded);
}

// A handler of another library that runs while ream holds its locks for the fork.
TEST(SubHeapsTest, WhatAForkHandlerMakesWorksOnBothSides) {
  g_heap.before_fork();
  SubHeap* const made = g_heap.create_sub_heap("by a handler", 0_B);
  void* p = g_heap.allocate_in(*made, 100);
  ASSERT_NE(made->make_callbacks(g_heap.page_heap()), nullptr);
  std::atomic<bool> done{false};
  std::thread other([&] {
    g_heap.free(g_heap.allocate_in(*made, 100));  // waits until the fork is over
    done = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_FALSE(done);
  g_heap.after_fork_in_parent();
  other.join();
  g_heap.free(p);
  EXPECT_TRUE(g_heap.is_valid());
  g_heap.destroy_sub_heap(*made);
}

}  // namespace
}  // namespace ream
