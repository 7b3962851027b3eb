// Transfer caches: batches between bins, their growth, and how they give back what lies idle.
#include "heap/transfer_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "heap/heap.h"
#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

constexpr std::uint32_t kBatch = 8;

// A bin that no thread owns, over objects that are only addresses and states.
class TransferCacheTest : public ::testing::Test {
 protected:
  TransferCacheTest() {
    bin_.base = entries_.data();
    bin_.limit = entries_.data() + entries_.size();
    set_top(bin_, bin_.base);
  }

  // Fills the bin with objects first, first + 1, ...
  void fill(std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      states_[first + i] = kCached;
      bin_.base[i] = {Addr(std::uint64_t{first} + i + 1).ptr(), &states_[first + i]};
    }
    set_top(bin_, bin_.base + count);
  }
  std::uint32_t put(std::uint32_t count) { return cache_.put(bin_, class_, count, room_, limit_); }
  std::vector<std::uint64_t> take(std::uint32_t max) {
    std::array<Taken, 64> out;
    const std::uint32_t n = cache_.take(out.data(), max);
    return numbers(out.data(), n);
  }
  std::vector<std::uint64_t> take_idle(std::uint32_t max) {
    std::array<Taken, 64> out;
    const std::uint32_t n = cache_.take_idle(class_, out.data(), max, room_);
    return numbers(out.data(), n);
  }
  static std::vector<std::uint64_t> numbers(const Taken* taken, std::uint32_t n) {
    std::vector<std::uint64_t> result;
    for (std::uint32_t i = 0; i < n; ++i) result.push_back(Addr(taken[i].object).n - 1);
    return result;
  }
  [[nodiscard]] bool is_valid() {
    return cache_.is_valid(class_) && cache_.room_bytes(class_) == room_.bytes();
  }

  const ClassIndex class_ = class_of(64);
  std::array<std::uint8_t, 4096> states_{};
  std::array<Taken, 64> entries_{};
  Bin bin_;
  TransferRoom room_;
  MemoryLimit limit_;
  TransferCache cache_;
};

using Numbers = std::vector<std::uint64_t>;

TEST_F(TransferCacheTest, HasNoRoomUntilItWasDry) {
  fill(0, kBatch);
  EXPECT_EQ(put(kBatch), 0u);
  EXPECT_EQ(bin_.size(), kBatch);
  EXPECT_EQ(take(kBatch), Numbers());
  EXPECT_EQ(put(kBatch), kBatch);
  EXPECT_EQ(bin_.size(), 0u);
  EXPECT_EQ(cache_.count(), kBatch);
  EXPECT_TRUE(is_valid());
}

TEST_F(TransferCacheTest, TheLowestOfABinComeAndTheNewestGo) {
  EXPECT_EQ(take(1), Numbers());
  fill(0, 12);
  EXPECT_EQ(put(4), 4u);
  EXPECT_EQ(numbers(bin_.base, bin_.size()), (Numbers{4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(put(4), 4u);
  EXPECT_EQ(take(3), (Numbers{5, 6, 7}));
  EXPECT_EQ(take(9), (Numbers{0, 1, 2, 3, 4}));
  EXPECT_TRUE(is_valid());
}

TEST_F(TransferCacheTest, GrowsOnlyWhenBothFullAndDry) {
  EXPECT_EQ(take(1), Numbers());
  fill(0, 3 * kBatch);
  EXPECT_EQ(put(kBatch), kBatch);
  EXPECT_EQ(put(kBatch), kBatch);
  EXPECT_EQ(put(kBatch), 0u);  // full, and not dry since it grew
  EXPECT_EQ(take(3 * kBatch).size(), 2 * kBatch);
  fill(0, 5 * kBatch);
  for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(put(kBatch), kBatch) << i;
  EXPECT_EQ(put(kBatch), 0u);
  EXPECT_TRUE(is_valid());
}

TEST_F(TransferCacheTest, TakesAPartOfABatchWhereAllHasNoRoom) {
  EXPECT_EQ(take(1), Numbers());
  fill(0, 20);
  EXPECT_EQ(put(7), 7u);  // room for 14
  EXPECT_EQ(put(10), 7u);
  EXPECT_EQ(bin_.size(), 6u);
  EXPECT_EQ(cache_.count(), 14u);
}

TEST_F(TransferCacheTest, OnlyWhatNobodyTookIsIdleAndItsRoomGoes) {
  EXPECT_EQ(take(1), Numbers());
  fill(0, 16);
  EXPECT_EQ(put(16), 16u);
  EXPECT_EQ(take_idle(64), Numbers());  // not yet looked at
  cache_.look(class_, room_);
  EXPECT_EQ(take(6).size(), 6u);
  fill(16, 4);
  EXPECT_EQ(put(4), 4u);
  EXPECT_EQ(take_idle(4), (Numbers{0, 1, 2, 3}));
  EXPECT_EQ(take_idle(64), (Numbers{4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(take_idle(64), Numbers());
  EXPECT_EQ(cache_.count(), 4u);
  EXPECT_EQ(room_.bytes(), 64_B * 6);  // of 32: 16 were not used, 10 lay idle
  EXPECT_TRUE(is_valid());
  EXPECT_EQ(take(64), (Numbers{16, 17, 18, 19}));
  cache_.look(class_, room_);
  cache_.look(class_, room_);
  EXPECT_EQ(room_.bytes(), Bytes());
  EXPECT_FALSE(cache_.has_room());
}

TEST_F(TransferCacheTest, NoneIsLargerThanItsClassMayBe) {
  for (std::size_t c = 1; c < kClassCount; ++c) {
    const auto most = TransferCache::max_capacity(static_cast<ClassIndex>(c));
    EXPECT_GE(most, 2u);
    EXPECT_LE(most * std::uint64_t{kSizeClasses[c].object_bytes}, TransferCache::kMaxBytes);
  }
  std::uint32_t next = 0;
  for (unsigned round = 0; round < 20; ++round) {
    while (!take(64).empty()) {
    }
    for (;;) {
      fill(next % 4000, 64);
      next += 64;
      if (put(64) < 64) break;
    }
  }
  EXPECT_EQ(cache_.count(), TransferCache::max_capacity(class_));
  EXPECT_EQ(cache_.touched_bytes(), Bytes(cache_.count() * sizeof(Taken)));
  EXPECT_GE(limit_.in_use(), cache_.touched_bytes());  // entries count against the limit
}

TEST(TransferRoomTest, IsBoundedByTheHeapAndByTheMost) {
  TransferRoom room;
  MemoryLimit limit;
  EXPECT_TRUE(room.take(Bytes(TransferRoom::kLeastBytes), limit));
  EXPECT_FALSE(room.take(1_B, limit));
  limit.publish_pages(80_MiB);
  EXPECT_TRUE(room.take(10_MiB, limit));
  EXPECT_FALSE(room.take(1_B, limit));
  limit.publish_pages(10_TiB);
  EXPECT_TRUE(room.take(Bytes(TransferRoom::kMostBytes) - room.bytes(), limit));
  EXPECT_FALSE(room.take(1_B, limit));
  room.give(1_MiB);
  EXPECT_TRUE(room.take(1_MiB, limit));
  room.give(1_MiB);
  limit.set(1_GiB, 2_GiB);
  EXPECT_FALSE(room.take(1_B, limit));  // above the soft limit
}

// A thread allocates, another frees: what the one frees is what the other allocates, and when both
// have ended all is given back.
TEST(TransferCachesTest, ObjectsGoRoundBetweenThreads) {
  static_cast<void>(g_heap.trim());
  const HeapStats before = g_heap.stats();
  std::mutex lock;
  std::deque<std::uint64_t*> queue;
  std::atomic<bool> ended{false};
  std::atomic<std::uint64_t> wrong{0};
  constexpr std::uint64_t kRounds = 40'000 * kEffort;
  std::thread consumer([&] {
    for (std::uint64_t expected = 0; expected < kRounds;) {
      std::deque<std::uint64_t*> got;
      {
        std::lock_guard hold(lock);
        got.swap(queue);
      }
      if (got.empty()) std::this_thread::yield();
      for (std::uint64_t* p : got) {
        if (*p != expected++) wrong.fetch_add(1);
        *p = ~std::uint64_t{0};
        g_heap.free(p);
      }
    }
    ended = true;
  });
  Random random(5);
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    auto* p = static_cast<std::uint64_t*>(g_heap.allocate(8 + random.below(300)));
    *p = i;
    std::lock_guard hold(lock);
    queue.push_back(p);
  }
  consumer.join();
  EXPECT_TRUE(ended.load());
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_TRUE(g_heap.is_valid());
  static_cast<void>(g_heap.trim());
  EXPECT_EQ(g_heap.transfers().room().bytes(), Bytes());
  const HeapStats after = g_heap.stats();
  EXPECT_EQ(after.live_objects, before.live_objects);
  EXPECT_EQ(after.cached, before.cached);
}

// What lies in a transfer cache counts as cached, and goes back when nobody takes it.
TEST(TransferCachesTest, IdleOnesAreEmptiedInTwoLooks) {
  static_cast<void>(g_heap.trim());
  const ClassIndex c = class_of(1000);
  for (unsigned round = 0; round < 8; ++round) {
    std::vector<void*> objects;
    for (unsigned i = 0; i < 4000; ++i) objects.push_back(g_heap.allocate(1000));
    for (void* p : objects) g_heap.free(p);
  }
  const std::uint64_t cached = g_heap.transfers().cached(c);
  EXPECT_GT(cached, 500u);
  EXPECT_GE(g_heap.class_stats(c).cached, cached);
  const WorkBudget all(WorkBudget::kUnlimited);
  std::uint64_t now = 1'000'000'000'000;
  EXPECT_FALSE(g_heap.transfers().give_idle(g_heap, all, now));
  EXPECT_FALSE(g_heap.transfers().give_idle(g_heap, all, now + TransferCaches::kIdleNs - 1));
  EXPECT_EQ(g_heap.transfers().cached(c), cached);
  now += TransferCaches::kIdleNs;
  EXPECT_FALSE(g_heap.transfers().give_idle(g_heap, WorkBudget(0), now));  // a batch
  EXPECT_LT(g_heap.transfers().cached(c), cached);
  EXPECT_TRUE(g_heap.transfers().give_idle(g_heap, all, now));
  EXPECT_EQ(g_heap.transfers().cached(c), 0u);
  EXPECT_TRUE(g_heap.is_valid());
}

}  // namespace
}  // namespace ream
