#include "page/chunk_bits.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using Naive = std::array<bool, kChunkPages>;

Naive spread(const ChunkBits& bits) {
  Naive naive{};
  for (unsigned i = 0; i < kChunkPages; ++i) naive[i] = test_bit(bits, i);
  return naive;
}

// Dense, sparse, empty and full words, in any order.
ChunkBits random_bits(std::mt19937_64& random) {
  ChunkBits bits;
  for (std::uint64_t& w : bits) {
    const std::uint64_t a = random();
    const std::uint64_t b = random();
    switch (random() % 6) {
      case 0:
        w = 0;
        break;
      case 1:
        w = kAllOnes;
        break;
      case 2:
        w = a & b;
        break;
      case 3:
        w = a | b;
        break;
      case 4:
        w = kAllOnes << (a % 64);
        break;
      default:
        w = a;
    }
  }
  return bits;
}

// Every range of a chunk, by its two ends.
template <class Visit>
void for_each_range(unsigned step, Visit visit) {
  for (unsigned i = 0; i < kChunkPages; i += step) {
    for (unsigned n = 1; i + n <= kChunkPages; n += step) visit(i, n);
  }
}

TEST(ChunkBits, RangesChangeTheirPagesAndNoOthers) {
  std::mt19937_64 random(1);
  const ChunkBits bits = random_bits(random);
  for_each_range(test::kScale > 1 ? 3 : 17, [&](unsigned i, unsigned n) {
    ChunkBits set = bits;
    ChunkBits clear = bits;
    set_range(set, i, n);
    clear_range(clear, i, n);
    for (unsigned k = 0; k < kChunkPages; ++k) {
      const bool inside = k >= i && k < i + n;
      ASSERT_EQ(test_bit(set, k), inside || test_bit(bits, k));
      ASSERT_EQ(test_bit(clear, k), !inside && test_bit(bits, k));
    }
    ASSERT_TRUE(all_set(set, i, n));
    ASSERT_TRUE(all_clear(clear, i, n));
  });
}

TEST(ChunkBits, PopcountOfRanges) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 4; ++round) {
    const ChunkBits bits = random_bits(random);
    const Naive naive = spread(bits);
    for_each_range(test::kScale > 1 ? 1 : 7, [&](unsigned i, unsigned n) {
      const auto count = std::count(naive.begin() + i, naive.begin() + i + n, true);
      ASSERT_EQ(popcount_range(bits, i, n), static_cast<unsigned>(count));
      ASSERT_EQ(all_set(bits, i, n), static_cast<unsigned>(count) == n);
      ASSERT_EQ(all_clear(bits, i, n), count == 0);
    });
    ASSERT_EQ(popcount(bits), popcount_range(bits, 0, kChunkPages));
  }
}

TEST(ChunkBits, ClearPagesBelowAndAbove) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 50; ++round) {
    const ChunkBits bits = random_bits(random);
    for (unsigned i = 0; i <= kChunkPages; ++i) {
      unsigned below = 0;
      while (below < i && !test_bit(bits, i - 1 - below)) ++below;
      unsigned above = 0;
      while (i + above < kChunkPages && !test_bit(bits, i + above)) ++above;
      ASSERT_EQ(clear_below(bits, i), below) << i;
      ASSERT_EQ(clear_above(bits, i), above) << i;
    }
  }
}

TEST(ChunkBits, RunsOfOnesInAWord) {
  std::mt19937_64 random(4);
  const auto check = [](std::uint64_t word) {
    for (unsigned n = 1; n <= 64; ++n) {
      unsigned want = 64;
      for (unsigned i = 0; i + n <= 64 && want == 64; ++i) {
        const std::uint64_t mask = bit_range(i, n);
        if ((word & mask) == mask) want = i;
      }
      ASSERT_EQ(find_bit_range64(word, n), want) << std::hex << word << " " << n;
    }
  };
  check(0);
  check(kAllOnes);
  for (unsigned i = 0; i < 64; ++i) {
    for (unsigned n = 1; i + n <= 64; ++n) check(bit_range(i, n));
  }
  for (int round = 0; round < 2000; ++round) check(random() | random());
}

}  // namespace
}  // namespace ream::page
