// Definitions of PageAlloc: questions, metadata, and the walker that checks its invariants.
// Included by page_alloc.h.
#pragma once

#include <algorithm>

#include "base/check.h"
#include "page/chunk_summary.h"
#include "page/page_alloc.h"

namespace ream::page {

template <class G>
bool PageAlloc<G>::is_grown(Addr base, Pages n) const noexcept {
  const PageRange r = to_pages(base, n);
  return r.ok && is_grown(r.first, r.pages);
}

template <class G>
PageState PageAlloc<G>::page_state(Addr addr) const noexcept {
  if (!window_.contains(addr)) return PageState::kUnknown;
  const PageIndex page = window_.page_of(addr);
  if (!is_grown(page, 1)) return PageState::kUnknown;
  Chunk& chunk = chunks_.at(page.chunk());
  const auto bit_of = [i = page.in_chunk()](std::uint64_t& word) noexcept {
    // Atomic, since a lessee may be writing the word.
    const std::uint64_t x = std::atomic_ref<std::uint64_t>(word).load(std::memory_order_relaxed);
    return (x >> (i % kWordPages) & 1) != 0;
  };
  const unsigned w = page.in_chunk() / kWordPages;
  if (bit_of(chunk.used[w]) && !bit_of(chunk.returned[w])) return PageState::kInUse;
  return bit_of(chunk.backed[w]) ? PageState::kFree : PageState::kScavenged;
}

template <class G>
template <class Visit>
void PageAlloc<G>::for_each_unscavenged(Addr base, Pages n, Visit visit) const noexcept {
  const PageRange r = to_pages(base, n);
  if (!r.ok) return;
  PageIndex begin{};
  std::uint64_t pages = 0;  // of the run that ends where we are
  const auto end_run = [&]() noexcept {
    if (pages != 0) visit(window_.addr_of(begin), Pages(pages));
    pages = 0;
  };
  for_each_part(r.first, r.pages, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    const Chunk& chunk = chunks_.at(c);
    ChunkBits scavenged;
    for (unsigned w = 0; w < kChunkWords; ++w) scavenged[w] = chunk.scavenged_word(w);
    for (unsigned at = i; at < i + part;) {
      const unsigned run = std::min(clear_above(scavenged, at), i + part - at);
      if (run > 0) {
        if (pages == 0) begin = first_page(c) + Pages(at);
        pages += run;
        at += run;
      } else {
        end_run();
        at = std::min(find_free_page(scavenged, at), i + part);
      }
    }
  });
  end_run();
}

// Runs cross chunks, so one is counted when it ends. Chunks that are full or all free cost one look
// at the highest entry that says so.
template <class G>
FreeRunHistogram PageAlloc<G>::free_run_histogram() const noexcept {
  FreeRunHistogram histogram;
  for (const AddrRange& range : ranges_) {
    std::uint64_t page = range.base.n >> G::kPageShift;
    const std::uint64_t end = range.limit.n >> G::kPageShift;
    std::uint64_t run = 0;
    while (page < end) {
      const auto at = tree_.locate(PageIndex{page}.chunk());
      const std::uint64_t entry_end = std::min(end, (at.index + 1) << G::kRankLogPages[at.rank]);
      if (at.runs.max == 0 || at.rank > 0) {
        if (at.runs.max == 0) histogram.add(Pages(run));
        run = at.runs.max == 0 ? 0 : run + (entry_end - page);
        page = entry_end;
        continue;
      }
      const ChunkBits& used = chunks_.at(ChunkIndex{at.index}).used;
      for (unsigned i = 0; i < kChunkPages;) {
        const unsigned free = clear_above(used, i);
        run += free;
        i += free;
        if (i == kChunkPages) break;  // the run may go on
        histogram.add(Pages(run));
        run = 0;
        i = std::min(find_free_page(used, i), kChunkPages);
      }
      page = entry_end;
    }
    histogram.add(Pages(run));
  }
  return histogram;
}

template <class G>
MetadataSize PageAlloc<G>::metadata() const noexcept {
  return {reservation_.bytes() + chunk_bytes_ + ranges_.metadata(), committed_ + ranges_.metadata(),
          huge_refused_};
}

template <class G>
const Chunk* PageAlloc<G>::try_chunk_of(ChunkIndex c) const noexcept {
  if (c.n >= G::kTotalChunks || !is_grown(first_page(c), kChunkPages)) return nullptr;
  return &chunks_.at(c);
}

template <class G>
const Chunk& PageAlloc<G>::chunk_of(ChunkIndex c) const noexcept {
  const Chunk* chunk = try_chunk_of(c);
  REAM_CHECK(chunk != nullptr);
  return *chunk;
}

template <class G>
Summary PageAlloc<G>::summary(unsigned level, std::uint64_t index) const noexcept {
  if (ranges_.size() == 0) return Summary();
  return Summary::pack(tree_.summary_of(G::rank_of_level(level), index));
}

template <class G>
void PageAlloc<G>::enable_chunk_huge_pages(bool on) noexcept {
  if (huge_ == on) return;
  huge_ = on;
  for (const AddrRange& r : ranges_) {
    advise_huge(r.base.n >> G::kLogChunkBytes, r.limit.n >> G::kLogChunkBytes);
  }
}

template <class G>
void PageAlloc<G>::advise_huge(std::uint64_t lo, std::uint64_t hi) noexcept {
  chunks_.for_each_table(lo, hi, [&](std::atomic_ref<Chunk*> l2) noexcept {
    if (env_.advise_huge == nullptr ||
        !env_.advise_huge(env_.context, l2.load(std::memory_order_relaxed), ChunkTable<G>::kL2Bytes,
                          huge_)) {
      ++huge_refused_;
    }
  });
}

// ---- Invariants ------------------------------------------------------------------------------

template <class G>
bool PageAlloc<G>::is_valid_chunk(ChunkIndex c) const noexcept {
  const Chunk& chunk = chunks_.at(c);
  const bool marked = candidates_.contains(c);
  if (marked != (chunk.candidate != 0) || !candidates_.is_valid(c)) return false;  // 4
  const auto at = tree_.locate(c);
  if (chunk.is_leased()) return at.runs.max == 0 && !marked;  // 3, 4
  if (!chunk.is_valid()) return false;
  const Runs runs = tree_.summary_of(0, c.n);
  if (!is_possible(runs, kLogChunkPages)) return false;
  return Summary::pack(runs) == summarize(chunk.used);  // 3
}

template <class G>
bool PageAlloc<G>::is_valid_around(PageIndex first, std::uint64_t n) const noexcept {
  for (const ChunkIndex c : {first.chunk(), PageIndex{first.n + n - 1}.chunk()}) {
    if (!is_valid_chunk(c)) return false;
    const auto at = tree_.locate(c);
    for (unsigned rank = std::max(at.rank, 1u); rank < G::kRanks; ++rank) {
      const std::uint64_t i = c.n >> (G::kRankLogPages[rank] - kLogChunkPages);
      if (at.runs.max != 0 && !tree_.is_valid_above(rank, i)) return false;
    }
  }
  return true;
}

template <class G>
bool PageAlloc<G>::is_valid() const noexcept {
  if (!ranges_.is_valid()) return false;
  Pages free{};
  Pages unscavenged{};
  for (const AddrRange& r : ranges_) {
    for (std::uint64_t c = r.base.n >> G::kLogChunkBytes; c < r.limit.n >> G::kLogChunkBytes; ++c) {
      const ChunkIndex index{c};
      if (!is_valid_around(first_page(index), kChunkPages)) return false;
      const Chunk& chunk = chunks_.at(index);
      if (chunk.is_leased()) continue;
      free += Pages(chunk.free_pages());
      unscavenged += Pages(chunk.unscavenged_pages());
    }
  }
  if (free != free_pages_ || unscavenged != unscavenged_) return false;  // 2
  if (search_ != kNoPageIndex && !is_grown(search_, 1)) return false;    // 1
  if (ranges_.size() == 0) return search_ == kNoPageIndex;
  PageSearch<G> search(tree_, chunks_);
  const bool freed = freed_lo_ < freed_hi_;
  const Found lowest = search.first(1, PageIndex{});
  if (lowest && lowest.page < search_ && (!freed || lowest.page < freed_lo_)) return false;  // 1
  if (const auto above = ranges_.find_addr_greater_equal(Addr(freed_hi_.n << G::kPageShift));
      freed && above.found) {
    const Found next = search.first(1, PageIndex{above.addr.n >> G::kPageShift});
    if (next && next.page < search_) return false;  // 1
  }
  const Found fit = search.first(hint_.pages(), PageIndex{});
  if (fit && fit.page < hint_.page()) return false;                            // 6
  return refused_ == kNothingRefused || !search.first(refused_, PageIndex{});  // 5
}

}  // namespace ream::page
