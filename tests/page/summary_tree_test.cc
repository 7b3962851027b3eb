#include "page/summary_tree.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

// Every entry of every level that covers a grown chunk, against a merge of what the chunks say.
template <class G>
void expect_exact_tree(const test::TwinHeap<G>& heap) {
  std::map<std::uint64_t, Runs> below;
  for (const auto& s : heap.model.segments()) {
    for (std::uint64_t c = s.first / kChunkPages; c < s.end() / kChunkPages; ++c) {
      below[c] = test::summarize_slowly(heap.heap->chunk_of(ChunkIndex{c}).used);
    }
  }
  for (unsigned level = G::kLevels - 1;; --level) {
    for (const auto& [i, runs] : below) {
      ASSERT_EQ(heap.heap->summary(level, i).unpack(), runs) << "level " << level << " entry " << i;
    }
    if (level == 0) break;
    const unsigned bits = G::kLevelBits[level];
    std::map<std::uint64_t, Runs> above;
    for (const auto& [i, runs] : below) above[i >> bits];
    for (auto& [parent, sum] : above) {
      sum = below.count(parent << bits) != 0 ? below[parent << bits] : Runs{};
      const std::uint64_t pages = 1ULL << G::kLevelLogPages[level];
      for (std::uint64_t k = 1; k < 1ULL << bits; ++k) {
        const std::uint64_t i = (parent << bits) + k;
        append(sum, k * pages, below.count(i) != 0 ? below[i] : Runs{}, pages);
      }
    }
    below = above;
  }
}

template <class G>
class SummaryTreeTest : public ::testing::Test {};
using Geometries = ::testing::Types<Go48, HeapWindow, Pages64K, Narrow32, Tiny64>;
TYPED_TEST_SUITE(SummaryTreeTest, Geometries);

TYPED_TEST(SummaryTreeTest, EveryLevelIsExactAfterEveryKindOfChange) {
  std::mt19937_64 random(1);
  test::TwinHeap<TypeParam> heap;
  const std::uint64_t middle = TypeParam::kTotalPages / 2;
  heap.grow(middle - 3 * kChunkPages, 3 * kChunkPages);
  expect_exact_tree(heap);
  heap.grow(middle + 2 * kChunkPages, 9 * kChunkPages);
  expect_exact_tree(heap);
  heap.grow(middle, 2 * kChunkPages);  // closes the gap
  expect_exact_tree(heap);
  std::vector<test::NaiveModel::Taken> live;
  std::vector<std::uint64_t> sizes;
  for (unsigned step = 0; step < 60 * test::kScale; ++step) {
    const std::uint64_t n = 1 + random() % (1u << random() % 12);
    if (random() % 2 != 0) {
      if (const auto got = heap.alloc(n)) {
        live.push_back(*got);
        sizes.push_back(n);
      }
    } else if (!live.empty()) {
      const std::size_t k = random() % live.size();
      heap.free(live[k].page, sizes[k]);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(k));
      sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(k));
    }
    expect_exact_tree(heap);
    ASSERT_FALSE(::testing::Test::HasFatalFailure());
  }
}

// What was never written below an all-free entry reads as all free all the same.
TEST(SummaryTree, GrowingWritesOnlyTheHighestEntries) {
  test::TwinHeap<Go48> heap;
  const std::uint64_t pages = 1ULL << 27;  // 1 TiB
  ASSERT_EQ(heap.heap->grow(heap.addr(1ULL << 30), Bytes(pages << Go48::kPageShift)),
            GrowResult::kOk);
  EXPECT_EQ(heap.heap->free_pages_total().n, pages);
  const auto entry = [](unsigned level, std::uint64_t page) {
    return page >> Go48::kLevelLogPages[level];
  };
  for (unsigned level = 0; level < Go48::kLevels; ++level) {
    const unsigned log = Go48::kLevelLogPages[level];
    EXPECT_EQ(heap.heap->summary(level, entry(level, 1ULL << 30)).unpack(), all_free(log));
    EXPECT_EQ(heap.heap->summary(level, entry(level, (1ULL << 30) + pages - 1)).unpack(),
              all_free(log));
    EXPECT_EQ(heap.heap->summary(level, entry(level, (1ULL << 30) + pages)), Summary());
  }
  // One page in the middle makes the path to it, and no more, exact.
  const std::uint64_t page = (1ULL << 30) + pages / 2 + 77;
  ASSERT_TRUE(heap.heap->alloc_range(heap.addr(page), Pages(1)));
  for (unsigned level = 0; level < Go48::kLevels; ++level) {
    const std::uint64_t size = 1ULL << Go48::kLevelLogPages[level];
    const std::uint64_t before = page % size;
    EXPECT_EQ(heap.heap->summary(level, entry(level, page)).unpack(),
              (Runs{before, std::max(before, size - before - 1), size - before - 1}));
  }
  EXPECT_EQ(heap.heap->find(Pages(pages / 2 + 78)).ok, false);
  EXPECT_EQ(heap.heap->find(Pages(pages / 2 + 77)).base, heap.addr(1ULL << 30));
  ASSERT_TRUE(heap.heap->free(heap.addr(page), Pages(1)));
  EXPECT_EQ(heap.heap->find(Pages(pages)).base, heap.addr(1ULL << 30));
}

}  // namespace
}  // namespace ream::page
