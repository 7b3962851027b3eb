// What one thread leases: a few chunks, from which it allocates runs of pages without the lock.
//
//   alloc:   lowest lease that has a run -> else a chunk that is parked and became rich, in place
//   of
//            the poorest lease, which is parked -> else collect what others freed into the leases
//            -> else, under the lock, refill(): poor leases are parked, new ones begin
//   free:    in a lease of one's own: a bit. Elsewhere: PageAlloc::free_remote()
//
// A refill leases until kRefillPages pages are free in new chunks, so that one lock serves many
// allocations also where each chunk has little to give. In the long run a thread that frees as much
// as it allocates needs none: the chunks that hold its pages become rich in turn.
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
  static constexpr Pages kPoor{SentChunks::kRichPages};  // with fewer free pages it is parked
  static constexpr std::uint32_t kMaxRich = 32;          // chunks known to be rich, and not leased

  constexpr PageLessee() noexcept = default;
  PageLessee(const PageLessee&) = delete;
  PageLessee& operator=(const PageLessee&) = delete;

  // The lowest run of n pages of the leased chunks, n at most kMaxRun. Not ok: alloc_rich().
  [[nodiscard]] Allocation alloc(Pages n) noexcept {
    if (n > kMaxRun) return {};
    for (unsigned i = 0; i < count_; ++i) {
      if (const Allocation got = leases_[i].alloc(n)) return got;
    }
    return {};
  }

  // A run of n pages of a chunk that became rich since it was parked, or else of what others have
  // freed into the leases; without the lock. Not ok: refill(). REQUIRES: alloc(n) was not ok.
  [[nodiscard]] Allocation alloc_rich(PageAlloc<G>& pages, Pages n) noexcept {
    if (n > kMaxRun) return {};
    while (sent_.rich != 0 && make_room(pages)) {
      ChunkLease<G> lease = pages.take_rich(sent_);
      if (!lease) break;
      const Allocation got = lease.alloc(n);
      insert(lease);
      if (got) return got;
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
    if (count_ == kMaxLeases) leases_[poorest()].close();
  }

  // Leases chunks so that alloc(n) succeeds. False when there is none with such a run. REQUIRES:
  // the owner's lock; n in [1, kMaxRun].
  [[nodiscard]] bool refill(PageAlloc<G>& pages, Pages n) noexcept {
    park_poor(pages);
    if (count_ == kMaxLeases) {
      const unsigned i = poorest();
      pages.end_lease(leases_[i]);
      remove(i);
    }
    Pages gained{};
    bool fits = false;
    const auto gain = [&](const ChunkLease<G>& lease) noexcept {
      gained += lease.free_pages();
      insert(lease);
    };
    // First what was freed lately, which saves the tree a change; then the lowest.
    while (count_ + 1 < kMaxLeases && gained < kRefillPages) {
      ChunkLease<G> lease = pages.lease_rich(sent_, kPoor);
      if (!lease) break;
      fits = fits || lease.fits(n);
      gain(lease);
    }
    if (!fits) {
      ChunkLease<G> lease = lease_lowest(pages, n);
      if (!lease) {
        (void)pages.settle(sent_);
        lease = lease_lowest(pages, n);
      }
      if (!lease) return false;
      gain(lease);
    }
    while (count_ < kMaxLeases && gained < kRefillPages) {
      ChunkLease<G> lease = pages.lease_roomy(kGoodRun);
      if (!lease) lease = pages.lease_chunk(kGoodRun);
      if (!lease) break;
      gain(lease);
    }
    return true;
  }

  // Ends all leases, and settles what this thread freed. REQUIRES: the owner's lock.
  void end(PageAlloc<G>& pages) noexcept {
    pages.settle_rich(sent_, 0);
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

  // Rich chunks beyond what this thread may soon use: due for settle_rich().
  [[nodiscard]] bool has_many_rich() const noexcept { return sent_.rich_count > kMaxRich; }
  // So many that it must not wait until the lock is free.
  [[nodiscard]] bool has_too_many_rich() const noexcept { return sent_.rich_count > 2 * kMaxRich; }
  // Gives most of them to the tree. REQUIRES: the owner's lock.
  void settle_rich(PageAlloc<G>& pages) noexcept { pages.settle_rich(sent_, kMaxRich / 2); }
  void settled() noexcept { frees_ = 0; }

  // Gives to the tree what this thread has freed or parked and nobody took since; of so many
  // chunks, or all. REQUIRES: the owner's lock. From any thread.
  Pages settle(PageAlloc<G>& pages) noexcept { return pages.settle(sent_); }
  void settle_some(PageAlloc<G>& pages, unsigned chunks) noexcept {
    pages.settle_some(sent_, chunks);
  }

 private:
  [[nodiscard]] unsigned poorest() const noexcept {
    unsigned poorest = 0;
    for (unsigned i = 1; i < count_; ++i) {
      if (leases_[i].free_pages() < leases_[poorest].free_pages()) poorest = i;
    }
    return poorest;
  }

  // A place for one more lease. False when none is poor: what is parked must have little to give.
  [[nodiscard]] bool make_room(PageAlloc<G>& pages) noexcept {
    if (count_ < kMaxLeases) return true;
    const unsigned i = poorest();
    if (leases_[i].free_pages() >= kPoor) return false;
    (void)leases_[i].collect();
    if (leases_[i].free_pages() >= kPoor) return false;
    pages.park(leases_[i], sent_);
    remove(i);
    return true;
  }

  void park_poor(PageAlloc<G>& pages) noexcept {
    for (unsigned i = count_; i-- > 0;) {
      if (leases_[i].free_pages() >= kPoor) continue;
      pages.park(leases_[i], sent_);
      remove(i);
    }
  }

  [[nodiscard]] static ChunkLease<G> lease_lowest(PageAlloc<G>& pages, Pages n) noexcept {
    const Pages good = std::max(n, kGoodRun);
    if (const ChunkLease<G> lease = pages.lease_roomy(good)) return lease;
    if (const ChunkLease<G> lease = pages.lease_chunk(good)) return lease;
    return pages.lease_chunk(n);
  }

  void remove(unsigned i) noexcept {
    --count_;
    for (; i < count_; ++i) leases_[i] = leases_[i + 1];
    leases_[count_] = {};
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
