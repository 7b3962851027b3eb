// A page allocator for many threads: PageAlloc, a lock, and for each thread a lessee.
//
//   SharedPages<HeapWindow, std::mutex> pages;
//   pages.with_lock([](auto& p) { p.init(...); });
//
//   thread_local PageLessee<HeapWindow> mine;
//   Allocation a = pages.alloc(mine, Pages(3));
//   pages.free(mine, a.base, Pages(3));
//   pages.end(mine);  // before the thread goes
//
// Short runs come from the caller's leases, and go back to the chunk they lie in without the lock,
// whoever leases it. The lock is taken to refill leases, for runs longer than PageLessee::kMaxRun
// or across two chunks, and at most once in kSettleEvery frees.
//
// What is free and not to be found by others: pages in leases (PageLessee::kMaxLeases chunks a
// thread); in chunks that a thread knows to be rich, some 2 * kMaxRich and what kSettleEvery frees
// add; and about SentChunks::kRichPages in each other chunk. All but the leases is looked at before
// a request is refused.
//
// Results are not those of the single-threaded allocator: a thread gets the lowest run of the
// chunks it leases, not of all.
//
// Thread safety: all functions, each thread with a lessee of its own.
//
// Lifetime: as PageAlloc; every lessee ends before it.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/annotate.h"
#include "base/config.h"
#include "base/units.h"
#include "page/page_alloc.h"
#include "page/page_lessee.h"

namespace ream::page {

// Lock: lock(), try_lock() and unlock(), as of std::mutex.
template <class G, class Lock>
class SharedPages {
 public:
  using Lessee = PageLessee<G>;

  static constexpr std::uint32_t kSettleEvery = 256;

  constexpr SharedPages() noexcept = default;

  // The lowest run of n pages that this thread may take. Not ok when no chunk has one, or n is 0.
  // Pages free in the leases of other threads do not count.
  [[nodiscard]] Allocation alloc(Lessee& mine, Pages n) noexcept {
    if (n <= Lessee::kMaxRun) {
      if (const Allocation got = mine.alloc(n)) return got;
    }
    return alloc_slow(mine, n);
  }

  // Frees pages, also a part of an earlier allocation or several that touch. False, and unchanged,
  // when they are known not to be in use. REQUIRES: they are in grown memory, in use, and the
  // caller's: of pages outside its own leases not all is known (PageAlloc::free_remote).
  [[nodiscard]] bool free(Lessee& mine, Addr base, Pages n) noexcept {
    if (ChunkLease<G>* lease = mine.lease_of(base)) {
      return lease->free(base, n) || free_slow(base, n);
    }
    if (!mine.listed_) list(mine);
    if (!mine.free_remote(pages_, base, n)) return free_slow(base, n);
    if (mine.frees() >= kSettleEvery) settle_rich(mine);
    return true;
  }

  // Ends a lessee's leases: all that is free in them can be found by others.
  void end(Lessee& mine) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
    const Hold hold(*this);
    mine.end(pages_);
    forget(mine);
  }

  // Everything else, under the lock; what was freed without it is settled.
  template <class Do>
  decltype(auto) with_lock(Do&& work) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
    const Hold hold(*this);
    settle_all();
    return work(pages_);
  }

  // How often the lock was taken so far.
  [[nodiscard]] std::uint64_t lockings() const noexcept {
    return lockings_.load(std::memory_order_relaxed);
  }

 private:
  class Hold {
   public:
    explicit Hold(SharedPages& owner) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS : lock_(owner.lock_) {
      lock_.lock();
      owner.count_locking();
    }
    ~Hold() REAM_NO_THREAD_SAFETY_ANALYSIS { lock_.unlock(); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Lock& lock_;
  };

  // Under the lock, so no read-modify-write.
  void count_locking() noexcept {
    lockings_.store(lockings_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  REAM_COLD Allocation alloc_slow(Lessee& mine, Pages n) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
    if (n == Pages()) return {};
    if (const Allocation got = mine.alloc_rich(pages_, n)) return got;
    mine.prepare_refill();
    const Hold hold(*this);
    enter(mine);
    settle_next();
    if (const Allocation got = alloc_locked(mine, n)) return got;
    settle_all();
    return alloc_locked(mine, n);
  }

  [[nodiscard]] Allocation alloc_locked(Lessee& mine, Pages n) noexcept {
    if (n <= Lessee::kMaxRun && mine.refill(pages_, n)) return mine.alloc(n);
    return pages_.alloc(n);
  }

  REAM_COLD bool free_slow(Addr base, Pages n) noexcept {
    return with_lock([base, n](PageAlloc<G>& pages) noexcept { return pages.free(base, n); });
  }

  REAM_COLD void settle_rich(Lessee& mine) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
    mine.settled();
    if (!mine.has_many_rich()) return;
    if (!lock_.try_lock()) {
      if (!mine.has_too_many_rich()) return;  // next time
      lock_.lock();
    }
    count_locking();
    mine.settle_rich(pages_);
    lock_.unlock();
  }

  // Before its first free to others, so that they can settle it.
  REAM_COLD void list(Lessee& mine) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
    const Hold hold(*this);
    enter(mine);
  }

  // The list of lessees; under the lock.
  void enter(Lessee& mine) noexcept {
    if (mine.listed_) return;
    mine.listed_ = true;
    mine.prev_ = nullptr;
    mine.next_ = first_;
    if (first_ != nullptr) first_->prev_ = &mine;
    first_ = &mine;
  }
  void forget(Lessee& mine) noexcept {
    if (!mine.listed_) return;
    mine.listed_ = false;
    if (next_to_settle_ == &mine) next_to_settle_ = mine.next_;
    (mine.prev_ != nullptr ? mine.prev_->next_ : first_) = mine.next_;
    if (mine.next_ != nullptr) mine.next_->prev_ = mine.prev_;
  }
  void settle_all() noexcept {
    for (Lessee* lessee = first_; lessee != nullptr; lessee = lessee->next_) {
      (void)lessee->settle(pages_);
    }
  }
  // A little of what threads left that do not come here themselves, in turn.
  void settle_next() noexcept {
    if (next_to_settle_ == nullptr) next_to_settle_ = first_;
    next_to_settle_->settle_some(pages_, kSettleAtOnce);
    next_to_settle_ = next_to_settle_->next_;
  }

  static constexpr unsigned kSettleAtOnce = 4;  // chunks

  PageAlloc<G> pages_;
  alignas(kCacheLineBytes) Lock lock_;
  Lessee* first_ = nullptr;  // all that have taken the lock
  Lessee* next_to_settle_ = nullptr;
  std::atomic<std::uint64_t> lockings_{0};
};

}  // namespace ream::page
