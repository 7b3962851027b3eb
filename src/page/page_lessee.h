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

template <class G, class Lock>
class SharedPages;

template <class G>
class PageLessee {
 public:
  static constexpr unsigned kMaxLeases = 12;
  static constexpr Pages kMaxRun{64};         // longer runs are allocated under the lock
  static constexpr Pages kRefillPages{1024};  // free in new leases, at which a refill is content
  static constexpr Pages kGoodRun{16};        // looked for in a new lease first
  static constexpr Pages kPoor{64};           // a lease with fewer free pages ends at a refill

  constexpr PageLessee() noexcept = default;
  PageLessee(const PageLessee&) = delete;
  PageLessee& operator=(const PageLessee&) = delete;

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

  // What a refill can do without the lock; call it just before.
  void prepare_refill() noexcept {
    const unsigned poorest = poorest_if_full();
    for (unsigned i = 0; i < count_; ++i) {
      if (ends(i, poorest)) leases_[i].close();
    }
  }

  // Leases chunks so that alloc(n) succeeds. False when there is none with such a run. REQUIRES:
  // the owner's lock; n in [1, kMaxRun].
  [[nodiscard]] bool refill(PageAlloc<G>& pages, Pages n) noexcept {
    end_poor(pages);
    Pages gained{};
    bool fits = false;
    const auto gain = [&](const ChunkLease<G>& lease) noexcept {
      gained += lease.free_pages();
      insert(lease);
    };
    // First what was freed lately, which saves the tree a change; then the lowest.
    while (count_ + 1 < kMaxLeases && gained < kRefillPages) {
      ChunkLease<G> lease = pages.lease_sent(sent_, kPoor);
      if (!lease) break;
      fits = fits || lease.fits(n);
      gain(lease);
    }
    if (!fits) {
      (void)pages.settle(sent_);
      ChunkLease<G> lease = pages.lease_chunk(std::max(n, kGoodRun));
      if (!lease) lease = pages.lease_chunk(n);
      if (!lease) return false;
      gain(lease);
    }
    while (count_ < kMaxLeases && gained < kRefillPages) {
      ChunkLease<G> lease = pages.lease_chunk(kGoodRun);
      if (!lease) break;
      gain(lease);
    }
    return true;
  }

  // Ends all leases, and settles what this thread freed. REQUIRES: the owner's lock.
  void end(PageAlloc<G>& pages) noexcept {
    (void)pages.settle(sent_);
    while (count_ > 0) pages.end_lease(leases_[--count_]);
  }

  [[nodiscard]] unsigned leases() const noexcept { return count_; }

  // Frees pages of a chunk that is not leased here; as PageAlloc::free_remote().
  [[nodiscard]] bool free_remote(PageAlloc<G>& pages, Addr base, Pages n) noexcept {
    ++frees_;
    return pages.free_remote(base, n, sent_);
  }
  // Such frees since the last call of settled().
  [[nodiscard]] std::uint32_t frees() const noexcept { return frees_; }

  // Frees what this thread has freed and nobody took since. REQUIRES: the owner's lock. From any
  // thread, but for the count of frees.
  Pages settle(PageAlloc<G>& pages) noexcept { return pages.settle(sent_); }
  void settled() noexcept { frees_ = 0; }

 private:
  // What has little to give ends at a refill; one lease in any case if all places are taken.
  [[nodiscard]] bool ends(unsigned i, unsigned poorest) const noexcept {
    return i == poorest || leases_[i].free_pages() < kPoor;
  }
  [[nodiscard]] unsigned poorest_if_full() const noexcept {
    if (count_ < kMaxLeases) return kMaxLeases;
    unsigned poorest = 0;
    for (unsigned i = 1; i < count_; ++i) {
      if (leases_[i].free_pages() < leases_[poorest].free_pages()) poorest = i;
    }
    return poorest;
  }
  void end_poor(PageAlloc<G>& pages) noexcept {
    const unsigned poorest = poorest_if_full();
    unsigned kept = 0;
    for (unsigned i = 0; i < count_; ++i) {
      if (ends(i, poorest))
        pages.end_lease(leases_[i]);
      else
        leases_[kept++] = leases_[i];
    }
    std::fill(leases_.begin() + kept, leases_.begin() + count_, ChunkLease<G>());
    count_ = kept;
  }

  void insert(const ChunkLease<G>& lease) noexcept {
    unsigned i = count_++;
    for (; i > 0 && leases_[i - 1].base() > lease.base(); --i) leases_[i] = leases_[i - 1];
    leases_[i] = lease;
  }

  std::array<ChunkLease<G>, kMaxLeases> leases_{};
  unsigned count_ = 0;
  std::uint32_t frees_ = 0;
  SentChunks sent_{};
  // For who keeps account of all lessees, under its lock.
  template <class, class>
  friend class SharedPages;
  PageLessee* next_ = nullptr;
  PageLessee* prev_ = nullptr;
  bool listed_ = false;
};

}  // namespace ream::page
