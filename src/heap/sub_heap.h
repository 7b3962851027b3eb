// A sub-heap: a part of the heap that the program made (ream_heap in ream.h), with a name, a budget
// and spans of its own. It ends with all that it still holds.
//
//   SubHeap -- list of class c, shard s --> spans of that class
//           -- large --> spans of one large object
//
// Its objects never enter a thread's cache, from which any malloc would take them: live ones have a
// state of their own (kLiveOwned), so that the fast path of free passes them on to the slow one,
// which finds the sub-heap by the span. A malloc or free is a lock and a look at the span's states.
//
// To scale, a class has up to kShards lists; as with central lists, a thread stays with one shard
// until it finds the lock taken. Lists are made when first used.
//
// The budget is charged with whole spans: objects, what is free between them, and what is lost at
// their ends. Spans without objects are given up before the budget refuses (release_empty).
//
// Thread safety: all, but the end: nobody may use a sub-heap then, or its objects.
//
// Invariants (is_valid):
//  1. budget.used() = bytes of the spans of all its lists and of its large objects.
//  2. Each span names it as its owner, and the shard of its list.
//
// Lifetime: made and ended by SubHeaps, in the page heap's metadata. That memory stays memory of
// sub-heaps, so exists() tells one that has ended, until another takes its place.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/annotate.h"
#include "base/units.h"
#include "heap/central_list.h"
#include "heap/lock_ranks.h"
#include "heap/page_heap.h"
#include "heap/pressure_callbacks.h"
#include "heap/span_owner.h"
#include "os/mutex.h"

namespace ream {

class SubHeap : public SpanOwner {
 public:
  static constexpr unsigned kShards = 4;
  static constexpr std::size_t kNameBytes = 32;  // with the zero at its end

  // A longer name is cut; null is an empty one.
  SubHeap(const char* name, Bytes budget_bytes) noexcept;

  [[nodiscard]] bool exists() const noexcept { return exists_.load(std::memory_order_relaxed); }
  [[nodiscard]] const char* name() const noexcept { return name_.data(); }

  // Takes a free object of a class, which then is cached. False when there is no memory, or the
  // budget does not allow another span.
  [[nodiscard]] bool take(PageHeap& pages, ClassIndex c, Taken& taken) noexcept;

  // Gives an object back. REQUIRES: it is cached, and of a small span of this sub-heap.
  void give(PageHeap& pages, const Span& span, Taken taken) noexcept;

  // Gives the spans without objects back. Returns their bytes.
  Bytes release_empty(PageHeap& pages) noexcept;

  // The functions to be called at the budget: null while there are none.
  [[nodiscard]] PressureCallbacks* callbacks() const noexcept {
    return callbacks_.load(std::memory_order_acquire);
  }
  // The same, made if there are none. Null when there is no memory.
  [[nodiscard]] PressureCallbacks* make_callbacks(PageHeap& pages) noexcept REAM_EXCLUDES(lock_);

  // Sums over its shards.
  [[nodiscard]] CentralStats stats(ClassIndex c) noexcept;

  // Calls visit(list) for each list, in the order of the shards, then classes.
  static constexpr std::uint32_t kMostLists = kShards * static_cast<std::uint32_t>(kClassCount);
  [[nodiscard]] CentralList* list(std::uint32_t number) const noexcept {
    return lists_[number].load(std::memory_order_acquire);
  }
  template <class Visit>
  void for_each_list(Visit visit) noexcept {
    for (const auto& slot : lists_) {
      if (CentralList* list = slot.load(std::memory_order_acquire)) visit(*list);
    }
  }

  // Frees all its spans and what describes them, but not itself; calls count(c, n) where n objects
  // of class c were not free. REQUIRES: nobody uses it, nor will.
  template <class Count>
  void end(PageHeap& pages, Count count) noexcept {
    exists_.store(false, std::memory_order_relaxed);
    for (std::uint32_t number = 0; number < kMostLists; ++number) {
      CentralList* const list = this->list(number);
      if (list == nullptr) continue;
      count(class_of_list(number), list->release_all(pages));
      pages.free_metadata(list, sizeof(CentralList));
    }
    pages.free_large_of(*this);
    if (PressureCallbacks* table = callbacks()) pages.free_metadata(table, sizeof(*table));
  }

  // For the handlers of fork.
  [[nodiscard]] os::Mutex& lock() noexcept REAM_TSA(lock_returned(lock_)) { return lock_; }
  // What other threads had charged and not used, or freed and not refunded, is put right. REQUIRES:
  // the only thread of a fork's child.
  void after_fork_in_child() noexcept;

  [[nodiscard]] bool is_valid() noexcept;

 private:
  friend class SubHeaps;

  [[nodiscard]] static constexpr std::uint32_t number_of(ClassIndex c, unsigned shard) noexcept {
    return shard * static_cast<std::uint32_t>(kClassCount) + c;
  }
  [[nodiscard]] static constexpr ClassIndex class_of_list(std::uint32_t number) noexcept {
    return static_cast<ClassIndex>(number % kClassCount);
  }
  // Null when there is no memory for it.
  [[nodiscard]] CentralList* list_for(PageHeap& pages, ClassIndex c, unsigned shard) noexcept;
  REAM_COLD CentralList* make_list(PageHeap& pages, std::uint32_t number) noexcept
      REAM_EXCLUDES(lock_);
  [[nodiscard]] Bytes bytes_of_spans() noexcept;
  // A handler of fork, which passes through the locks that are held for it, may make what has a
  // lock of its own: that is locked like the rest, for it will be unlocked like the rest.
  static void lock_as(const os::Mutex& held, os::Mutex& made) noexcept;

  // Held while a list or the table of callbacks is made, so that fork finds all of them.
  os::Mutex lock_{rank::kSubHeap};
  std::atomic<bool> exists_{true};
  std::array<char, kNameBytes> name_{};
  std::atomic<PressureCallbacks*> callbacks_{nullptr};
  SubHeap* next_ = nullptr;  // of the registry, under its lock
  SubHeap* prev_ = nullptr;
  std::array<std::atomic<CentralList*>, kMostLists> lists_{};  // change under lock_
};

static_assert(sizeof(SubHeap) <= MetaPool::kMaxPooledBytes);
static_assert(sizeof(PressureCallbacks) <= MetaPool::kMaxPooledBytes);

}  // namespace ream
