// The worker on the process's own heap: starts when the heap is large, gives back what lies unused,
// then sleeps until something changes; a child of fork gets its own.
#include "heap/worker.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "os/child.h"
#include "support/random.h"

namespace ream {
namespace {

// Waits for what the worker is to bring about. It needs a few seconds; a machine may be slow.
template <class Condition>
bool comes_true(Condition condition) {
  for (unsigned i = 0; i < 60'000 && !condition(); i += 10) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

bool falls_asleep() {
  return comes_true([] { return g_heap.worker().is_asleep(); });
}

std::vector<void*> filled(std::size_t bytes, Bytes total) {
  std::vector<void*> objects;
  for (std::size_t i = 0; i < total.n / bytes; ++i) {
    objects.push_back(g_heap.allocate(bytes));
    std::memset(objects.back(), 0x3c, bytes);
  }
  return objects;
}

// One in n stays, at random.
void thin_out(std::vector<void*>& objects, std::uint64_t n) {
  Random random(7);
  std::vector<void*> kept;
  for (void* p : objects) {
    if (random.one_in(n))
      kept.push_back(p);
    else
      g_heap.free(p);
  }
  objects.swap(kept);
}

void expect_intact(const std::vector<void*>& objects, std::size_t bytes) {
  for (void* p : objects) {
    const auto* c = static_cast<const unsigned char*>(p);
    ASSERT_EQ(c[0], 0x3c);
    ASSERT_EQ(std::memcmp(c, c + 1, bytes - 1), 0);
  }
}

void free_all(std::vector<void*>& objects) {
  for (void* p : objects) g_heap.free(p);
  objects.clear();
}

TEST(WorkerTest, ASmallHeapHasNone) {
  auto few = filled(1000, 1_MiB);
  EXPECT_FALSE(g_heap.worker().is_running());
  free_all(few);
}

TEST(WorkerTest, WhatLiesUnusedInsideSpansGoesBack) {
  constexpr std::size_t kBytes = 1000;
  auto objects = filled(kBytes, 64_MiB);
  EXPECT_TRUE(g_heap.worker().is_running());
  thin_out(objects, 20);
  const Bytes before = Bytes(g_heap.stats().purged_bytes);
  ASSERT_TRUE(falls_asleep());
  // A twentieth of the objects, on as many pages at most.
  EXPECT_GE(Bytes(g_heap.stats().purged_bytes) - before, 40_MiB);
  expect_intact(objects, kBytes);
  free_all(objects);
}

TEST(WorkerTest, WhatIsFreeGoesBack) {
  auto objects = filled(300'000, 64_MiB);
  free_all(objects);
  ASSERT_TRUE(falls_asleep());
  const HeapStats stats = g_heap.stats();
  EXPECT_LE(stats.free - stats.scavenged, 5_MiB);
  EXPECT_LE(stats.cached, 4_MiB);
}

TEST(WorkerTest, SleepsUntilSomethingChanges) {
  auto objects = filled(1000, 32_MiB);
  ASSERT_TRUE(falls_asleep());
  const std::uint64_t purged = g_heap.stats().purged_bytes;
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  EXPECT_TRUE(g_heap.worker().is_asleep());
  EXPECT_EQ(g_heap.stats().purged_bytes, purged);
  free_all(objects);
  EXPECT_TRUE(comes_true([&] { return g_heap.stats().purged_bytes - purged >= (24u << 20); }));
  EXPECT_TRUE(falls_asleep());
}

// In KiB.
std::uint64_t in_huge_pages() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  std::string word;
  std::uint64_t kib = 0;
  while (rollup >> word) {
    if (word == "AnonHugePages:") rollup >> kib;
  }
  return kib;
}

TEST(WorkerTest, DenseMemoryIsBackedByHugePagesWhileItIsDense) {
  if (os::huge_page_size() != 2_MiB || os::huge_page_rule() == os::HugePageRule::kNever)
    GTEST_SKIP() << "this system has no transparent huge pages of 2 MiB";
  const std::uint64_t before = in_huge_pages();
  auto objects = filled(1000, 64_MiB);
  const HugePageStats stats = g_heap.stats().huge_pages;
  const bool became_huge = comes_true([&] {
    return in_huge_pages() >= before + (32 << 10) ||
           g_heap.stats().huge_pages.refused > stats.refused;
  });
  EXPECT_TRUE(became_huge);
  if (in_huge_pages() < before + (32 << 10)) {
    free_all(objects);
    GTEST_SKIP() << "the system refuses: it has no free huge pages, or no such call";
  }
  EXPECT_GT(g_heap.stats().huge_pages.collapsed, 0u);
  expect_intact(objects, 1000);
  thin_out(objects, 20);
  EXPECT_TRUE(comes_true([&] { return in_huge_pages() < before + (16 << 10); }));
  EXPECT_GT(g_heap.stats().huge_pages.split, stats.split);
  expect_intact(objects, 1000);
  free_all(objects);
  EXPECT_TRUE(falls_asleep());
}

TEST(WorkerTest, AChildOfForkGetsItsOwn) {
  auto objects = filled(1000, 32_MiB);
  ASSERT_TRUE(g_heap.worker().is_running());
  const int result = os::exit_of_child([&] {
    if (g_heap.worker().is_running()) return 1;
    const std::uint64_t purged = g_heap.stats().purged_bytes;
    free_all(objects);
    auto others = filled(2000, 1_MiB);
    if (!g_heap.worker().is_running()) return 2;
    if (!falls_asleep()) return 3;
    return g_heap.stats().purged_bytes - purged >= (24u << 20) ? 0 : 4;
  });
  EXPECT_EQ(result, 0);
  free_all(objects);
}

}  // namespace
}  // namespace ream
