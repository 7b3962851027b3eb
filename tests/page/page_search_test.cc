#include "page/page_search.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

constexpr std::uint64_t kRootEntry = 1ULL << kLogMaxPackedPages;

// The stated bounds: a path and two blocks a rank.
static_assert(PageSearch<Go48>::kMaxVisits == 9 + 2 * (8 * 8 + 4));
static_assert(PageSearch<HeapWindow>::kMaxVisits == 8 + 2 * (7 * 8 + 2));

// 128 TiB of address space in which only one run of each kind lies, at the far end.
TEST(PageSearch, VisitsAreBoundedAt128TiB) {
  test::TwinHeap<Go48> heap;
  auto& h = *heap.heap;
  const std::uint64_t total = 1ULL << 34;  // 128 TiB
  for (std::uint64_t page = 0; page < total; page += kRootEntry * 512) {
    // One chunk in every 8 TiB, filled but for every other page.
    ASSERT_EQ(h.grow(heap.addr(page), Bytes(Go48::kChunkBytes)), GrowResult::kOk);
    ASSERT_TRUE(h.alloc_range(heap.addr(page), Pages(kChunkPages)));
    for (unsigned i = 0; i < kChunkPages; i += 2) {
      ASSERT_TRUE(h.free(heap.addr(page + i), Pages(1)));
    }
  }
  const std::uint64_t last = total - 1 - kChunkPages;
  ASSERT_EQ(h.grow(heap.addr(last), Bytes(2 * Go48::kChunkBytes - 1)), GrowResult::kOk);
  const auto visits = [&](auto&& search) {
    const std::uint64_t before = h.search_stats().visits;
    search();
    return h.search_stats().visits - before;
  };
  for (std::uint64_t n = 2; n <= 2048; n *= 2) {
    EXPECT_LE(visits([&] { (void)h.find(Pages(n)); }), PageSearch<Go48>::kMaxVisits);
    EXPECT_LE(visits([&] { (void)h.find_highest(Pages(n), Addr(), h.max_search_addr()); }),
              PageSearch<Go48>::kMaxVisits);
  }
  // What does not fit is refused in as many visits, and then without any.
  EXPECT_FALSE(h.alloc(Pages(2000)));
  EXPECT_EQ(visits([&] { EXPECT_FALSE(h.alloc(Pages(2000))); }), 0u);
  EXPECT_EQ(visits([&] { EXPECT_FALSE(h.alloc(Pages(1ULL << 33))); }), 0u);
  EXPECT_LE(h.search_stats().max_visits, PageSearch<Go48>::kMaxVisits);
}

TEST(PageSearch, RunsOverSeveralRootEntries) {
  test::TwinHeap<Go48> heap;
  auto& h = *heap.heap;
  const std::uint64_t n = 3 * kRootEntry + 5;
  const std::uint64_t first = 7 * kRootEntry - 3 * kChunkPages;
  const std::uint64_t grown = 3 * kRootEntry + 9 * kChunkPages;
  ASSERT_EQ(h.grow(heap.addr(first), Bytes(grown << Go48::kPageShift)), GrowResult::kOk);
  EXPECT_FALSE(h.alloc(Pages(grown + 1)));
  const Allocation a = h.alloc(Pages(n));
  ASSERT_TRUE(a);
  EXPECT_EQ(a.base, heap.addr(first));
  EXPECT_EQ(a.scavenged.n, n << Go48::kPageShift);
  const Allocation rest = h.alloc(Pages(grown - n));
  EXPECT_EQ(rest.base, heap.addr(first + n));
  EXPECT_FALSE(h.alloc(Pages(1)));
  EXPECT_EQ(h.free_pages_total(), Pages());
  ASSERT_TRUE(h.free(a.base, Pages(n)));
  EXPECT_EQ(h.alloc(Pages(n)).base, a.base);
  ASSERT_TRUE(h.free(a.base, Pages(n)));
  ASSERT_TRUE(h.free(rest.base, Pages(grown - n)));
  EXPECT_EQ(h.find_highest(Pages(n), Addr(), h.max_search_addr()).base,
            heap.addr(first + grown - n));
  EXPECT_EQ(h.find_aligned(Pages(kRootEntry), Pages(kRootEntry)).base, heap.addr(7 * kRootEntry));
}

TEST(PageSearch, MisalignedHolesDoNotCostASearchEach) {
  test::TwinHeap<Go48> heap;
  auto& h = *heap.heap;
  constexpr std::uint64_t kFirst = 1ULL << 22;
  heap.grow(kFirst, 64 * kChunkPages);
  // Of 8 pages the lowest, which is the aligned one, is in use.
  for (std::uint64_t page = 0; page < 60 * kChunkPages; page += 8)
    heap.alloc_range(kFirst + page, 1);
  const std::uint64_t before = h.search_stats().searches;
  const auto a = heap.alloc(1, 8);
  ASSERT_TRUE(a);
  EXPECT_EQ(a->page, kFirst + 60 * kChunkPages);
  EXPECT_LE(h.search_stats().searches - before, h.kAlignedPasses + 1u);
  // No longer run is left: then the passes go on to the one that fits.
  for (std::uint64_t page = 60 * kChunkPages + 8; page < 64 * kChunkPages; page += 8) {
    heap.alloc_range(kFirst + page, 1);
  }
  ASSERT_TRUE(heap.free(kFirst + 50 * kChunkPages, 1));
  ASSERT_TRUE(heap.alloc_range(kFirst + 50 * kChunkPages + 1, 7));
  const auto b = heap.alloc(1, 8);
  ASSERT_TRUE(b);
  EXPECT_EQ(b->page, kFirst + 50 * kChunkPages);
  EXPECT_FALSE(heap.alloc(1, 8));
  EXPECT_TRUE(heap.same_state());
}

TEST(PageSearch, FirstFitFromAnyPlaceAndLastFitInAnyRange) {
  std::mt19937_64 random(1);
  test::TwinHeap<Tiny64> heap;
  heap.grow(2 * kChunkPages, 5 * kChunkPages);
  heap.grow(9 * kChunkPages, 7 * kChunkPages);
  heap.grow(40 * kChunkPages, 24 * kChunkPages);
  // Blocks in use of many sizes, with gaps.
  for (unsigned i = 0; i < 250; ++i) {
    const std::uint64_t page = random() % Tiny64::kTotalPages;
    const std::uint64_t n = 1 + random() % (1u << random() % 10);
    if (heap.model.state(page).has_value() && heap.model.state(page + n - 1).has_value()) {
      heap.alloc_range(page, n);
    }
  }
  ASSERT_TRUE(heap.same_state());
  for (unsigned round = 0; round < 60 * test::kScale; ++round) {
    const std::uint64_t n = 1 + random() % (1u << random() % 13);
    const std::uint64_t lo = random() % Tiny64::kTotalPages;
    const std::uint64_t hi = lo + random() % (Tiny64::kTotalPages - lo + 1);
    heap.find_highest(n, lo, hi);
    heap.find_highest(n, 0, Tiny64::kTotalPages);
    const std::uint64_t align = 1u << random() % 12;
    const Place aligned = heap.heap->find_aligned(Pages(n), Pages(align));
    const auto want = heap.model.find_aligned(n, align, PageAlloc<Tiny64>::kAlignedPasses);
    ASSERT_EQ(aligned.ok, want.has_value()) << n << " " << align;
    if (want) {
      ASSERT_EQ(heap.page(aligned.base), *want) << n << " " << align;
    }
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace ream::page
