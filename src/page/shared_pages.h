// A page allocator for many threads: PageAlloc, a lock, and for each thread a lessee.
//
//   SharedPages<HeapWindow, std::mutex> pages;       // pages.with_lock([](auto& p) { p.init(...);
//   }); thread_local PageLessee<HeapWindow> mine;        // pages.end(mine) before the thread goes
//   Allocation a = pages.alloc(mine, Pages(3));
//   pages.free(mine, a.base, Pages(3));
//
// Short runs come from the caller's leases, and go back to the chunk they lie in without the lock,
// whoever leases it. The lock is taken to refill leases, for runs longer than PageLessee::kMaxRun
// or across two chunks, and once in kSettleEvery frees.
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
  // when they are known not to be in use. Pages in chunks that others lease are known by their
  // frees only: a wrong free of these is dropped later.
  [[nodiscard]] bool free(Lessee& mine, Addr base, Pages n) noexcept {
    if (ChunkLease<G>* lease = mine.lease_of(base)) {
      if (lease->free(base, n)) return true;
    } else if (pages_.free_remote(base, n)) {
      if (++mine.sent == kSettleEvery) settle(mine);
      return true;
    }
    return free_slow(base, n);
  }

  // Ends a lessee's leases: all that is free in them can be found by others.
  void end(Lessee& mine) noexcept {
    with_lock([&mine](PageAlloc<G>& pages) noexcept {
      (void)pages.settle();
      mine.end(pages);
    });
  }

  // Everything else, under the lock; what was freed without it is settled.
  template <class Do>
  decltype(auto) with_lock(Do&& work) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
    const Hold hold(*this);
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

  REAM_COLD Allocation alloc_slow(Lessee& mine, Pages n) noexcept {
    mine.prepare_refill();
    return with_lock([&mine, n](PageAlloc<G>& pages) noexcept {
      if (n != Pages() && n <= Lessee::kMaxRun && mine.refill(pages, n)) return mine.alloc(n);
      (void)pages.settle();
      return pages.alloc(n);
    });
  }

  REAM_COLD bool free_slow(Addr base, Pages n) noexcept {
    return with_lock([base, n](PageAlloc<G>& pages) noexcept {
      (void)pages.settle();
      return pages.free(base, n);
    });
  }

  // Another thread that holds the lock settles too.
  REAM_COLD void settle(Lessee& mine) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
    mine.sent = 0;
    if (!lock_.try_lock()) return;
    count_locking();
    (void)pages_.settle();
    lock_.unlock();
  }

  PageAlloc<G> pages_;
  alignas(kCacheLineBytes) Lock lock_;
  std::atomic<std::uint64_t> lockings_{0};
};

}  // namespace ream::page
