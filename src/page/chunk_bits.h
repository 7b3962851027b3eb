// A bitmap with one bit a page of a chunk: 8 words, page i is bit i % 64 of word i / 64.
//
// Thread safety: plain values.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/annotate.h"
#include "base/bits.h"
#include "page/geometry.h"

namespace ream::page {

inline constexpr unsigned kWordPages = 64;
inline constexpr unsigned kChunkWords = kChunkPages / kWordPages;
inline constexpr std::uint64_t kAllOnes = ~0ULL;

using ChunkBits = std::array<std::uint64_t, kChunkWords>;

// Calls visit(word index, mask) for each word that [i, i + n) touches. REQUIRES: n > 0,
// i + n <= 512.
template <class Visit>
REAM_INLINE constexpr void for_each_word(unsigned i, unsigned n, Visit visit) noexcept {
  const unsigned last = i + n - 1;
  const unsigned w0 = i / kWordPages;
  const unsigned w1 = last / kWordPages;
  const std::uint64_t head = kAllOnes << (i % kWordPages);
  const std::uint64_t tail = kAllOnes >> (kWordPages - 1 - last % kWordPages);
  if (w0 == w1) {
    visit(w0, head & tail);
    return;
  }
  visit(w0, head);
  for (unsigned w = w0 + 1; w < w1; ++w) visit(w, kAllOnes);
  visit(w1, tail);
}

constexpr bool test_bit(const ChunkBits& bits, unsigned i) noexcept {
  return (bits[i / kWordPages] >> (i % kWordPages) & 1) != 0;
}
REAM_INLINE constexpr void set_range(ChunkBits& bits, unsigned i, unsigned n) noexcept {
  for_each_word(i, n, [&](unsigned w, std::uint64_t mask) noexcept { bits[w] |= mask; });
}
REAM_INLINE constexpr void clear_range(ChunkBits& bits, unsigned i, unsigned n) noexcept {
  for_each_word(i, n, [&](unsigned w, std::uint64_t mask) noexcept { bits[w] &= ~mask; });
}
// Sets [i, i + n) in both. Returns how many of them were clear in `backed`. Counts bits only where
// some were: without vectors that is a call.
REAM_INLINE constexpr unsigned take_range(ChunkBits& used, ChunkBits& backed, unsigned i,
                                          unsigned n) noexcept {
  unsigned scavenged = 0;
  for_each_word(i, n, [&](unsigned w, std::uint64_t mask) noexcept {
    used[w] |= mask;
    const std::uint64_t missing = mask & ~backed[w];
    if (missing == 0) return;
    scavenged += count_bits(missing);
    backed[w] |= missing;
  });
  return scavenged;
}
REAM_INLINE constexpr unsigned popcount_range(const ChunkBits& bits, unsigned i,
                                              unsigned n) noexcept {
  unsigned count = 0;
  for_each_word(
      i, n, [&](unsigned w, std::uint64_t mask) noexcept { count += count_bits(bits[w] & mask); });
  return count;
}
REAM_INLINE constexpr bool all_set(const ChunkBits& bits, unsigned i, unsigned n) noexcept {
  std::uint64_t clear = 0;
  for_each_word(i, n, [&](unsigned w, std::uint64_t mask) noexcept { clear |= ~bits[w] & mask; });
  return clear == 0;
}
constexpr bool all_clear(const ChunkBits& bits, unsigned i, unsigned n) noexcept {
  std::uint64_t set = 0;
  for_each_word(i, n, [&](unsigned w, std::uint64_t mask) noexcept { set |= bits[w] & mask; });
  return set == 0;
}
constexpr unsigned popcount(const ChunkBits& bits) noexcept {
  unsigned count = 0;
  for (const std::uint64_t w : bits) count += count_bits(w);
  return count;
}

// Number of clear bits directly below bit i, in [0, i].
REAM_INLINE constexpr unsigned clear_below(const ChunkBits& bits, unsigned i) noexcept {
  unsigned w = i / kWordPages;
  unsigned n = i % kWordPages;
  if (n != 0) {
    const std::uint64_t x = bits[w] << (kWordPages - n);
    if (x != 0) return static_cast<unsigned>(std::countl_zero(x));
  }
  while (w-- > 0) {
    if (bits[w] != 0) return n + static_cast<unsigned>(std::countl_zero(bits[w]));
    n += kWordPages;
  }
  return n;
}

// Number of clear bits from bit i upwards, in [0, 512 - i]. i may be 512.
REAM_INLINE constexpr unsigned clear_above(const ChunkBits& bits, unsigned i) noexcept {
  if (i == kChunkPages) return 0;
  unsigned w = i / kWordPages;
  const std::uint64_t x = bits[w] >> (i % kWordPages);
  if (x != 0) return static_cast<unsigned>(std::countr_zero(x));
  unsigned n = kWordPages - i % kWordPages;
  while (++w < kChunkWords) {
    if (bits[w] != 0) return n + static_cast<unsigned>(std::countr_zero(bits[w]));
    n += kWordPages;
  }
  return n;
}

// Shortens every run of ones in x by n - 1 at its top, so that what remains marks where a run of n
// ones begins. Doubling: log2(n) steps. REQUIRES: n in [1, 64].
constexpr std::uint64_t starts_of_runs(std::uint64_t x, unsigned n) noexcept {
  unsigned left = n - 1;
  for (unsigned step = 1; left > step; step *= 2) {
    x &= x >> step;
    left -= step;
  }
  return x & x >> left;
}

// Lowest i such that bits [i, i + n) of c are ones; 64 if there is none. REQUIRES: n in [1, 64].
constexpr unsigned find_bit_range64(std::uint64_t c, unsigned n) noexcept {
  return static_cast<unsigned>(std::countr_zero(starts_of_runs(c, n)));
}

}  // namespace ream::page
