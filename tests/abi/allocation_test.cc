// malloc, calloc, free, free_sized, free_aligned_sized and malloc_usable_size.
#include <dlfcn.h>
#include <malloc.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "abi/hide.h"
#include "gtest/gtest.h"

// C23's, which libc does not declare yet.
extern "C" void free_sized(void*, std::size_t);
extern "C" void free_aligned_sized(void*, std::size_t, std::size_t);

namespace abi_test {
namespace {

constexpr std::size_t kTooLarge[] = {
    SIZE_MAX,         SIZE_MAX - 1, SIZE_MAX - 4096,    SIZE_MAX - 8192,      SIZE_MAX - 65536,
    SIZE_MAX / 2 + 2, PTRDIFF_MAX,  PTRDIFF_MAX - 4096, std::size_t{1} << 56, std::size_t{1} << 48};

// The tests below would prove nothing about libc's malloc: all names must come from one ream.
TEST(Allocation, AllNamesAreReams) {
  Dl_info info{};
  Dl_info known{};
  ASSERT_NE(0, dladdr(reinterpret_cast<void*>(&free_sized), &known));
  // Were addresses taken through the program's own stubs, libc's names would look like ream's.
  ASSERT_NE(0, dladdr(reinterpret_cast<void*>(&std::strtol), &info));
  ASSERT_NE(known.dli_fbase, info.dli_fbase);
  const void* names[] = {
      reinterpret_cast<void*>(&std::malloc),
      reinterpret_cast<void*>(&std::free),
      reinterpret_cast<void*>(&std::calloc),
      reinterpret_cast<void*>(&std::realloc),
      reinterpret_cast<void*>(&memalign),
      reinterpret_cast<void*>(&posix_memalign),
      reinterpret_cast<void*>(&aligned_alloc),
      reinterpret_cast<void*>(&valloc),
      reinterpret_cast<void*>(&pvalloc),
      reinterpret_cast<void*>(&reallocarray),
      reinterpret_cast<void*>(&mallinfo2),
      reinterpret_cast<void*>(&malloc_info),
      reinterpret_cast<void*>(&malloc_trim),
      reinterpret_cast<void*>(&malloc_usable_size),
      reinterpret_cast<void*>(&mallopt),
      reinterpret_cast<void*>(&malloc_stats),
      reinterpret_cast<void*>(&free_aligned_sized),
      reinterpret_cast<void*>(static_cast<void* (*)(std::size_t)>(&::operator new)),
      reinterpret_cast<void*>(static_cast<void (*)(void*) noexcept>(&::operator delete))};
  for (const void* name : names) {
    ASSERT_NE(0, dladdr(name, &info));
    EXPECT_EQ(known.dli_fbase, info.dli_fbase) << info.dli_fname << " " << info.dli_sname;
  }
}

// As with libc's malloc: what the kernel's policy refuses is null, not a promise that ends in the
// process being killed.
TEST(Allocation, MoreThanTheMachineHasIsRefused) {
  std::ifstream policy("/proc/sys/vm/overcommit_memory");
  int mode = 1;
  policy >> mode;
  if (mode == 1) GTEST_SKIP() << "the kernel refuses nothing";
  struct sysinfo machine{};
  ASSERT_EQ(0, sysinfo(&machine));
  const std::size_t all =
      (machine.totalram + machine.totalswap) * std::size_t{machine.mem_unit} + (1ULL << 32);
  errno = 0;
  EXPECT_EQ(hide(std::malloc(all)), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  void* p = hide(std::malloc(1 << 20));
  ASSERT_NE(p, nullptr);
  void* same = hide(p);  // the compiler takes p for gone
  errno = 0;
  EXPECT_EQ(hide(std::realloc(p, all)), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  std::free(same);
}

// What a process could touch, not what it has, is no reason to forbid it to fork.
TEST(Allocation, AHeapLargerThanTheMachineCanFork) {
  struct sysinfo machine{};
  ASSERT_EQ(0, sysinfo(&machine));
  const std::size_t most =
      (machine.totalram + machine.totalswap) * std::size_t{machine.mem_unit} / 10 * 6;
  void* first = hide(std::malloc(most));
  void* second = hide(std::malloc(most));
  if (first != nullptr && second != nullptr) {  // else a limit or strict overcommit forbids it
    for (int live = 2; live >= 0; --live) {
      const pid_t child = fork();
      ASSERT_GE(child, 0) << "with " << live << " blocks";
      if (child == 0) _exit(0);
      ASSERT_EQ(child, waitpid(child, nullptr, 0));
      if (live == 2) std::free(std::exchange(second, nullptr));
      if (live == 1) std::free(std::exchange(first, nullptr));
    }
  }
  std::free(first);
  std::free(second);
}

TEST(Allocation, EverySizeIsUsableAlignedAndDistinct) {
  std::set<void*> seen;
  for_sizes([&seen](std::size_t n) {
    auto* p = static_cast<unsigned char*>(hide(std::malloc(n)));
    ASSERT_NE(nullptr, p);
    EXPECT_TRUE(is_aligned(p, 16)) << n;
    EXPECT_TRUE(seen.insert(p).second) << n;
    const std::size_t usable = malloc_usable_size(p);
    ASSERT_GE(usable, n);
    std::memset(p, 0xa5, usable);
  });
  for (void* p : seen) std::free(p);
}

TEST(Allocation, PowersOfTwoAreNaturallyAlignedUpToAPage) {
  for (std::size_t n = 16; n <= 4096; n *= 2) {
    for (int i = 0; i < 100; ++i) {
      void* p = hide(std::malloc(n));
      EXPECT_TRUE(is_aligned(p, n)) << n;
      // Not freed at once, so that the next is another slot.
      static std::vector<void*> kept;
      kept.push_back(p);
      if (i == 99) {
        for (void* q : kept) std::free(q);
        kept.clear();
      }
    }
  }
}

TEST(Allocation, ZeroBytesGiveDistinctPointers) {
  void* a = hide(std::malloc(hide(std::size_t{0})));
  void* b = hide(std::malloc(hide(std::size_t{0})));
  EXPECT_NE(nullptr, a);
  EXPECT_NE(nullptr, b);
  EXPECT_NE(a, b);
  std::free(a);
  std::free(b);
  void* c = hide(std::calloc(hide(std::size_t{0}), 8));
  void* d = hide(std::calloc(8, hide(std::size_t{0})));
  EXPECT_NE(nullptr, c);
  EXPECT_NE(nullptr, d);
  EXPECT_NE(c, d);
  std::free(c);
  std::free(d);
}

TEST(Allocation, TooLargeIsEnomem) {
  for (const std::size_t n : kTooLarge) {
    errno = 0;
    EXPECT_EQ(nullptr, hide(std::malloc(hide(n)))) << n;
    EXPECT_EQ(ENOMEM, errno) << n;
    errno = 0;
    EXPECT_EQ(nullptr, hide(std::calloc(hide(n), 1))) << n;
    EXPECT_EQ(ENOMEM, errno) << n;
  }
}

TEST(Allocation, SuccessLeavesErrno) {
  errno = 4321;
  for_sizes([](std::size_t n) { std::free(hide(std::malloc(n))); });
  for_sizes([](std::size_t n) { std::free(hide(std::calloc(1, n))); });
  EXPECT_EQ(4321, errno);
}

TEST(Allocation, CallocOverflowIsEnomem) {
  constexpr std::size_t kHalf = std::size_t{1} << 32;
  const std::size_t pairs[][2] = {{kHalf, kHalf},       {SIZE_MAX, 2},     {2, SIZE_MAX},
                                  {SIZE_MAX, SIZE_MAX}, {SIZE_MAX / 2, 3}, {kHalf + 1, kHalf - 1}};
  for (const auto& pair : pairs) {
    errno = 0;
    EXPECT_EQ(nullptr, hide(std::calloc(hide(pair[0]), hide(pair[1]))));
    EXPECT_EQ(ENOMEM, errno);
  }
}

TEST(Allocation, CallocIsZeroAlsoOfUsedMemory) {
  for (int round = 0; round < 3; ++round) {
    for_sizes([](std::size_t n) {
      if (n > (8u << 20)) return;
      // Dirty memory of that size first, so that calloc finds some.
      void* dirty[4];
      for (void*& p : dirty) {
        p = hide(std::malloc(n));
        std::memset(p, 0xff, malloc_usable_size(p));
      }
      for (void* p : dirty) std::free(p);
      auto* zero = static_cast<unsigned char*>(hide(std::calloc(1, n)));
      ASSERT_NE(nullptr, zero);
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(0, zero[i]) << "byte " << i << " of " << n;
      std::free(zero);
    });
  }
}

TEST(Allocation, FreeOfNullDoesNothing) {
  std::free(hide(static_cast<void*>(nullptr)));
  free_sized(hide(static_cast<void*>(nullptr)), 100);
  free_aligned_sized(hide(static_cast<void*>(nullptr)), 64, 100);
}

// POSIX since 2024, and C23's rationale.
TEST(Allocation, FreeLeavesErrno) {
  for_sizes([](std::size_t n) {
    void* p = hide(std::malloc(n));
    errno = 1234;
    std::free(p);
    EXPECT_EQ(1234, errno) << n;
  });
}

TEST(Allocation, FreeSizedTakesTheSizeAskedFor) {
  for_sizes([](std::size_t n) {
    errno = 77;
    free_sized(hide(std::malloc(n)), n);
    free_sized(hide(std::calloc(1, n)), n);
    free_sized(hide(std::realloc(nullptr, n + 1)), n + 1);
    EXPECT_EQ(77, errno);
  });
}

TEST(Allocation, FreeAlignedSizedTakesAlignmentAndSize) {
  for (std::size_t alignment = 16; alignment <= (1u << 20); alignment *= 4) {
    for (const std::size_t n : {alignment, alignment * 3, alignment * 16}) {
      void* p = hide(std::aligned_alloc(alignment, n));
      ASSERT_NE(nullptr, p);
      free_aligned_sized(p, alignment, n);
    }
  }
}

TEST(Allocation, UsableSizeOfNullIsZero) {
  EXPECT_EQ(0u, malloc_usable_size(hide(static_cast<void*>(nullptr))));
}

TEST(Allocation, UsableSizeWastesNoMoreThanAnEighthFrom128BytesOn) {
  for (std::size_t n = 128; n < (32u << 10); ++n) {
    void* p = hide(std::malloc(n));
    // The block's own slack: 12.5 % of the block.
    EXPECT_LE((malloc_usable_size(p) - n) * 8, malloc_usable_size(p)) << n;
    std::free(p);
  }
}

TEST(Allocation, FreedMemoryIsUsedAgain) {
  // 100 GB in turn through blocks of 1 MiB and 100 bytes: without reuse there is no such memory.
  for (int i = 0; i < 100000; ++i) {
    auto* p = static_cast<char*>(hide(std::malloc(1 << 20)));
    ASSERT_NE(nullptr, p);
    auto* q = static_cast<char*>(hide(std::malloc(100)));
    p[0] = q[0] = 1;
    std::free(p);
    std::free(q);
  }
}

TEST(Allocation, FreesFromOtherThreadsComeBack) {
  for (int round = 0; round < 50; ++round) {
    std::vector<void*> blocks;
    for (std::size_t i = 0; i < 2000; ++i) blocks.push_back(hide(std::malloc(i * 5)));
    std::thread([&blocks] {
      for (void* p : blocks) std::free(p);
    }).join();
  }
  EXPECT_LT(mallinfo2().uordblks, std::size_t{64} << 20);
}

}  // namespace
}  // namespace abi_test
