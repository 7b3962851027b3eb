#include "page/page_scavenge_impl.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using Heap = test::TwinHeap<Go48>;
constexpr std::uint64_t kFirst = 1ULL << 22;

TEST(Scavenge, HighestChunksFirstAndEveryPurgeIsOfFreePages) {
  Heap heap;
  heap.set_shape({1, 256});
  heap.grow(kFirst, 3 * kChunkPages);
  ASSERT_TRUE(heap.alloc(3 * kChunkPages));
  heap.free(kFirst + 10, 100);
  heap.free(kFirst + 2 * kChunkPages, 300);
  EXPECT_EQ(heap.scavenge(1), 1u);
  EXPECT_EQ(heap.memory.purges.back().first, heap.addr(kFirst + 2 * kChunkPages + 299));
  EXPECT_EQ(heap.scavenge(50), 256u + 43u);  // the free huge page stays whole
  EXPECT_EQ(heap.scavenge(1000), 100u);
  EXPECT_EQ(heap.scavenge(1000), 0u);
  std::uint64_t purged = 0;
  for (const auto& [base, bytes] : heap.memory.purges) {
    purged += bytes.n >> Go48::kPageShift;
    EXPECT_EQ(heap.heap->page_state(base), PageState::kScavenged);
  }
  EXPECT_EQ(purged, 400u);
  EXPECT_TRUE(heap.same_state());
}

TEST(Scavenge, QuietFreesAreNotLookedAt) {
  Heap heap;
  heap.grow(kFirst, kChunkPages);
  ASSERT_TRUE(heap.alloc(10));
  heap.free(kFirst, 10, FreeKind::kQuiet);
  EXPECT_EQ(heap.scavenge(100), 0u);
  ASSERT_TRUE(heap.alloc(10));
  heap.free(kFirst, 5);
  EXPECT_EQ(heap.scavenge(100), 5u);
}

TEST(Scavenge, NeighboursMarkedAsBackedGoBackWithTheirOsPage) {
  Heap heap;
  heap.set_shape({4, 0});
  heap.grow(kFirst, 2 * kChunkPages);
  ASSERT_TRUE(heap.alloc(1));
  const auto mark = [&](std::uint64_t page, std::uint64_t n) {
    heap.heap->mark_backed(heap.addr(page), Pages(n));
    heap.model.mark_backed(page, n);
  };
  mark(kFirst, 4);  // the page in use is passed over
  EXPECT_EQ(heap.heap->unscavenged_free_pages(), Pages(3));
  mark(kFirst + kChunkPages - 2, 4);
  mark(kFirst + 2 * kChunkPages, 1);  // not grown: nothing happens
  mark(kFirst, 0);
  EXPECT_EQ(heap.heap->unscavenged_free_pages(), Pages(7));
  EXPECT_TRUE(heap.same_state());
  EXPECT_EQ(heap.scavenge(100), 0u);  // no whole OS page
  heap.free(kFirst, 1);
  EXPECT_EQ(heap.scavenge(100), 4u);
  EXPECT_TRUE(heap.same_state());
}

TEST(Scavenge, StopsAtTheDeadline) {
  Heap heap;
  heap.grow(kFirst, 4 * kChunkPages);
  ASSERT_TRUE(heap.alloc(4 * kChunkPages));
  heap.free(kFirst, 4 * kChunkPages);
  heap.memory.tick = 10;
  EXPECT_EQ(heap.heap->scavenge(Bytes(~0ULL), 15).n >> Go48::kPageShift, 2 * kChunkPages);
  EXPECT_EQ(heap.heap->scavenge(Bytes(~0ULL)).n >> Go48::kPageShift, 2 * kChunkPages);
}

TEST(Scavenge, InTwoStepsWithTheLockDroppedBetween) {
  Heap heap;
  heap.grow(kFirst, kChunkPages);
  ASSERT_TRUE(heap.alloc(kChunkPages));
  heap.free(kFirst, 200);
  auto run = heap.heap->begin_purge(Bytes(50 * Go48::kPageBytes));
  ASSERT_TRUE(run);
  EXPECT_EQ(run.pages, Pages(50));
  EXPECT_EQ(run.base, heap.addr(kFirst + 150));
  EXPECT_FALSE(heap.heap->alloc_range(run.base, Pages(1)));
  EXPECT_EQ(heap.heap->alloc(Pages(150)).base, heap.addr(kFirst));
  heap.heap->end_purge(run, true);
  EXPECT_EQ(heap.heap->page_state(run.base), PageState::kScavenged);
  EXPECT_TRUE(heap.heap->is_valid());
  ASSERT_TRUE(heap.heap->free(heap.addr(kFirst), Pages(150)));
  run = heap.heap->begin_purge(Bytes(1));
  heap.heap->end_purge(run, false);
  EXPECT_EQ(heap.heap->page_state(run.base), PageState::kFree);
  EXPECT_FALSE(heap.heap->begin_purge(Bytes()));
  EXPECT_TRUE(heap.heap->is_valid());
}

TEST(Scavenge, OfARangeAndMarksOfPagesPurgedByTheOwner) {
  Heap heap;
  heap.set_shape({4, 0});
  heap.grow(kFirst, 2 * kChunkPages);
  ASSERT_TRUE(heap.alloc(2 * kChunkPages));
  heap.free(kFirst + 6, 1000, FreeKind::kQuiet);
  // Whole groups of 4 pages that are free: from 8 to 1004.
  EXPECT_EQ(heap.heap->scavenge_range(heap.addr(kFirst), Pages(2 * kChunkPages)).n >> 13, 996u);
  EXPECT_EQ(heap.heap->page_state(heap.addr(kFirst + 7)), PageState::kFree);
  EXPECT_EQ(heap.heap->page_state(heap.addr(kFirst + 8)), PageState::kScavenged);
  EXPECT_EQ(heap.heap->page_state(heap.addr(kFirst + 1004)), PageState::kFree);
  EXPECT_EQ(heap.heap->unscavenged_free_pages(), Pages(4));
  EXPECT_TRUE(heap.heap->mark_scavenged(heap.addr(kFirst + 6), Pages(1000)));
  EXPECT_FALSE(heap.heap->mark_scavenged(heap.addr(kFirst + 5), Pages(2)));
  EXPECT_EQ(heap.heap->unscavenged_free_pages(), Pages());
  EXPECT_EQ(heap.heap->alloc(Pages(1000)).scavenged.n >> 13, 1000u);
  EXPECT_TRUE(heap.heap->is_valid());
}

TEST(Scavenge, AllShapesAgainstTheModel) {
  std::mt19937_64 random(1);
  for (const unsigned huge : {0u, 64u, 256u, 512u}) {
    for (unsigned unit = 1; unit <= 64; unit *= 4) {
      Heap heap;
      heap.set_shape({unit, huge});
      heap.grow(kFirst, 3 * kChunkPages);
      heap.grow(kFirst + 70 * kChunkPages, 3 * kChunkPages);
      std::vector<std::pair<std::uint64_t, std::uint64_t>> live;
      for (unsigned step = 0; step < 150 * test::kScale; ++step) {
        const std::uint64_t n = 1 + random() % (1u << random() % 9);
        if (random() % 2 != 0) {
          if (const auto got = heap.alloc(n)) live.emplace_back(got->page, n);
        } else if (!live.empty()) {
          std::swap(live[random() % live.size()], live.back());
          heap.free(live.back().first, live.back().second,
                    random() % 8 == 0 ? FreeKind::kQuiet : FreeKind::kCandidate);
          live.pop_back();
        }
        if (random() % 5 == 0) heap.scavenge(random() % 300);
        ASSERT_TRUE(heap.same_state());
        ASSERT_FALSE(::testing::Test::HasFailure());
      }
      heap.scavenge(~0ULL >> 13);
      ASSERT_TRUE(heap.same_state());
    }
  }
}

}  // namespace
}  // namespace ream::page
