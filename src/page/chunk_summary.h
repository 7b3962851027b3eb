// The summary of one chunk: computed from its bits, or derived from the summary before a change.
//
// A change of one run rarely needs the whole chunk. Freed pages join the free run around them, so
// the new summary follows from the old one and that run's ends. Allocated pages split one run; only
// if that was a longest one, and what else is free might be longer than the rest of it, does the
// whole chunk have to be read again.
//
// Thread safety: reads only.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

#include "page/chunk_bits.h"
#include "page/kernels.h"
#include "page/summary.h"

namespace ream::page {

// Longest run of ones that is longer than `longest`, or `longest`. REQUIRES: longest <= 64.
constexpr unsigned longest_run_above(std::uint64_t x, unsigned longest) noexcept {
  if (longest >= kWordPages) return longest;
  x = starts_of_runs(x, longest + 1);
  while (x != 0) {
    ++longest;
    x &= x >> 1;
  }
  return longest;
}

// A run between two pages in use of one word is no longer than this.
inline constexpr unsigned kLongestInWord = kWordPages - 2;

// The longest free run that touches an end of a word, or at_least if that is longer.
REAM_INLINE constexpr unsigned longest_across_words(const ChunkBits& used,
                                                    unsigned at_least) noexcept {
  unsigned longest = at_least;
  unsigned run = 0;  // free pages directly below the current word
  for (const std::uint64_t x : used) {
    if (x == 0) {
      run += kWordPages;
      continue;
    }
    longest = std::max(longest, run + static_cast<unsigned>(std::countr_zero(x)));
    run = static_cast<unsigned>(std::countl_zero(x));
  }
  return std::max(longest, run);
}

// The longest run of free pages in a chunk where it is known to be in [at_least, at_most]. First
// the runs that touch word borders; a run inside a word is looked for only if it could win.
constexpr unsigned longest_run(const ChunkBits& used, unsigned at_least,
                               unsigned at_most) noexcept {
  if (!std::is_constant_evaluated()) return kernels().longest_run(used, at_least, at_most);
  unsigned longest = longest_across_words(used, at_least);
  if (longest >= kLongestInWord) return longest;
  for (const std::uint64_t x : used) longest = longest_run_above(~x, longest);
  return longest;
}

constexpr Summary summarize(const ChunkBits& used) noexcept {
  if (!std::is_constant_evaluated()) return kernels().summarize(used);
  const unsigned start = clear_above(used, 0);
  const unsigned end = clear_below(used, kChunkPages);
  return Summary::pack(start, longest_run(used, std::max(start, end), kChunkPages), end);
}

// Length of the run of pages around [i, i + n) that is bounded by pages in use within one word, the
// range itself included whatever its bits are; 0 if the run may reach further.
REAM_INLINE constexpr unsigned run_inside_word(const ChunkBits& used, unsigned i,
                                               unsigned n) noexcept {
  const unsigned begin = i % kWordPages;
  const unsigned limit = begin + n;
  if (limit >= kWordPages) return 0;
  const std::uint64_t word = used[i / kWordPages];
  const std::uint64_t below = word & ((1ULL << begin) - 1);
  const std::uint64_t above = word >> limit;
  if (below == 0 || above == 0) return 0;
  return limit + static_cast<unsigned>(std::countr_zero(above)) -
         (kWordPages - static_cast<unsigned>(std::countl_zero(below)));
}

// The summary after pages [i, i + n) were freed, from the one before. `used` is after the change.
REAM_INLINE constexpr Summary after_free(Summary before, const ChunkBits& used, unsigned i,
                                         unsigned n) noexcept {
  const unsigned inside = run_inside_word(used, i, n);
  if (inside != 0) return inside <= before.max_small() ? before : before.with_max(inside);
  const unsigned begin = i - clear_below(used, i);
  const unsigned limit = i + n + clear_above(used, i + n);
  const std::uint64_t run = limit - begin;
  const Runs old = before.unpack_small();
  return Summary::pack(begin == 0 ? run : old.start, std::max(old.max, run),
                       limit == kChunkPages ? run : old.end);
}

// The summary after pages [i, i + n) were allocated, from the one before. `used` is after the
// change, `free_pages` what is then free in the chunk. The pages lay in one free run [begin,
// limit). Where that was one of the longest, of `longest` pages, and its longer rest has `rest`,
// longest_of(rest, longest) says what is the longest now.
template <class LongestOf>
REAM_INLINE constexpr Summary after_alloc(Summary before, const ChunkBits& used, unsigned i,
                                          unsigned n, unsigned free_pages,
                                          LongestOf longest_of) noexcept {
  if (free_pages == 0) return Summary();  // first, for the max before may be loose (summary_tree.h)
  const unsigned inside = run_inside_word(used, i, n);
  if (inside != 0 && inside < before.max_small()) return before;
  const unsigned below = clear_below(used, i);
  const unsigned above = clear_above(used, i + n);
  const unsigned rest = std::max(below, above);
  // All other runs together are no longer than the rest of this one.
  const bool is_rest = free_pages - below - above <= rest;
  if (inside != 0) return before.with_max(is_rest ? rest : longest_of(rest, inside));
  const Runs old = before.unpack_small();
  const std::uint64_t start = below == i ? below : old.start;
  const std::uint64_t end = i + n + above == kChunkPages ? above : old.end;
  if (below + n + above < old.max) return Summary::pack(start, old.max, end);  // not a longest run
  return Summary::pack(start, is_rest ? rest : longest_of(rest, static_cast<unsigned>(old.max)),
                       end);
}

REAM_INLINE constexpr Summary after_alloc(Summary before, const ChunkBits& used, unsigned i,
                                          unsigned n, unsigned free_pages) noexcept {
  return after_alloc(before, used, i, n, free_pages,
                     [&used](unsigned rest, unsigned longest) noexcept {
                       return longest_run(used, rest, longest);
                     });
}

}  // namespace ream::page
