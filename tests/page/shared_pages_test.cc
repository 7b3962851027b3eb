// Threads on one page allocator. Every page is stamped by its user, so one handed out twice is
// seen.
#include "page/shared_pages.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using G = HeapWindow;
using Shared = SharedPages<G, std::mutex>;
using Lessee = Shared::Lessee;

class SharedPagesTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kPages = 64 * kChunkPages;

  SharedPagesTest() {
    pages->with_lock([this](PageAlloc<G>& p) {
      EXPECT_EQ(p.init(memory.environment(), Addr()), InitResult::kOk);
      EXPECT_EQ(p.grow(Addr(), Bytes(kPages << G::kPageShift)), GrowResult::kOk);
    });
  }
  ~SharedPagesTest() override {
    pages->with_lock([](PageAlloc<G>& p) { p.release(); });
  }

  void expect_all_free() {
    pages->with_lock([](PageAlloc<G>& p) {
      EXPECT_TRUE(p.is_valid());
      EXPECT_EQ(p.free_pages_total(), Pages(kPages));
    });
  }

  test::MetadataMemory memory;
  std::unique_ptr<Shared> pages = std::make_unique<Shared>();
};

TEST_F(SharedPagesTest, EveryLength) {
  Lessee mine;
  EXPECT_FALSE(pages->alloc(mine, Pages(0)));
  EXPECT_FALSE(pages->alloc(mine, Pages(kPages + 1)));
  for (const std::uint64_t n : {1, 63, 64, 65, 511, 512, 513, 5000}) {
    const Allocation a = pages->alloc(mine, Pages(n));
    ASSERT_TRUE(a) << n;
    EXPECT_FALSE(pages->free(mine, a.base + 1_B, Pages(n)));
    EXPECT_TRUE(pages->free(mine, a.base, Pages(n))) << n;
    if (n <= 64) {
      EXPECT_FALSE(pages->free(mine, a.base, Pages(n))) << n;
    }
  }
  pages->end(mine);
  expect_all_free();
}

TEST_F(SharedPagesTest, FreesOfOtherThreadsComeBack) {
  Lessee mine;
  Lessee other;
  std::vector<Allocation> all;
  while (const Allocation a = pages->alloc(mine, Pages(4))) all.push_back(a);
  EXPECT_EQ(all.size(), kPages / 4);
  for (const Allocation& a : all) ASSERT_TRUE(pages->free(other, a.base, Pages(4)));
  std::size_t again = 0;
  while (pages->alloc(other, Pages(4))) ++again;
  EXPECT_GE(again, all.size() - Lessee::kMaxLeases * kChunkPages / 4);
  for (const Allocation& a : all) static_cast<void>(pages->free(mine, a.base, Pages(4)));
  pages->end(mine);
  pages->end(other);
}

TEST_F(SharedPagesTest, OperationsTakeFewLocks) {
  Lessee mine;
  std::mt19937_64 random(1);
  struct Block {
    Addr base;
    Pages pages;
  };
  std::vector<Block> live;
  const auto step = [&](std::size_t keep) {
    const Pages n(1 + random() % 16);
    const Allocation a = pages->alloc(mine, n);
    ASSERT_TRUE(a);
    live.push_back({a.base, n});
    if (live.size() <= keep) return;
    std::swap(live[random() % live.size()], live.back());
    ASSERT_TRUE(pages->free(mine, live.back().base, live.back().pages));
    live.pop_back();
  };
  for (const std::size_t keep : {100, 1000, 3000}) {
    while (live.size() < keep) step(keep);
    const std::uint64_t before = pages->lockings();
    for (unsigned i = 0; i < 50'000; ++i) step(keep);
    EXPECT_LE(pages->lockings() - before, 2 * 50'000u / 64) << keep;
  }
  for (const Block& b : live) ASSERT_TRUE(pages->free(mine, b.base, b.pages));
  pages->end(mine);
  expect_all_free();
}

TEST_F(SharedPagesTest, WhatAnIdleThreadFreedIsFoundByOthers) {
  Lessee producer, consumer, other;
  const Allocation all = pages->with_lock([](PageAlloc<G>& p) { return p.alloc(Pages(kPages)); });
  ASSERT_TRUE(all);
  for (std::uint64_t c = 0; c < 8; ++c) {
    const Addr base = all.base + Bytes(c << G::kLogChunkBytes);
    ASSERT_TRUE(pages->free(consumer, base, Pages(1)));
    ASSERT_TRUE(pages->free(other, base + Bytes(G::kPageBytes), Pages(kChunkPages - 1)));
  }
  pages->end(other);
  EXPECT_TRUE(pages->alloc(producer, Pages(1)));
  EXPECT_TRUE(pages->alloc(producer, Pages(300)));
  pages->end(producer);
  pages->end(consumer);
}

// Threads that keep more chunks than they lease go round among them without the lock.
TEST_F(SharedPagesTest, ASteadyThreadTakesNoLock) {
  Lessee mine;
  std::mt19937_64 random(1);
  std::vector<Allocation> live(2000);
  std::vector<Pages> lengths(live.size());
  const auto take = [&](std::size_t i) {
    lengths[i] = Pages(1 + random() % 16);
    live[i] = pages->alloc(mine, lengths[i]);
    ASSERT_TRUE(live[i]);
  };
  for (std::size_t i = 0; i < live.size(); ++i) take(i);
  std::uint64_t before = 0;
  for (unsigned step = 0; step < 100'000; ++step) {
    if (step == 50'000) before = pages->lockings();
    const std::size_t i = random() % live.size();
    ASSERT_TRUE(pages->free(mine, live[i].base, lengths[i]));
    take(i);
  }
  EXPECT_LE(pages->lockings() - before, 20u);
  for (std::size_t i = 0; i < live.size(); ++i) {
    ASSERT_TRUE(pages->free(mine, live[i].base, lengths[i]));
  }
  pages->end(mine);
  expect_all_free();
}

TEST_F(SharedPagesTest, WhatAThreadParkedIsFoundByOthers) {
  Lessee owner, other;
  std::vector<Allocation> all;
  while (const Allocation a = pages->alloc(owner, Pages(1))) all.push_back(a);
  ASSERT_EQ(all.size(), kPages);
  for (std::size_t i = 0; i < all.size(); i += kChunkPages / 2) {
    ASSERT_TRUE(pages->free(owner, all[i].base, Pages(1)));
  }
  std::uint64_t found = 0;
  while (pages->alloc(other, Pages(1))) ++found;
  EXPECT_GE(found, 2 * (kPages / kChunkPages - Lessee::kMaxLeases));
  pages->end(owner);
  while (pages->alloc(other, Pages(1))) ++found;
  EXPECT_EQ(found, 2 * kPages / kChunkPages);
  pages->end(other);
}

class SharedPagesStress : public SharedPagesTest {
 protected:
  struct Block {
    Addr base{};
    Pages pages{};
  };
  struct Box {
    std::mutex lock;
    std::vector<Block> blocks;
  };
  static constexpr unsigned kThreads = 4;

  void stamp(const Block& b, unsigned from, unsigned to) {
    for (std::uint64_t i = 0; i < b.pages.n; ++i) {
      unsigned expected = from;
      auto& owner = owners_[(b.base.n >> G::kPageShift) + i];
      if (!owner.compare_exchange_strong(expected, to)) ++twice_;
    }
  }

  void work(unsigned self, unsigned steps) {
    std::mt19937_64 random(self);
    Lessee mine;
    for (unsigned step = 0; step < steps; ++step) {
      const Pages n(random() % 64 == 0 ? 1 + random() % 600 : 1 + random() % 16);
      Box& box = boxes_[random() % kThreads];
      if (random() % 2 != 0) {
        const Allocation got = pages->alloc(mine, n);
        if (!got) continue;
        stamp({got.base, n}, 0, 1);
        const std::lock_guard<std::mutex> hold(box.lock);
        box.blocks.push_back({got.base, n});
      } else if (Block b; take(box, random(), b)) {
        stamp(b, 1, 0);
        if (!pages->free(mine, b.base, b.pages)) ++refused_;
      }
      if (random() % 512 == 0) {
        pages->end(mine);
        pages->with_lock([](PageAlloc<G>& p) { p.scavenge(Bytes(64 * G::kPageBytes)); });
      }
    }
    pages->end(mine);
  }

  static bool take(Box& box, std::uint64_t which, Block& b) {
    const std::lock_guard<std::mutex> hold(box.lock);
    if (box.blocks.empty()) return false;
    std::swap(box.blocks[which % box.blocks.size()], box.blocks.back());
    b = box.blocks.back();
    box.blocks.pop_back();
    return true;
  }

  std::vector<std::atomic<unsigned>> owners_ = std::vector<std::atomic<unsigned>>(kPages);
  std::array<Box, kThreads> boxes_;
  std::atomic<unsigned> twice_ = 0;
  std::atomic<unsigned> refused_ = 0;
};

TEST_F(SharedPagesStress, ThreadsAllocateAndFreeEachOthersPages) {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] { work(t, 50'000 * test::kScale); });
  }
  for (std::thread& t : threads) t.join();
  Lessee mine;
  for (Box& box : boxes_) {
    for (const Block& b : box.blocks) EXPECT_TRUE(pages->free(mine, b.base, b.pages));
  }
  pages->end(mine);
  EXPECT_EQ(twice_.load(), 0u);
  EXPECT_EQ(refused_.load(), 0u);
  expect_all_free();
}

}  // namespace
}  // namespace ream::page
