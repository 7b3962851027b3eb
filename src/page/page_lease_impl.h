// Definitions of PageAlloc: leases. Included by page_alloc.h; the protocol is in chunk_lease.h.
#pragma once

#include "base/check.h"
#include "page/page_alloc.h"

namespace ream::page {

// While leased a chunk counts as full here, whatever the lessee does.
template <class G>
typename PageAlloc<G>::Lease PageAlloc<G>::lease_chunk() noexcept {
  const Found at = place(1);
  if (!at) return {};
  const ChunkIndex c = at.page.chunk();
  Chunk& chunk = chunks_.at(c);
  if (chunk.used_pages == 0) tree_.push_down(c);
  free_pages_ -= Pages(chunk.free_pages());
  unscavenged_ -= Pages(chunk.unscavenged_pages());
  chunk.used_pages = chunk.backed_pages = kChunkPages;
  unmark_candidate(c, chunk);
  std::atomic_ref<std::uint8_t>(chunk.leased).store(1);
  tree_.change_leaf(c, Summary());
  REAM_AUDIT(is_valid_around(at.page, 1));
  return Lease(chunk, window_.chunk_base(c));
}

template <class G>
void PageAlloc<G>::end_lease(Lease& lease) noexcept {
  if (!lease) return;
  Chunk& chunk = lease.chunk();
  const ChunkIndex c = window_.chunk_index(lease.base());
  std::atomic_ref<std::uint8_t>(chunk.leased).store(0);
  (void)lease.collect();
  lease = {};

  chunk.used_pages = static_cast<std::uint16_t>(popcount(chunk.used));
  chunk.backed_pages = static_cast<std::uint16_t>(popcount(chunk.backed));
  free_pages_ += Pages(chunk.free_pages());
  unscavenged_ += Pages(chunk.unscavenged_pages());
  if (chunk.unscavenged_pages() > 0) mark_candidate(c, chunk);
  if (chunk.free_pages() > 0) {
    search_ = std::min(search_, first_page(c));
    refused_ = kNothingRefused;
  }
  tree_.change_leaf(c, summarize(chunk.used));
  REAM_AUDIT(is_valid_around(first_page(c), 1));
}

template <class G>
LeaseFree PageAlloc<G>::free_to_lease(Addr base, Pages n) noexcept {
  const PageRange r = to_pages(base, n);
  if (!r.ok || r.first.in_chunk() + r.pages > kChunkPages) return LeaseFree::kRefused;
  Chunk& chunk = chunks_.at(r.first.chunk());
  if (!chunk.is_leased(std::memory_order_seq_cst)) return LeaseFree::kNotLeased;
  bool misuse = false;
  for_each_word(r.first.in_chunk(), static_cast<unsigned>(r.pages),
                [&](unsigned w, std::uint64_t mask) noexcept {
                  if (misuse) return;
                  const std::atomic_ref<std::uint64_t> used(chunk.used[w]);
                  misuse = (~used.load(std::memory_order_relaxed) & mask) != 0 ||
                           chunk.add_returned(w, mask) != 0;
                });
  if (misuse) return LeaseFree::kRefused;
  return chunk.is_leased(std::memory_order_seq_cst) ? LeaseFree::kDone : LeaseFree::kSettle;
}

template <class G>
void PageAlloc<G>::settle(Addr base) noexcept {
  const ChunkIndex c = window_.chunk_index(base);
  Chunk& chunk = chunks_.at(c);
  if (!chunk.is_leased()) settle_chunk(c, chunk);
}

// Frees what came in after the lease had ended.
template <class G>
void PageAlloc<G>::settle_chunk(ChunkIndex c, Chunk& chunk) noexcept {
  for (unsigned w = 0; w < kChunkWords; ++w) {
    std::uint64_t back = chunk.take_returned(w);
    while (back != 0) {
      const auto i = static_cast<unsigned>(std::countr_zero(back));
      const auto n = static_cast<unsigned>(std::countr_one(back >> i));
      back &= ~bit_range(i, n);
      const PageIndex first = first_page(c) + Pages(w * kWordPages + i);
      if (is_in_use(first, n)) give(first, n, FreeKind::kCandidate);
    }
  }
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
      ok = ok && all_set(chunk.used, i, part);
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
