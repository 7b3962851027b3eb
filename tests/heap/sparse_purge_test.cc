// Growth pays for itself: a program that holds sparse spans and then needs others gets the memory
// inside them back, and one where little is to be found is not asked for long looks.
#include "heap/sparse_purge.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "heap/heap.h"

namespace ream {
namespace {

std::vector<void*> filled(std::size_t bytes, std::size_t count) {
  std::vector<void*> objects;
  for (std::size_t i = 0; i < count; ++i) {
    objects.push_back(g_heap.allocate(bytes));
    std::memset(objects.back(), 1, bytes);
  }
  return objects;
}

void free_all(std::vector<void*>& objects) {
  for (void* p : objects) g_heap.free(p);
  objects.clear();
}

// Of the objects only each n-th stays.
void thin_out(std::vector<void*>& objects, std::size_t n) {
  std::vector<void*> kept;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (i % n == 0)
      kept.push_back(objects[i]);
    else
      g_heap.free(objects[i]);
  }
  objects = kept;
}

TEST(SparsePurgeTest, GrowthIsPaidForOutOfSparseSpans) {
  static_cast<void>(g_heap.trim());
  auto sparse = filled(1024, 32 << 10);                    // 32 MiB
  thin_out(sparse, kSizeClasses[class_of(1024)].objects);  // one in about each span
  const Bytes before = g_heap.sparse().purged_bytes();
  auto others = filled(4000, 8 << 10);  // as much again, of another class
  const Bytes purged = g_heap.sparse().purged_bytes() - before;
  EXPECT_GE(purged, 4_MiB);
  EXPECT_LE(purged, 32_MiB);
  for (void* p : sparse) EXPECT_EQ(static_cast<char*>(p)[1023], 1);
  free_all(sparse);
  free_all(others);
  EXPECT_TRUE(g_heap.is_valid());
}

TEST(SparsePurgeTest, AllLooksAtEverySpan) {
  static_cast<void>(g_heap.trim());
  const SizeClass& k = kSizeClasses[class_of(2048)];
  auto sparse = filled(2048, 8 << 10);  // 16 MiB
  thin_out(sparse, k.objects);
  ThreadCache& cache = g_heap.caches().get();
  g_heap.caches().empty(g_heap, cache);
  const Bytes inside(k.span_pages * kPageBytes - 2 * os::os_page_size().n);
  EXPECT_GE(g_heap.sparse().all(g_heap).n, sparse.size() / 2 * inside.n);
  EXPECT_EQ(g_heap.sparse().all(g_heap), Bytes());
  for (void* p : sparse) EXPECT_EQ(static_cast<char*>(p)[511], 1);
  free_all(sparse);
}

TEST(SparsePurgeTest, IsDueByGrowthAlone) {
  static_cast<void>(g_heap.trim());
  static_cast<void>(g_heap.page_heap().take_fresh_span_bytes());
  EXPECT_FALSE(g_heap.sparse().due(g_heap.page_heap()));
  for (unsigned i = 0; i < 100'000; ++i) g_heap.free(g_heap.allocate(100));
  EXPECT_FALSE(g_heap.sparse().due(g_heap.page_heap()));
}

// Else the worker would sleep, and leave what changed after a sweep to whoever wakes it next.
TEST(SparsePurgeTest, WhatChangesSoonAfterASweepIsLeftForTheNext) {
  static_cast<void>(g_heap.trim());
  auto sparse = filled(1024, 8 << 10);
  const auto sweeps_clean = [] {
    return g_heap.sparse().sweep(g_heap, WorkBudget(WorkBudget::kUnlimited));
  };
  for (unsigned tries = 0; tries < 100 && !sweeps_clean(); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  ASSERT_TRUE(sweeps_clean());
  thin_out(sparse, 16);
  EXPECT_FALSE(sweeps_clean());
  free_all(sparse);
}

}  // namespace
}  // namespace ream
