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
#include "heap/page_heap.h"

namespace ream {

class Heap;

class SparsePurge {
 public:
  static constexpr std::uint64_t kStepBytes = 256 << 10;
  static constexpr std::uint64_t kMaxStepBytes = 64 << 20;
  static constexpr std::uint32_t kSpansPerStep = 256;

  [[nodiscard]] bool due(const PageHeap& pages) const noexcept {
    return pages.fresh_span_bytes() >= step_.load(std::memory_order_relaxed);
  }

  // Looks for memory to give back. Cheap when another thread is at it.
  void step(Heap& heap) noexcept;

  // Looks at every sparse span. Returns the bytes given back.
  Bytes all(Heap& heap) noexcept;

  // In the child of a fork: the thread that was at it does not exist.
  void after_fork_in_child() noexcept { busy_.store(false, std::memory_order_relaxed); }

  [[nodiscard]] Bytes purged_bytes() const noexcept {
    return Bytes(purged_.load(std::memory_order_relaxed));
  }

 private:
  friend struct inspect::RootAccess;

  std::atomic<std::uint64_t> step_{kStepBytes};
  std::atomic<std::uint64_t> purged_{0};
  std::atomic<bool> busy_{false};
  std::uint32_t next_list_ = 0;  // where the next step begins; the busy thread's
};

}  // namespace ream
