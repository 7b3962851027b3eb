// First fit and last fit over the whole window.
//
// A search walks entries in address order and carries the free run that ends where it stands. At an
// entry it either completes the run with the entry's start, or descends because the entry's max is
// enough, or goes on with the run that leaves the entry at its other end. Past the last entry of a
// block it climbs to the next entry one rank up. Once it descends it cannot fail.
//
// Bound: it climbs once and descends once, over at most 2^kRankBlockBits (8) entries a rank, so it
// visits at most kMaxVisits summaries and one chunk, whatever the size of the heap.
//
// Thread safety: reads under the owner's lock.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "page/chunk_find.h"
#include "page/chunk_table.h"
#include "page/geometry.h"
#include "page/summary_tree.h"

namespace ream::page {

template <class G>
class PageSearch {
 public:
  struct Found {
    PageIndex page{};
    bool ok = false;
    explicit operator bool() const noexcept { return ok; }
  };

  // The path to the start, then twice a block a rank.
  static constexpr unsigned kMaxVisits = [] {
    unsigned visits = G::kRanks;
    for (unsigned r = 0; r < G::kRanks; ++r) visits += 2u << G::kRankBlockBits[r];
    return visits;
  }();

  PageSearch(const SummaryTree<G>& tree, const ChunkTable<G>& chunks) noexcept
      : tree_(tree), chunks_(chunks) {}

  // Lowest run of n free pages that begins at or above `from`. REQUIRES: n > 0, from in the window.
  [[nodiscard]] Found first(std::uint64_t n, PageIndex from) noexcept;

  // The same for a start whose chunk is exact and does not hold the run, and below which nothing is
  // free: no path to look up. REQUIRES: the leaf of `c` is exact, its max is below n.
  [[nodiscard]] Found first_after(std::uint64_t n, ChunkIndex c) noexcept {
    tree_.catch_up();
    const Runs runs = visit(0, c.n);
    note_free(runs, 0, c.n);
    return forward(n, {0, c.n, runs}, runs.end);
  }

  // Highest run of n free pages within [lo, hi). REQUIRES: n > 0, lo <= hi, hi at most the end of
  // the window.
  [[nodiscard]] Found last(std::uint64_t n, PageIndex lo, PageIndex hi) noexcept;

  // Summaries looked at so far; the base of the first entry with free pages that first() met.
  [[nodiscard]] unsigned visits() const noexcept { return visits_; }
  [[nodiscard]] PageIndex lowest_free() const noexcept { return lowest_free_; }

 private:
  using Position = typename SummaryTree<G>::Position;

  [[nodiscard]] static constexpr std::uint64_t entry_pages(unsigned rank) noexcept {
    return 1ULL << G::kRankLogPages[rank];
  }
  [[nodiscard]] Position start_at(PageIndex page) noexcept;
  [[nodiscard]] Runs visit(unsigned rank, std::uint64_t i) noexcept {
    ++visits_;
    return tree_.at(rank, i);
  }
  void note_free(const Runs& runs, unsigned rank, std::uint64_t i) noexcept;
  [[nodiscard]] Found forward(std::uint64_t n, Position at, std::uint64_t run) noexcept;
  [[nodiscard]] Found descend_first(std::uint64_t n, unsigned rank, std::uint64_t i) noexcept;
  [[nodiscard]] Found backward(std::uint64_t n, Position at, std::uint64_t run) noexcept;
  [[nodiscard]] Found descend_last(std::uint64_t n, unsigned rank, std::uint64_t i) noexcept;

  const SummaryTree<G>& tree_;
  const ChunkTable<G>& chunks_;
  unsigned visits_ = 0;
  bool seen_free_ = false;
  PageIndex lowest_free_{};
};

template <class G>
typename PageSearch<G>::Position PageSearch<G>::start_at(PageIndex page) noexcept {
  const Position at = tree_.locate(page.chunk());
  visits_ += SummaryTree<G>::kTop + 1 - at.rank;
  return at;
}

template <class G>
void PageSearch<G>::note_free(const Runs& runs, unsigned rank, std::uint64_t i) noexcept {
  if (seen_free_ || runs.max == 0) return;
  seen_free_ = true;
  lowest_free_ = PageIndex{i << G::kRankLogPages[rank]};
}

// The entry that `from` lies in may begin below it, so it is treated apart; then whole entries.
template <class G>
typename PageSearch<G>::Found PageSearch<G>::first(std::uint64_t n, PageIndex from) noexcept {
  const Position at = start_at(from);
  note_free(at.runs, at.rank, at.index);
  const std::uint64_t end = (at.index + 1) << G::kRankLogPages[at.rank];
  std::uint64_t run = std::min(at.runs.end, end - from.n);
  if (run >= n && at.runs.max == entry_pages(at.rank)) return {from, true};
  if (at.rank == 0 && at.runs.max >= n) {
    const unsigned i =
        find_run(chunks_.at(ChunkIndex{at.index}).used, static_cast<unsigned>(n), from.in_chunk());
    if (i != kNoPage) return {first_page(ChunkIndex{at.index}) + Pages(i), true};
  }
  return forward(n, at, run);
}

// `at` is done with; `run` free pages lie directly below its end.
template <class G>
typename PageSearch<G>::Found PageSearch<G>::forward(std::uint64_t n, Position at,
                                                     std::uint64_t run) noexcept {
  unsigned rank = at.rank;
  std::uint64_t i = at.index + 1;
  for (;;) {
    while (is_aligned(i, 1ULL << G::kRankBlockBits[rank])) {  // past its block
      if (rank == SummaryTree<G>::kTop) return {};
      i >>= G::kRankBlockBits[rank++];
    }
    const Runs runs = visit(rank, i);
    if (run + runs.start >= n) return {PageIndex{(i << G::kRankLogPages[rank]) - run}, true};
    if (runs.max == 0) {
      run = 0;
      ++i;
      continue;
    }
    note_free(runs, rank, i);
    if (runs.max >= n) return descend_first(n, rank, i);
    run = runs.end + (runs.end == entry_pages(rank) ? run : 0);
    ++i;
  }
}

// The entry holds a run of n pages that does not begin at its base.
template <class G>
typename PageSearch<G>::Found PageSearch<G>::descend_first(std::uint64_t n, unsigned rank,
                                                           std::uint64_t i) noexcept {
  while (rank > 0) {
    if (lowest_free_ == PageIndex{i << G::kRankLogPages[rank]}) seen_free_ = false;  // narrow it
    i <<= G::kRankBlockBits[--rank];
    for (std::uint64_t run = 0;; ++i) {
      const Runs runs = visit(rank, i);
      if (run + runs.start >= n) return {PageIndex{(i << G::kRankLogPages[rank]) - run}, true};
      note_free(runs, rank, i);
      if (runs.max >= n) break;
      run = runs.end + (runs.end == entry_pages(rank) ? run : 0);
    }
  }
  const unsigned page = find_run(chunks_.at(ChunkIndex{i}).used, static_cast<unsigned>(n), 0);
  REAM_CHECK(page != kNoPage);
  return {first_page(ChunkIndex{i}) + Pages(page), true};
}

template <class G>
typename PageSearch<G>::Found PageSearch<G>::last(std::uint64_t n, PageIndex lo,
                                                  PageIndex hi) noexcept {
  if (hi.n - lo.n < n) return {};
  const Position at = start_at(PageIndex{hi.n - 1});
  const std::uint64_t base = at.index << G::kRankLogPages[at.rank];
  std::uint64_t run = std::min(at.runs.start, hi.n - base);
  Found found;
  if (run >= n && at.runs.max == entry_pages(at.rank)) {
    found = {PageIndex{hi.n - n}, true};
  } else if (at.rank == 0 && at.runs.max >= n) {
    const unsigned i = find_run_below(chunks_.at(ChunkIndex{at.index}).used,
                                      static_cast<unsigned>(n), static_cast<unsigned>(hi.n - base));
    if (i != kNoPage) found = {PageIndex{base + i}, true};
  }
  if (!found) found = backward(n, at, run);
  return found && found.page >= lo ? found : Found{};
}

template <class G>
typename PageSearch<G>::Found PageSearch<G>::backward(std::uint64_t n, Position at,
                                                      std::uint64_t run) noexcept {
  unsigned rank = at.rank;
  std::uint64_t i = at.index;
  for (;;) {
    while (is_aligned(i, 1ULL << G::kRankBlockBits[rank])) {  // the first of its block
      if (rank == SummaryTree<G>::kTop) return {};
      i >>= G::kRankBlockBits[rank++];
    }
    --i;
    const Runs runs = visit(rank, i);
    if (run + runs.end >= n) {
      return {PageIndex{((i + 1) << G::kRankLogPages[rank]) + run - n}, true};
    }
    if (runs.max >= n) return descend_last(n, rank, i);
    run = runs.start + (runs.start == entry_pages(rank) ? run : 0);
  }
}

template <class G>
typename PageSearch<G>::Found PageSearch<G>::descend_last(std::uint64_t n, unsigned rank,
                                                          std::uint64_t i) noexcept {
  while (rank > 0) {
    i = ((i + 1) << G::kRankBlockBits[rank - 1]) - 1;
    --rank;
    for (std::uint64_t run = 0;; --i) {
      const Runs runs = visit(rank, i);
      if (run + runs.end >= n) {
        return {PageIndex{((i + 1) << G::kRankLogPages[rank]) + run - n}, true};
      }
      if (runs.max >= n) break;
      run = runs.start + (runs.start == entry_pages(rank) ? run : 0);
    }
  }
  const unsigned page =
      find_run_below(chunks_.at(ChunkIndex{i}).used, static_cast<unsigned>(n), kChunkPages);
  REAM_CHECK(page != kNoPage);
  return {first_page(ChunkIndex{i}) + Pages(page), true};
}

}  // namespace ream::page
