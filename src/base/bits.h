// Small bit and rounding operations on 64-bit words. Each is tested alone in bits_test.cc.
#pragma once

#include <bit>
#include <cstdint>

namespace ream {

constexpr bool is_power_of_two(std::uint64_t x) noexcept { return std::has_single_bit(x); }

// REQUIRES: unit is a power of two. round_up wraps when x > 2^64 - unit.
constexpr std::uint64_t round_down(std::uint64_t x, std::uint64_t unit) noexcept {
  return x & ~(unit - 1);
}
constexpr std::uint64_t round_up(std::uint64_t x, std::uint64_t unit) noexcept {
  return round_down(x + (unit - 1), unit);
}
constexpr bool is_aligned(std::uint64_t x, std::uint64_t unit) noexcept {
  return (x & (unit - 1)) == 0;
}

// Ceiling of a/b. REQUIRES: b > 0; exact for every a.
constexpr std::uint64_t div_ceil(std::uint64_t a, std::uint64_t b) noexcept {
  return a / b + (a % b != 0);
}

// Floor and ceiling of log2. REQUIRES: x > 0.
constexpr unsigned log2_floor(std::uint64_t x) noexcept {
  return 63u - static_cast<unsigned>(std::countl_zero(x));
}
constexpr unsigned log2_ceil(std::uint64_t x) noexcept {
  return x <= 1 ? 0 : log2_floor(x - 1) + 1;
}

// The low n bits set, n in [0, 64].
constexpr std::uint64_t low_mask(unsigned n) noexcept { return n >= 64 ? ~0ULL : (1ULL << n) - 1; }

// Bits [begin, begin + n) set. REQUIRES: begin < 64, begin + n <= 64.
constexpr std::uint64_t bit_range(unsigned begin, unsigned n) noexcept {
  return low_mask(n) << begin;
}

// The number of bits set. Inline also where the processor is not known to count them; there
// std::popcount is a call.
constexpr unsigned count_bits(std::uint64_t x) noexcept {
  x -= x >> 1 & 0x5555'5555'5555'5555;
  x = (x & 0x3333'3333'3333'3333) + (x >> 2 & 0x3333'3333'3333'3333);
  x = (x + (x >> 4)) & 0x0f0f'0f0f'0f0f'0f0f;
  return static_cast<unsigned>(x * 0x0101'0101'0101'0101 >> 56);
}

// Whether the bits set are one run. REQUIRES: x is not 0.
constexpr bool is_one_run(std::uint64_t x) noexcept { return ((x + (x & (~x + 1))) & x) == 0; }

}  // namespace ream
