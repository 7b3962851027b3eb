// Which pages of a chunk to give back next: the highest run of pages that are free and not
// scavenged, cut to a wanted size, made of whole OS pages, and not breaking a free huge page in
// two.
//
// Thread safety: reads only.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/bits.h"
#include "page/chunk_bits.h"

namespace ream::page {

// What the OS works with, in pages of the allocator.
struct ScavengeShape {
  unsigned physical_page = 1;  // unit of giving back; a power of two, 1 to 64
  unsigned huge_page = 0;      // kept whole where possible; a power of two, 0 for none
};

struct ScavengeRun {
  unsigned start = 0;
  unsigned pages = 0;  // 0: none
};

// Every group of m bits (aligned) with any bit set becomes all ones. REQUIRES: m a power of two in
// [1, 64]. Adding to each group its bits but the top one, all ones, carries into the top bit
// exactly if one of them is set.
constexpr std::uint64_t fill_aligned(std::uint64_t x, unsigned m) noexcept {
  const std::uint64_t lowest = kAllOnes / low_mask(m);   // bit 0 of every group
  const std::uint64_t tops = lowest << (m - 1);          // the top bit of every group
  const std::uint64_t any = ((x & ~tops) + ~tops) | x;   // its top bits tell
  const std::uint64_t groups = (any & tops) >> (m - 1);  // bit 0 of every group to be filled
  return groups * low_mask(m);
}

// `busy` has a bit for each page that is in use or scavenged. The run ends at or below the end of
// the word of `search_index`, is at most max_pages long (at least one physical page; rounded up to
// whole ones), or longer where that keeps a huge page whole.
constexpr ScavengeRun find_scavenge_candidate(const ChunkBits& busy, unsigned search_index,
                                              ScavengeShape shape,
                                              std::uint64_t max_pages) noexcept {
  const unsigned unit = shape.physical_page;
  unsigned w = search_index / kWordPages;
  std::uint64_t x = fill_aligned(busy[w], unit);
  while (x == kAllOnes) {
    if (w == 0) return {};
    x = fill_aligned(busy[--w], unit);
  }

  const auto above = static_cast<unsigned>(std::countl_one(x));
  const unsigned end = w * kWordPages + kWordPages - above;
  const std::uint64_t below = x << above;  // the run, then what is busy below it
  unsigned run = below != 0 ? static_cast<unsigned>(std::countl_zero(below)) : kWordPages - above;
  if (below == 0) {
    while (w > 0) {
      x = fill_aligned(busy[--w], unit);
      run += static_cast<unsigned>(std::countl_zero(x));
      if (x != 0) break;
    }
  }

  const std::uint64_t wanted = std::clamp<std::uint64_t>(max_pages, unit, kChunkPages);
  unsigned pages = std::min(run, static_cast<unsigned>(round_up(wanted, unit)));
  unsigned start = end - pages;
  if (shape.huge_page > 1) {
    const auto huge_above = static_cast<unsigned>(round_up(start, shape.huge_page));
    const auto huge_below = static_cast<unsigned>(round_down(start, shape.huge_page));
    if (huge_above <= end && huge_below >= end - run) {
      pages += start - huge_below;
      start = huge_below;
    }
  }
  return {start, pages};
}

}  // namespace ream::page
