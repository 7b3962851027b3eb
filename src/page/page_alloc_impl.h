// Definitions of PageAlloc: life, taking and giving pages. Included by page_alloc.h.
#pragma once

#include <algorithm>

#include "base/bits.h"
#include "base/check.h"
#include "page/chunk_summary.h"
#include "page/kernels.h"
#include "page/page_alloc.h"

namespace ream::page {

// ---- Life ------------------------------------------------------------------------------------

template <class G>
InitResult PageAlloc<G>::init(const Environment& env, Addr window_base) noexcept {
  if (env.reserve == nullptr || env.commit == nullptr || env.release == nullptr) {
    return InitResult::kBadEnvironment;
  }
  if constexpr (G::kBase == WindowBase::kZero) {
    if (window_base != Addr()) return InitResult::kMisalignedBase;
  }
  if (!is_aligned(window_base.n, G::kMaxAlignPages << G::kPageShift)) {
    return InitResult::kMisalignedBase;
  }
  const Bytes bytes =
      SummaryTree<G>::reservation() + ChunkTable<G>::reservation() + ChunkSet<G>::reservation();
  env_ = env;
  if (!reservation_.reserve(env_, bytes)) return InitResult::kNoMetadata;
  window_ = Window<G>(window_base);
  tree_.init(reservation_);
  chunks_.init(reservation_);
  candidates_.init(reservation_);
  ranges_.init(env_);
  shape_ = {1, 0};
  forget_pages();
  return InitResult::kOk;
}

// No page is free, so far as is known.
template <class G>
void PageAlloc<G>::forget_pages() noexcept {
  search_ = kNoPageIndex;
  freed_lo_ = freed_hi_ = PageIndex();
  hint_.forget();
  refused_ = kNothingRefused;
}

template <class G>
void PageAlloc<G>::release() noexcept {
  for (const AddrRange& r : ranges_) {
    chunks_.release(env_, r.base.n >> G::kLogChunkBytes, r.limit.n >> G::kLogChunkBytes);
  }
  ranges_.release();
  reservation_.release(env_);
  chunks_ = {};
  tree_ = {};
  candidates_ = {};
  forget_pages();
  free_pages_ = unscavenged_ = Pages();
  known_lo_ = known_hi_ = PageIndex();
  stats_ = {};
  committed_ = chunk_bytes_ = Bytes();
  huge_refused_ = 0;
}

template <class G>
GrowResult PageAlloc<G>::grow(Addr base, Bytes bytes) noexcept {
  constexpr std::uint64_t kWindowBytes = 1ULL << G::kAddressBits;
  const std::uint64_t offset = window_.offset(base);
  if (offset >= kWindowBytes || bytes.n > kWindowBytes - offset) return GrowResult::kOutOfWindow;
  const std::uint64_t lo = offset >> G::kLogChunkBytes;
  const std::uint64_t hi = div_ceil(offset + bytes.n, G::kChunkBytes);
  if (bytes == Bytes()) return GrowResult::kOk;

  const AddrRange range{Addr(lo << G::kLogChunkBytes), Addr(hi << G::kLogChunkBytes)};
  if (ranges_.overlaps(range)) return GrowResult::kOverlap;
  Growth growth{lo, hi};
  const std::uint64_t above = ranges_.find_succ(range.base);
  if (above > 0) {
    growth.has_below = true;
    growth.last_below = (ranges_[above - 1].limit.n >> G::kLogChunkBytes) - 1;
  }
  if (above < ranges_.size()) {
    growth.has_above = true;
    growth.first_above = ranges_[above].base.n >> G::kLogChunkBytes;
  }
  if (!ranges_.reserve_one() || !cover(growth)) return GrowResult::kNoMetadata;

  // Not for a process whose whole heap is a chunk: asking the processor may take 10 us.
  if (hi - lo > 1 || ranges_.size() > 0) select_kernels();
  REAM_CHECK(ranges_.add(range));
  tree_.grow(ChunkIndex{lo}, ChunkIndex{hi});
  free_pages_ += Pages((hi - lo) << kLogChunkPages);
  search_ = std::min(search_, first_page(ChunkIndex{lo}));
  note_runs_from(first_page(ChunkIndex{lo}));
  refused_ = kNothingRefused;
  if (huge_) advise_huge(lo, hi);
  REAM_AUDIT(is_valid_around(first_page(ChunkIndex{lo}), (hi - lo) << kLogChunkPages));
  return GrowResult::kOk;
}

// Memory that was committed before one of these fails stays committed, and serves a later growth.
template <class G>
bool PageAlloc<G>::cover(const Growth& growth) noexcept {
  return tree_.cover(env_, growth, committed_) &&
         chunks_.cover(env_, growth, committed_, chunk_bytes_) &&
         candidates_.cover(env_, growth, committed_);
}

// ---- Ranges of pages -------------------------------------------------------------------------

template <class G>
typename PageAlloc<G>::PageRange PageAlloc<G>::to_pages(Addr base, Pages n) const noexcept {
  const std::uint64_t offset = window_.offset(base);
  const std::uint64_t first = offset >> G::kPageShift;
  const bool ok = first < G::kTotalPages && n.n - 1 < G::kTotalPages - first &&
                  is_aligned(offset, G::kPageBytes);
  return {PageIndex{first}, n.n, ok};
}

template <class G>
bool PageAlloc<G>::is_grown(PageIndex first, std::uint64_t n) const noexcept {
  return (known_lo_ <= first && first.n + n <= known_hi_.n) || look_up_grown(first, n);
}

template <class G>
REAM_COLD bool PageAlloc<G>::look_up_grown(PageIndex first, std::uint64_t n) const noexcept {
  const Addr base(first.n << G::kPageShift);
  const std::uint64_t above = ranges_.find_succ(base);
  if (above == 0) return false;
  const AddrRange& r = ranges_[above - 1];
  if (base + Bytes(n << G::kPageShift) > r.limit) return false;
  known_lo_ = PageIndex{r.base.n >> G::kPageShift};
  known_hi_ = PageIndex{r.limit.n >> G::kPageShift};
  return true;
}

template <class G>
template <class Visit>
void PageAlloc<G>::for_each_part(PageIndex first, std::uint64_t n, Visit visit) noexcept {
  const PageIndex end{first.n + n};
  while (first < end) {
    const unsigned i = first.in_chunk();
    const auto part =
        static_cast<unsigned>(std::min<std::uint64_t>(kChunkPages - i, end.n - first.n));
    visit(first.chunk(), i, part);
    first = first + Pages(part);
  }
}

// Whether pages are grown and free; those of a leased chunk are not.
template <class G>
bool PageAlloc<G>::is_free(PageIndex first, std::uint64_t n) const noexcept {
  if (!is_grown(first, n)) return false;
  bool free = true;
  for_each_part(first, n, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    const Chunk& chunk = chunks_.at(c);
    free = free && !chunk.is_leased() && all_clear(chunk.used, i, part);
  });
  return free;
}

// Whether grown pages are in use; those of a leased chunk are not.
template <class G>
bool PageAlloc<G>::is_in_use(PageIndex first, std::uint64_t n) const noexcept {
  bool used = true;
  for_each_part(first, n, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    const Chunk& chunk = chunks_.at(c);
    used = used && !chunk.is_leased() && chunk.is_in_use(i, part);
  });
  return used;
}

// ---- Taking ----------------------------------------------------------------------------------

// Marks free pages in use.
template <class G>
Allocation PageAlloc<G>::take(PageIndex first, std::uint64_t n) noexcept {
  const unsigned i = first.in_chunk();
  const ChunkIndex c = first.chunk();
  if (is_in_word(i, n))
    return taken(first, n, take_in_word<false>(c, chunks_.at(c), word_run(i, n)));
  return taken(
      first, n,
      i + n <= kChunkPages ? take_in_chunk(c, i, static_cast<unsigned>(n)) : take_across(first, n));
}

template <class G>
unsigned PageAlloc<G>::take_in_chunk(ChunkIndex c, unsigned i, unsigned n) noexcept {
  Chunk& chunk = chunks_.at(c);
  const bool was_empty = chunk.used_pages == 0;
  if (was_empty) [[unlikely]]
    tree_.push_down(c);
  const unsigned scavenged = chunk.allocate(i, n);
  tree_.change_leaf(c, after_alloc(tree_.leaf(c), chunk.used, i, n, chunk.free_pages()));
  // Whoever reads the tree from outside skips what is all free.
  if (was_empty) [[unlikely]]
    tree_.catch_up();
  return scavenged;
}

// Chunks between the first and the last are taken whole.
template <class G>
std::uint64_t PageAlloc<G>::take_across(PageIndex first, std::uint64_t n) noexcept {
  tree_.catch_up();  // a leaf that is loose is tightened from bits that it describes
  const PageIndex end{first.n + n - 1};
  const ChunkIndex lo = first.chunk();
  const ChunkIndex hi = end.chunk();
  Chunk& low = chunks_.at(lo);
  Chunk& high = chunks_.at(hi);
  if (low.used_pages == 0) tree_.push_down(lo);
  if (high.used_pages == 0) tree_.push_down(hi);

  std::uint64_t scavenged = 0;
  for_each_part(first, n, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    scavenged += chunks_.at(c).allocate(i, part);
  });
  const unsigned low_pages = kChunkPages - first.in_chunk();
  const unsigned high_pages = end.in_chunk() + 1;
  tree_.change_range(
      lo, ChunkIndex{hi.n + 1},
      after_alloc(tree_.leaf(lo), low.used, first.in_chunk(), low_pages, low.free_pages()),
      after_alloc(tree_.leaf(hi), high.used, 0, high_pages, high.free_pages()), false);
  return scavenged;
}

template <class G>
Allocation PageAlloc<G>::alloc(Pages n, Pages align) noexcept {
  if (align.n != 1) {
    const Place at = find_aligned(n, align);
    return at ? take(window_.page_of(at.base), n.n) : Allocation{};
  }
  if (n == Pages(1)) {
    if (const Allocation page = alloc_page_in_word()) return page;
  }
  if (n == Pages()) return {};
  const Found at = place(n.n);
  if (!at) return {};
  skip_taken(at.page, n.n);
  return take(at.page, n.n);
}

template <class G>
Allocation PageAlloc<G>::alloc_range(Addr base, Pages n) noexcept {
  const PageRange r = to_pages(base, n);
  if (!r.ok || !is_free(r.first, r.pages)) return {};
  return take(r.first, r.pages);
}

template <class G>
Allocation PageAlloc<G>::try_extend(Addr base, Pages have, Pages want) noexcept {
  const PageRange r = to_pages(base, want);
  if (!r.ok || have == Pages() || want < have) return {};
  const PageIndex last{r.first.n + have.n - 1};
  if (!is_grown(last, 1)) return {};
  const Chunk& chunk = chunks_.at(last.chunk());
  if (chunk.is_leased() || !test_bit(chunk.used, last.in_chunk())) return {};
  const std::uint64_t more = want.n - have.n;
  if (more == 0) return {base, Bytes(), true};
  const PageIndex next{last.n + 1};
  if (!is_free(next, more)) return {};
  Allocation taken = take(next, more);
  taken.base = base;
  return taken;
}

// ---- Giving ----------------------------------------------------------------------------------

// Marks pages in use free. REQUIRES: no chunk of them is leased.
template <class G>
void PageAlloc<G>::give(PageIndex first, std::uint64_t n, FreeKind kind) noexcept {
  const unsigned i = first.in_chunk();
  if (i + n <= kChunkPages) {
    const ChunkIndex c = first.chunk();
    give_in_chunk(c, chunks_.at(c), i, static_cast<unsigned>(n), kind);
  } else {
    give_across(first, n, kind);
    note_run(first.chunk(), chunks_.at(first.chunk()), i, kChunkPages - i);
    note_free(first, n, n);
  }
  REAM_AUDIT(is_valid_around(first, n));
}

template <class G>
void PageAlloc<G>::give_in_chunk(ChunkIndex c, Chunk& chunk, unsigned i, unsigned n,
                                 FreeKind kind) noexcept {
  chunk.free(i, n);
  tree_.change_leaf(c, after_free(tree_.leaf(c), chunk.used, i, n));
  if (kind == FreeKind::kCandidate) mark_candidate(c, chunk);
  note_run(c, chunk, i, n);
  note_free(first_page(c) + Pages(i), n, n);
}

template <class G>
void PageAlloc<G>::give_across(PageIndex first, std::uint64_t n, FreeKind kind) noexcept {
  tree_.catch_up();  // as in take_across
  const PageIndex end{first.n + n - 1};
  const ChunkIndex lo = first.chunk();
  const ChunkIndex hi = end.chunk();
  for_each_part(first, n, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    Chunk& chunk = chunks_.at(c);
    chunk.free(i, part);
    if (kind == FreeKind::kCandidate) mark_candidate(c, chunk);
  });
  tree_.change_range(lo, ChunkIndex{hi.n + 1},
                     after_free(tree_.leaf(lo), chunks_.at(lo).used, first.in_chunk(),
                                kChunkPages - first.in_chunk()),
                     after_free(tree_.leaf(hi), chunks_.at(hi).used, 0, end.in_chunk() + 1), true);
}

// Accounts for pages that became free and are backed by memory, all in [first, first + reach).
template <class G>
REAM_INLINE void PageAlloc<G>::note_free(PageIndex first, std::uint64_t reach,
                                         std::uint64_t pages) noexcept {
  free_pages_ += Pages(pages);
  unscavenged_ += Pages(pages);
  note_lower_free(first, reach);
  refused_ = kNothingRefused;
}

// Keeps invariant 1 when pages become free.
template <class G>
REAM_INLINE void PageAlloc<G>::note_lower_free(PageIndex first, std::uint64_t n) noexcept {
  if (first >= search_) return;
  const PageIndex limit{first.n + n};
  const bool any = freed_lo_ < freed_hi_;
  freed_lo_ = any ? std::min(freed_lo_, first) : first;
  freed_hi_ = any ? std::max(freed_hi_, limit) : limit;
}

// Pages [i, i + n) of a chunk became free: keeps invariant 6.
template <class G>
REAM_INLINE void PageAlloc<G>::note_run(ChunkIndex c, const Chunk& chunk, unsigned i,
                                        unsigned n) noexcept {
  if (hint_.concerns(first_page(c) + Pages(i))) lower_hint(c, chunk, i, n);
}

// A run that reaches the chunk's end may be of any length. One that reaches its base may begin in
// the chunk below; if that one is all free, the run was in no hint's way before.
template <class G>
void PageAlloc<G>::lower_hint(ChunkIndex c, const Chunk& chunk, unsigned i, unsigned n) noexcept {
  const unsigned above = clear_above(chunk.used, i + n);
  const unsigned below = clear_below(chunk.used, i);
  const PageIndex base = first_page(c);
  std::uint64_t before = 0;  // free pages directly below the chunk
  if (below == i && base.n > 0 && is_grown(PageIndex{base.n - 1}, 1)) {
    const ChunkIndex previous{c.n - 1};
    if (chunks_.at(previous).used_pages == 0) return;
    before = tree_.leaf(previous).unpack_small().end;
  }
  const bool is_open = i + n + above == kChunkPages;
  hint_.lower(is_open ? kChunkPages : before + below + n + above,
              PageIndex{base.n + i - below - before});
}

// Pages at or above `first` became free, and it is not known which.
template <class G>
void PageAlloc<G>::note_runs_from(PageIndex first) noexcept {
  if (hint_.concerns(first)) hint_.forget();
}

template <class G>
void PageAlloc<G>::mark_candidate(ChunkIndex c, Chunk& chunk) noexcept {
  if (chunk.candidate != 0) return;
  chunk.candidate = 1;
  candidates_.insert(c);
}

template <class G>
void PageAlloc<G>::unmark_candidate(ChunkIndex c, Chunk& chunk) noexcept {
  if (chunk.candidate == 0) return;
  chunk.candidate = 0;
  candidates_.erase(c);
}

template <class G>
bool PageAlloc<G>::free(Addr base, Pages n, FreeKind kind) noexcept {
  return free_in_word(base, n, kind) || free_slow(base, n, kind);
}

template <class G>
bool PageAlloc<G>::free_slow(Addr base, Pages n, FreeKind kind) noexcept {
  const PageRange r = to_pages(base, n);
  if (!r.ok || !is_grown(r.first, r.pages)) return false;
  const unsigned i = r.first.in_chunk();
  if (i + r.pages > kChunkPages) return free_across(r.first, r.pages, kind);
  const ChunkIndex c = r.first.chunk();
  Chunk& chunk = chunks_.at(c);
  const auto pages = static_cast<unsigned>(r.pages);
  if (chunk.is_leased()) return free_with_leases(r.first, r.pages, kind);
  if (!chunk.is_in_use(i, pages)) return false;
  give_in_chunk(c, chunk, i, pages, kind);
  REAM_AUDIT(is_valid_around(r.first, r.pages));
  return true;
}

template <class G>
bool PageAlloc<G>::free_across(PageIndex first, std::uint64_t n, FreeKind kind) noexcept {
  if (!is_in_use(first, n)) return free_with_leases(first, n, kind);
  give(first, n, kind);
  return true;
}

template <class G>
bool PageAlloc<G>::shrink(Addr base, Pages have, Pages want, FreeKind kind) noexcept {
  if (want == Pages() || want > have) return false;
  if (want == have) return to_pages(base, have).ok;
  return free(base + Bytes(want.n << G::kPageShift), have - want, kind);
}

}  // namespace ream::page
