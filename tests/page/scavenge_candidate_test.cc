#include "page/scavenge_candidate.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

TEST(ScavengeCandidate, FillAlignedForEveryUnit) {
  std::mt19937_64 random(1);
  for (unsigned unit = 1; unit <= 64; unit *= 2) {
    const auto check = [unit](std::uint64_t x) {
      std::uint64_t want = 0;
      for (unsigned i = 0; i < 64; i += unit) {
        const std::uint64_t group = bit_range(i, unit);
        if ((x & group) != 0) want |= group;
      }
      ASSERT_EQ(fill_aligned(x, unit), want) << std::hex << x << " " << unit;
    };
    check(0);
    check(kAllOnes);
    for (unsigned i = 0; i < 64; ++i) check(1ULL << i);
    for (int round = 0; round < 1000; ++round) {
      check(random());
      check(random() & random() & random() & random());
    }
  }
}

ScavengeRun find_slowly(const ChunkBits& busy, unsigned search_index, ScavengeShape shape,
                        std::uint64_t max_pages) {
  const unsigned unit = shape.physical_page;
  std::vector<bool> taken(kChunkPages);
  for (unsigned i = 0; i < kChunkPages; ++i) {
    for (unsigned k = i / unit * unit; test_bit(busy, i) && k < i / unit * unit + unit; ++k) {
      taken[k] = true;
    }
  }
  unsigned end = (search_index / 64 + 1) * 64;
  while (end > 0 && taken[end - 1]) --end;
  unsigned begin = end;
  while (begin > 0 && !taken[begin - 1]) --begin;
  if (begin == end) return {};
  std::uint64_t most = std::max<std::uint64_t>(max_pages, unit);
  most = most > kChunkPages ? kChunkPages : (most + unit - 1) / unit * unit;
  unsigned start = end - std::min<unsigned>(end - begin, static_cast<unsigned>(most));
  if (shape.huge_page > 1) {
    const unsigned huge = shape.huge_page;
    const unsigned above = (start + huge - 1) / huge * huge;
    if (above <= end && start / huge * huge >= begin) start = start / huge * huge;
  }
  return {start, end - start};
}

TEST(ScavengeCandidate, EqualsAScanForAllUnitsSizesAndHugePages) {
  std::mt19937_64 random(2);
  for (unsigned round = 0; round < 400 * test::kScale; ++round) {
    ChunkBits busy{};
    for (unsigned i = 0; i < kChunkPages;) {
      const unsigned n = std::min<unsigned>(1 + random() % (1u << round % 9), kChunkPages - i);
      if (random() % 2 != 0) set_range(busy, i, n);
      i += n;
    }
    for (unsigned unit = 1; unit <= 64; unit *= 2) {
      for (const unsigned huge : {0u, 64u, 128u, 256u, 512u, 1024u}) {
        const ScavengeShape shape{unit, huge};
        const std::uint64_t any = random() % 600;
        for (const std::uint64_t most :
             {std::uint64_t{0}, std::uint64_t{1}, any, ~std::uint64_t{0}}) {
          const auto from = static_cast<unsigned>(random() % 2 != 0 ? 511 : random() % 512);
          const ScavengeRun got = find_scavenge_candidate(busy, from, shape, most);
          const ScavengeRun want = find_slowly(busy, from, shape, most);
          ASSERT_EQ(got.pages, want.pages) << unit << " " << huge << " " << most;
          if (want.pages != 0) {
            ASSERT_EQ(got.start, want.start);
          }
        }
      }
    }
  }
}

TEST(ScavengeCandidate, AFreeHugePageStaysWhole) {
  const ChunkBits none{};
  const ScavengeRun run = find_scavenge_candidate(none, 511, {1, 256}, 1);
  EXPECT_EQ(run.start, 256u);
  EXPECT_EQ(run.pages, 256u);
  ChunkBits one{};
  set_range(one, 300, 1);
  const ScavengeRun above = find_scavenge_candidate(one, 511, {1, 256}, 1);
  EXPECT_EQ(above.start, 511u);
  EXPECT_EQ(above.pages, 1u);
}

}  // namespace
}  // namespace ream::page
