// How the worker takes objects out of the caches of threads that sleep, without their help and
// without a lock on their way.
//
//   bin:   array -> (taken) ... base' = top -> (free slots) ... limit
//
// The worker holds the cache's lock, so the owner does nothing but pop and push, at the other end.
// It claims [base, base') by moving base up, then has every CPU pass a barrier. A pop moves top
// down and then compares it with base. So one that wrote top before the barrier is seen by the
// worker, and one that did so later sees base': if top, read after the barrier, lies below base',
// the worker puts base back; an owner that found the bin dry meanwhile waits for the lock.
//
// This is the protocol of Cilk-5 for stealing from the bottom of a deque (Frigo, Leiserson,
// Randall, PLDI 1998), with the owner's fence replaced by the thief's barrier on all CPUs.
#include <algorithm>

#include "heap/heap.h"

namespace ream {
namespace {

// Changes whenever the owner has popped or pushed (but for a pair of a bin between two looks).
std::uint64_t activity(const ThreadCache& cache) noexcept {
  std::uint64_t sum = 0;
  for (const Bin& bin : cache.bins) {
    sum += load_frees(bin) + Addr(__atomic_load_n(&bin.top, __ATOMIC_RELAXED)).n;
  }
  return sum;
}

bool has_objects(const ThreadCache& cache) noexcept {
  return std::any_of(cache.bins.begin(), cache.bins.end(),
                     [](const Bin& bin) noexcept { return objects_in(bin) > 0; });
}

}  // namespace

// Takes as many objects as the batch holds. REQUIRES: the worker holds the cache's lock.
std::uint32_t ThreadCaches::take_from(ThreadCache& cache, Batch& batch) noexcept {
  std::array<Taken*, kClassCount> before;  // base of each bin
  std::uint32_t claimed = 0;
  for (std::size_t c = 0; c < kClassCount; ++c) {
    Bin& bin = cache.bins[c];
    before[c] = bin.base;
    const std::uint32_t count = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(objects_in(bin), kTakenAtOnce - claimed));
    if (count > 0) __atomic_store_n(&bin.base, bin.base + count, __ATOMIC_RELAXED);
    claimed += count;
  }
  const bool barrier = os::barrier_everywhere();
  std::uint32_t taken = 0;
  for (std::size_t c = 0; c < kClassCount; ++c) {
    Bin& bin = cache.bins[c];
    if (bin.base == before[c]) continue;
    const Taken* const top = __atomic_load_n(&bin.top, __ATOMIC_ACQUIRE);
    if (!barrier || top < bin.base) {
      __atomic_store_n(&bin.base, before[c], __ATOMIC_RELAXED);
      continue;
    }
    for (const Taken* t = before[c]; t != bin.base; ++t) batch[taken++] = *t;
  }
  return taken;
}

// The next cache of this pass that is idle and has objects, its lock held; null when there
// is none. While the registry's lock is held no cache can go away; afterwards, not this one.
ThreadCache* ThreadCaches::hold_next(const Idle& idle, bool& clean) noexcept {
  os::MutexLock hold(lock_);
  for (ThreadCache* cache = first_; cache != nullptr; cache = cache->next) {
    if (cache == t_cache || cache->forks != forks_ || cache->pass == pass_) continue;
    const std::uint64_t now = activity(*cache);
    if (now != cache->seen || cache->seen_since_ns == 0) cache->seen_since_ns = idle.now_ns;
    cache->seen = now;
    if (has_objects(*cache)) {
      if (idle.now_ns - cache->seen_since_ns >= idle.age_ns) {
        cache->lock.want();
        const bool barrier = os::barrier_everywhere();
        if (barrier && cache->lock.is_free()) return cache;
        cache->lock.end();
        if (!barrier) return nullptr;  // nor will a later call take anything
      }
      clean = false;
    }
    cache->pass = pass_;
  }
  return nullptr;
}

// Objects are given without the lock: an object that was freed twice is found then, and a handler
// of SIGABRT may fork.
bool ThreadCaches::take(Heap& heap, const WorkBudget& budget, const Idle& idle) noexcept {
  bool clean = true;
  idle_lock_.lock();
  ++pass_;
  while (ThreadCache* cache = hold_next(idle, clean)) {
    Batch batch;
    const std::uint32_t count = take_from(*cache, batch);
    if (count < kTakenAtOnce) cache->pass = pass_;  // that was all
    cache->lock.end();
    idle_lock_.unlock();
    for (std::uint32_t given = 0; given < count;) given += heap.give(&batch[given], count - given);
    if (budget.is_spent()) return false;
    idle_lock_.lock();
  }
  idle_lock_.unlock();
  return clean;
}

bool ThreadCaches::take_idle(Heap& heap, const WorkBudget& budget, std::uint64_t now_ns) noexcept {
  return take(heap, budget, {.now_ns = now_ns, .age_ns = kIdleNs});
}

void ThreadCaches::take_all(Heap& heap) noexcept {
  static_cast<void>(take(heap, WorkBudget(WorkBudget::kUnlimited), {.now_ns = os::now_ns()}));
}

}  // namespace ream
