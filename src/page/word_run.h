// A run of pages inside one word of a chunk, as nearly all runs are.
//
// Thread safety: plain values.
#pragma once

#include <cstdint>

#include "base/annotate.h"
#include "page/chunk_bits.h"

namespace ream::page {

// Pages [i, i + n) of a chunk, all in its word w.
struct WordRun {
  unsigned i;
  unsigned n;
  unsigned w;
  std::uint64_t mask;
};

REAM_INLINE constexpr bool is_in_word(unsigned i, std::uint64_t n) noexcept {
  return n - 1 < kWordPages - i % kWordPages;
}
// REQUIRES: is_in_word(i, n).
REAM_INLINE constexpr WordRun word_run(unsigned i, std::uint64_t n) noexcept {
  return {i, static_cast<unsigned>(n), i / kWordPages,
          (kAllOnes >> (kWordPages - n)) << (i % kWordPages)};
}

}  // namespace ream::page
