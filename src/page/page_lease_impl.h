// Definitions of PageAlloc: leases. Included by page_alloc.h; the protocol is in chunk_lease.h.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <optional>

#include "base/check.h"
#include "page/chunk_summary.h"
#include "page/page_alloc.h"

namespace ream::page {

// Whether a chunk holds a run of n pages. A stale leaf is that of an empty chunk.
template <class G>
bool PageAlloc<G>::may_hold(ChunkIndex c, std::uint64_t n) const noexcept {
  return is_grown(first_page(c), 1) &&
         (chunks_.at(c).used_pages == 0 || tree_.tight_leaf(c).max_small() >= n);
}

// While leased a chunk counts as full here, whatever the lessee does.
template <class G>
typename PageAlloc<G>::Lease PageAlloc<G>::lease_chunk(Pages n) noexcept {
  if (n.n - 1 >= kChunkPages) return {};
  Found at = place(n.n);
  ChunkIndex c = at.page.chunk();
  for (unsigned tries = 1; at && !may_hold(c, n.n); ++tries) {
    c = ChunkIndex{c.n + 1};  // where the run ends
    if (may_hold(c, n.n)) break;
    if (tries == kLeaseTries) return {};
    PageSearch<G> search(tree_, chunks_);
    at = search.first(n.n, first_page(c));
    note_search(search);
    c = at.page.chunk();
  }
  return at ? begin_lease(c) : Lease();
}

template <class G>
typename PageAlloc<G>::Lease PageAlloc<G>::begin_lease(ChunkIndex c) noexcept {
  Chunk& chunk = chunks_.at(c);
  if (chunk.used_pages == 0) tree_.push_down(c);
  const Pages free(chunk.free_pages());
  free_pages_ -= free;
  unscavenged_ -= Pages(chunk.unscavenged_pages());
  chunk.used_pages = chunk.backed_pages = kChunkPages;
  unmark_candidate(c, chunk);
  std::atomic_ref<std::uint8_t>(chunk.leased).store(1);
  tree_.change_leaf(c, Summary());
  tree_.catch_up();
  REAM_AUDIT(is_valid_around(first_page(c), 1));
  return Lease(chunk, window_.chunk_base(c), free);
}

template <class G>
typename PageAlloc<G>::Lease PageAlloc<G>::lease_sent(SentChunks& list, Pages least) noexcept {
  while (const auto c = next_sent(list)) {
    Chunk& chunk = chunks_.at(*c);
    if (chunk.free_pages() + chunk.returned_pages() < least.n) {
      (void)settle_chunk(*c, chunk);
      continue;
    }
    Lease lease = begin_lease(*c);
    (void)lease.collect();
    return lease;
  }
  return {};
}

template <class G>
void PageAlloc<G>::end_lease(Lease& lease) noexcept {
  if (!lease) return;
  Chunk& chunk = lease.chunk();
  const ChunkIndex c = window_.chunk_index(lease.base());
  std::atomic_ref<std::uint8_t>(chunk.leased).store(0);
  (void)lease.collect();
  lease.close();

  chunk.used_pages = static_cast<std::uint16_t>(kChunkPages - lease.free_pages().n);
  chunk.backed_pages = static_cast<std::uint16_t>(lease.backed_pages());
  free_pages_ += Pages(chunk.free_pages());
  unscavenged_ += Pages(chunk.unscavenged_pages());
  if (chunk.unscavenged_pages() > 0) mark_candidate(c, chunk);
  if (chunk.free_pages() > 0) {
    note_lower_free(first_page(c), kChunkPages);
    note_runs_from(first_page(c));
    refused_ = kNothingRefused;
  }
  tree_.change_leaf(c, lease.summary());
  lease = {};
  REAM_AUDIT(is_valid_around(first_page(c), 1));
}

template <class G>
bool PageAlloc<G>::free_remote(Addr base, Pages n, SentChunks& list) noexcept {
  const PageRange r = to_pages(base, n);
  if (!r.ok || r.first.in_chunk() + r.pages > kChunkPages) return false;
  const ChunkIndex c = r.first.chunk();
  Chunk* const found = chunks_.find(c);
  if (found == nullptr || found->has_returned(r.first.in_chunk(), static_cast<unsigned>(r.pages))) {
    return false;
  }
  Chunk& chunk = *found;
  bool again = false;
  for_each_word(
      r.first.in_chunk(), static_cast<unsigned>(r.pages),
      [&](unsigned w, std::uint64_t mask) noexcept { again |= chunk.add_returned(w, mask) != 0; });
  if (!chunk.is_leased(std::memory_order_seq_cst)) send(c, chunk, list);
  return !again;
}

// Puts a chunk on the list, unless it is on one already. A list is only ever taken whole, so a push
// needs no more than the head to be unchanged.
template <class G>
void PageAlloc<G>::send(ChunkIndex c, Chunk& chunk, SentChunks& list) noexcept {
  const std::atomic_ref<std::uint8_t> sent(chunk.sent);
  if (sent.load() != 0 || sent.exchange(1) != 0) return;
  const std::atomic_ref<std::uint64_t> head(list.head);
  const std::atomic_ref<std::uint64_t> next(chunk.next_sent);
  std::uint64_t first = head.load(std::memory_order_relaxed);
  do {
    next.store(first, std::memory_order_relaxed);
  } while (!head.compare_exchange_weak(first, c.n + 1, std::memory_order_release,
                                       std::memory_order_relaxed));
}

// Takes chunks off the list, which may be sent again from then on, up to one that can be settled: a
// leased one is its lessee's, and one that was not grown came of a wrong free.
template <class G>
std::optional<ChunkIndex> PageAlloc<G>::next_sent(SentChunks& list) noexcept {
  for (;;) {
    if (list.taken == 0 && !list.empty()) {
      list.taken = std::atomic_ref<std::uint64_t>(list.head).exchange(0, std::memory_order_acquire);
    }
    if (list.taken == 0) return std::nullopt;
    const ChunkIndex c{list.taken - 1};
    Chunk& chunk = chunks_.at(c);
    list.taken = std::atomic_ref<std::uint64_t>(chunk.next_sent).load(std::memory_order_relaxed);
    std::atomic_ref<std::uint8_t>(chunk.sent).exchange(0);
    if (!chunk.is_leased() && is_grown(first_page(c), 1)) return c;
  }
}

template <class G>
Pages PageAlloc<G>::settle(SentChunks& list) noexcept {
  Pages pages{};
  while (const auto c = next_sent(list)) pages += settle_chunk(*c, chunks_.at(*c));
  return pages;
}

// Frees run by run, but corrects the tree once.
template <class G>
Pages PageAlloc<G>::settle_chunk(ChunkIndex c, Chunk& chunk) noexcept {
  unsigned pages = 0;
  unsigned lowest = kChunkPages;
  Summary summary = tree_.leaf(c);
  for (unsigned w = 0; w < kChunkWords; ++w) {
    std::uint64_t back = chunk.take_returned(w) & chunk.used[w];
    if (back != 0) {
      lowest = std::min(lowest, w * kWordPages + static_cast<unsigned>(std::countr_zero(back)));
    }
    while (back != 0) {
      const auto i = static_cast<unsigned>(std::countr_zero(back));
      const auto n = static_cast<unsigned>(std::countr_one(back >> i));
      back &= ~bit_range(i, n);
      chunk.free(w * kWordPages + i, n);
      summary = after_free(summary, chunk.used, w * kWordPages + i, n);
      pages += n;
    }
  }
  if (pages == 0) return {};
  tree_.change_leaf(c, summary);
  mark_candidate(c, chunk);
  note_free(first_page(c) + Pages(lowest), kChunkPages - lowest, pages);
  note_runs_from(first_page(c) + Pages(lowest));
  REAM_AUDIT(is_valid_around(first_page(c), kChunkPages));
  return Pages(pages);
}

// A free under the lock that meets leased chunks, or pages that are not in use. Checks all parts,
// then frees each its own way.
template <class G>
bool PageAlloc<G>::free_with_leases(PageIndex first, std::uint64_t n, FreeKind kind) noexcept {
  if (!is_grown(first, n)) return false;
  bool ok = true;
  for_each_part(first, n, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    Chunk& chunk = chunks_.at(c);
    if (!chunk.is_leased()) {
      ok = ok && chunk.is_in_use(i, part);
      return;
    }
    for_each_word(i, part, [&](unsigned w, std::uint64_t mask) noexcept {
      const std::uint64_t used =
          std::atomic_ref<std::uint64_t>(chunk.used[w]).load(std::memory_order_relaxed);
      const std::uint64_t sent =
          std::atomic_ref<std::uint64_t>(chunk.returned[w]).load(std::memory_order_relaxed);
      ok = ok && (used & ~sent & mask) == mask;
    });
  });
  if (!ok) return false;
  for_each_part(first, n, [&](ChunkIndex c, unsigned i, unsigned part) noexcept {
    Chunk& chunk = chunks_.at(c);
    if (chunk.is_leased()) {
      for_each_word(i, part,
                    [&](unsigned w, std::uint64_t mask) noexcept { chunk.add_returned(w, mask); });
    } else {
      give(first_page(c) + Pages(i), part, kind);
    }
  });
  return true;
}

}  // namespace ream::page
