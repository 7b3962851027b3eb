// When memory inside sparse spans is given back. A program that frees most objects of many spans
// and then needs spans of other classes would hold both; so growth pays for itself: for each kStep
// bytes of new resident spans, about as many bytes are looked for in sparse ones. Where little is
// found the next look is put off, twice as far each time.
//
// Thread safety: all; a step is done by one thread at a time.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/root_access.h"
#include "base/units.h"
#include "heap/lock_ranks.h"
#include "heap/page_heap.h"
#include "heap/work_budget.h"
#include "os/mutex.h"

namespace ream {

class Heap;

class SparsePurge {
 public:
  static constexpr std::uint64_t kStepBytes = 256 << 10;
  static constexpr std::uint32_t kMaxDoublings = 8;  // to 64 MiB
  static constexpr std::uint32_t kSpansPerStep = 256;
  static constexpr Bytes kWorthALook = 64_KiB;  // free and not purged, in one list
  static constexpr std::uint64_t kOverdueSteps = 16;

  [[nodiscard]] bool due(const PageHeap& pages) const noexcept {
    return pages.fresh_span_bytes() >= step_bytes();
  }

  // The same where a worker has been asked, and has not kept up.
  [[nodiscard]] bool overdue(const PageHeap& pages) const noexcept {
    return pages.fresh_span_bytes() >= kOverdueSteps * step_bytes();
  }

  // Looks for memory to give back. Cheap when another thread is at it.
  void step(Heap& heap) noexcept REAM_EXCLUDES(lock_);

  // The worker's: a part of a sweep over all central lists, until the budget is spent. A sweep
  // begins no sooner than two fifths of the pace's window after the one before. False if there was
  // more to do, or a later sweep may find something.
  [[nodiscard]] bool sweep(Heap& heap, const WorkBudget& budget) noexcept REAM_EXCLUDES(lock_);

  // Gives back everything inside spans now. Returns the bytes given back.
  Bytes all(Heap& heap) noexcept REAM_EXCLUDES(lock_);

  // Held while the lists are walked.
  [[nodiscard]] os::Mutex& lock() noexcept REAM_TSA(lock_returned(lock_)) { return lock_; }

  [[nodiscard]] Bytes purged_bytes() const noexcept {
    return Bytes(purged_.load(std::memory_order_relaxed));
  }

 private:
  friend struct inspect::RootAccess;

  [[nodiscard]] std::uint64_t step_bytes() const noexcept {
    return kStepBytes << doublings_.load(std::memory_order_relaxed);
  }

  std::atomic<std::uint32_t> doublings_{0};  // of the step
  std::atomic<std::uint64_t> purged_{0};
  os::Mutex lock_{rank::kSparsePurge};
  // The sweep: the list it is at, and whether it has begun that; when it began itself.
  std::uint32_t swept_list_ REAM_GUARDED_BY(lock_) = 0;
  bool in_list_ REAM_GUARDED_BY(lock_) = false;
  bool again_ REAM_GUARDED_BY(lock_) = false;  // something was left for the next sweep
  std::uint64_t sweep_begin_ns_ REAM_GUARDED_BY(lock_) = 0;
};

}  // namespace ream
