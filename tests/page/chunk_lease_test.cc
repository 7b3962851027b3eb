#include "page/chunk_lease.h"

#include <gtest/gtest.h>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using G = HeapWindow;
using Heap = test::TwinHeap<G>;
using Lease = ChunkLease<G>;

TEST(ChunkLease, ALeasedChunkShowsAsFull) {
  Heap heap;
  auto& h = *heap.heap;
  [[maybe_unused]] SentChunks list;
  heap.grow(0, 2 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(10)));
  Lease lease = h.lease_chunk();
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease.base(), heap.addr(0));
  EXPECT_EQ(h.free_pages_total(), Pages(kChunkPages));
  EXPECT_EQ(h.alloc(Pages(1)).base, heap.addr(kChunkPages));
  EXPECT_FALSE(h.alloc_range(heap.addr(100), Pages(1)));
  EXPECT_FALSE(h.try_extend(heap.addr(0), Pages(10), Pages(11)));
  EXPECT_EQ(h.scavenge_range(heap.addr(0), Pages(kChunkPages)), Bytes());
  EXPECT_TRUE(h.is_valid());

  const Allocation mine = lease.alloc(Pages(5));
  EXPECT_EQ(mine.base, heap.addr(10));
  EXPECT_EQ(mine.scavenged.n, 5 * G::kPageBytes);
  EXPECT_EQ(h.page_state(mine.base), PageState::kInUse);
  EXPECT_EQ(lease.alloc(Pages(497)).base, heap.addr(15));
  EXPECT_FALSE(lease.alloc(Pages(1)));
  EXPECT_FALSE(lease.alloc(Pages(0)));
  EXPECT_FALSE(lease.alloc(Pages(kChunkPages + 1)));
  EXPECT_TRUE(lease.free(mine.base, Pages(5)));
  EXPECT_FALSE(lease.free(mine.base, Pages(5)));
  EXPECT_FALSE(lease.free(mine.base + 1_B, Pages(1)));
  EXPECT_FALSE(lease.free(heap.addr(kChunkPages), Pages(1)));
  EXPECT_EQ(lease.alloc(Pages(5)).base, mine.base);
  h.end_lease(lease);
  EXPECT_FALSE(lease);
  EXPECT_TRUE(h.is_valid());
  EXPECT_TRUE(h.free(heap.addr(0), Pages(kChunkPages)));
  EXPECT_EQ(h.alloc(Pages(kChunkPages)).base, heap.addr(0));
}

TEST(ChunkLease, FreesOfOthersReachTheLessee) {
  Heap heap;
  auto& h = *heap.heap;
  [[maybe_unused]] SentChunks list;
  heap.grow(0, 3 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(kChunkPages + 300)));
  ASSERT_TRUE(h.free(heap.addr(500), Pages(1)));
  Lease lease = h.lease_chunk();  // the first chunk: one free page
  ASSERT_EQ(lease.base(), heap.addr(0));
  EXPECT_EQ(lease.free_pages(), Pages(1));
  EXPECT_FALSE(h.free_remote(heap.addr(511), Pages(2), list));
  EXPECT_TRUE(h.free_remote(heap.addr(60), Pages(10), list));
  EXPECT_FALSE(h.free_remote(heap.addr(60), Pages(10), list));
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(h.page_state(heap.addr(60)), PageState::kFree);
  // Under the lock, over the border of the leased chunk.
  EXPECT_FALSE(h.free(heap.addr(65), Pages(kChunkPages)));
  EXPECT_TRUE(h.free(heap.addr(501), Pages(20)));
  EXPECT_FALSE(h.free(heap.addr(501), Pages(20)));
  EXPECT_EQ(h.free_pages_total(), Pages(2 * kChunkPages - 300 + 9));
  EXPECT_EQ(lease.alloc(Pages(1)).base, heap.addr(500));
  EXPECT_FALSE(lease.alloc(Pages(10)));
  EXPECT_EQ(lease.collect(), Pages(21));
  EXPECT_EQ(lease.alloc(Pages(10)).base, heap.addr(60));
  EXPECT_EQ(lease.alloc(Pages(10)).base, heap.addr(501));
  EXPECT_EQ(lease.free_pages(), Pages(1));
  EXPECT_TRUE(h.free_remote(heap.addr(0), Pages(50), list));
  h.end_lease(lease);
  EXPECT_TRUE(h.is_valid());
  EXPECT_EQ(h.alloc(Pages(50)).base, heap.addr(0));
}

TEST(ChunkLease, FreesWithoutTheLockAreSettledUnderIt) {
  Heap heap;
  auto& h = *heap.heap;
  [[maybe_unused]] SentChunks list;
  heap.grow(0, 3 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(3 * kChunkPages)));
  EXPECT_EQ(h.settle(list), Pages());
  EXPECT_TRUE(h.free_remote(heap.addr(100), Pages(200), list));
  EXPECT_TRUE(h.free_remote(heap.addr(2 * kChunkPages), Pages(kChunkPages), list));
  EXPECT_TRUE(h.free_remote(heap.addr(10), Pages(1), list));
  EXPECT_FALSE(h.free_remote(heap.addr(10), Pages(1), list));
  EXPECT_FALSE(h.free_remote(heap.addr(10) + 1_B, Pages(1), list));
  EXPECT_FALSE(list.empty());
  EXPECT_EQ(h.page_state(heap.addr(10)), PageState::kFree);
  EXPECT_FALSE(h.alloc(Pages(1)));
  EXPECT_EQ(h.settle(list), Pages(201 + kChunkPages));
  EXPECT_TRUE(list.empty());
  EXPECT_TRUE(h.is_valid());
  EXPECT_EQ(h.free_pages_total(), Pages(201 + kChunkPages));
  EXPECT_EQ(h.alloc(Pages(1)).base, heap.addr(10));
  EXPECT_EQ(h.alloc(Pages(200)).base, heap.addr(100));
  EXPECT_EQ(h.scavenge(Bytes(~0ULL)).n >> G::kPageShift, kChunkPages);
  EXPECT_EQ(h.alloc(Pages(kChunkPages)).base, heap.addr(2 * kChunkPages));
  // A page that is not in use is dropped; the others of its chunk are not.
  ASSERT_TRUE(h.free(heap.addr(10), Pages(1)));
  EXPECT_TRUE(h.free_remote(heap.addr(9), Pages(2), list));
  EXPECT_EQ(h.settle(list), Pages(1));
  EXPECT_TRUE(h.is_valid());
}

TEST(ChunkLease, RefusedFreesChangeNothing) {
  Heap heap;
  auto& h = *heap.heap;
  SentChunks list;
  heap.grow(0, 2 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(100)));
  EXPECT_TRUE(h.free_remote(heap.addr(64), Pages(1), list));
  EXPECT_FALSE(h.free_remote(heap.addr(60), Pages(10), list));
  EXPECT_EQ(h.page_state(heap.addr(60)), PageState::kInUse);
  EXPECT_EQ(h.page_state(heap.addr(65)), PageState::kInUse);
  // Under the lock too: the page was freed, though it is not settled.
  EXPECT_FALSE(h.free(heap.addr(64), Pages(1)));
  EXPECT_FALSE(h.free(heap.addr(0), Pages(100)));
  ASSERT_TRUE(h.alloc(Pages(kChunkPages)));
  EXPECT_FALSE(h.free(heap.addr(0), Pages(kChunkPages + 100)));  // across two chunks
  ASSERT_TRUE(h.free(heap.addr(100), Pages(kChunkPages)));
  EXPECT_EQ(h.settle(list), Pages(1));
  // A chunk that was not grown, though its metadata is there, is nobody's.
  static_cast<void>(h.free_remote(heap.addr(2 * kChunkPages), Pages(1), list));
  EXPECT_EQ(h.settle(list), Pages());
  static_cast<void>(h.free_remote(heap.addr(2 * kChunkPages + 1), Pages(500), list));
  EXPECT_EQ(list.rich_count, 1u);
  EXPECT_FALSE(h.take_rich(list));
  EXPECT_FALSE(h.lease_rich(list, Pages(1)));
  EXPECT_EQ(list.rich_count, 0u);
  EXPECT_EQ(h.settle(list), Pages());
  EXPECT_TRUE(h.is_valid());
}

TEST(ChunkLease, SettleLeavesLeasedChunksToTheirLessees) {
  Heap heap;
  auto& h = *heap.heap;
  [[maybe_unused]] SentChunks list;
  heap.grow(0, kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(100)));
  EXPECT_TRUE(h.free_remote(heap.addr(0), Pages(5), list));
  Lease lease = h.lease_chunk();
  EXPECT_EQ(h.settle(list), Pages());
  EXPECT_EQ(lease.collect(), Pages(5));
  EXPECT_TRUE(h.free_remote(heap.addr(5), Pages(5), list));
  h.end_lease(lease);
  EXPECT_EQ(h.free_pages_total(), Pages(kChunkPages - 90));
  (void)lease.base();
  EXPECT_EQ(h.settle(list), Pages());
  EXPECT_TRUE(h.is_valid());
}

TEST(ChunkLease, SettleFreesWhatCameAfterTheEnd) {
  Heap heap;
  auto& h = *heap.heap;
  [[maybe_unused]] SentChunks list;
  heap.grow(0, kChunkPages);
  Lease lease = h.lease_chunk();
  const Allocation a = lease.alloc(Pages(7));
  ASSERT_TRUE(a);
  h.end_lease(lease);
  EXPECT_TRUE(h.free_remote(a.base, Pages(7), list));
  EXPECT_EQ(h.alloc(Pages(1)).base, heap.addr(7));
  EXPECT_EQ(h.settle(list), Pages(7));
  EXPECT_TRUE(h.is_valid());
  EXPECT_EQ(h.alloc(Pages(7)).base, a.base);
}

constexpr std::uint64_t kRich = SentChunks::kRichPages;

// A heap of some chunks, all in use, of which the first is parked with `left` pages free.
void park_first(Heap& heap, SentChunks& list, std::uint64_t chunks, std::uint64_t left) {
  heap.grow(0, chunks * kChunkPages);
  Lease lease = heap.heap->lease_chunk();
  ASSERT_TRUE(lease.alloc(Pages(kChunkPages - left)));
  heap.heap->park(lease, list);
  EXPECT_FALSE(lease);
  while (heap.heap->alloc(Pages(kChunkPages))) {
  }
}

TEST(ChunkLease, AParkedChunkIsLeasedAgainWithoutTheLockOnceItIsRich) {
  Heap heap;
  auto& h = *heap.heap;
  SentChunks list;
  park_first(heap, list, 2, 40);
  EXPECT_FALSE(h.alloc(Pages(1)));  // the 40 pages are not in the tree
  EXPECT_EQ(h.page_state(heap.addr(kChunkPages - 1)), PageState::kScavenged);
  EXPECT_TRUE(h.is_valid());
  EXPECT_TRUE(h.free_remote(heap.addr(0), Pages(kRich - 41), list));
  EXPECT_FALSE(h.take_rich(list));
  EXPECT_TRUE(h.free_remote(heap.addr(kRich - 41), Pages(1), list));
  EXPECT_EQ(list.rich_count, 1u);
  Lease lease = h.take_rich(list);
  ASSERT_TRUE(lease);
  EXPECT_EQ(list.rich_count, 0u);
  EXPECT_EQ(lease.base(), heap.addr(0));
  EXPECT_EQ(lease.free_pages(), Pages(kRich));
  EXPECT_EQ(lease.alloc(Pages(5)).base, heap.addr(0));
  EXPECT_FALSE(h.take_rich(list));
  // Leased again: it is its lessee's, also for who settles the list that it is still on.
  EXPECT_EQ(h.settle(list), Pages());
  h.park(lease, list);
  EXPECT_EQ(h.settle(list), Pages(kRich - 5));
  EXPECT_EQ(h.free_pages_total(), Pages(kRich - 5));
  EXPECT_TRUE(h.is_valid());
  EXPECT_EQ(h.alloc(Pages(40)).base, heap.addr(5));
  EXPECT_EQ(h.alloc(Pages(40)).base, heap.addr(kChunkPages - 40));
}

TEST(ChunkLease, AChunkThatIsParkedRichIsKnownToBe) {
  Heap heap;
  auto& h = *heap.heap;
  SentChunks list;
  park_first(heap, list, 1, kRich);
  EXPECT_EQ(list.rich_count, 1u);
  Lease lease = h.take_rich(list);
  EXPECT_EQ(lease.free_pages(), Pages(kRich));
  h.end_lease(lease);
  EXPECT_TRUE(h.is_valid());
}

// What a thread knows to be rich may have been settled since.
TEST(ChunkLease, ARichChunkThatIsNotParkedIsLeasedUnderTheLock) {
  Heap heap;
  auto& h = *heap.heap;
  SentChunks list;
  park_first(heap, list, 2, kRich);
  EXPECT_EQ(h.settle(list), Pages(kRich));
  EXPECT_TRUE(h.free_remote(heap.addr(kChunkPages), Pages(kRich), list));
  EXPECT_FALSE(h.take_rich(list));
  EXPECT_EQ(list.rich_count, 1u);  // of the first chunk nothing was returned since
  EXPECT_FALSE(h.lease_rich(list, Pages(kRich + 1)));
  EXPECT_EQ(h.free_pages_total(), Pages(2 * kRich));
  EXPECT_TRUE(h.free_remote(heap.addr(kChunkPages + kRich), Pages(kRich), list));
  Lease lease = h.lease_rich(list, Pages(kRich));
  EXPECT_EQ(lease.base(), heap.addr(kChunkPages));
  EXPECT_EQ(lease.free_pages(), Pages(2 * kRich));
  EXPECT_EQ(h.free_pages_total(), Pages(kRich));
  h.end_lease(lease);
  EXPECT_EQ(h.settle(list), Pages());
  EXPECT_TRUE(h.is_valid());
}

TEST(ChunkLease, SettlingSomeLeavesWhatIsParkedAndPoor) {
  Heap heap;
  auto& h = *heap.heap;
  SentChunks list, other;
  park_first(heap, list, 3, 10);
  EXPECT_TRUE(h.free_remote(heap.addr(kChunkPages), Pages(1), list));
  EXPECT_TRUE(h.free_remote(heap.addr(2 * kChunkPages), Pages(2), list));
  h.settle_some(list, 1);
  EXPECT_EQ(h.free_pages_total(), Pages(2));
  h.settle_some(list, 3);
  EXPECT_EQ(h.free_pages_total(), Pages(3));
  h.settle_some(list, 3);
  EXPECT_EQ(h.free_pages_total(), Pages(3));
  EXPECT_TRUE(h.free_remote(heap.addr(0), Pages(kRich - 10), other));
  EXPECT_TRUE(other.empty());  // it is on the first list
  h.settle_some(list, 1);
  EXPECT_EQ(h.free_pages_total(), Pages(3 + kRich));
  EXPECT_TRUE(list.empty());
  h.settle_rich(other, 0);
  EXPECT_TRUE(h.is_valid());
}

TEST(ChunkLease, SettlingRichOnesKeepsSome) {
  Heap heap;
  auto& h = *heap.heap;
  SentChunks list;
  heap.grow(0, 6 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(6 * kChunkPages)));
  for (std::uint64_t c = 0; c < 6; ++c) {
    EXPECT_TRUE(h.free_remote(heap.addr(c * kChunkPages), Pages(kRich + c % 2), list));
  }
  EXPECT_EQ(list.rich_count, 6u);
  h.settle_rich(list, 2);
  EXPECT_EQ(list.rich_count, 2u);
  EXPECT_EQ(h.free_pages_total(), Pages(4 * kRich + 2));
  h.settle_rich(list, 0);
  EXPECT_EQ(h.free_pages_total(), Pages(6 * kRich + 3));
  EXPECT_EQ(h.settle(list), Pages());
  EXPECT_TRUE(h.is_valid());
}

TEST(ChunkLease, ARoomyChunkIsFoundPastRunsAcrossTwo) {
  Heap heap;
  auto& h = *heap.heap;
  heap.grow(0, 9 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(9 * kChunkPages)));
  // More runs of 10 across two chunks than lease_chunk() looks at.
  for (std::uint64_t c = 1; c < 8; ++c) {
    ASSERT_TRUE(h.free(heap.addr(c * kChunkPages - 5), Pages(10)));
  }
  ASSERT_TRUE(h.free(heap.addr(8 * kChunkPages - 9), Pages(19)));
  EXPECT_FALSE(h.lease_chunk(Pages(10)));
  Lease lease = h.lease_roomy(Pages(10));  // 9 pages before the border and 10 after it
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease.base(), heap.addr(8 * kChunkPages));
  EXPECT_FALSE(h.lease_roomy(Pages(10)));
  EXPECT_FALSE(h.lease_roomy(Pages(0)));
  EXPECT_FALSE(h.lease_roomy(Pages(kChunkPages)));
  h.end_lease(lease);
  EXPECT_TRUE(h.is_valid());
}

TEST(ChunkLease, TheLowestChunkWithTheRunIsLeased) {
  Heap heap;
  auto& h = *heap.heap;
  [[maybe_unused]] SentChunks list;
  heap.grow(0, 5 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(4 * kChunkPages)));
  ASSERT_TRUE(h.free(heap.addr(3), Pages(9)));
  // The lowest run of 20 lies across two chunks, of which the second holds a run by itself.
  ASSERT_TRUE(h.free(heap.addr(2 * kChunkPages - 10), Pages(30)));
  EXPECT_FALSE(h.lease_chunk(Pages(0)));
  EXPECT_FALSE(h.lease_chunk(Pages(kChunkPages + 1)));
  Lease second = h.lease_chunk(Pages(20));
  EXPECT_EQ(second.base(), heap.addr(2 * kChunkPages));
  Lease whole = h.lease_chunk(Pages(kChunkPages));
  EXPECT_EQ(whole.base(), heap.addr(4 * kChunkPages));
  EXPECT_FALSE(h.lease_chunk(Pages(20)));
  Lease first = h.lease_chunk(Pages(9));
  EXPECT_EQ(first.base(), heap.addr(0));
  Lease rest = h.lease_chunk(Pages(10));
  EXPECT_EQ(rest.base(), heap.addr(kChunkPages));
  for (Lease* lease : {&first, &second, &whole, &rest}) h.end_lease(*lease);
  // Only across two chunks.
  ASSERT_TRUE(h.alloc_range(heap.addr(2 * kChunkPages + 10), Pages(10)));
  ASSERT_TRUE(h.alloc_range(heap.addr(4 * kChunkPages), Pages(kChunkPages)));
  EXPECT_FALSE(h.lease_chunk(Pages(20)));
  EXPECT_TRUE(h.is_valid());
  EXPECT_EQ(h.alloc(Pages(20)).base, heap.addr(2 * kChunkPages - 10));
}

TEST(ChunkLease, CachesFlushedIntoALeasedChunk) {
  Heap heap;
  auto& h = *heap.heap;
  [[maybe_unused]] SentChunks list;
  heap.grow(0, kChunkPages);
  PageCache<G> cache = h.alloc_to_cache();
  Lease lease = h.lease_chunk();
  ASSERT_TRUE(lease.alloc(Pages(448)));
  h.flush(cache);
  EXPECT_EQ(lease.collect(), Pages(64));
  EXPECT_EQ(lease.alloc(Pages(64)).base, heap.addr(0));
  h.end_lease(lease);
  EXPECT_EQ(h.free_pages_total(), Pages());
  EXPECT_TRUE(h.is_valid());
}

}  // namespace
}  // namespace ream::page
