#include "base/bits.h"

#include <gtest/gtest.h>

#include <random>

namespace ream {
namespace {

TEST(Bits, Rounding) {
  for (unsigned shift = 0; shift < 63; ++shift) {
    const std::uint64_t unit = 1ULL << shift;
    for (const std::uint64_t x : {std::uint64_t{0}, unit - 1, unit, unit + 1, 3 * unit / 2}) {
      EXPECT_EQ(round_down(x, unit), x / unit * unit);
      EXPECT_EQ(round_up(x, unit), (x / unit + (x % unit != 0)) * unit);
      EXPECT_EQ(is_aligned(x, unit), x % unit == 0);
    }
  }
  EXPECT_EQ(round_up(~0ULL, 4096), 0u);  // wraps, as said
}

TEST(Bits, CeilingOfADivision) {
  EXPECT_EQ(div_ceil(0, 7), 0u);
  EXPECT_EQ(div_ceil(1, 7), 1u);
  EXPECT_EQ(div_ceil(7, 7), 1u);
  EXPECT_EQ(div_ceil(8, 7), 2u);
  EXPECT_EQ(div_ceil(~0ULL, 1), ~0ULL);
  EXPECT_EQ(div_ceil(~0ULL, 2), 1ULL << 63);
}

TEST(Bits, Logarithms) {
  for (unsigned k = 0; k < 64; ++k) {
    const std::uint64_t x = 1ULL << k;
    EXPECT_TRUE(is_power_of_two(x));
    EXPECT_EQ(log2_floor(x), k);
    EXPECT_EQ(log2_ceil(x), k);
    if (k > 1) {
      EXPECT_FALSE(is_power_of_two(x - 1));
      EXPECT_EQ(log2_floor(x - 1), k - 1);
      EXPECT_EQ(log2_ceil(x - 1), k);
      EXPECT_EQ(log2_floor(x + 1), k);
      EXPECT_EQ(log2_ceil(x + 1), k + 1);
    }
  }
  EXPECT_FALSE(is_power_of_two(0));
}

TEST(Bits, Masks) {
  for (unsigned n = 0; n <= 64; ++n) {
    EXPECT_EQ(std::popcount(low_mask(n)), static_cast<int>(n));
    EXPECT_EQ(count_bits(low_mask(n)), n);
    EXPECT_EQ(std::countr_one(low_mask(n)), static_cast<int>(n));
    for (unsigned begin = 0; begin + n <= 64 && begin < 64; ++begin) {
      for (unsigned i = 0; i < 64; ++i) {
        EXPECT_EQ(bit_range(begin, n) >> i & 1, i >= begin && i < begin + n ? 1u : 0u);
      }
    }
  }
}

TEST(Bits, CountsAndRuns) {
  static_assert(count_bits(0) == 0 && count_bits(~0ULL) == 64 &&
                count_bits(0x8000'0000'0000'0001) == 2);
  std::uint64_t x = 1;
  for (unsigned i = 0; i < 10000; ++i) {
    x = x * 6364136223846793005 + 1442695040888963407;
    const std::uint64_t y = x & x >> 7 & x >> 13;
    ASSERT_EQ(count_bits(y), static_cast<unsigned>(std::popcount(y)));
  }
  for (unsigned begin = 0; begin < 64; ++begin) {
    for (unsigned n = 1; n <= 64 - begin; ++n) {
      const std::uint64_t run = bit_range(begin, n);
      ASSERT_TRUE(is_one_run(run)) << begin << " " << n;
      if (begin >= 2) {
        ASSERT_FALSE(is_one_run(run | 1)) << begin << " " << n;
      }
      if (begin + n <= 62) {
        ASSERT_FALSE(is_one_run(run | 1ULL << 63)) << begin << " " << n;
      }
    }
  }
}

}  // namespace
}  // namespace ream
