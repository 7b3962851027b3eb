#include "page/page_cache.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using Heap = test::TwinHeap<Go48>;
constexpr std::uint64_t kFirst = 1ULL << 20;  // where the tests grow

TEST(PageCache, TakesTheLowestRunThatFits) {
  std::mt19937_64 random(1);
  for (unsigned round = 0; round < 2000 * test::kScale; ++round) {
    const std::uint64_t free = random() | random();
    const std::uint64_t scavenged = free & random();
    PageCache<Go48> cache(Addr(), free, scavenged);
    test::NaiveModel::Cache naive{0, free, scavenged};
    while (!cache.empty()) {
      const std::uint64_t n = 1 + random() % (random() % 4 == 0 ? 64 : 6);
      const Allocation got = cache.alloc(Pages(n));
      const auto want = test::NaiveModel::alloc_from(naive, n);
      ASSERT_EQ(got.ok, want.has_value());
      if (want) {
        ASSERT_EQ(got.base.n >> Go48::kPageShift, want->page);
        ASSERT_EQ(got.scavenged.n >> Go48::kPageShift, want->scavenged);
      }
      ASSERT_EQ(cache.free(), naive.free);
      ASSERT_EQ(cache.scavenged(), naive.scavenged);
    }
  }
}

TEST(PageCache, RefusesSizesItCannotHold) {
  PageCache<Go48> cache(Addr(), ~0ULL, 0);
  EXPECT_FALSE(cache.alloc(Pages(0)));
  EXPECT_FALSE(cache.alloc(Pages(65)));
  EXPECT_TRUE(cache.alloc(Pages(64)));
  EXPECT_FALSE(cache.alloc(Pages(1)));
}

TEST(PageCache, RefillOfTheFirstBlockOfHolesAndOfGaps) {
  Heap heap;
  heap.grow(kFirst, 2 * kChunkPages);
  heap.grow(kFirst + 9 * kChunkPages, kChunkPages);
  Heap::CachePair cache;
  heap.fill(cache);  // the first block, all scavenged
  EXPECT_EQ(cache.real.free(), ~0ULL);
  heap.flush(cache);
  ASSERT_TRUE(heap.alloc(30));
  ASSERT_TRUE(heap.alloc(10));
  heap.free(kFirst + 5, 7);  // a hole in use before, unscavenged
  heap.fill(cache);
  EXPECT_EQ(cache.real.free(), (~0ULL << 40) | bit_range(5, 7));
  heap.flush(cache);
  // Everything below the gap is taken: the next block lies above it.
  while (heap.model.find(1).value_or(kFirst + 2 * kChunkPages) < kFirst + 2 * kChunkPages) {
    ASSERT_TRUE(heap.alloc(1));
  }
  heap.fill(cache);
  EXPECT_EQ(heap.page(cache.real.base()), kFirst + 9 * kChunkPages);
  heap.flush(cache);
  while (heap.alloc(1)) {
  }
  heap.fill(cache);
  EXPECT_TRUE(cache.real.empty());
  heap.flush(cache);  // of an empty one: nothing
  EXPECT_TRUE(heap.same_state());
}

TEST(PageCache, FlushRandomCaches) {
  std::mt19937_64 random(2);
  for (const FreeKind kind : {FreeKind::kQuiet, FreeKind::kCandidate}) {
    Heap heap;
    heap.set_shape({1, 256});
    heap.grow(kFirst, 3 * kChunkPages);
    std::vector<Heap::CachePair> caches(5);
    std::vector<Heap::Taken> live;
    for (unsigned step = 0; step < 1500 * test::kScale; ++step) {
      auto& cache = caches[random() % caches.size()];
      if (cache.real.empty()) {
        heap.fill(cache);
      } else if (random() % 4 == 0) {
        heap.flush(cache, kind);
      } else if (const auto got = heap.alloc_from(cache, 1 + random() % 5)) {
        live.push_back({got->page, 1});
      }
      if (live.size() > 200) {
        std::swap(live[random() % live.size()], live.back());
        heap.free(live.back().page, 1);
        live.pop_back();
      }
      if (step % 50 == 0) heap.scavenge(20);
      if (step % 100 == 0) {
        ASSERT_TRUE(heap.same_state());
      }
      ASSERT_FALSE(::testing::Test::HasFailure());
    }
  }
}

TEST(PageCache, FlushedPagesAreCandidatesWhereAskedFor) {
  Heap heap;
  heap.grow(kFirst, kChunkPages);
  ASSERT_TRUE(heap.alloc(64));
  heap.free(kFirst, 64, FreeKind::kQuiet);
  Heap::CachePair cache;
  heap.fill(cache);
  heap.flush(cache);
  EXPECT_EQ(heap.scavenge(1000), 0u);
  heap.fill(cache);
  heap.flush(cache, FreeKind::kCandidate);
  EXPECT_EQ(heap.scavenge(1000), 64u);
}

}  // namespace
}  // namespace ream::page
