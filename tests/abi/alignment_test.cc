// aligned_alloc, posix_memalign, memalign, valloc and pvalloc.
#include <malloc.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "abi/hide.h"
#include "gtest/gtest.h"

namespace abi_test {
namespace {

constexpr std::size_t kLargestAlignment = std::size_t{1} << 32;

const std::size_t g_page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

TEST(Alignment, EveryPowerOfTwoWithManySizes) {
  for (std::size_t alignment = sizeof(void*); alignment <= kLargestAlignment; alignment *= 2) {
    std::vector<void*> blocks;
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, alignment - 1, alignment,
                                alignment + 1, std::size_t{100}, std::size_t{10000}}) {
      if (n > (64u << 20)) continue;
      void* p = nullptr;
      ASSERT_EQ(0, posix_memalign(&p, alignment, n)) << alignment << " " << n;
      blocks.push_back(p);
      blocks.push_back(hide(std::aligned_alloc(alignment, n)));
      blocks.push_back(hide(memalign(alignment, n)));
      for (std::size_t i = blocks.size() - 3; i < blocks.size(); ++i) {
        ASSERT_NE(nullptr, blocks[i]) << alignment << " " << n;
        ASSERT_TRUE(is_aligned(blocks[i], alignment)) << alignment << " " << n;
        ASSERT_GE(malloc_usable_size(blocks[i]), n);
        std::memset(blocks[i], 0x5a, malloc_usable_size(blocks[i]));
      }
    }
    for (void* p : blocks) std::free(p);
  }
}

TEST(PosixMemalign, RefusesOtherAlignments) {
  void* const untouched = &errno;
  for (const std::size_t alignment : {0u, 1u, 2u, 4u, 7u, 9u, 12u, 24u, 48u, 100u, 4097u}) {
    void* p = untouched;
    errno = 31;
    EXPECT_EQ(EINVAL, posix_memalign(&p, hide(std::size_t{alignment}), 100)) << alignment;
    EXPECT_EQ(untouched, p);
    EXPECT_EQ(31, errno);
  }
}

TEST(PosixMemalign, NoMemoryLeavesPointerAndErrno) {
  void* const untouched = &errno;
  for (const std::size_t n : {std::size_t{SIZE_MAX}, std::size_t{SIZE_MAX} - 4096,
                              std::size_t{PTRDIFF_MAX}, std::size_t{1} << 50}) {
    for (const std::size_t alignment : {8u, 64u, 4096u, 1u << 21}) {
      void* p = untouched;
      errno = 31;
      EXPECT_EQ(ENOMEM, posix_memalign(&p, alignment, hide(n)));
      EXPECT_EQ(untouched, p);
      EXPECT_EQ(31, errno);
    }
  }
}

TEST(AlignedAlloc, RefusesWhatIsNoPowerOfTwo) {
  for (const std::size_t alignment : {0u, 3u, 6u, 7u, 24u, 100u, 4097u}) {
    errno = 0;
    EXPECT_EQ(nullptr, hide(std::aligned_alloc(hide(std::size_t{alignment}), 4096))) << alignment;
    EXPECT_EQ(EINVAL, errno) << alignment;
  }
  errno = 0;
  EXPECT_EQ(nullptr, hide(std::aligned_alloc(hide(SIZE_MAX / 2 + 2), 4096)));
  EXPECT_EQ(EINVAL, errno);
}

// C17 and later: the size need not be a multiple of the alignment.
TEST(AlignedAlloc, TakesAnySize) {
  void* p = hide(std::aligned_alloc(4096, 5));
  ASSERT_NE(nullptr, p);
  EXPECT_TRUE(is_aligned(p, 4096));
  std::free(p);
}

TEST(AlignedAlloc, TooLargeIsEnomem) {
  for (const std::size_t alignment : {16u, 64u, 4096u, 1u << 22}) {
    for (const std::size_t n : {std::size_t{SIZE_MAX}, std::size_t{SIZE_MAX} - 100,
                                std::size_t{PTRDIFF_MAX} + 1, std::size_t{1} << 50}) {
      errno = 0;
      EXPECT_EQ(nullptr, hide(std::aligned_alloc(alignment, hide(n))));
      EXPECT_EQ(ENOMEM, errno) << alignment << " " << n;
      errno = 0;
      EXPECT_EQ(nullptr, hide(memalign(alignment, hide(n))));
      EXPECT_EQ(ENOMEM, errno) << alignment << " " << n;
    }
  }
  // An alignment that no address space has room for.
  errno = 0;
  EXPECT_EQ(nullptr, hide(std::aligned_alloc(hide(std::size_t{1} << 62), 1)));
  EXPECT_EQ(ENOMEM, errno);
}

// glibc's memalign rounds the alignment up to a power of two.
TEST(Memalign, RoundsTheAlignmentUp) {
  for (const std::size_t alignment : {0u, 1u, 3u, 24u, 100u, 1000u, 5000u}) {
    std::size_t rounded = 16;
    while (rounded < alignment) rounded *= 2;
    void* p = hide(memalign(hide(std::size_t{alignment}), 100));
    ASSERT_NE(nullptr, p) << alignment;
    EXPECT_TRUE(is_aligned(p, rounded)) << alignment;
    std::free(p);
  }
  errno = 0;
  EXPECT_EQ(nullptr, hide(memalign(hide(SIZE_MAX / 2 + 2), 100)));
  EXPECT_EQ(EINVAL, errno);
}

TEST(Memalign, AsksForNoMoreThanAlignedAlloc) {
  for (std::size_t alignment = 16; alignment <= kLargestAlignment; alignment *= 2) {
    void* const a = hide(memalign(alignment, 64));
    void* const b = hide(std::aligned_alloc(alignment, 64));
    EXPECT_EQ(malloc_usable_size(a), malloc_usable_size(b)) << alignment;
    std::free(a);
    std::free(b);
  }
}

TEST(Valloc, GivesWholePages) {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, g_page, g_page + 1, 100 * g_page}) {
    void* p = hide(valloc(n));
    ASSERT_NE(nullptr, p);
    EXPECT_TRUE(is_aligned(p, g_page));
    EXPECT_GE(malloc_usable_size(p), n);
    std::free(p);
    void* q = hide(pvalloc(n));
    ASSERT_NE(nullptr, q);
    EXPECT_TRUE(is_aligned(q, g_page));
    EXPECT_GE(malloc_usable_size(q), (n + g_page - 1) / g_page * g_page);
    std::free(q);
  }
  for (const std::size_t n :
       {std::size_t{SIZE_MAX}, SIZE_MAX - g_page + 2, SIZE_MAX - 2 * g_page}) {
    errno = 0;
    EXPECT_EQ(nullptr, hide(valloc(hide(n))));
    EXPECT_EQ(ENOMEM, errno);
    errno = 0;
    EXPECT_EQ(nullptr, hide(pvalloc(hide(n))));
    EXPECT_EQ(ENOMEM, errno);
  }
}

}  // namespace
}  // namespace abi_test
