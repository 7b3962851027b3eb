#include "page/page_alloc.h"

#include <gtest/gtest.h>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using test::MetadataMemory;
using Heap = test::TwinHeap<Go48>;
constexpr std::uint64_t kFirst = 3ULL << 21;
constexpr std::uint64_t kTiB = 1ULL << 27;  // in pages

TEST(PageAlloc, InitSaysWhyItFailed) {
  MetadataMemory memory;
  PageAlloc<HeapWindow> heap;
  EXPECT_EQ(heap.init(Environment{}), InitResult::kBadEnvironment);
  EXPECT_EQ(heap.init(memory.environment(), Addr(1ULL << 33)), InitResult::kMisalignedBase);
  memory.reserves_left = 0;
  EXPECT_EQ(heap.init(memory.environment()), InitResult::kNoMetadata);
  memory.reserves_left = ~0ULL;
  EXPECT_EQ(heap.init(memory.environment(), Addr(1ULL << 44)), InitResult::kOk);
  PageAlloc<Go48> other;
  EXPECT_EQ(other.init(memory.environment(), Addr(1ULL << 40)), InitResult::kMisalignedBase);
}

TEST(PageAlloc, AnEmptyHeapAnswersEverything) {
  Heap heap;
  auto& h = *heap.heap;
  EXPECT_FALSE(h.alloc(Pages(1)));
  EXPECT_FALSE(h.alloc(Pages(1), Pages(64)));
  EXPECT_FALSE(h.find(Pages(1)));
  EXPECT_FALSE(h.find_highest(Pages(1), Addr(), h.max_search_addr()));
  EXPECT_FALSE(h.find_mapped_addr(Addr()));
  EXPECT_FALSE(h.free(heap.addr(5), Pages(1)));
  EXPECT_FALSE(h.alloc_range(heap.addr(5), Pages(1)));
  EXPECT_TRUE(h.alloc_to_cache().empty());
  EXPECT_FALSE(h.lease_chunk());
  EXPECT_EQ(h.scavenge(Bytes(~0ULL)), Bytes());
  EXPECT_EQ(h.scavenge_range(heap.addr(5), Pages(100)), Bytes());
  EXPECT_EQ(h.page_state(heap.addr(5)), PageState::kUnknown);
  EXPECT_EQ(h.try_chunk_of(ChunkIndex{3}), nullptr);
  EXPECT_EQ(h.summary(0, 0), Summary());
  EXPECT_EQ(h.search_addr(), h.max_search_addr());
  EXPECT_TRUE(h.is_valid());
  EXPECT_EQ(h.metadata().committed, Bytes());
  EXPECT_EQ(heap.memory.commits, 0u);
}

TEST(PageAlloc, AFreshWindowCommitsLittle) {
  test::TwinHeap<HeapWindow> heap;
  heap.grow(12345 * kChunkPages, kChunkPages);
  EXPECT_LE(heap.heap->metadata().committed.n, 100u << 10);
  EXPECT_LE(heap.heap->metadata().reserved.n, 42u << 20);
  EXPECT_EQ(heap.heap->metadata().committed.n, heap.memory.committed_bytes);
}

TEST(PageAlloc, CommitsEachPieceOnceWhateverTheOrderOfGrowth) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 20; ++round) {
    test::TwinHeap<HeapWindow> heap;
    std::vector<std::uint64_t> order(200);
    for (std::uint64_t i = 0; i < order.size(); ++i) order[i] = i * (round % 4 == 0 ? 1 : 37);
    std::shuffle(order.begin(), order.end(), random);
    for (const std::uint64_t c : order) ASSERT_TRUE(heap.grow(c * kChunkPages, kChunkPages));
    ASSERT_TRUE(heap.alloc(1));
    ASSERT_TRUE(heap.heap->is_valid());
    const std::uint64_t in_pieces = heap.memory.committed_bytes;
    test::TwinHeap<HeapWindow> whole;
    ASSERT_TRUE(whole.grow(0, (*std::max_element(order.begin(), order.end()) + 1) * kChunkPages));
    EXPECT_LE(in_pieces, whole.memory.committed_bytes + 3 * kCommitBytes);  // ranges_ grows
  }
}

TEST(PageAlloc, UnalignedGrowthIsVisibleAtOnce) {
  Heap heap;
  // From the last page of a chunk to the first of the next: both chunks are grown.
  heap.grow(kFirst + kChunkPages - 1, 2);
  EXPECT_EQ(heap.heap->free_pages_total(), Pages(2 * kChunkPages));
  EXPECT_TRUE(heap.alloc(2 * kChunkPages));
  EXPECT_FALSE(heap.alloc(1));
  EXPECT_EQ(heap.heap->grow(heap.addr(kFirst + 4 * kChunkPages) + 17_B, Bytes(1)), GrowResult::kOk);
  EXPECT_EQ(heap.heap->alloc(Pages(kChunkPages)).base, heap.addr(kFirst + 4 * kChunkPages));
}

TEST(PageAlloc, GrowthOutsideOrOverOldRangesIsRefused) {
  test::TwinHeap<Narrow32> heap;
  auto& h = *heap.heap;
  const Bytes chunk(Narrow32::kChunkBytes);
  heap.grow(4 * kChunkPages, 2 * kChunkPages);
  heap.grow(9 * kChunkPages, kChunkPages);
  const MetadataSize before = h.metadata();
  EXPECT_EQ(h.grow(heap.addr(3 * kChunkPages), chunk + 1_B), GrowResult::kOverlap);
  EXPECT_EQ(h.grow(heap.addr(5 * kChunkPages), Bytes(1)), GrowResult::kOverlap);
  EXPECT_EQ(h.grow(heap.addr(0), chunk * 20), GrowResult::kOverlap);
  EXPECT_EQ(h.grow(Addr(1ULL << 32), chunk), GrowResult::kOutOfWindow);
  EXPECT_EQ(h.grow(Addr((1ULL << 32) - chunk.n), chunk + 1_B), GrowResult::kOutOfWindow);
  EXPECT_EQ(h.grow(Addr(chunk.n), Bytes(~0ULL)), GrowResult::kOutOfWindow);
  EXPECT_EQ(h.metadata().committed, before.committed);
  EXPECT_TRUE(heap.same_state());
  EXPECT_EQ(h.grow(Addr((1ULL << 32) - chunk.n), chunk), GrowResult::kOk);
  EXPECT_EQ(h.grow(heap.addr(0), Bytes()), GrowResult::kOk);
}

TEST(PageAlloc, GrowthWithoutMetadataChangesNothing) {
  for (std::uint64_t allowed = 0;; ++allowed) {
    test::TwinHeap<HeapWindow> heap;
    heap.grow(0, kChunkPages);
    heap.alloc(100);
    heap.memory.commits_left = allowed;
    const std::uint64_t far = 1ULL << 30;
    const GrowResult result = heap.heap->grow(heap.addr(far), Bytes(HeapWindow::kChunkBytes));
    if (result == GrowResult::kOk) break;
    ASSERT_EQ(result, GrowResult::kNoMetadata);
    ASSERT_TRUE(heap.same_state());
    ASSERT_EQ(heap.heap->page_state(heap.addr(far)), PageState::kUnknown);
    ASSERT_FALSE(heap.alloc(kChunkPages));
    heap.memory.commits_left = ~0ULL;
    ASSERT_TRUE(heap.grow(far, kChunkPages));
    ASSERT_TRUE(heap.alloc(kChunkPages));
    ASSERT_TRUE(heap.same_state());
    ASSERT_LT(allowed, 30u);
  }
  test::TwinHeap<HeapWindow> heap;
  heap.grow(0, kChunkPages);
  heap.memory.reserves_left = 0;
  EXPECT_EQ(heap.heap->grow(heap.addr(1ULL << 30), Bytes(1)), GrowResult::kNoMetadata);
  EXPECT_TRUE(heap.same_state());
}

// Up to 33 ranges, every second one first, then those between, which coalesce.
TEST(PageAlloc, RangesCoalesceAndRunsCrossTheSeams) {
  for (std::uint64_t count = 1; count <= 33; ++count) {
    Heap heap;
    for (std::uint64_t i = 0; i < count; i += 2) heap.grow(kFirst + i * kChunkPages, kChunkPages);
    EXPECT_EQ(heap.heap->find(Pages(kChunkPages + 1)).ok, false);
    for (std::uint64_t i = 1; i < count; i += 2) heap.grow(kFirst + i * kChunkPages, kChunkPages);
    std::uint64_t ranges = 0;
    heap.heap->for_each_grown([&](Addr base, Bytes bytes) {
      ++ranges;
      EXPECT_EQ(base, heap.addr(kFirst));
      EXPECT_EQ(bytes.n, count * Go48::kChunkBytes);
    });
    EXPECT_EQ(ranges, 1u);
    EXPECT_TRUE(heap.alloc(count * kChunkPages));
    EXPECT_FALSE(heap.alloc(1));
    EXPECT_TRUE(heap.free(kFirst, count * kChunkPages));
    EXPECT_TRUE(heap.same_state());
  }
}

TEST(PageAlloc, JumpsOfTerabytes) {
  Heap heap;
  const std::uint64_t jumps[] = {9 * kTiB,  1,          31 * kTiB, 5 * kTiB,
                                 18 * kTiB, 100 * kTiB, 200 * kTiB};
  for (const std::uint64_t page : jumps) heap.grow(page, kChunkPages);
  std::uint64_t blocks = 0;
  while (heap.alloc(kChunkPages / 2)) ++blocks;
  EXPECT_EQ(blocks, 16u);  // the growth at page 1 came to two chunks
  for (const std::uint64_t page : jumps) heap.free(page / kChunkPages * kChunkPages, kChunkPages);
  EXPECT_TRUE(heap.same_state());
  EXPECT_FALSE(heap.alloc(kChunkPages + 1));
  const Place next = heap.heap->find_mapped_addr(heap.addr(6 * kTiB));
  EXPECT_EQ(next.base, heap.addr(9 * kTiB));
  EXPECT_EQ(heap.heap->find_mapped_addr(heap.addr(9 * kTiB + 3)).base, heap.addr(9 * kTiB + 3));
  EXPECT_FALSE(heap.heap->find_mapped_addr(heap.addr(201 * kTiB)));
}

TEST(PageAlloc, SizesFromOnePageToSevenChunksAndFiveStraddling) {
  for (const std::uint64_t n :
       {1, 2, 63, 64, 65, 511, 512, 513, 1023, 1024, 1025, 7 * 512, 7 * 512 + 5}) {
    for (const std::uint64_t before : {0, 1, 63, 64, 300, 511}) {
      Heap heap;
      heap.grow(kFirst, 10 * kChunkPages);
      if (before > 0) {
        ASSERT_TRUE(heap.alloc(before));
      }
      const auto a = heap.alloc(n);
      ASSERT_TRUE(a);
      ASSERT_EQ(a->page, kFirst + before);
      ASSERT_TRUE(heap.same_state());
      ASSERT_TRUE(heap.alloc(1));
      ASSERT_TRUE(heap.free(a->page, n));
      ASSERT_TRUE(heap.same_state());
      ASSERT_EQ(heap.alloc(n)->page, a->page);
    }
  }
}

TEST(PageAlloc, ExhaustionAtEverySize) {
  for (const std::uint64_t n :
       {1, 2, 3, 7, 8, 63, 64, 65, 511, 512, 513, 700, 1024, 1025, 2048, 2049}) {
    Heap heap;
    heap.grow(kFirst, 4 * kChunkPages);
    std::uint64_t blocks = 0;
    while (heap.alloc(n)) ++blocks;
    ASSERT_EQ(blocks, 4 * kChunkPages / n);
    ASSERT_FALSE(heap.alloc(n));
    ASSERT_TRUE(heap.same_state());
    if (blocks == 0) continue;
    heap.free(kFirst + (blocks - 1) * n, n);
    ASSERT_TRUE(heap.alloc(n));
    ASSERT_FALSE(heap.alloc(n));
    heap.grow(kFirst + 9 * kChunkPages, 5 * kChunkPages);
    ASSERT_TRUE(heap.alloc(n));
  }
}

// The search address may stand in a chunk that has filled up, or in one that is empty again.
TEST(PageAlloc, AStaleSearchAddress) {
  Heap heap;
  heap.grow(kFirst, 3 * kChunkPages);
  ASSERT_TRUE(heap.alloc(1));
  ASSERT_TRUE(heap.alloc_range(kFirst + 1, 2 * kChunkPages - 1));
  EXPECT_EQ(heap.alloc(3)->page, kFirst + 2 * kChunkPages);
  heap.free(kFirst + 700, 1);
  EXPECT_EQ(heap.alloc(2)->page, kFirst + 2 * kChunkPages + 3);
  EXPECT_EQ(heap.alloc(1)->page, kFirst + 700);
  heap.free(kFirst, kChunkPages);
  EXPECT_EQ(heap.alloc(kChunkPages + 1), std::nullopt);
  EXPECT_EQ(heap.alloc(kChunkPages)->page, kFirst);
  heap.grow(kFirst - 4 * kChunkPages, kChunkPages);  // below everything
  EXPECT_EQ(heap.alloc(5)->page, kFirst - 4 * kChunkPages);
  EXPECT_TRUE(heap.same_state());
}

TEST(PageAlloc, ARefusedArgumentChangesNothing) {
  Heap heap;
  auto& h = *heap.heap;
  heap.grow(kFirst, 2 * kChunkPages);
  ASSERT_TRUE(heap.alloc(100));
  const Addr a = heap.addr(kFirst);
  EXPECT_FALSE(h.alloc(Pages(0)));
  EXPECT_FALSE(h.alloc(Pages(~0ULL)));
  EXPECT_FALSE(h.alloc(Pages(1), Pages(0)));
  EXPECT_FALSE(h.alloc(Pages(1), Pages(3)));
  EXPECT_FALSE(h.alloc(Pages(1), Pages(Go48::kMaxAlignPages * 2)));
  EXPECT_FALSE(h.free(a, Pages(0)));
  EXPECT_FALSE(h.free(a, Pages(101)));
  EXPECT_FALSE(h.free(a, Pages(~0ULL)));
  EXPECT_FALSE(h.free(a + 8_B, Pages(1)));
  EXPECT_FALSE(h.free(a - Bytes(Go48::kPageBytes), Pages(2)));
  EXPECT_FALSE(h.free(heap.addr(kFirst + 100), Pages(1)));
  EXPECT_FALSE(h.free(heap.addr(kFirst + 50), Pages(kChunkPages)));
  EXPECT_FALSE(h.free(Addr(1ULL << 60), Pages(1)));
  EXPECT_FALSE(h.free(Addr(~0ULL << 13), Pages(1)));
  EXPECT_FALSE(h.alloc_range(heap.addr(kFirst + 99), Pages(2)));
  EXPECT_FALSE(h.alloc_range(heap.addr(kFirst + kChunkPages), Pages(kChunkPages + 1)));
  EXPECT_FALSE(h.alloc_range(a + 1_B, Pages(1)));
  EXPECT_FALSE(h.shrink(a, Pages(100), Pages(0)));
  EXPECT_FALSE(h.shrink(a, Pages(100), Pages(101)));
  EXPECT_FALSE(h.shrink(a, Pages(200), Pages(50)));
  EXPECT_FALSE(h.try_extend(a, Pages(0), Pages(5)));
  EXPECT_FALSE(h.try_extend(a, Pages(50), Pages(120)));
  EXPECT_FALSE(h.try_extend(a, Pages(100), Pages(2 * kChunkPages + 1)));
  EXPECT_FALSE(h.try_extend(heap.addr(kFirst + 100), Pages(1), Pages(2)));
  EXPECT_FALSE(h.mark_scavenged(a, Pages(1)));
  EXPECT_TRUE(heap.same_state());
}

TEST(PageAlloc, ExtendAndShrinkInPlace) {
  Heap heap;
  heap.grow(kFirst, 4 * kChunkPages);
  ASSERT_TRUE(heap.alloc(10));
  EXPECT_TRUE(heap.try_extend(kFirst, 10, 10));
  EXPECT_TRUE(heap.try_extend(kFirst, 10, 600));
  EXPECT_TRUE(heap.same_state());
  ASSERT_TRUE(heap.alloc(1));
  EXPECT_FALSE(heap.try_extend(kFirst, 600, 601));
  EXPECT_TRUE(heap.shrink(kFirst, 600, 500));
  EXPECT_TRUE(heap.try_extend(kFirst, 500, 600));
  EXPECT_TRUE(heap.shrink(kFirst, 600, 1));
  EXPECT_TRUE(heap.heap->shrink(heap.addr(kFirst), Pages(1), Pages(1)));
  EXPECT_TRUE(heap.free(kFirst, 1));
  EXPECT_TRUE(heap.same_state());
}

TEST(PageAlloc, AlignedRuns) {
  Heap heap;
  heap.grow(kFirst + 3 * kChunkPages, 90 * kChunkPages);
  for (const std::uint64_t align : {2, 64, 512, 4096}) {
    for (const std::uint64_t n : {1, 5, 64, 600}) {
      ASSERT_TRUE(heap.alloc(1));
      const auto a = heap.alloc(n, align);
      ASSERT_TRUE(a);
      ASSERT_EQ(a->page % align, 0u);
    }
  }
  EXPECT_FALSE(heap.alloc(1, Go48::kMaxAlignPages));
  EXPECT_TRUE(heap.same_state());
}

TEST(PageAlloc, PageIdsAndSizes) {
  test::TwinHeap<Window1T> heap;
  auto& h = *heap.heap;
  heap.grow(77 * kChunkPages, 2 * kChunkPages);
  EXPECT_EQ(h.total_pages(), Pages(2 * kChunkPages));
  EXPECT_EQ(h.page_size(), 8_KiB);
  EXPECT_EQ(h.page_shift(), 13u);
  EXPECT_EQ(h.page_index_bits(), 27u);
  for (const std::uint64_t page :
       {std::uint64_t{0}, std::uint64_t{12345}, Window1T::kTotalPages - 1}) {
    const std::uint64_t id = h.encode_page_id(heap.addr(page));
    EXPECT_LT(id, 1ULL << h.page_index_bits());
    EXPECT_EQ(h.decode_page_id(id), heap.addr(page));
  }
  EXPECT_TRUE(h.is_grown(heap.addr(78 * kChunkPages), Pages(kChunkPages)));
  EXPECT_FALSE(h.is_grown(heap.addr(78 * kChunkPages), Pages(kChunkPages + 1)));
}

TEST(PageAlloc, HugePagesForMetadata) {
  Heap heap;
  auto& h = *heap.heap;
  heap.grow(kFirst, kChunkPages);
  heap.grow(kFirst + 20 * kTiB, kChunkPages);
  h.enable_chunk_huge_pages(true);
  EXPECT_EQ(heap.memory.advised[1], 2);
  h.enable_chunk_huge_pages(true);
  EXPECT_EQ(heap.memory.advised[1], 2);
  heap.grow(kFirst + 40 * kTiB, kChunkPages);
  EXPECT_EQ(heap.memory.advised[1], 3);
  EXPECT_EQ(h.metadata().huge_refused, 0u);
  heap.memory.allow_huge = false;
  h.enable_chunk_huge_pages(false);
  EXPECT_EQ(heap.memory.advised[0], 3);
  EXPECT_EQ(h.metadata().huge_refused, 3u);
}

TEST(PageAlloc, ReleaseGivesAllBackAndInitStartsAgain) {
  MetadataMemory memory;
  PageAlloc<Go48> heap;
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(heap.init(memory.environment()), InitResult::kOk);
    ASSERT_EQ(heap.grow(Addr(1ULL << 40), 64_MiB), GrowResult::kOk);
    ASSERT_EQ(heap.grow(Addr(1ULL << 45), 64_MiB), GrowResult::kOk);
    ASSERT_TRUE(heap.alloc(Pages(5000)));
    heap.release();
    EXPECT_EQ(memory.reservations(), 0u);
    EXPECT_FALSE(heap.alloc(Pages(1)));
  }
}

}  // namespace
}  // namespace ream::page
