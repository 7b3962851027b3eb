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
  EXPECT_FALSE(h.lease_sent(list, Pages(1)));
  static_cast<void>(h.free_remote(heap.addr(2 * kChunkPages + 1), Pages(1), list));
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
