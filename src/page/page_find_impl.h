// Definitions of PageAlloc: finding pages, and page caches, which take what is found first.
// Included by page_alloc.h.
#pragma once

#include <algorithm>
#include <bit>

#include "base/bits.h"
#include "base/check.h"
#include "page/chunk_summary.h"
#include "page/page_alloc.h"

namespace ream::page {

// ---- Search ----------------------------------------------------------------------------------

// Where n pages fit first. Tries the chunk of the search address by itself: no free page lies below
// it, so a run inside that chunk is the lowest.
template <class G>
typename PageAlloc<G>::Found PageAlloc<G>::place(std::uint64_t n) noexcept {
  const PageIndex start = search_start();
  if (start == kNoPageIndex || n >= refused_) {
    ++stats_.refused;
    return {};
  }
  if (n > 1) {
    if (const PageIndex hint = hint_.lowest(n); hint > start) return place_from_hint(n, hint);
  }
  const ChunkIndex c = start.chunk();
  const Chunk& chunk = chunks_.at(c);
  if (chunk.used_pages == 0) {  // its leaf may be stale
    if (n > kChunkPages) return place_outside_chunk(n, c);
    ++stats_.in_chunk;
    return {first_page(c), true};
  }
  const Summary leaf = n == 1 ? tree_.leaf(c) : tree_.tight_leaf(c);
  if (leaf.max_small() < n) return place_outside_chunk(n, c);
  ++stats_.in_chunk;
  const auto pages = static_cast<unsigned>(n);
  const unsigned lowest = find_free_page(chunk.used, start.in_chunk());
  const unsigned i = pages == 1 ? lowest : find_run(chunk.used, pages, lowest);
  REAM_CHECK(lowest != kNoPage && i != kNoPage);
  note_lowest_free(first_page(c) + Pages(lowest));
  return {first_page(c) + Pages(i), true};
}

// The same where it is known that no such run begins below `hint`. Nothing is learnt of the lowest
// free page.
template <class G>
typename PageAlloc<G>::Found PageAlloc<G>::place_from_hint(std::uint64_t n,
                                                           PageIndex hint) noexcept {
  const ChunkIndex c = hint.chunk();
  const Chunk& chunk = chunks_.at(c);
  const bool empty = chunk.used_pages == 0;
  if (!empty && tree_.leaf(c).max_small() >= n) {
    const unsigned i = find_run(chunk.used, static_cast<unsigned>(n), hint.in_chunk());
    if (i != kNoPage) {  // else the leaf is loose
      ++stats_.in_chunk;
      return {first_page(c) + Pages(i), true};
    }
  }
  PageSearch<G> search(tree_, chunks_);
  const Found at = empty ? search.first(n, hint) : search.first_after(n, c);
  note_search(search);
  if (at) {
    if (search.visits() >= kWorthHint) hint_.raise(n, at.page, search_);
  } else {
    refused_ = n;
  }
  return at;
}

template <class G>
typename PageAlloc<G>::Found PageAlloc<G>::place_outside_chunk(std::uint64_t n,
                                                               ChunkIndex c) noexcept {
  PageSearch<G> search(tree_, chunks_);
  const Found at =
      chunks_.at(c).used_pages == 0 ? search.first(n, first_page(c)) : search.first_after(n, c);
  note_search(search);
  if (at) {
    note_lowest_free(n == 1 ? at.page : next_grown(std::min(at.page, search.lowest_free())));
    if (n > 1 && search.visits() >= kWorthHint) hint_.raise(n, at.page, search_);
    return at;
  }
  refused_ = n;
  if (n == 1) {
    search_ = kNoPageIndex;
    freed_lo_ = freed_hi_;
  }
  return at;
}

// An entry of the tree may begin below the first grown page in it. REQUIRES: there is a grown page
// at or above `page`.
template <class G>
PageIndex PageAlloc<G>::next_grown(PageIndex page) const noexcept {
  if (is_grown(page, 1)) return page;
  const auto mapped = ranges_.find_addr_greater_equal(Addr(page.n << G::kPageShift));
  return PageIndex{mapped.addr.n >> G::kPageShift};
}

// No page below `page`, which is grown, is free.
template <class G>
REAM_INLINE void PageAlloc<G>::note_lowest_free(PageIndex page) noexcept {
  if (page < search_) {
    freed_lo_ = page;
  } else {
    freed_lo_ = freed_hi_;
    search_ = page;
  }
}

// The lowest free pages were taken: the search begins behind them, without leaving their chunk, for
// the next one may not be grown.
template <class G>
REAM_INLINE void PageAlloc<G>::skip_taken(PageIndex first, std::uint64_t n) noexcept {
  if (first.in_chunk() + n >= kChunkPages) return;
  if (first == freed_lo_) {
    freed_lo_ = PageIndex{first.n + n};
  } else if (first == search_) {
    search_ = PageIndex{first.n + n};
  }
}

template <class G>
void PageAlloc<G>::note_search(const PageSearch<G>& search) noexcept {
  ++stats_.searches;
  stats_.visits += search.visits();
  stats_.max_visits = std::max<std::uint64_t>(stats_.max_visits, search.visits());
}

// Each pass either lands on an aligned page or proves that no run begins between the aligned page
// it asked for and the run it got. A heap full of short misaligned holes would cost a pass for
// each: after some the search is for a run so long that it holds an aligned one. If there is none,
// the passes go on.
template <class G>
typename PageAlloc<G>::Found PageAlloc<G>::place_aligned(std::uint64_t n,
                                                         std::uint64_t align) noexcept {
  const auto first_from = [this](std::uint64_t pages, PageIndex from) noexcept {
    PageSearch<G> search(tree_, chunks_);
    const Found at = search.first(pages, from);
    note_search(search);
    return at;
  };
  Found at = place(n);
  for (unsigned pass = 1; at && !is_aligned(at.page.n, align); ++pass) {
    const PageIndex next{round_up(at.page.n, align)};
    if (next.n >= G::kTotalPages) return {};
    if (pass == kAlignedPasses) {
      const Found longer = first_from(n + align - 1, next);
      if (longer) return {PageIndex{round_up(longer.page.n, align)}, true};
    }
    at = first_from(n, next);
  }
  return at;
}

template <class G>
Place PageAlloc<G>::find(Pages n) noexcept {
  return find_aligned(n, Pages(1));
}

template <class G>
Place PageAlloc<G>::find_aligned(Pages n, Pages align) noexcept {
  if (n == Pages() || !is_power_of_two(align.n) || align.n > G::kMaxAlignPages) return {};
  const Found at = place_aligned(n.n, align.n);
  return at ? Place{window_.addr_of(at.page), true} : Place{};
}

template <class G>
Place PageAlloc<G>::find_highest(Pages n, Addr lo, Addr hi) noexcept {
  if (n == Pages() || ranges_.size() == 0 || hi <= lo) return {};
  // Whole pages inside [lo, hi), cut to the window.
  const Addr end = max_search_addr();
  if (lo > end || hi <= window_.base()) return {};
  const std::uint64_t low = lo <= window_.base() ? 0 : div_ceil(window_.offset(lo), G::kPageBytes);
  const std::uint64_t high = hi > end ? G::kTotalPages : window_.offset(hi) >> G::kPageShift;
  if (low >= high) return {};
  PageSearch<G> search(tree_, chunks_);
  const Found at = search.last(n.n, PageIndex{low}, PageIndex{high});
  note_search(search);
  return at ? Place{window_.addr_of(at.page), true} : Place{};
}

template <class G>
Place PageAlloc<G>::find_mapped_addr(Addr addr) const noexcept {
  const Addr from = addr < window_.base() ? Addr() : Addr(window_.offset(addr));
  const auto next = ranges_.find_addr_greater_equal(from);
  return next.found ? Place{Addr(window_.base().n + next.addr.n), true} : Place{};
}

// ---- Page caches -----------------------------------------------------------------------------

template <class G>
typename PageAlloc<G>::Cache PageAlloc<G>::alloc_to_cache() noexcept {
  const Found at = place(1);
  if (!at) return {};
  const ChunkIndex c = at.page.chunk();
  Chunk& chunk = chunks_.at(c);
  if (chunk.used_pages == 0) tree_.push_down(c);
  const unsigned w = at.page.in_chunk() / kWordPages;
  const std::uint64_t free = ~chunk.used[w];
  const std::uint64_t scavenged = ~chunk.backed[w];
  const auto pages = count_bits(free);
  const auto added = count_bits(scavenged);

  const Summary before = tree_.leaf(c);
  chunk.used[w] = chunk.backed[w] = kAllOnes;
  chunk.used_pages = static_cast<std::uint16_t>(chunk.used_pages + pages);
  chunk.backed_pages = static_cast<std::uint16_t>(chunk.backed_pages + added);
  const unsigned lowest = w * kWordPages + static_cast<unsigned>(std::countr_zero(free));
  tree_.change_leaf(c, is_one_run(free)
                           ? after_alloc(before, chunk.used, lowest, pages, chunk.free_pages())
                           : summarize(chunk.used));
  free_pages_ -= Pages(pages);
  unscavenged_ -= Pages(pages - added);
  // Nothing up to the last page of the block is free any more.
  const PageIndex block = first_page(c) + Pages(w * kWordPages);
  note_lowest_free(block + Pages(kWordPages - 1));
  REAM_AUDIT(is_valid_around(block, kWordPages));
  return {window_.addr_of(block), free, scavenged};
}

template <class G>
void PageAlloc<G>::flush(Cache& cache, FreeKind kind) noexcept {
  if (cache.empty()) return;
  const PageIndex block = window_.page_of(cache.base());
  const ChunkIndex c = block.chunk();
  const unsigned w = block.in_chunk() / kWordPages;
  Chunk& chunk = chunks_.at(c);
  const auto pages = count_bits(cache.free());
  const auto scavenged = count_bits(cache.scavenged());
  if (chunk.is_leased()) {  // the lessee will find them
    chunk.add_returned(w, cache.free());
    cache = {};
    return;
  }
  chunk.used[w] &= ~cache.free();
  chunk.backed[w] &= ~cache.scavenged();
  chunk.used_pages = static_cast<std::uint16_t>(chunk.used_pages - pages);
  chunk.backed_pages = static_cast<std::uint16_t>(chunk.backed_pages - scavenged);
  const unsigned lowest = w * kWordPages + static_cast<unsigned>(std::countr_zero(cache.free()));
  tree_.change_leaf(c, is_one_run(cache.free())
                           ? after_free(tree_.leaf(c), chunk.used, lowest, pages)
                           : summarize(chunk.used));
  note_free(block, kWordPages, pages);
  note_runs_from(block);
  unscavenged_ -= Pages(scavenged);
  if (kind == FreeKind::kCandidate && chunk.unscavenged_pages() > 0) mark_candidate(c, chunk);
  cache = {};
  REAM_AUDIT(is_valid_around(block, kWordPages));
}

}  // namespace ream::page
