// What one thread leases: a few chunks, from which it allocates runs of pages without the lock.
//
//   alloc:   lowest lease that has a run -> else collect what others freed into the leases
//            -> else, under the lock, refill(): poor leases end, new ones begin
//   free:    in a lease of one's own: a bit. Elsewhere: PageAlloc::free_remote()
//
// A refill leases until kRefillPages pages are free in new chunks, so that one lock serves many
// allocations also where each chunk has little to give.
//
// Thread safety: belongs to one thread (or to who holds a lock of its own); refill() and end() also
// need the owner's lock.
//
// Invariants: 1. leases_[0, count_) are leases, ascending; the others are not.
//
// Lifetime: end() it before dropping it; its chunks stay taken otherwise.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/units.h"
#include "page/chunk_lease.h"
#include "page/page_alloc.h"

namespace ream::page {

template <class G>
class PageLessee {
 public:
  static constexpr unsigned kMaxLeases = 8;
  static constexpr Pages kMaxRun{64};        // longer runs are allocated under the lock
  static constexpr Pages kRefillPages{768};  // free in new leases, at which a refill is content
  static constexpr Pages kGoodRun{16};       // looked for in a new lease first
  static constexpr Pages kPoor{64};          // a lease with fewer free pages ends at a refill

  constexpr PageLessee() noexcept = default;

  // The lowest run of n pages of the leased chunks, n at most kMaxRun. Not ok: refill().
  [[nodiscard]] Allocation alloc(Pages n) noexcept {
    if (n > kMaxRun) return {};
    for (unsigned i = 0; i < count_; ++i) {
      if (const Allocation got = leases_[i].alloc(n)) return got;
    }
    for (unsigned i = 0; i < count_; ++i) {
      if (leases_[i].collect() == Pages()) continue;
      if (const Allocation got = leases_[i].alloc(n)) return got;
    }
    return {};
  }

  // The lease whose chunk holds an address; null if none does.
  [[nodiscard]] ChunkLease<G>* lease_of(Addr a) noexcept {
    for (unsigned i = 0; i < count_; ++i) {
      if (leases_[i].contains(a)) return &leases_[i];
    }
    return nullptr;
  }

  // Leases chunks so that alloc(n) succeeds. False when there is none with such a run. REQUIRES:
  // the owner's lock; n in [1, kMaxRun].
  [[nodiscard]] bool refill(PageAlloc<G>& pages, Pages n) noexcept {
    (void)pages.settle();
    end_poor(pages);
    bool fits = false;
    for (Pages gained{}; count_ < kMaxLeases && gained < kRefillPages;) {
      ChunkLease<G> lease = pages.lease_chunk(std::max(n, kGoodRun));
      if (!lease && !fits) lease = pages.lease_chunk(n);
      if (!lease) break;
      fits = true;
      gained += lease.free_pages();
      insert(lease);
    }
    return fits;
  }

  // Ends all leases. REQUIRES: the owner's lock.
  void end(PageAlloc<G>& pages) noexcept {
    while (count_ > 0) pages.end_lease(leases_[--count_]);
  }

  [[nodiscard]] unsigned leases() const noexcept { return count_; }

  // Frees that went to chunks of others since the last settling: for the owner's pace.
  std::uint32_t sent = 0;

 private:
  // Ends what has little to give; one lease in any case if all places are taken.
  void end_poor(PageAlloc<G>& pages) noexcept {
    const auto poorer = [](const ChunkLease<G>& a, const ChunkLease<G>& b) noexcept {
      return a.free_pages() < b.free_pages();
    };
    const auto end = leases_.begin() + count_;
    const auto poorest = std::min_element(leases_.begin(), end, poorer);
    const bool full = count_ == kMaxLeases;
    unsigned kept = 0;
    for (auto it = leases_.begin(); it != end; ++it) {
      if (it->free_pages() < kPoor || (full && it == poorest))
        pages.end_lease(*it);
      else
        leases_[kept++] = *it;
    }
    std::fill(leases_.begin() + kept, end, ChunkLease<G>());
    count_ = kept;
  }

  void insert(const ChunkLease<G>& lease) noexcept {
    unsigned i = count_++;
    for (; i > 0 && leases_[i - 1].base() > lease.base(); --i) leases_[i] = leases_[i - 1];
    leases_[i] = lease;
  }

  std::array<ChunkLease<G>, kMaxLeases> leases_{};
  unsigned count_ = 0;
};

}  // namespace ream::page
