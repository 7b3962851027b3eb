// Heaps with budgets of the C API, through libream.so.
#include <gtest/gtest.h>
#include <malloc.h>
#include <ream/ream.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "abi/hide.h"

namespace abi_test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

class HeapsTest : public testing::Test {
 protected:
  ~HeapsTest() override { ream_heap_destroy(heap); }
  ream_heap* heap = ream_heap_create("test", 8 * kMiB);
};

TEST_F(HeapsTest, SaysWhatItWasMadeWith) {
  EXPECT_STREQ(ream_heap_name(heap), "test");
  EXPECT_EQ(ream_heap_get_budget(heap), 8 * kMiB);
  EXPECT_EQ(ream_heap_memory_in_use(heap), 0u);
  EXPECT_EQ(ream_heap_peak_memory(heap), 0u);
  ream_heap* nameless = ream_heap_create(nullptr, 0);
  EXPECT_STREQ(ream_heap_name(nameless), "");
  EXPECT_EQ(ream_heap_get_budget(nameless), 0u);
  ream_heap_destroy(nameless);
  const std::string longer(100, 'n');
  ream_heap* cut = ream_heap_create(longer.c_str(), 0);
  EXPECT_EQ(ream_heap_name(cut), std::string(31, 'n'));
  ream_heap_destroy(cut);
  ream_heap_destroy(nullptr);
}

TEST_F(HeapsTest, ItsObjectsAreLikeAnyOther) {
  for_sizes([this](std::size_t bytes) {
    void* p = ream_heap_malloc(heap, bytes);
    if (bytes > 8 * kMiB) {
      EXPECT_EQ(p, nullptr) << bytes;
      return;
    }
    ASSERT_NE(p, nullptr) << bytes;
    EXPECT_TRUE(is_aligned(p, 16));
    EXPECT_GE(malloc_usable_size(p), bytes);
    EXPECT_EQ(ream_heap_of(p), heap);
    std::memset(p, 1, bytes);
    bytes % 2 == 0 ? std::free(p) : ream_heap_free(heap, p);
  });
  void* p = ream_heap_malloc(heap, 10);
  p = std::realloc(p, 100'000);
  EXPECT_EQ(ream_heap_of(p), heap);
  p = std::realloc(p, 3 * kMiB);
  EXPECT_EQ(ream_heap_of(p), heap);
  EXPECT_EQ(hide(std::realloc(p, 0)), nullptr);
  p = ream_heap_malloc(heap, 100);
  ::operator delete(p);
  ream_heap_free(heap, nullptr);
}

TEST_F(HeapsTest, CallocIsZeroAlsoWhereOthersWrote) {
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{100}, std::size_t{5000}, std::size_t{200'000}, 2 * kMiB}) {
    for (int i = 0; i < 3; ++i) {
      auto* p = static_cast<unsigned char*>(ream_heap_calloc(heap, bytes, 1));
      ASSERT_NE(p, nullptr);
      for (std::size_t k = 0; k < bytes; ++k) ASSERT_EQ(p[k], 0) << bytes << " at " << k;
      std::memset(p, 0xff, bytes);
      std::free(p);
    }
  }
  errno = 0;
  EXPECT_EQ(ream_heap_calloc(heap, SIZE_MAX / 2, 3), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST_F(HeapsTest, AlignedAllocKeepsItsWord) {
  for (std::size_t alignment = 1; alignment <= kMiB; alignment *= 2) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{24}, std::size_t{70'000}, kMiB}) {
      void* p = ream_heap_aligned_alloc(heap, alignment, bytes);
      ASSERT_NE(p, nullptr);
      EXPECT_TRUE(is_aligned(p, alignment));
      EXPECT_EQ(ream_heap_of(p), heap);
      std::free(p);
    }
  }
  errno = 0;
  EXPECT_EQ(ream_heap_aligned_alloc(heap, 24, 24), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(ream_heap_aligned_alloc(heap, 16, hide(SIZE_MAX)), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST_F(HeapsTest, ReallocKeepsContentsAndRefusesAtTheBudget) {
  auto* p = static_cast<char*>(ream_heap_realloc(heap, nullptr, 10));
  std::strcpy(p, "contents");
  for (std::size_t bytes = 20; bytes <= 4 * kMiB; bytes *= 3) {
    p = static_cast<char*>(ream_heap_realloc(heap, p, bytes));
    ASSERT_NE(p, nullptr);
    ASSERT_STREQ(p, "contents");
  }
  errno = 0;
  EXPECT_EQ(hide(ream_heap_realloc(heap, p, 9 * kMiB)), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_STREQ(p, "contents");
  EXPECT_EQ(hide(ream_heap_realloc(heap, p, 0)), nullptr);
  EXPECT_LE(ream_heap_peak_memory(heap), 8 * kMiB);
}

TEST_F(HeapsTest, WhatIsNotAHeapsIsNobodys) {
  void* p = std::malloc(100);
  int here = 0;
  EXPECT_EQ(ream_heap_of(p), nullptr);
  EXPECT_EQ(ream_heap_of(&here), nullptr);
  EXPECT_EQ(ream_heap_of(nullptr), nullptr);
  EXPECT_EQ(ream_heap_of(reinterpret_cast<void*>(UINTPTR_MAX)), nullptr);
  std::free(p);
  auto* large = static_cast<char*>(ream_heap_malloc(heap, 2 * kMiB));
  EXPECT_EQ(ream_heap_of(large + kMiB), heap);
}

TEST_F(HeapsTest, TheBudgetIsAFigureOfWholePages) {
  void* p = ream_heap_malloc(heap, 1);
  EXPECT_EQ(ream_heap_memory_in_use(heap), 8192u);
  void* large = ream_heap_malloc(heap, kMiB + 1);
  EXPECT_EQ(ream_heap_memory_in_use(heap), 8192 + kMiB + 8192);
  std::free(large);
  EXPECT_EQ(ream_heap_memory_in_use(heap), 8192u);
  EXPECT_EQ(ream_heap_peak_memory(heap), 8192 + kMiB + 8192);
  std::free(p);
}

// Ever other sizes: the spans that earlier ones left empty are given up for the later ones.
TEST_F(HeapsTest, EmptySpansDoNotStandInTheWay) {
  ream_heap_set_budget(heap, 256 << 10);
  for (std::size_t bytes = 16; bytes <= 200'000; bytes += 16 + bytes / 8) {
    void* p = ream_heap_malloc(heap, bytes);
    ASSERT_NE(p, nullptr) << bytes;
    std::free(p);
  }
}

TEST_F(HeapsTest, ALoweredBudgetTakesNothingAway) {
  void* p = ream_heap_malloc(heap, 4 * kMiB);
  ream_heap_set_budget(heap, kMiB);
  EXPECT_EQ(ream_heap_memory_in_use(heap), 4 * kMiB);
  EXPECT_EQ(ream_heap_malloc(heap, 1), nullptr);
  std::free(p);
  void* small = ream_heap_malloc(heap, 1);
  EXPECT_NE(small, nullptr);
  EXPECT_EQ(ream_heap_malloc(heap, kMiB), nullptr);
  ream_heap_set_budget(heap, 0);
  EXPECT_NE(hide(ream_heap_malloc(heap, 20 * kMiB)), nullptr);
}

struct Spare {
  ream_heap* heap = nullptr;
  void* memory = nullptr;
  std::size_t raise_to = 0;
  std::size_t wanted = 0;
  unsigned calls = 0;
  int level = 0;
};
void free_spare(ream_pressure level, std::size_t wanted, void* arg) {
  auto& spare = *static_cast<Spare*>(arg);
  ++spare.calls;
  spare.level = level;
  spare.wanted = wanted;
  std::free(spare.memory);
  spare.memory = nullptr;
  if (spare.raise_to != 0) ream_heap_set_budget(spare.heap, spare.raise_to);
  std::free(ream_heap_malloc(spare.heap, 2 * kMiB));  // not called from within itself
}

TEST_F(HeapsTest, ItsCallbacksMakeRoom) {
  Spare spare{.heap = heap, .memory = ream_heap_malloc(heap, 6 * kMiB)};
  EXPECT_EQ(ream_heap_on_pressure(heap, nullptr, &spare), EINVAL);
  EXPECT_EQ(ream_heap_off_pressure(heap, free_spare, &spare), EINVAL);
  ASSERT_EQ(ream_heap_on_pressure(heap, free_spare, &spare), 0);
  void* p = ream_heap_malloc(heap, 5 * kMiB);
  EXPECT_NE(p, nullptr);
  EXPECT_EQ(spare.calls, 1u);
  EXPECT_EQ(spare.level, REAM_PRESSURE_HARD);
  EXPECT_EQ(spare.wanted, 3 * kMiB);
  errno = 0;
  EXPECT_EQ(ream_heap_malloc(heap, 5 * kMiB), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(spare.calls, 2u);
  spare.raise_to = 16 * kMiB;
  void* q = ream_heap_malloc(heap, 5 * kMiB);
  EXPECT_NE(q, nullptr);
  EXPECT_EQ(spare.calls, 3u);
  // Of another heap, and of the process, nobody asks it.
  ream_heap* other = ream_heap_create("other", 1);
  EXPECT_EQ(ream_heap_malloc(other, 1), nullptr);
  EXPECT_EQ(spare.calls, 3u);
  ream_heap_destroy(other);
  EXPECT_EQ(ream_heap_off_pressure(heap, free_spare, &spare), 0);
  EXPECT_EQ(ream_heap_off_pressure(heap, free_spare, &spare), EINVAL);
  EXPECT_EQ(ream_heap_malloc(heap, 10 * kMiB), nullptr);
  EXPECT_EQ(spare.calls, 3u);
}

TEST_F(HeapsTest, TheTableOfCallbacksIsBounded) {
  Spare spare{.heap = heap};
  for (int i = 0; i < 64; ++i) ASSERT_EQ(ream_heap_on_pressure(heap, free_spare, &spare), 0);
  EXPECT_EQ(ream_heap_on_pressure(heap, free_spare, &spare), ENOMEM);
}

TEST_F(HeapsTest, TheLimitOfTheProcessHoldsForItToo) {
  ream_heap_set_budget(heap, 0);
  ream_purge();
  ASSERT_EQ(ream_set_memory_limit(0, ream_memory_in_use() + 10 * kMiB), 0);
  EXPECT_EQ(ream_heap_malloc(heap, 20 * kMiB), nullptr);
  std::size_t got = 0;
  while (ream_heap_malloc(heap, 1000) != nullptr) got += 1000;
  EXPECT_GE(got, 8 * kMiB);
  EXPECT_LE(got, 10 * kMiB);
  EXPECT_EQ(ream_set_memory_limit(0, 0), 0);
  EXPECT_NE(hide(ream_heap_malloc(heap, 20 * kMiB)), nullptr);
}

TEST_F(HeapsTest, DestroyingFreesEverything) {
  ream_purge();
  const std::size_t before = ream_memory_in_use();
  const std::size_t live = mallinfo2().uordblks;
  ream_heap* filled = ream_heap_create("filled", 0);
  for (std::size_t i = 0; i < 50'000; ++i) ASSERT_NE(ream_heap_malloc(filled, i % 2000), nullptr);
  for (std::size_t i = 0; i < 20; ++i) ASSERT_NE(ream_heap_malloc(filled, kMiB), nullptr);
  EXPECT_GE(mallinfo2().uordblks, live + 60 * kMiB);
  EXPECT_GE(ream_heap_memory_in_use(filled), 60 * kMiB);
  ream_heap_destroy(filled);
  EXPECT_LE(mallinfo2().uordblks, live + 100'000);
  ream_purge();
  EXPECT_LE(ream_memory_in_use(), before + 2 * kMiB);
}

TEST_F(HeapsTest, MallocNeverGetsAnObjectOfAHeap) {
  std::vector<void*> mine;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 500; ++i) mine.push_back(ream_heap_malloc(heap, 64));
    for (void* p : mine) std::free(p);
    mine.clear();
    for (int i = 0; i < 500; ++i) {
      mine.push_back(std::malloc(64));
      ASSERT_EQ(ream_heap_of(mine.back()), nullptr);
    }
    for (void* p : mine) std::free(p);
    mine.clear();
  }
}

using HeapsDeathTest = HeapsTest;

std::string text(const char* what, const void* at) {
  char line[128];
  std::snprintf(line, sizeof line, "ream: %s: %p\n", what, at);
  return line;
}

TEST_F(HeapsDeathTest, MisuseEndsTheProgram) {
  void* small = ream_heap_malloc(heap, 100);
  void* large = ream_heap_malloc(heap, kMiB);
  void* plain = hide(std::malloc(100));
  ream_heap* other = ream_heap_create("other", 0);
  void* of_other = ream_heap_malloc(other, 100);
  const auto dies = [](auto act, const std::string& expected) {
    EXPECT_EXIT(act(), testing::KilledBySignal(SIGABRT), expected);
  };
  for (void* p : {plain, of_other}) {
    dies([&] { ream_heap_free(heap, p); }, text("free of an object of another heap", p));
    dies([&] { hide(ream_heap_realloc(heap, p, 10)); },
         text("realloc of an object of another heap", p));
    dies([&] { hide(ream_heap_realloc(heap, p, 0)); },
         text("realloc of an object of another heap", p));
  }
  for (void* p : {small, large}) {
    std::free(hide(p));
    dies([&] { std::free(hide(p)); }, text("double free", p));
    dies([&] { ream_heap_free(heap, hide(p)); }, text("double free", p));
    dies([&] { hide(std::realloc(hide(p), 10)); }, text("realloc of a freed pointer", p));
    dies([&] { hide(malloc_usable_size(hide(p))); },
         text("malloc_usable_size of a freed pointer", p));
  }
  std::free(hide(plain));
  ream_heap_destroy(other);
  dies([&] { std::free(hide(of_other)); }, text("double free", of_other));
  dies([&] { ream_heap_free(heap, of_other); }, text("double free", of_other));
  dies([&] { hide(ream_heap_malloc(other, 1)); }, text("use of a destroyed heap", other));
  dies([&] { ream_heap_destroy(other); }, text("use of a destroyed heap", other));
}

}  // namespace
}  // namespace abi_test
