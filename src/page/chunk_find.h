// First fit and last fit inside one chunk. Bits set are pages in use.
//
// Thread safety: reads only.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "page/chunk_bits.h"
#include "page/kernels.h"

namespace ream::page {

inline constexpr unsigned kNoPage = ~0u;

// Lowest free page at or above `from`, or kNoPage. REQUIRES: from < 512.
constexpr unsigned find_free_page(const ChunkBits& used, unsigned from) noexcept {
  unsigned w = from / kWordPages;
  std::uint64_t free = ~used[w] & kAllOnes << (from % kWordPages);
  while (free == 0) {
    if (++w == kChunkWords) return kNoPage;
    free = ~used[w];
  }
  return w * kWordPages + static_cast<unsigned>(std::countr_zero(free));
}

// find_run() one word after the other, in one pass. REQUIRES: from < 512, n > 1. `run` is the
// number of free pages directly below the current word; a fit either ends in this word's low free
// pages, or (n < 64) lies inside the word.
REAM_INLINE constexpr unsigned find_run_by_words(const ChunkBits& used, unsigned n,
                                                 unsigned from) noexcept {
  unsigned w = from / kWordPages;
  std::uint64_t x = used[w] | low_mask(from % kWordPages);
  for (unsigned run = 0;; x = used[w]) {
    if (x == 0) {
      run += kWordPages;
      if (run >= n) return (w + 1) * kWordPages - run;
    } else if (x == kAllOnes) {
      run = 0;
    } else {
      if (run + static_cast<unsigned>(std::countr_zero(x)) >= n) return w * kWordPages - run;
      if (n < kWordPages) {
        const unsigned i = find_bit_range64(~x, n);
        if (i < kWordPages) return w * kWordPages + i;
      }
      run = static_cast<unsigned>(std::countl_zero(x));
    }
    if (++w == kChunkWords) return kNoPage;
  }
}

// Lowest run of n free pages that begins at or above `from`, or kNoPage. Pages below `from` count
// as in use. REQUIRES: from < 512, n > 0.
//
// Where the run at `from` fits, or one inside the first word, that is seen here; it is the usual
// case. The rest is a kernel's.
constexpr unsigned find_run(const ChunkBits& used, unsigned n, unsigned from) noexcept {
  if (n == 1) return find_free_page(used, from);
  if (clear_above(used, from) >= n) return from;
  if (std::is_constant_evaluated()) return find_run_by_words(used, n, from);
  if (n < kWordPages) {
    const std::uint64_t free = ~used[from / kWordPages] & kAllOnes << (from % kWordPages);
    const unsigned i = find_bit_range64(free, n);
    if (i < kWordPages) return from / kWordPages * kWordPages + i;
  }
  return kernels().find_run(used, n, from);
}

// Highest i such that [i, i + n) is free and i + n <= limit, or kNoPage. REQUIRES: limit in [1,
// 512], n > 0. Walks runs from the top.
constexpr unsigned find_run_below(const ChunkBits& used, unsigned n, unsigned limit) noexcept {
  unsigned end = limit;
  while (end > 0) {
    const unsigned run = clear_below(used, end);
    if (run >= n) return end - n;
    end -= run;
    if (end == 0) break;
    // Skip the pages in use below.
    unsigned w = (end - 1) / kWordPages;
    std::uint64_t free = ~used[w] & low_mask((end - 1) % kWordPages + 1);
    while (free == 0) {
      if (w == 0) return kNoPage;
      free = ~used[--w];
    }
    end = w * kWordPages + kWordPages - static_cast<unsigned>(std::countl_zero(free));
  }
  return kNoPage;
}

}  // namespace ream::page
