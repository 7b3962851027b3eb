#include "page/page_lessee.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using G = HeapWindow;
using Heap = test::TwinHeap<G>;
using Lessee = PageLessee<G>;

TEST(PageLessee, NothingIsAllocatedBeforeARefill) {
  Heap heap;
  auto& h = *heap.heap;
  Lessee lessee;
  EXPECT_FALSE(lessee.alloc(Pages(1)));
  EXPECT_FALSE(lessee.refill(h, Pages(1)));
  heap.grow(0, 20 * kChunkPages);
  EXPECT_FALSE(lessee.alloc(Pages(1)));
  ASSERT_TRUE(lessee.refill(h, Pages(1)));
  EXPECT_EQ(lessee.leases(), 2u);  // as many as have kRefillPages
  EXPECT_EQ(lessee.alloc(Pages(5)).base, heap.addr(0));
  EXPECT_FALSE(lessee.alloc(Pages(0)));
  EXPECT_FALSE(lessee.alloc(Lessee::kMaxRun + Pages(1)));
  lessee.end(h);
  EXPECT_EQ(lessee.leases(), 0u);
  EXPECT_EQ(h.free_pages_total(), Pages(20 * kChunkPages - 5));
  EXPECT_TRUE(h.is_valid());
}

TEST(PageLessee, LowestLeaseFirst) {
  Heap heap;
  auto& h = *heap.heap;
  heap.grow(0, 20 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(3 * kChunkPages)));
  Lessee lessee;
  ASSERT_TRUE(lessee.refill(h, Pages(1)));
  ASSERT_TRUE(h.free(heap.addr(100), Pages(80)));
  while (lessee.alloc(Pages(8))) {
  }
  ASSERT_TRUE(lessee.refill(h, Pages(8)));
  EXPECT_EQ(lessee.alloc(Pages(8)).base, heap.addr(100));
  lessee.end(h);
}

// One refill is to serve many allocations also where every chunk has little to give.
TEST(PageLessee, ManyPoorChunksAreLeasedAtOnce) {
  Heap heap;
  auto& h = *heap.heap;
  heap.grow(0, 40 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(40 * kChunkPages)));
  for (std::uint64_t c = 0; c < 40; ++c) {
    ASSERT_TRUE(h.free(heap.addr(c * kChunkPages + 7), Pages(60)));
  }
  Lessee lessee;
  std::uint64_t allocations = 0;
  std::uint64_t refills = 0;
  while (lessee.refill(h, Pages(4))) {
    ++refills;
    while (lessee.alloc(Pages(4))) ++allocations;
  }
  EXPECT_EQ(allocations, 40u * 15);
  EXPECT_EQ(refills, (40u + Lessee::kMaxLeases - 1) / Lessee::kMaxLeases);
  lessee.end(h);
  EXPECT_EQ(h.free_pages_total(), Pages());
  EXPECT_TRUE(h.is_valid());
}

// Runs across two chunks are of no use to a lessee, so they stay, and must not hide what lies
// above.
TEST(PageLessee, RunsAcrossTwoChunksDoNotEndARefill) {
  Heap heap;
  auto& h = *heap.heap;
  heap.grow(0, 20 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(16 * kChunkPages)));
  for (std::uint64_t c = 1; c < 16; ++c) {
    ASSERT_TRUE(h.free(heap.addr(c * kChunkPages - 8), Pages(16)));
  }
  Lessee lessee;
  ASSERT_TRUE(lessee.refill(h, Pages(1)));
  EXPECT_EQ(lessee.leases(), 2u);  // as many as have kRefillPages
  lessee.end(h);
  EXPECT_EQ(h.free_pages_total(), Pages(4 * kChunkPages + 15 * 16));
}

TEST(PageLessee, WhatOthersFreedIsFoundBeforeARefill) {
  Heap heap;
  auto& h = *heap.heap;
  heap.grow(0, 2 * kChunkPages);
  Lessee lessee;
  ASSERT_TRUE(lessee.refill(h, Pages(64)));
  while (lessee.alloc(Pages(64))) {
  }
  ASSERT_TRUE(lessee.free_remote(h, heap.addr(kChunkPages + 50), Pages(64)));
  EXPECT_FALSE(lessee.alloc(Pages(64)));
  EXPECT_EQ(lessee.alloc_rich(h, Pages(64)).base, heap.addr(kChunkPages + 50));
  EXPECT_FALSE(lessee.refill(h, Pages(1)));
  ASSERT_TRUE(lessee.free_remote(h, heap.addr(50), Pages(1)));
  ASSERT_TRUE(lessee.refill(h, Pages(1)));
  EXPECT_EQ(lessee.alloc(Pages(1)).base, heap.addr(50));
  lessee.end(h);
  EXPECT_EQ(h.free_pages_total(), Pages());
}

// A thread whose pages lie in more chunks than it leases goes round among them.
TEST(PageLessee, ChunksThatBecameRichNeedNoRefill) {
  Heap heap;
  auto& h = *heap.heap;
  constexpr std::uint64_t kChunks = 40;
  heap.grow(0, kChunks * kChunkPages);
  Lessee lessee;
  const auto fill = [&] {
    std::uint64_t got = 0;
    while (lessee.alloc(Pages(8)) || lessee.alloc_rich(h, Pages(8))) ++got;
    return got;
  };
  for (std::uint64_t got = 0; got < kChunks * kChunkPages / 8; got += fill()) {
    ASSERT_TRUE(lessee.refill(h, Pages(8)));
  }
  std::uint64_t odd_leases = 0;
  for (std::uint64_t c = 1; c < kChunks; c += 2) {
    odd_leases += lessee.lease_of(heap.addr(c * kChunkPages)) != nullptr;
  }
  // What has become rich is leased anew, the rest stays parked.
  for (std::uint64_t c = 0; c < kChunks; ++c) {
    for (std::uint64_t i = 0; i < (c % 2 == 0 ? 128u : 8u); i += 8) {
      ASSERT_TRUE(lessee.free_remote(h, heap.addr(c * kChunkPages + i), Pages(8)));
    }
  }
  ASSERT_EQ(h.free_pages_total(), Pages());
  EXPECT_EQ(fill(), kChunks / 2 * 128 / 8 + odd_leases);
  // A refill that finds nothing else settles it.
  ASSERT_TRUE(lessee.refill(h, Pages(8)));
  EXPECT_EQ(h.free_pages_total(), Pages((kChunks / 2 - odd_leases - 1) * 8));
  EXPECT_EQ(fill(), 1u);
  lessee.end(h);
  EXPECT_TRUE(h.is_valid());
}

// Two lessees and the owner take and free at random; every page has one user, and none is lost.
TEST(PageLessee, RandomOperationsEqualAModel) {
  for (std::uint64_t seed = 1; seed <= 4 * test::kScale; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    Heap heap;
    auto& h = *heap.heap;
    const std::uint64_t pages = 12 * kChunkPages;
    heap.grow(0, pages);
    std::array<Lessee, 2> lessees;
    std::vector<bool> used(pages);
    std::map<std::uint64_t, std::uint64_t> live;  // first page -> pages
    const auto taken = [&](const Allocation& a, std::uint64_t n) {
      const std::uint64_t first = heap.page(a.base);
      for (std::uint64_t i = first; i < first + n; ++i) {
        ASSERT_FALSE(used[i]);
        used[i] = true;
      }
      live[first] = n;
    };
    for (unsigned step = 0; step < 3000 && !::testing::Test::HasFailure(); ++step) {
      const std::uint64_t n = 1 + random() % 30;
      Lessee& lessee = lessees[random() % 2];
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
        case 3: {
          Allocation a = lessee.alloc(Pages(n));
          if (!a) a = lessee.alloc_rich(h, Pages(n));
          if (!a && lessee.refill(h, Pages(n))) a = lessee.alloc(Pages(n));
          if (a) taken(a, n);
          break;
        }
        case 4:
          if (random() % 8 != 0) break;
          if (const Allocation a = h.alloc(Pages(100 + n))) taken(a, 100 + n);
          break;
        case 5:
          if (random() % 64 == 0) lessee.end(h);
          if (random() % 64 == 0) (void)lessee.settle(h);
          if (random() % 16 == 0) lessee.settle_some(h, 3);
          if (random() % 64 == 0) lessee.settle_rich(h);
          break;
        default: {
          auto it = live.lower_bound(random() % pages);
          if (it == live.end()) break;
          const auto [first, count] = *it;
          const Addr base = heap.addr(first);
          ChunkLease<G>* lease = lessee.lease_of(base);
          if (lease == nullptr || !lease->free(base, Pages(count))) {
            if (!lessee.free_remote(h, base, Pages(count))) {
              ASSERT_TRUE(h.free(base, Pages(count)));
            }
          }
          for (std::uint64_t i = first; i < first + count; ++i) used[i] = false;
          live.erase(it);
        }
      }
    }
    for (Lessee& lessee : lessees) lessee.end(h);
    ASSERT_TRUE(h.is_valid());
    for (std::uint64_t i = 0; i < pages; ++i) {
      ASSERT_EQ(h.page_state(heap.addr(i)) == PageState::kInUse, used[i]) << i;
    }
  }
}

}  // namespace
}  // namespace ream::page
