#include "page/chunk_lease.h"

#include <gtest/gtest.h>

#include <mutex>
#include <random>
#include <thread>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using G = HeapWindow;
using Heap = test::TwinHeap<G>;
using Lease = ChunkLease<G>;

TEST(ChunkLease, ALeasedChunkShowsAsFull) {
  Heap heap;
  auto& h = *heap.heap;
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
  heap.grow(0, 3 * kChunkPages);
  ASSERT_TRUE(h.alloc(Pages(kChunkPages + 300)));
  ASSERT_TRUE(h.free(heap.addr(500), Pages(1)));
  Lease lease = h.lease_chunk();  // the first chunk: one free page
  ASSERT_EQ(lease.base(), heap.addr(0));
  EXPECT_EQ(h.free_to_lease(heap.addr(kChunkPages), Pages(1)), LeaseFree::kNotLeased);
  EXPECT_EQ(h.free_to_lease(heap.addr(500), Pages(1)), LeaseFree::kRefused);
  EXPECT_EQ(h.free_to_lease(heap.addr(511), Pages(2)), LeaseFree::kRefused);
  EXPECT_EQ(h.free_to_lease(heap.addr(60), Pages(10)), LeaseFree::kDone);
  EXPECT_EQ(h.free_to_lease(heap.addr(60), Pages(10)), LeaseFree::kRefused);
  EXPECT_EQ(h.page_state(heap.addr(60)), PageState::kFree);
  // Under the lock, over the border of the leased chunk.
  EXPECT_FALSE(h.free(heap.addr(65), Pages(kChunkPages)));
  EXPECT_TRUE(h.free(heap.addr(501), Pages(20)));
  EXPECT_FALSE(h.free(heap.addr(501), Pages(20)));
  EXPECT_EQ(h.free_pages_total(), Pages(2 * kChunkPages - 300 + 9));
  EXPECT_EQ(lease.alloc(Pages(1)).base, heap.addr(500));
  EXPECT_EQ(lease.alloc(Pages(10)).base, heap.addr(60));
  EXPECT_EQ(lease.alloc(Pages(10)).base, heap.addr(501));
  EXPECT_EQ(h.free_to_lease(heap.addr(0), Pages(50)), LeaseFree::kDone);
  h.end_lease(lease);
  EXPECT_TRUE(h.is_valid());
  EXPECT_EQ(h.alloc(Pages(50)).base, heap.addr(0));
}

TEST(ChunkLease, SettleFreesWhatCameAfterTheEnd) {
  Heap heap;
  auto& h = *heap.heap;
  heap.grow(0, kChunkPages);
  Lease lease = h.lease_chunk();
  const Allocation a = lease.alloc(Pages(7));
  ASSERT_TRUE(a);
  Chunk& chunk = lease.chunk();
  h.end_lease(lease);
  (void)chunk.add_returned(0, bit_range(0, 7));  // as a freer does that saw the lease just before
  EXPECT_EQ(h.alloc(Pages(1)).base, heap.addr(7));
  h.settle(a.base);
  EXPECT_TRUE(h.is_valid());
  EXPECT_EQ(h.alloc(Pages(7)).base, a.base);
}

TEST(ChunkLease, CachesFlushedIntoALeasedChunk) {
  Heap heap;
  auto& h = *heap.heap;
  heap.grow(0, kChunkPages);
  PageCache<G> cache = h.alloc_to_cache();
  Lease lease = h.lease_chunk();
  ASSERT_TRUE(lease.alloc(Pages(448)));
  h.flush(cache);
  EXPECT_EQ(lease.alloc(Pages(64)).base, heap.addr(0));
  h.end_lease(lease);
  EXPECT_EQ(h.free_pages_total(), Pages());
  EXPECT_TRUE(h.is_valid());
}

// Threads that lease, allocate and free, their own blocks and those of others. Each block is
// stamped by its owner, so one handed out twice is seen.
class LeaseStress {
 public:
  static constexpr unsigned kThreads = 4;
  static constexpr unsigned kMaxRun = 16;

  LeaseStress() : owner_(kPages) { heap_.grow(0, kPages); }

  void run(unsigned steps) {
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) threads.emplace_back([=, this] { work(t, steps); });
    for (std::thread& t : threads) t.join();
    for (auto& box : boxes_) {
      for (const Block& b : box.blocks) free(b);
      box.blocks.clear();
    }
    EXPECT_GT(allocations_.load(), kThreads * steps / 8);
    EXPECT_EQ(twice_.load(), 0u);
    EXPECT_EQ(refused_.load(), 0u);
    EXPECT_TRUE(heap_.heap->is_valid());
    EXPECT_EQ(heap_.heap->free_pages_total(), Pages(kPages));
  }

 private:
  static constexpr std::uint64_t kPages = 12 * kChunkPages;
  struct Block {
    Addr base{};
    Pages pages{};
  };
  struct Box {
    std::mutex lock;
    std::vector<Block> blocks;
  };

  void stamp(const Block& b, unsigned from, unsigned to) {
    for (std::uint64_t i = 0; i < b.pages.n; ++i) {
      unsigned expected = from;
      if (!owner_[heap_.page(b.base) + i].compare_exchange_strong(expected, to)) ++twice_;
    }
  }

  void free(const Block& b) {
    stamp(b, 1, 0);
    const LeaseFree sent = heap_.heap->free_to_lease(b.base, b.pages);
    if (sent == LeaseFree::kDone) return;
    const std::lock_guard<std::mutex> hold(lock_);
    if (sent == LeaseFree::kSettle) {
      heap_.heap->settle(b.base);
    } else if (sent != LeaseFree::kNotLeased || !heap_.heap->free(b.base, b.pages)) {
      ++refused_;
    }
  }

  void work(unsigned self, unsigned steps) {
    std::mt19937_64 random(self);
    Lease lease;
    for (unsigned step = 0; step < steps; ++step) {
      const Pages n(1 + random() % kMaxRun);
      if (random() % 2 != 0) {
        const Allocation got = lease ? lease.alloc(n) : Allocation{};
        if (got) {
          ++allocations_;
          stamp({got.base, n}, 0, 1);
          Box& box = boxes_[random() % kThreads];
          const std::lock_guard<std::mutex> hold(box.lock);
          box.blocks.push_back({got.base, n});
        } else {
          const std::lock_guard<std::mutex> hold(lock_);
          heap_.heap->end_lease(lease);
          lease = heap_.heap->lease_chunk();
        }
      } else if (Block b; take(boxes_[random() % kThreads], random(), b)) {
        free(b);
      }
      if (random() % 512 == 0) {
        const std::lock_guard<std::mutex> hold(lock_);
        heap_.heap->end_lease(lease);
        heap_.heap->scavenge(Bytes(64 * G::kPageBytes));
      }
    }
    const std::lock_guard<std::mutex> hold(lock_);
    heap_.heap->end_lease(lease);
  }

  static bool take(Box& box, std::uint64_t which, Block& b) {
    const std::lock_guard<std::mutex> hold(box.lock);
    if (box.blocks.empty()) return false;
    std::swap(box.blocks[which % box.blocks.size()], box.blocks.back());
    b = box.blocks.back();
    box.blocks.pop_back();
    return true;
  }

  Heap heap_;
  std::mutex lock_;  // around heap_.heap
  std::vector<std::atomic<unsigned>> owner_;
  std::array<Box, kThreads> boxes_;
  std::atomic<unsigned> allocations_ = 0;
  std::atomic<unsigned> twice_ = 0;
  std::atomic<unsigned> refused_ = 0;
};

TEST(ChunkLease, ThreadsLeaseAllocateAndFreeEachOthersPages) {
  LeaseStress().run(50000 * test::kScale);
}

}  // namespace
}  // namespace ream::page
