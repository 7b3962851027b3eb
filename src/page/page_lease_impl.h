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

// Of a run of 2n - 1 pages that lies across two chunks one holds n.
template <class G>
typename PageAlloc<G>::Lease PageAlloc<G>::lease_roomy(Pages n) noexcept {
  if (n.n - 1 >= kChunkPages / 2) return {};
  const Found at = place(2 * n.n - 1);
  if (!at) return {};
  const ChunkIndex c = at.page.chunk();
  return begin_lease(may_hold(c, n.n) ? c : ChunkIndex{c.n + 1});
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
  std::atomic_ref<std::uint8_t>(chunk.leased).store(Chunk::kLeased);
  tree_.change_leaf(c, Summary());
  tree_.catch_up();
  REAM_AUDIT(is_valid_around(first_page(c), 1));
  return Lease(chunk, window_.chunk_base(c), free);
}

template <class G>
void PageAlloc<G>::end_lease(Lease& lease) noexcept {
  if (!lease) return;
  Chunk& chunk = lease.chunk();
  const ChunkIndex c = window_.chunk_index(lease.base());
  std::atomic_ref<std::uint8_t>(chunk.leased).store(Chunk::kUnleased);
  (void)lease.collect();
  lease.close();

  chunk.set_spare(0);
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

// In this order: `leased` before `sent` and `returned` are looked at, as chunk_lease.h explains.
template <class G>
void PageAlloc<G>::park(Lease& lease, SentChunks& list) noexcept {
  if (!lease) return;
  Chunk& chunk = lease.chunk();
  const ChunkIndex c = window_.chunk_index(lease.base());
  chunk.set_spare(static_cast<unsigned>(lease.free_pages().n));
  std::atomic_ref<std::uint8_t>(chunk.leased).store(Chunk::kParked);
  lease = {};
  send(c, chunk, list);
  note_rich(c, chunk, list.rich, list);
}

template <class G>
typename PageAlloc<G>::Lease PageAlloc<G>::take_parked(ChunkIndex c, Chunk& chunk) noexcept {
  std::uint8_t state = Chunk::kParked;
  if (!std::atomic_ref<std::uint8_t>(chunk.leased).compare_exchange_strong(state, Chunk::kLeased)) {
    return {};
  }
  const unsigned used = kernels().popcount_range(chunk.used, 0, kChunkPages);
  Lease lease(chunk, window_.chunk_base(c), Pages(kChunkPages - used));
  (void)lease.collect();
  return lease;
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
  const std::uint8_t state = chunk.lease_state(std::memory_order_seq_cst);
  if (state != Chunk::kLeased) {
    if (state == Chunk::kUnleased) send(c, chunk, list);
    chunk.set_spare(chunk.spare_pages() + static_cast<unsigned>(r.pages));
    note_rich(c, chunk, list.rich, list);
  }
  return !again;
}

// Puts a chunk on the list, unless it is on one already.
template <class G>
void PageAlloc<G>::send(ChunkIndex c, Chunk& chunk, SentChunks& list) noexcept {
  const std::atomic_ref<std::uint8_t> sent(chunk.sent);
  if (sent.load() == 0 && sent.exchange(1) == 0) push_sent(c, chunk, list);
}

// A list is only ever taken whole, so a push needs no more than the head to be unchanged.
template <class G>
void PageAlloc<G>::push_sent(ChunkIndex c, Chunk& chunk, SentChunks& list) noexcept {
  const std::atomic_ref<std::uint64_t> head(list.head);
  const std::atomic_ref<std::uint64_t> next(chunk.next_sent);
  std::uint64_t first = head.load(std::memory_order_relaxed);
  do {
    next.store(first, std::memory_order_relaxed);
  } while (!head.compare_exchange_weak(first, c.n + 1, std::memory_order_release,
                                       std::memory_order_relaxed));
}

// Takes a chunk off the list, which may be sent again from then on: one that can be settled. What
// is leased will be sent when its lessee parks it, and what was not grown came of a wrong free.
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
    if (chunk.lease_state(std::memory_order_seq_cst) != Chunk::kLeased &&
        is_grown(first_page(c), 1)) {
      return c;
    }
  }
}

// Puts a chunk on a list of rich ones if it is one and on none.
template <class G>
void PageAlloc<G>::note_rich(ChunkIndex c, Chunk& chunk, std::uint64_t& head,
                             SentChunks& list) noexcept {
  const std::atomic_ref<std::uint8_t> rich(chunk.rich);
  if (chunk.spare_pages() < SentChunks::kRichPages || rich.load() != 0) return;
  if (rich.exchange(1) != 0) return;
  chunk.next_rich = head;
  head = c.n + 1;
  ++list.rich_count;
}

// Takes a chunk off a list of rich ones; from then on it may be on one again.
template <class G>
std::optional<ChunkIndex> PageAlloc<G>::next_rich(std::uint64_t& head, SentChunks& list) noexcept {
  if (head == 0) return std::nullopt;
  const ChunkIndex c{head - 1};
  Chunk& chunk = chunks_.at(c);
  head = chunk.next_rich;
  --list.rich_count;
  std::atomic_ref<std::uint8_t>(chunk.rich).store(0);
  return c;
}

template <class G>
typename PageAlloc<G>::Lease PageAlloc<G>::take_rich(SentChunks& list) noexcept {
  while (const auto c = next_rich(list.rich, list)) {
    Chunk& chunk = chunks_.at(*c);
    if (Lease lease = take_parked(*c, chunk)) return lease;
    if (!chunk.is_leased()) note_rich(*c, chunk, list.unparked, list);
  }
  return {};
}

template <class G>
typename PageAlloc<G>::Lease PageAlloc<G>::lease_rich(SentChunks& list, Pages least) noexcept {
  if (Lease lease = take_rich(list)) return lease;
  while (const auto c = next_rich(list.unparked, list)) {
    if (!is_grown(first_page(*c), 1)) continue;
    Chunk& chunk = chunks_.at(*c);
    if (Lease lease = take_parked(*c, chunk)) return lease;
    if (chunk.is_leased()) continue;
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
Pages PageAlloc<G>::settle(SentChunks& list) noexcept {
  Pages pages{};
  while (const auto c = next_sent(list)) pages += settle_chunk(*c, chunks_.at(*c));
  return pages;
}

template <class G>
void PageAlloc<G>::settle_some(SentChunks& list, unsigned chunks) noexcept {
  for (; chunks > 0; --chunks) {
    const auto c = next_sent(list);
    if (!c) return;
    Chunk& chunk = chunks_.at(*c);
    if (chunk.is_leased() && chunk.spare_pages() < SentChunks::kRichPages) {
      send(*c, chunk, list);
    } else {
      (void)settle_chunk(*c, chunk);
    }
  }
}

template <class G>
void PageAlloc<G>::settle_rich(SentChunks& list, unsigned keep) noexcept {
  for (std::uint64_t* head : {&list.unparked, &list.rich}) {
    while (list.rich_count > keep) {
      const auto c = next_rich(*head, list);
      if (!c) break;
      if (is_grown(first_page(*c), 1)) (void)settle_chunk(*c, chunks_.at(*c));
    }
  }
}

// Frees run by run, but corrects the tree once. A parked chunk goes back to the tree as a whole,
// one that is leased is left alone.
template <class G>
Pages PageAlloc<G>::settle_chunk(ChunkIndex c, Chunk& chunk) noexcept {
  if (chunk.is_leased()) {
    Lease lease = take_parked(c, chunk);
    const Pages free = lease.free_pages();
    end_lease(lease);
    return free;
  }
  chunk.set_spare(0);
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
