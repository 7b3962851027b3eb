// The registry of all sub-heaps: makes and ends them, and does with all of them what is done with
// the central lists of the heap.
//
// Thread safety: all. What walks the registry holds its lock; a sweep does so for a step at a time,
// so that making and ending a sub-heap never waits for a whole one.
// Lifetime: constant-initialised, never destroyed.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/annotate.h"
#include "base/units.h"
#include "heap/central_list.h"
#include "heap/lock_ranks.h"
#include "heap/sub_heap.h"
#include "os/mutex.h"

namespace ream {

class SubHeaps {
 public:
  // Null when there is no memory.
  [[nodiscard]] SubHeap* create(PageHeap& pages, const char* name, Bytes budget_bytes) noexcept
      REAM_EXCLUDES(lock_);

  // Ends a sub-heap; calls count(c, n) where n objects of class c were not free. REQUIRES: nobody
  // uses it, nor will. Takes time in proportion to its spans.
  template <class Count>
  void destroy(PageHeap& pages, SubHeap& sub, Count count) noexcept REAM_EXCLUDES(lock_) {
    remove(sub);
    sub.end(pages, count);
    pages.free_metadata(&sub, sizeof(SubHeap));
  }

  [[nodiscard]] std::uint64_t count() noexcept REAM_EXCLUDES(lock_);

  // Of one class, over all sub-heaps.
  [[nodiscard]] CentralStats stats(ClassIndex c) noexcept REAM_EXCLUDES(lock_);

  // Gives the spans without objects back.
  void release_empty(PageHeap& pages) noexcept REAM_EXCLUDES(lock_);

  // A sweep over all lists (CentralList::sweep_next), in steps of a bounded number of spans. One
  // thread sweeps at a time.
  struct Swept {
    Bytes given{};       // back to the OS
    Bytes taken{};       // into use again since the last sweep
    bool again = false;  // something was left for the next sweep
  };
  static constexpr std::uint32_t kSpansPerStep = 16;
  void begin_sweep() noexcept REAM_EXCLUDES(lock_);
  // False when nothing is left.
  [[nodiscard]] bool sweep_step(PageHeap& pages, CentralList::Sweep what, Swept& swept) noexcept
      REAM_EXCLUDES(lock_);
  // Whether a sweep may find something.
  [[nodiscard]] bool wants_sweep() const noexcept {
    return changed_.load(std::memory_order_relaxed);
  }
  // Objects were taken or given.
  void note_change() noexcept {
    if (!changed_.load(std::memory_order_relaxed)) changed_.store(true, std::memory_order_relaxed);
  }

  [[nodiscard]] bool is_valid() noexcept REAM_EXCLUDES(lock_);

  // The handlers of fork: the registry, then each sub-heap; lists and callbacks have higher ranks.
  void lock_for_fork() noexcept;
  void lock_lists_for_fork() noexcept;
  void lock_callbacks_for_fork() noexcept;
  void unlock_after_fork() noexcept;
  void after_fork_in_child() noexcept;

 private:
  void remove(SubHeap& sub) noexcept REAM_EXCLUDES(lock_);
  // Whether it has looked at all of that sub-heap.
  [[nodiscard]] bool sweep_some(PageHeap& pages, CentralList::Sweep what, std::uint32_t& spans,
                                Swept& swept) noexcept REAM_REQUIRES(lock_);

  os::Mutex lock_{rank::kSubHeaps};
  SubHeap* first_ REAM_GUARDED_BY(lock_) = nullptr;  // newest first
  std::uint64_t count_ REAM_GUARDED_BY(lock_) = 0;
  // The sweep: the sub-heap and the list in it that come next, and whether that has begun.
  SubHeap* swept_ REAM_GUARDED_BY(lock_) = nullptr;
  std::uint32_t swept_list_ REAM_GUARDED_BY(lock_) = 0;
  bool in_list_ REAM_GUARDED_BY(lock_) = false;
  std::atomic<bool> changed_{false};
};

}  // namespace ream
