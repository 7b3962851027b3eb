// A lease takes a whole chunk out of the tree, for one thread to allocate from without the lock.
//
//   owner's lock:  lease_chunk()                       end_lease()
//   lessee:               alloc free collect alloc ...
//   anyone:               free_to_lease() ...
//
// To the tree a leased chunk is full. The lessee changes its bits alone. Others who free pages of
// the chunk do not touch these bits: they set theirs in `returned`, which the lessee empties when
// it runs out (collect) and the allocator when the lease ends.
//
// Why nothing is lost when a free races with the end of a lease: the freer sets its bits and *then*
// looks at `leased` once more; the end of the lease clears `leased` and *then* empties `returned`.
// All four are sequentially consistent, so either the freer sees that the lease is over, and
// settles under the lock, or its bits were set in time. A lease that began again in between changes
// nothing: its lessee empties the same bits.
//
// Thread safety: a lease belongs to one thread. Freers, page_state() and the lessee meet in
// atomics.
//
// Invariants: 1. bits of `used` are cleared only by the lessee. 2. A returned page was in use.
//
// Lifetime: give it to PageAlloc::end_lease() before dropping it; the chunk stays taken otherwise.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/bits.h"
#include "base/units.h"
#include "page/chunk.h"
#include "page/chunk_find.h"
#include "page/geometry.h"
#include "page/page_cache.h"
#include "page/window.h"

namespace ream::page {

enum class LeaseFree : std::uint8_t {
  kDone,
  kNotLeased,  // nothing happened: take the lock and free()
  kSettle,     // freed, but the lease ended meanwhile: take the lock and settle()
  kRefused,    // nothing happened: not in use, freed already, or not inside one chunk
};

template <class G>
class ChunkLease {
 public:
  constexpr ChunkLease() noexcept = default;
  // For PageAlloc. REQUIRES: the chunk has just been leased.
  ChunkLease(Chunk& chunk, Addr base) noexcept : chunk_(&chunk), base_(base) {}

  [[nodiscard]] explicit operator bool() const noexcept { return chunk_ != nullptr; }
  [[nodiscard]] Addr base() const noexcept { return base_; }
  [[nodiscard]] Chunk& chunk() const noexcept { return *chunk_; }

  // The lowest run of n pages, n at most 512; collects returned pages if there is none. Not ok:
  // take another lease.
  [[nodiscard]] Allocation alloc(Pages n) noexcept {
    if (n.n - 1 >= kChunkPages) return {};
    const auto pages = static_cast<unsigned>(n.n);
    unsigned i = find_run(chunk_->used, pages, 0);
    if (i == kNoPage && collect() != Pages()) i = find_run(chunk_->used, pages, 0);
    if (i == kNoPage) return {};
    unsigned scavenged = 0;
    for_each_word(i, pages, [&](unsigned w, std::uint64_t mask) noexcept {
      store(chunk_->used[w], chunk_->used[w] | mask);
      scavenged += static_cast<unsigned>(std::popcount(~chunk_->backed[w] & mask));
      store(chunk_->backed[w], chunk_->backed[w] | mask);
    });
    return {base_ + Bytes(std::uint64_t{i} << G::kPageShift),
            Bytes(std::uint64_t{scavenged} << G::kPageShift), true};
  }

  // The lessee's own free, of pages in this chunk. False, and unchanged, unless all are in use.
  [[nodiscard]] bool free(Addr base, Pages n) noexcept {
    const std::uint64_t offset = base.n - base_.n;
    if (offset >= G::kChunkBytes || !is_aligned(offset, G::kPageBytes)) return false;
    const auto i = static_cast<unsigned>(offset >> G::kPageShift);
    if (n.n - 1 >= kChunkPages - i) return false;
    const auto pages = static_cast<unsigned>(n.n);
    if (!all_set(chunk_->used, i, pages)) return false;
    for_each_word(i, pages, [&](unsigned w, std::uint64_t mask) noexcept {
      store(chunk_->used[w], chunk_->used[w] & ~mask);
    });
    return true;
  }

  // Frees what others have returned. How many pages that were.
  Pages collect() noexcept {
    unsigned pages = 0;
    for (unsigned w = 0; w < kChunkWords; ++w) {
      const std::uint64_t back = chunk_->take_returned(w);
      if (back == 0) continue;
      store(chunk_->used[w], chunk_->used[w] & ~back);
      pages += static_cast<unsigned>(std::popcount(back));
    }
    return Pages(pages);
  }

 private:
  // Others read these words at any time, so they are written atomically; no order is needed.
  static void store(std::uint64_t& word, std::uint64_t value) noexcept {
    std::atomic_ref<std::uint64_t>(word).store(value, std::memory_order_relaxed);
  }

  Chunk* chunk_ = nullptr;
  Addr base_{};
};

}  // namespace ream::page
