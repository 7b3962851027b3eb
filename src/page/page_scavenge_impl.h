// Definitions of PageAlloc: giving memory back. Included by page_alloc.h.
#pragma once

#include <algorithm>

#include "base/bits.h"
#include "page/page_alloc.h"

namespace ream::page {

// The next run to give back, from the highest candidate chunk that has one; chunks that have none
// leave the set until something is freed in them. No pages: nothing is left.
template <class G>
ScavengeRun PageAlloc<G>::next_candidate(Bytes want, ChunkIndex& c) noexcept {
  while (!candidates_.empty()) {
    c = candidates_.highest();
    Chunk& chunk = chunks_.at(c);
    if (chunk.unscavenged_pages() >= shape_.physical_page) {
      ChunkBits busy;
      for (unsigned w = 0; w < kChunkWords; ++w) busy[w] = chunk.used[w] | ~chunk.backed[w];
      const ScavengeRun run =
          find_scavenge_candidate(busy, kChunkPages - 1, shape_, div_ceil(want.n, G::kPageBytes));
      if (run.pages != 0) return run;
    }
    unmark_candidate(c, chunk);
  }
  return {};
}

// Gives back pages of one chunk that are free.
template <class G>
void PageAlloc<G>::purge_run(PageIndex first, unsigned n) noexcept {
  if (env_.purge != nullptr) {
    env_.purge(env_.context, window_.addr_of(first), Bytes(std::uint64_t{n} << G::kPageShift));
  }
  unscavenged_ -= Pages(chunks_.at(first.chunk()).mark_scavenged(first.in_chunk(), n));
}

template <class G>
Bytes PageAlloc<G>::scavenge(Bytes want, std::uint64_t deadline_ns) noexcept {
  Bytes done{};
  while (done < want) {
    ChunkIndex c;
    const ScavengeRun run = next_candidate(want - done, c);
    if (run.pages == 0) break;
    purge_run(first_page(c) + Pages(run.start), run.pages);
    done += Bytes(std::uint64_t{run.pages} << G::kPageShift);
    if (deadline_ns != kNoDeadline && env_.now_ns != nullptr &&
        env_.now_ns(env_.context) >= deadline_ns) {
      break;
    }
  }
  return done;
}

template <class G>
typename PageAlloc<G>::PurgeRun PageAlloc<G>::begin_purge(Bytes want) noexcept {
  if (want == Bytes()) return {};
  ChunkIndex c;
  const ScavengeRun run = next_candidate(want, c);
  if (run.pages == 0) return {};
  const Allocation taken = take(first_page(c) + Pages(run.start), run.pages);
  return {taken.base, Pages(run.pages)};
}

template <class G>
void PageAlloc<G>::end_purge(PurgeRun run, bool purged) noexcept {
  if (!run) return;
  const PageIndex first = window_.page_of(run.base);
  if (chunks_.at(first.chunk()).is_leased()) {
    REAM_CHECK(free_with_leases(first, run.pages.n, FreeKind::kQuiet));
    return;
  }
  // A failed purge leaves the chunk's mark as it is: asking again at once would fail again.
  give(first, run.pages.n, FreeKind::kQuiet);
  if (purged) REAM_CHECK(mark_scavenged(run.base, run.pages));
}

template <class G>
Bytes PageAlloc<G>::scavenge_range(Addr base, Pages n) noexcept {
  const PageRange r = to_pages(base, n);
  if (!r.ok) return {};
  const std::uint64_t unit = shape_.physical_page;
  Bytes done{};
  for_each_part(r.first, r.pages, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    if (!is_grown(first_page(c), kChunkPages) || chunks_.at(c).is_leased()) return;
    const Chunk& chunk = chunks_.at(c);
    // Whole OS pages inside the part whose pages are all free, and not all scavenged.
    ChunkBits busy;
    for (unsigned w = 0; w < kChunkWords; ++w) {
      busy[w] = fill_aligned(chunk.used[w] | ~chunk.backed[w], static_cast<unsigned>(unit));
    }
    const auto limit = static_cast<unsigned>(round_down(i + part, unit));
    auto from = static_cast<unsigned>(round_up(i, unit));
    while (from < limit) {
      from = find_free_page(busy, from);
      if (from >= limit) break;
      const unsigned pages = std::min(clear_above(busy, from), limit - from);
      purge_run(first_page(c) + Pages(from), pages);
      done += Bytes(std::uint64_t{pages} << G::kPageShift);
      from += pages;
    }
  });
  return done;
}

template <class G>
bool PageAlloc<G>::mark_scavenged(Addr base, Pages n) noexcept {
  const PageRange r = to_pages(base, n);
  if (!r.ok || !is_free(r.first, r.pages)) return false;
  for_each_part(r.first, r.pages, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    unscavenged_ -= Pages(chunks_.at(c).mark_scavenged(i, part));
  });
  return true;
}

template <class G>
void PageAlloc<G>::mark_backed(Addr base, Pages n) noexcept {
  const PageRange r = to_pages(base, n);
  if (!r.ok || !is_grown(r.first, r.pages)) return;
  for_each_part(r.first, r.pages, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    Chunk& chunk = chunks_.at(c);
    if (chunk.is_leased()) return;
    const unsigned added = chunk.mark_backed(i, part);
    unscavenged_ += Pages(added);
    if (added > 0) mark_candidate(c, chunk);
  });
}

}  // namespace ream::page
