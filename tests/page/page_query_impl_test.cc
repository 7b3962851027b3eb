#include "page/page_query_impl.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

TEST(PageQuery, HistogramOfFreeRuns) {
  std::mt19937_64 random(1);
  test::TwinHeap<Tiny64> heap;
  heap.grow(0, 9 * kChunkPages);
  heap.grow(20 * kChunkPages, 40 * kChunkPages);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> live;
  for (unsigned step = 0; step < 60 * test::kScale; ++step) {
    const std::uint64_t n = 1 + random() % (1u << random() % 12);
    if (random() % 3 != 0) {
      if (const auto got = heap.alloc(n)) live.emplace_back(got->page, n);
    } else if (!live.empty()) {
      std::swap(live[random() % live.size()], live.back());
      heap.free(live.back().first, live.back().second);
      live.pop_back();
    }
    const FreeRunHistogram got = heap.heap->free_run_histogram();
    const FreeRunHistogram want = heap.model.histogram();
    ASSERT_EQ(got.runs, want.runs);
    ASSERT_EQ(got.pages, want.pages);
  }
}

TEST(PageQuery, HistogramOfAVastFreeHeapIsQuick) {
  test::TwinHeap<Go48> heap;
  ASSERT_EQ(heap.heap->grow(Addr(), Bytes(1ULL << 48)), GrowResult::kOk);
  const FreeRunHistogram h = heap.heap->free_run_histogram();
  EXPECT_EQ(h.runs[35], 1u);
  EXPECT_EQ(h.pages[35], Pages(1ULL << 35));
  EXPECT_TRUE(heap.heap->alloc(Pages(5)));
  EXPECT_FALSE(heap.heap->alloc(Pages(1ULL << 35)));
}

TEST(PageQuery, StatesOfPages) {
  test::TwinHeap<HeapWindow> heap;
  auto& h = *heap.heap;
  heap.grow(kChunkPages, kChunkPages);
  const Addr a = heap.addr(kChunkPages);
  EXPECT_EQ(h.page_state(a - 1_B), PageState::kUnknown);
  EXPECT_EQ(h.page_state(a), PageState::kScavenged);
  ASSERT_TRUE(heap.alloc(2));
  EXPECT_EQ(h.page_state(a + 100_B), PageState::kInUse);
  heap.free(kChunkPages, 1);
  EXPECT_EQ(h.page_state(a), PageState::kFree);
  heap.scavenge(1);
  EXPECT_EQ(h.page_state(a), PageState::kScavenged);
  EXPECT_EQ(h.page_state(heap.addr(2 * kChunkPages)), PageState::kUnknown);
  EXPECT_EQ(h.page_state(Addr(~0ULL)), PageState::kUnknown);
}

// What calloc has to clear: the maximal runs that have memory behind them.
TEST(PageQuery, UnscavengedRunsOfARange) {
  std::mt19937_64 random(2);
  test::TwinHeap<HeapWindow> heap;
  heap.grow(0, 4 * kChunkPages);
  ASSERT_TRUE(heap.alloc(4 * kChunkPages));
  heap.free(0, 4 * kChunkPages);
  for (unsigned i = 0; i < 40; ++i) {
    const std::uint64_t page = random() % (4 * kChunkPages);
    const std::uint64_t n = std::min(1 + random() % 200, 4 * kChunkPages - page);
    ASSERT_TRUE(heap.heap->mark_scavenged(heap.addr(page), Pages(n)));
    std::fill_n(heap.model.pages(page, n), n, test::NaiveModel::kScavenged);
  }
  ASSERT_TRUE(heap.same_state());
  for (unsigned round = 0; round < 100 * test::kScale; ++round) {
    const std::uint64_t first = random() % (4 * kChunkPages);
    const std::uint64_t n = 1 + random() % (4 * kChunkPages - first);
    std::vector<std::pair<std::uint64_t, std::uint64_t>> got;
    heap.heap->for_each_unscavenged(heap.addr(first), Pages(n), [&](Addr a, Pages pages) {
      got.emplace_back(heap.page(a), pages.n);
    });
    std::vector<std::pair<std::uint64_t, std::uint64_t>> want;
    for (std::uint64_t p = first; p < first + n; ++p) {
      if (heap.model.state(p) != test::NaiveModel::kFree) continue;
      if (want.empty() || want.back().first + want.back().second != p) want.emplace_back(p, 0);
      ++want.back().second;
    }
    ASSERT_EQ(got, want);
  }
}

}  // namespace
}  // namespace ream::page
