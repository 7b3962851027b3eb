// Definitions of PageAlloc: runs of pages inside one word of a chunk, as nearly all are. The same
// as the general way (page_alloc_impl.h) does, without its loops. Included by page_alloc.h.
#pragma once

#include <bit>

#include "base/bits.h"
#include "page/chunk_summary.h"
#include "page/page_alloc.h"
#include "page/word_run.h"

namespace ream::page {

// Marks free pages in use. Returns how many were scavenged. With kLoose the leaf may become loose.
template <class G>
template <bool kLoose>
REAM_INLINE unsigned PageAlloc<G>::take_in_word(ChunkIndex c, Chunk& chunk,
                                                const WordRun& r) noexcept {
  const bool was_empty = chunk.used_pages == 0;
  if (was_empty) [[unlikely]]
    tree_.push_down(c);
  chunk.used[r.w] |= r.mask;
  chunk.used_pages = static_cast<std::uint16_t>(chunk.used_pages + r.n);
  const std::uint64_t missing = r.mask & ~chunk.backed[r.w];
  unsigned scavenged = 0;
  if (missing != 0) {
    scavenged = count_bits(missing);
    chunk.backed[r.w] |= missing;
    chunk.backed_pages = static_cast<std::uint16_t>(chunk.backed_pages + scavenged);
  }
  bool loose = false;
  const auto longest_of = [&](unsigned rest, unsigned longest) noexcept {
    loose = kLoose;
    return kLoose ? longest : longest_run(chunk.used, rest, longest);
  };
  tree_.change_leaf(
      c, after_alloc(tree_.leaf(c), chunk.used, r.i, r.n, chunk.free_pages(), longest_of));
  if (loose) tree_.note_loose(c, chunk.used);
  if (was_empty) [[unlikely]]
    tree_.catch_up();
  return scavenged;
}

template <class G>
REAM_INLINE Allocation PageAlloc<G>::taken(PageIndex first, std::uint64_t n,
                                           std::uint64_t scavenged) noexcept {
  free_pages_ -= Pages(n);
  unscavenged_ -= Pages(n - scavenged);
  REAM_AUDIT(is_valid_around(first, n));
  return {window_.addr_of(first), Bytes(scavenged << G::kPageShift), true};
}

// The lowest free page where it lies in the word at which the search begins; not ok elsewhere.
template <class G>
REAM_INLINE Allocation PageAlloc<G>::alloc_page_in_word() noexcept {
  const PageIndex start = search_start();
  if (start == kNoPageIndex) return {};
  const ChunkIndex c = start.chunk();
  Chunk& chunk = chunks_.at(c);
  if (chunk.is_leased()) return {};
  const unsigned from = start.in_chunk();
  const std::uint64_t free = ~chunk.used[from / kWordPages] & kAllOnes << (from % kWordPages);
  if (free == 0) return {};
  const unsigned i = round_down(from, kWordPages) + static_cast<unsigned>(std::countr_zero(free));
  const PageIndex page = first_page(c) + Pages(i);
  ++stats_.in_chunk;
  note_lowest_free(page);
  skip_taken(page, 1);
  return taken(page, 1, take_in_word<true>(c, chunk, word_run(i, 1)));
}

template <class G>
REAM_INLINE void PageAlloc<G>::give_in_word(ChunkIndex c, Chunk& chunk, const WordRun& r,
                                            FreeKind kind) noexcept {
  chunk.used[r.w] &= ~r.mask;
  chunk.used_pages = static_cast<std::uint16_t>(chunk.used_pages - r.n);
  tree_.change_leaf(c, after_free(tree_.leaf(c), chunk.used, r.i, r.n));
  if (kind == FreeKind::kCandidate) mark_candidate(c, chunk);
  const PageIndex first = first_page(c) + Pages(r.i);
  note_run(c, chunk, r.i, r.n);
  note_free(first, r.n, r.n);
  REAM_AUDIT(is_valid_around(first, r.n));
}

// Frees pages inside one word of a chunk that lies in the grown range looked up last. False, and
// unchanged: it is another case, or an error.
template <class G>
REAM_INLINE bool PageAlloc<G>::free_in_word(Addr base, Pages n, FreeKind kind) noexcept {
  const std::uint64_t offset = window_.offset(base);
  const PageIndex first{offset >> G::kPageShift};
  const unsigned i = first.in_chunk();
  if (!is_in_word(i, n.n) || !is_aligned(offset, G::kPageBytes)) return false;
  if (first < known_lo_ || first.n + n.n > known_hi_.n) return false;
  const ChunkIndex c = first.chunk();
  Chunk& chunk = chunks_.at(c);
  const WordRun r = word_run(i, n.n);
  if (chunk.is_leased() || (~chunk.used[r.w] & r.mask) != 0) return false;
  if (chunk.is_sent() && chunk.has_returned(i, r.n)) return false;
  give_in_word(c, chunk, r, kind);
  return true;
}

}  // namespace ream::page
