// realloc and reallocarray.
#include <malloc.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "abi/hide.h"
#include "gtest/gtest.h"

namespace abi_test {
namespace {

void fill(unsigned char* p, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) p[i] = static_cast<unsigned char>(i * 31 + i / 256);
}

bool holds(const unsigned char* p, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    if (p[i] != static_cast<unsigned char>(i * 31 + i / 256)) return false;
  }
  return true;
}

TEST(Realloc, OfNullIsMalloc) {
  void* p = hide(std::realloc(nullptr, 100));
  ASSERT_NE(nullptr, p);
  EXPECT_GE(malloc_usable_size(p), 100u);
  std::free(p);
  void* q = hide(std::realloc(nullptr, hide(std::size_t{0})));
  EXPECT_NE(nullptr, q);  // as malloc(0)
  std::free(q);
}

// glibc frees the block and returns null; errno stays.
TEST(Realloc, ToZeroFrees) {
  for (const std::size_t n : {std::size_t{1}, std::size_t{1000}, std::size_t{1} << 20}) {
    const std::size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (int i = 0; i < 1000; ++i) {
      void* p = hide(std::malloc(n));
      ASSERT_NE(nullptr, p);
      errno = 55;
      EXPECT_EQ(nullptr, hide(std::realloc(p, hide(std::size_t{0}))));
      EXPECT_EQ(55, errno);
    }
    // 1000 blocks that were not freed would show.
    EXPECT_LE(mallinfo2().uordblks + mallinfo2().hblkhd, before + n * 100 + (1 << 20));
  }
}

TEST(Realloc, GrowsAndShrinksThroughAllSizesKeepingTheContent) {
  std::size_t n = 1;
  auto* p = static_cast<unsigned char*>(hide(std::malloc(n)));
  fill(p, 0, n);
  while (n < (32u << 20)) {
    const std::size_t next = n + n / 3 + 1;
    p = static_cast<unsigned char*>(hide(std::realloc(p, next)));
    ASSERT_NE(nullptr, p);
    ASSERT_GE(malloc_usable_size(p), next);
    ASSERT_TRUE(is_aligned(p, 16));
    ASSERT_TRUE(holds(p, n)) << n << " -> " << next;
    fill(p, n, next);
    n = next;
  }
  while (n > 1) {
    n = n * 2 / 3;
    p = static_cast<unsigned char*>(hide(std::realloc(p, n)));
    ASSERT_NE(nullptr, p);
    ASSERT_TRUE(holds(p, n)) << "-> " << n;
  }
  std::free(p);
}

TEST(Realloc, FromEveryEntryPoint) {
  void* aligned = nullptr;
  ASSERT_EQ(0, posix_memalign(&aligned, 4096, 10000));
  void* blocks[] = {std::calloc(100, 100), aligned, memalign(1 << 16, 10000), valloc(10000),
                    std::aligned_alloc(256, 10240)};
  for (void* block : blocks) {
    auto* p = static_cast<unsigned char*>(hide(block));
    ASSERT_NE(nullptr, p);
    fill(p, 0, 10000);
    for (const std::size_t n : {20000u, 200000u, 2000000u, 10000u}) {
      p = static_cast<unsigned char*>(hide(std::realloc(p, n)));
      ASSERT_NE(nullptr, p);
      ASSERT_TRUE(holds(p, 10000));
    }
    std::free(p);
  }
}

TEST(Realloc, FailureLeavesTheBlock) {
  for (const std::size_t n : {std::size_t{10}, std::size_t{5000}, std::size_t{3} << 20}) {
    auto* p = static_cast<unsigned char*>(hide(std::malloc(n)));
    fill(p, 0, n);
    for (const std::size_t bad : {std::size_t{SIZE_MAX}, std::size_t{PTRDIFF_MAX} + 1,
                                  std::size_t{PTRDIFF_MAX} - 4096, std::size_t{1} << 50}) {
      errno = 0;
      EXPECT_EQ(nullptr, hide(std::realloc(hide(p), hide(bad))));
      EXPECT_EQ(ENOMEM, errno);
      EXPECT_TRUE(holds(p, n));
    }
    EXPECT_GE(malloc_usable_size(p), n);
    std::free(p);
  }
}

TEST(Realloc, SuccessLeavesErrno) {
  errno = 99;
  void* p = hide(std::malloc(10));
  for (const std::size_t n : {100u, 10000u, 1000000u, 50000000u, 1000000u, 10u}) {
    p = hide(std::realloc(p, n));
  }
  std::free(p);
  EXPECT_EQ(99, errno);
}

TEST(Reallocarray, MultipliesAndRefusesOverflow) {
  auto* p = static_cast<unsigned char*>(hide(reallocarray(nullptr, 100, 30)));
  ASSERT_NE(nullptr, p);
  EXPECT_GE(malloc_usable_size(p), 3000u);
  fill(p, 0, 3000);
  const std::size_t pairs[][2] = {
      {SIZE_MAX, 2}, {std::size_t{1} << 32, std::size_t{1} << 32}, {3, SIZE_MAX / 2}};
  for (const auto& pair : pairs) {
    errno = 0;
    EXPECT_EQ(nullptr, hide(reallocarray(hide(p), hide(pair[0]), hide(pair[1]))));
    EXPECT_EQ(ENOMEM, errno);
  }
  p = static_cast<unsigned char*>(hide(reallocarray(p, 1000, 1000)));
  ASSERT_NE(nullptr, p);
  EXPECT_TRUE(holds(p, 3000));
  EXPECT_EQ(nullptr, hide(reallocarray(p, hide(std::size_t{0}), 10)));  // freed, as realloc(p, 0)
}

}  // namespace
}  // namespace abi_test
