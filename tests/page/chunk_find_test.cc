#include "page/chunk_find.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

unsigned find_slowly(const ChunkBits& used, unsigned n, unsigned from) {
  unsigned run = 0;
  for (unsigned i = from; i < kChunkPages; ++i) {
    run = test_bit(used, i) ? 0 : run + 1;
    if (run >= n) return i + 1 - n;
  }
  return kNoPage;
}

unsigned find_below_slowly(const ChunkBits& used, unsigned n, unsigned limit) {
  unsigned run = 0;
  for (unsigned i = limit; i-- > 0;) {
    run = test_bit(used, i) ? 0 : run + 1;
    if (run >= n) return i;
  }
  return kNoPage;
}

// Blocks of random lengths in use and free, as an allocator leaves them.
ChunkBits blocks(std::mt19937_64& random, unsigned longest) {
  ChunkBits bits{};
  for (unsigned i = 0; i < kChunkPages;) {
    const unsigned n = std::min<unsigned>(1 + random() % longest, kChunkPages - i);
    if (random() % 2 != 0) set_range(bits, i, n);
    i += n;
  }
  return bits;
}

TEST(ChunkFind, FirstAndLastFitEqualAScan) {
  std::mt19937_64 random(1);
  for (unsigned round = 0; round < 150 * test::kScale; ++round) {
    const ChunkBits used = blocks(random, 1u << (1 + round % 9));
    for (unsigned n = 1; n <= kChunkPages; n += n < 70 ? 1 : 13) {
      const auto from = static_cast<unsigned>(random() % kChunkPages);
      ASSERT_EQ(find_run(used, n, from), find_slowly(used, n, from)) << n << " from " << from;
      ASSERT_EQ(find_run(used, n, 0), find_slowly(used, n, 0)) << n;
      ASSERT_EQ(find_run_below(used, n, from + 1), find_below_slowly(used, n, from + 1)) << n;
      ASSERT_EQ(find_run_below(used, n, kChunkPages), find_below_slowly(used, n, kChunkPages)) << n;
    }
  }
}

TEST(ChunkFind, SequenceThatFillsAChunk) {
  for (const unsigned n : {1u, 3u, 63u, 64u, 65u, 127u, 128u, 200u, 512u}) {
    ChunkBits used{};
    unsigned from = 0;
    for (unsigned i = 0; i + n <= kChunkPages; i += n) {
      ASSERT_EQ(find_run(used, n, from), i);
      set_range(used, i, n);
      from = std::min(i + n, kChunkPages - 1);
    }
    ASSERT_EQ(find_run(used, n, 0), kNoPage);
  }
}

TEST(ChunkFind, HolesOfOneLengthAreFoundInOrder) {
  for (unsigned hole = 1; hole <= 130; ++hole) {
    ChunkBits used{};
    set_range(used, 0, kChunkPages);
    std::vector<unsigned> holes;
    for (unsigned i = 1; i + hole < kChunkPages; i += hole + 1) {
      clear_range(used, i, hole);
      holes.push_back(i);
    }
    ASSERT_EQ(find_run(used, hole + 1, 0), kNoPage);
    for (const unsigned at : holes) {
      ASSERT_EQ(find_run(used, hole, 0), at);
      set_range(used, at, hole);
    }
    ASSERT_EQ(find_free_page(used, 0), find_slowly(used, 1, 0));
  }
}

TEST(ChunkFind, RunsAtEveryPlace) {
  ChunkBits full{};
  set_range(full, 0, kChunkPages);
  for (unsigned i = 0; i < kChunkPages; ++i) {
    for (unsigned n = 1; i + n <= kChunkPages; n = n * 2 + 1) {
      ChunkBits used = full;
      clear_range(used, i, n);
      ASSERT_EQ(find_run(used, n, 0), i);
      ASSERT_EQ(find_run(used, n, i), i);
      ASSERT_EQ(find_run_below(used, n, kChunkPages), i);
      ASSERT_EQ(find_run_below(used, n, i + n), i);
      ASSERT_EQ(find_run(used, n + 1, 0), kNoPage);
      ASSERT_EQ(find_run_below(used, n + 1, kChunkPages), kNoPage);
    }
  }
}

}  // namespace
}  // namespace ream::page
