#include "page/kernels.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "page/chunk_find.h"
#include "page/chunk_summary.h"
#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using test::summarize_slowly;

unsigned find_slowly(const ChunkBits& used, unsigned n, unsigned from) {
  unsigned run = 0;
  for (unsigned i = from; i < kChunkPages; ++i) {
    run = test_bit(used, i) ? 0 : run + 1;
    if (run >= n) return i + 1 - n;
  }
  return kNoPage;
}

// Runs in use and free in turn, of lengths in [1, longest].
ChunkBits runs(std::mt19937_64& random, unsigned longest) {
  ChunkBits bits{};
  bool use = random() % 2 != 0;
  for (unsigned i = 0; i < kChunkPages; use = !use) {
    const unsigned n = std::min<unsigned>(1 + random() % longest, kChunkPages - i);
    if (use) set_range(bits, i, n);
    i += n;
  }
  return bits;
}

// What tells apart the ends of words, empty and full words, and the words between.
ChunkBits awkward_words(std::mt19937_64& random) {
  constexpr std::uint64_t kWords[] = {0,
                                      kAllOnes,
                                      1,
                                      1ULL << 63,
                                      (1ULL << 63) | 1,
                                      0x5555555555555555,
                                      0xaaaaaaaaaaaaaaaa,
                                      0xffffffff00000000,
                                      0x00000000ffffffff,
                                      0x7fffffffffffffff,
                                      0xfffffffffffffffe,
                                      2,
                                      1ULL << 62};
  ChunkBits bits;
  for (std::uint64_t& w : bits) w = kWords[random() % std::size(kWords)];
  return bits;
}

ChunkBits of_density(std::mt19937_64& random, unsigned kind) {
  ChunkBits bits;
  for (std::uint64_t& w : bits) {
    w = random();
    for (unsigned k = 0; k < kind / 2; ++k) w = kind % 2 != 0 ? w | random() : w & random();
  }
  return bits;
}

// Every set that this machine can run is held against the slow definitions.
class KernelSets : public ::testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& kernels = *GetParam();

  void SetUp() override {
    if (!kernels.can_run()) GTEST_SKIP() << "this machine has no " << kernels.name;
  }

  void check_summary(const ChunkBits& used) {
    const Runs want = summarize_slowly(used);
    ASSERT_EQ(kernels.summarize(used).unpack(), want);
    const auto max = static_cast<unsigned>(want.max);
    for (const unsigned at_least : {0u, max / 2, max > 0 ? max - 1 : 0, max}) {
      ASSERT_EQ(kernels.longest_run(used, at_least, max), max) << at_least;
      ASSERT_EQ(kernels.longest_run(used, at_least, std::min(max + 1, kChunkPages)), max);
      ASSERT_EQ(kernels.longest_run(used, at_least, kChunkPages), max) << at_least;
    }
  }
  void check_find(const ChunkBits& used, unsigned n, unsigned from) {
    const unsigned want = find_slowly(used, n, from);
    ASSERT_EQ(kernels.find_run(used, n, from), want) << n << " from " << from;
    ASSERT_EQ(find_run_by_words(used, n, from), want) << n << " from " << from;
  }
  void check_finds(const ChunkBits& used, std::mt19937_64& random) {
    for (unsigned n = 2; n <= kChunkPages; n += n < 70 ? 1 : 17) {
      check_find(used, n, 0);
      check_find(used, n, static_cast<unsigned>(random() % kChunkPages));
    }
  }
  void check_range(const ChunkBits& bits, const ChunkBits& other, unsigned i, unsigned n) {
    // Neighbours that must stay as they are, at an address that is aligned for no vector.
    struct Guarded {
      std::uint64_t before = 0x1234;
      ChunkBits bits{};
      std::uint64_t after = 0x5678;
    };
    Guarded cleared{.bits = bits};
    Guarded used{.bits = bits};
    Guarded backed{.bits = other};
    unsigned count = 0;
    unsigned missing = 0;
    ChunkBits want_cleared = bits;
    ChunkBits want_used = bits;
    ChunkBits want_backed = other;
    for (unsigned k = i; k < i + n; ++k) {
      const std::uint64_t bit = 1ULL << (k % kWordPages);
      count += test_bit(bits, k) ? 1 : 0;
      missing += test_bit(other, k) ? 0 : 1;
      want_cleared[k / kWordPages] &= ~bit;
      want_used[k / kWordPages] |= bit;
      want_backed[k / kWordPages] |= bit;
    }
    ASSERT_EQ(kernels.popcount_range(bits, i, n), count) << i << " " << n;
    kernels.clear_range(cleared.bits, i, n);
    ASSERT_EQ(kernels.take_range(used.bits, backed.bits, i, n), missing) << i << " " << n;
    ASSERT_EQ(cleared.bits, want_cleared) << i << " " << n;
    ASSERT_EQ(used.bits, want_used) << i << " " << n;
    ASSERT_EQ(backed.bits, want_backed) << i << " " << n;
    for (const Guarded* g : {&cleared, &used, &backed}) {
      ASSERT_TRUE(g->before == 0x1234 && g->after == 0x5678);
    }
  }
};

TEST_P(KernelSets, RandomChunks) {
  std::mt19937_64 random(1);
  for (unsigned round = 0; round < 400 * test::kScale; ++round) {
    const ChunkBits chunks[] = {of_density(random, round % 14), awkward_words(random),
                                runs(random, 1 + static_cast<unsigned>(random() % 8)),
                                runs(random, 70), runs(random, 250)};
    for (const ChunkBits& used : chunks) {
      check_summary(used);
      if (round % 8 == 0) check_finds(used, random);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(KernelSets, OneFreeRunAndOneRunInUse) {
  ChunkBits full{};
  set_range(full, 0, kChunkPages);
  check_summary(full);
  check_summary(ChunkBits{});
  for (unsigned i = 0; i < kChunkPages; ++i) {
    for (unsigned n = 1; i + n <= kChunkPages; n += test::kScale > 1 ? 1 : 13) {
      ChunkBits hole = full;
      clear_range(hole, i, n);
      ChunkBits block{};
      set_range(block, i, n);
      check_summary(hole);
      check_summary(block);
      if (n > 1) {
        check_find(hole, n, 0);
        check_find(hole, n, i);
        check_find(block, n, 0);
        check_find(block, n, i);
      }
      if (n < kChunkPages) check_find(hole, n + 1, 0);
      if (i + 1 < kChunkPages && n > 1) check_find(hole, n, i + 1);
      if (HasFatalFailure()) return;
    }
  }
}

// A run inside a word, of every length at every place, in every word, beside the longest that
// touches a border: from nothing to longer than any inside a word.
TEST_P(KernelSets, InsideAWordOrAcross) {
  for (unsigned w = 0; w < kChunkWords; ++w) {
    for (unsigned n = 1; n <= kLongestInWord; ++n) {
      for (const unsigned border : {0u, n - 1, n, n + 1, 62u, 63u, 64u, 65u}) {
        ChunkBits used{};
        set_range(used, 0, kChunkPages);
        clear_range(used, w * kWordPages + 1 + (n * 7) % (kWordPages - 1 - n), n);
        const unsigned at = (w < 4 ? 6 : 2) * kWordPages - border / 2;
        if (border > 0) clear_range(used, at, border);
        check_summary(used);
        for (const unsigned want : {n, n + 1, border, border + 1}) {
          if (want > 1) check_find(used, want, 0);
        }
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(KernelSets, FindsFromEveryPage) {
  std::mt19937_64 random(2);
  for (unsigned round = 0; round < 3 * test::kScale; ++round) {
    const ChunkBits used = round % 2 != 0 ? runs(random, 70) : awkward_words(random);
    for (const unsigned n : {2u, 3u, 5u, 8u, 31u, 32u, 33u, 62u, 63u, 64u, 65u, 127u, 128u, 129u}) {
      for (unsigned from = 0; from < kChunkPages; ++from) {
        check_find(used, n, from);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(KernelSets, Ranges) {
  std::mt19937_64 random(3);
  const unsigned step = test::kScale > 1 ? 3 : 19;
  for (unsigned i = 0; i < kChunkPages; i += step) {
    for (unsigned n = 1; i + n <= kChunkPages; n += step) {
      const ChunkBits bits = of_density(random, (i + n) % 6);
      ChunkBits backed = of_density(random, n % 10);
      if (n % 4 == 0) set_range(backed, i, n);
      check_range(bits, backed, i, n);
      if (HasFatalFailure()) return;
    }
  }
  for (unsigned n = 1; n <= kChunkPages; ++n) {
    check_range(of_density(random, 0), of_density(random, 1), 0, n);
    check_range(of_density(random, 0), of_density(random, 1), kChunkPages - n, n);
    if (HasFatalFailure()) return;
  }
}

std::vector<const Kernels*> all_sets() { return {kernel_sets().begin(), kernel_sets().end()}; }
std::string name_of(const ::testing::TestParamInfo<const Kernels*>& info) {
  std::string name = info.param->name;
  std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, KernelSets, ::testing::ValuesIn(all_sets()), name_of);

TEST(Kernels, ThreadsThatChooseAtOnceChooseTheBest) {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      EXPECT_EQ(kernels().summarize(ChunkBits{}), Summary::of_all_free(kLogChunkPages));
      select_kernels();
    });
  }
  for (std::thread& t : threads) t.join();
  const auto sets = kernel_sets();
  const auto best =
      std::find_if(sets.begin(), sets.end(), [](auto* set) { return set->can_run(); });
  ASSERT_NE(best, sets.end());
  EXPECT_EQ(&kernels(), *best);
  EXPECT_EQ(sets.back(), &kPortableKernels);
}

// Constants are computed without kernels.
constexpr ChunkBits kExample = {0x00ff, 0, 0, 0xf000, kAllOnes, 0x0101010101010101, 0, 1ULL << 60};
static_assert(summarize(kExample) == Summary::pack(0, 56 + 128 + 12, 3));
static_assert(longest_run(kExample, 0, kChunkPages) == 196);
static_assert(find_run(kExample, 2, 0) == 8 && find_run(kExample, 7, 320) == 321);
static_assert(find_run(kExample, 197, 0) == kNoPage && find_run(kExample, 132, 300) == kNoPage);
static_assert(find_run(kExample, 131, 300) == 377);
static_assert(popcount(kExample) == popcount_range(kExample, 0, kChunkPages));

}  // namespace
}  // namespace ream::page
