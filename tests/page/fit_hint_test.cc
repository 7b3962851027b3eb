#include "page/fit_hint.h"

#include <gtest/gtest.h>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

constexpr PageIndex kStart{10};

TEST(FitHint, ServesItsSizeAndLargerOnes) {
  FitHint hint;
  EXPECT_EQ(hint.lowest(2), PageIndex{});
  hint.raise(4, PageIndex{5000}, kStart);
  EXPECT_EQ(hint.lowest(3), PageIndex{});
  EXPECT_EQ(hint.lowest(4), PageIndex{5000});
  EXPECT_EQ(hint.lowest(100000), PageIndex{5000});
}

TEST(FitHint, KeepsWhatServesMoreUnlessItIsOfNoUse) {
  FitHint hint;
  hint.raise(4, PageIndex{5000}, kStart);
  hint.raise(8, PageIndex{9000}, kStart);
  EXPECT_EQ(hint.lowest(8), PageIndex{5000});
  hint.raise(2, PageIndex{3000}, kStart);
  EXPECT_EQ(hint.lowest(2), PageIndex{3000});
  hint.raise(8, PageIndex{9000}, PageIndex{4000});
  EXPECT_EQ(hint.lowest(8), PageIndex{9000});
}

TEST(FitHint, FallsOnlyForRunsThatAreLongEnough) {
  FitHint hint;
  hint.raise(4, PageIndex{5000}, kStart);
  EXPECT_TRUE(hint.concerns(PageIndex{5000 + kChunkPages - 1}));
  EXPECT_FALSE(hint.concerns(PageIndex{5000 + kChunkPages}));
  hint.lower(3, PageIndex{100});
  EXPECT_EQ(hint.lowest(4), PageIndex{5000});
  hint.lower(4, PageIndex{200});
  EXPECT_EQ(hint.lowest(4), PageIndex{200});
  hint.forget();
  EXPECT_FALSE(hint.concerns(PageIndex{}));
  EXPECT_EQ(hint.lowest(4), PageIndex{});
}

// A heap of single free pages, with a hole at the end that a long search finds.
class HoleAtTheEnd : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kChunks = 100;
  static constexpr std::uint64_t kPages = kChunks * kChunkPages;
  static constexpr std::uint64_t kBlock = 20 * kChunkPages + 100;  // stays in use
  static constexpr std::uint64_t kBlockPages = 2 * kChunkPages;

  void SetUp() override {
    heap_.grow(0, kPages);
    ASSERT_TRUE(heap_.alloc(kPages));
    for (std::uint64_t i = 1; i + 2 < kPages; i += 2) {
      if (i < kBlock || i >= kBlock + kBlockPages) heap_.free(i, 1);
    }
    heap_.free(kPages - 2, 2);
  }
  // Allocates two pages, and frees them.
  std::uint64_t place_of_two() {
    const auto taken = heap_.alloc(2);
    EXPECT_TRUE(taken);
    if (!taken) return 0;
    heap_.free(taken->page, 2);
    return taken->page;
  }
  test::TwinHeap<Go48> heap_;
};

TEST_F(HoleAtTheEnd, IsFoundAtOnceTheSecondTime) {
  ASSERT_EQ(place_of_two(), kPages - 3);
  const auto searches = heap_.heap->search_stats().searches;
  EXPECT_EQ(place_of_two(), kPages - 3);
  EXPECT_EQ(heap_.heap->search_stats().searches, searches);
}

TEST_F(HoleAtTheEnd, GivesWayToALowerRun) {
  ASSERT_EQ(place_of_two(), kPages - 3);
  heap_.free(2000, 1);  // between two free pages
  EXPECT_EQ(place_of_two(), 1999u);
}

TEST_F(HoleAtTheEnd, GivesWayToARunOverTheEdgeOfAChunk) {
  ASSERT_EQ(place_of_two(), kPages - 3);
  heap_.free(50 * kChunkPages, 1);  // the page below it, in another chunk, is free
  EXPECT_EQ(place_of_two(), 50 * kChunkPages - 1);
}

TEST_F(HoleAtTheEnd, GivesWayToWhatIsFreedOverSeveralChunks) {
  ASSERT_EQ(place_of_two(), kPages - 3);
  heap_.free(kBlock, kBlockPages);
  EXPECT_EQ(place_of_two(), kBlock - 1);
}

TEST_F(HoleAtTheEnd, GivesWayToAFlushedCache) {
  auto cache = heap_.heap->alloc_to_cache();
  ASSERT_FALSE(cache.empty());
  ASSERT_EQ(heap_.heap->alloc(Pages(2)).base, heap_.addr(kPages - 3));
  ASSERT_TRUE(heap_.heap->free(heap_.addr(kPages - 3), Pages(2)));
  ASSERT_TRUE(heap_.heap->free(heap_.addr(2), Pages(1)));
  heap_.heap->flush(cache);
  EXPECT_EQ(heap_.heap->alloc(Pages(2)).base, heap_.addr(1));
}

TEST_F(HoleAtTheEnd, GivesWayToALeaseThatEnds) {
  auto lease = heap_.heap->lease_chunk(Pages(1));
  ASSERT_TRUE(lease);
  const std::uint64_t first = (lease.base() - heap_.addr(0)).n >> Go48::kPageShift;
  ASSERT_EQ(heap_.heap->alloc(Pages(2)).base, heap_.addr(kPages - 3));
  ASSERT_TRUE(heap_.heap->free(heap_.addr(kPages - 3), Pages(2)));
  ASSERT_TRUE(heap_.heap->free(heap_.addr(first + 8), Pages(1)));
  heap_.heap->end_lease(lease);
  EXPECT_EQ(heap_.heap->alloc(Pages(2)).base, heap_.addr(first + 7));
}

}  // namespace
}  // namespace ream::page
