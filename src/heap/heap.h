// The composition root: the one heap of the process and its two fast paths.
//
//   allocate(24) -> class 2 -> this thread's bin: pop, mark live
//                               | empty
//                               v
//                   TransferCache::take, else CentralList::fetch (a batch) ->
//                   PageHeap::new_small_span -> PageAlloc::alloc
//
//   free(p) -> PageMap: span -> object index -> state live? -> this thread's bin: push, mark cached
//                                                               | full
//                                                               v
//                   TransferCache::put, else CentralList::give (half the bin) ->
//                   PageHeap::free_span -> PageAlloc::free
//
// Thread safety: all functions, except where said.
// Lifetime: constant-initialised; started by the first slow path of any thread; never destroyed, so
// it serves destructors and exit handlers to the last instruction.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/annotate.h"
#include "base/check.h"
#include "base/root_access.h"
#include "heap/central_list.h"
#include "heap/heap_stats.h"
#include "heap/large_cache.h"
#include "heap/misuse.h"
#include "heap/page_heap.h"
#include "heap/pressure_callbacks.h"
#include "heap/pressure_watch.h"
#include "heap/sparse_purge.h"
#include "heap/sub_heaps.h"
#include "heap/thread_cache.h"
#include "heap/thread_caches.h"
#include "heap/transfer_cache.h"
#include "heap/worker.h"

namespace ream {

class Heap {
 public:
  static constexpr unsigned kMaxShards = 16;

  // Memory for `bytes`, aligned to 16. Null when there is none. A request of 0 gets an object.
  [[nodiscard]] REAM_INLINE void* allocate(std::size_t bytes) noexcept {
    void* object = allocate_cached(bytes);
    return object != nullptr ? object : allocate_uncached(bytes);
  }

  // The two halves of it: an object that this thread has cached, else null, after which
  // allocate_uncached() must be called with the same bytes.
  [[nodiscard]] REAM_INLINE void* allocate_cached(std::size_t bytes) noexcept {
    if (bytes <= kTableMaxBytes) [[likely]]
      return pop_live(t_cache->bin_of_table(bytes));
    if (bytes <= kMaxSmallBytes) [[likely]]
      return pop_live(t_cache->bins[class_of_medium(bytes)]);
    return nullptr;
  }
  [[nodiscard]] void* allocate_uncached(std::size_t bytes) noexcept;

  // The same, reading as zero.
  [[nodiscard]] void* allocate_zeroed(std::size_t bytes) noexcept;

  // Memory at a multiple of `alignment`. REQUIRES: a power of two.
  [[nodiscard]] void* allocate_aligned(std::size_t bytes, std::size_t alignment) noexcept;

  // Frees an object; null is nothing. Anything else than a live object ends the program.
  REAM_INLINE void free(void* object) noexcept {
    const std::uint64_t address = Addr(object).n;
    Span* span = page_heap_.map().span_for_first_page(address);
    if (span == nullptr) [[unlikely]]
      return free_slow(object);
    const std::uint64_t offset = address - span->base;
    const std::uint64_t index = offset * span->reciprocal >> 32;
    if (index * span->object_bytes != offset) [[unlikely]]
      return free_slow(object);
    std::uint8_t* state = span->states() + index;
    Bin& bin = t_cache->bins[span->size_class];
    Taken* const top = top_of(bin);
    if (load_state(*state) != kLive || is_full(bin, top)) [[unlikely]]
      return free_slow(object);
    push_freed(bin, top, {object, state});
  }

  // Makes an object `bytes` long: in place where that is possible, else elsewhere with its
  // contents. Null, and the object unchanged, when there is no memory. REQUIRES: object is not
  // null.
  [[nodiscard]] void* reallocate(void* object, std::size_t bytes) noexcept;

  // Frees a live object as a reallocation does: what else is passed is reported as such.
  void reallocate_to_nothing(void* object) noexcept;

  // How much of a live object may be used. Anything else ends the program.
  [[nodiscard]] std::size_t usable_size(const void* object) noexcept;

  // Frees an object that the caller believes to be able to hold `bytes`; else ends the program.
  void free_sized(void* object, std::size_t bytes) noexcept;

  // Sub-heaps (sub_heap.h): parts of the heap with a budget, whose objects the functions above
  // free, resize and measure like any other. A resized one stays in its sub-heap.
  [[nodiscard]] SubHeap* create_sub_heap(const char* name, Bytes budget) noexcept;
  // Frees all its objects. REQUIRES: no thread is in a function with it, or will be.
  void destroy_sub_heap(SubHeap& sub) noexcept;
  // As allocate, allocate_zeroed and allocate_aligned do, but null also at its budget, when its
  // callbacks have not made room.
  [[nodiscard]] void* allocate_in(SubHeap& sub, std::size_t bytes) noexcept;
  [[nodiscard]] void* allocate_zeroed_in(SubHeap& sub, std::size_t bytes) noexcept;
  [[nodiscard]] void* allocate_aligned_in(SubHeap& sub, std::size_t bytes,
                                          std::size_t alignment) noexcept;
  // Frees or resizes an object that the caller believes to be the sub-heap's; else ends the
  // program.
  void free_in(SubHeap& sub, void* object) noexcept;
  [[nodiscard]] void* reallocate_in(SubHeap& sub, void* object, std::size_t bytes) noexcept;
  void reallocate_in_to_nothing(SubHeap& sub, void* object) noexcept;
  // The sub-heap that has the memory at `address`, an object's or free; else null. Never faults.
  [[nodiscard]] SubHeap* sub_heap_of(const void* address) const noexcept {
    const Span* span = span_of(address);
    return span == nullptr ? nullptr : sub_heap_of(*span);
  }

  // Any address, interior ones too, to its span; null for a foreign one. Never faults.
  [[nodiscard]] Span* span_of(const void* address) const noexcept {
    return page_heap_.map().span_of(Addr(address));
  }
  [[nodiscard]] Span* span_for_base(const void* address) const noexcept {
    return page_heap_.map().span_for_base(Addr(address));
  }

  // Empties this thread's cache and the central lists' reserves and gives all free memory back to
  // the OS. Returns the bytes given back.
  Bytes trim() noexcept;

  // Limits of resident memory (memory_limit.h); 0 is none. False, and nothing changed, if the soft
  // one is above the hard one. From now on the control group's are not followed.
  [[nodiscard]] bool set_memory_limit(Bytes soft, Bytes hard) noexcept;
  // Takes over the limits that the options give.
  void set_limit_of_options() noexcept;

  // May be changed at any time (huge_page_policy.h).
  void set_huge_page_mode(HugePageMode mode) noexcept {
    page_heap_.set_huge_page_mode(mode);
    worker_.notify();
  }
  [[nodiscard]] HugePageMode huge_page_mode() const noexcept { return page_heap_.huge_page_mode(); }

  // Keeps the memory of these nodes apart from now on (docs/numa.md). REQUIRES: called once at
  // most, in the only thread.
  void use_nodes(const os::NumaNodes& nodes) noexcept;

  [[nodiscard]] HeapStats stats() noexcept;
  // Of one class, over all shards and caches.
  [[nodiscard]] ClassStats class_stats(ClassIndex c) noexcept;

  // Gives back objects that no thread cache holds any more: the first in `batch` and those after it
  // of the same central list. Returns how many.
  std::uint32_t give(const Taken* batch, std::uint32_t count) noexcept {
    const Span* span = page_heap_.map().span_for_first_page(Addr(batch[0].object).n);
    return central(span->size_class, span->shard).give(page_heap_, batch, count);
  }

  // The worker's pass: gives back what the program has not used of late. False if there may be
  // more, now or in a while.
  [[nodiscard]] bool tidy(const WorkBudget& budget) noexcept;

  [[nodiscard]] const std::atomic<unsigned>* forking() const noexcept { return &forking_; }
  [[nodiscard]] Worker& worker() noexcept { return worker_; }
  [[nodiscard]] SparsePurge& sparse() noexcept { return sparse_; }
  [[nodiscard]] PageHeap& page_heap() noexcept { return page_heap_; }
  [[nodiscard]] CentralList& central(ClassIndex c, unsigned shard) noexcept {
    return central_[shard][c];
  }
  [[nodiscard]] ThreadCaches& caches() noexcept { return caches_; }
  [[nodiscard]] TransferCaches& transfers() noexcept { return transfers_; }
  [[nodiscard]] PressureCallbacks& callbacks() noexcept { return callbacks_; }
  [[nodiscard]] const PressureWatch& pressure() const noexcept { return pressure_; }
  [[nodiscard]] SubHeaps& sub_heaps() noexcept { return sub_heaps_; }

  // Walks everything; for audits and tests. REQUIRES: no other thread uses the heap.
  [[nodiscard]] bool is_valid() noexcept;

  // The handlers of fork (fork.cc).
  void before_fork() noexcept;
  void after_fork_in_parent() noexcept;
  void after_fork_in_child() noexcept;

 private:
  friend struct inspect::RootAccess;

  // `zero` becomes true if the object reads as zero, else false.
  [[nodiscard]] void* allocate_class(ClassIndex c, bool& zero) noexcept {
    const Taken* entry = pop(t_cache->bins[c]);
    return entry != nullptr ? make_live(*entry, zero) : allocate_slow(c, zero);
  }

  // What a request does first that may need new memory.
  void before_growth() noexcept;
  // REQUIRES: this thread's bin of the class was found dry by pop().
  [[nodiscard, gnu::noinline]] void* allocate_slow(ClassIndex c, bool& zero) noexcept;
  [[gnu::noinline]] void free_slow(void* object) noexcept;
  [[nodiscard]] void* allocate_large(std::size_t bytes, std::size_t alignment,
                                     bool zeroed) noexcept;
  [[nodiscard]] void* reuse_large(Span& span, std::size_t bytes, bool zeroed) noexcept;
  void free_large(const LiveObject& object) noexcept;
  [[nodiscard]] void* reallocate_large(const LiveObject& object, std::size_t bytes) noexcept;
  [[nodiscard]] void* move_object(const LiveObject& object, std::size_t bytes) noexcept;

  // Of sub-heaps (sub_heap_objects.cc).
  [[nodiscard]] static SubHeap* sub_heap_of(const Span& span) noexcept {
    return static_cast<SubHeap*>(owner_of(span));
  }
  [[nodiscard]] Taken take_in(SubHeap& sub, ClassIndex c) noexcept;
  [[nodiscard]] void* allocate_large_in(SubHeap& sub, std::size_t bytes, std::size_t alignment,
                                        bool zeroed) noexcept;
  void free_owned(const LiveObject& object) noexcept;
  void count_free(ClassIndex c) noexcept;
  // Where a request of `bytes` (whole pages) stands that looks for room again and again.
  struct Attempts {
    unsigned at_budget = 0;
    unsigned at_limit = 0;
  };
  // As make_room: of a sub-heap's budget or, where that has room, of the heap. Null: of the heap.
  [[nodiscard]] REAM_COLD bool make_room_in(SubHeap* sub, Bytes bytes, Attempts& tried) noexcept;

  // Of several memory nodes: the shard of large spans that this thread uses for one of them.
  [[nodiscard]] REAM_COLD unsigned large_shard(unsigned node) const noexcept;

  // Objects of a class without a thread cache.
  [[nodiscard]] void* allocate_bypassing(ClassIndex c, bool& zero) noexcept;
  void free_bypassing(const LiveObject& object) noexcept;
  // Makes memory that lies unused in reserves available to any request. For when the OS has no
  // more.
  void reclaim() noexcept;

  // Memory limits (heap_pressure.cc).
  // A request of `bytes` (whole pages) found no memory: whether to try again, after something was
  // done about it. `attempt` is 0 at first and then belongs to this function. REQUIRES: no lock is
  // held.
  [[nodiscard]] REAM_COLD bool make_room(Bytes bytes, unsigned& attempt) noexcept;
  // Makes all that lies unused free pages, or gives it back.
  void reclaim_everything() noexcept;
  // Above the soft limit, or under pressure: gives back what can be, and tells the program. At most
  // every MemoryLimit::kAlertNs. REQUIRES: no lock is held.
  void relieve() noexcept;
  // By the worker: where the control group is followed, whether memory is short there.
  bool hear_pressure() noexcept;
  REAM_COLD void relieve_without_worker() noexcept;
  // Reads the control group's limits if they are followed and were last read age_ns ago.
  void follow_group(std::uint64_t age_ns) noexcept;

  PageHeap page_heap_;
  LargeCache large_cache_;
  SparsePurge sparse_;
  Worker worker_;
  ThreadCaches caches_;
  TransferCaches transfers_;
  PressureCallbacks callbacks_;
  PressureWatch pressure_;
  SubHeaps sub_heaps_;
  std::array<std::array<CentralList, kClassCount>, kMaxShards> central_;  // by shard, then class
  // Of fork.cc; changed by the forking thread while it holds the locks.
  void unlock_after_fork() noexcept;
  void take_over_from_parent() noexcept;
  std::atomic<unsigned> forking_{0};  // threads in before_fork or after: the worker makes way
  unsigned forking_shards_ = 0;       // whose locks the forking thread holds
  unsigned inner_forks_ = 0;          // begun by handlers, not yet ended
  bool forked_within_ = false;        // this process is the child of such a one
};

extern constinit Heap g_heap;

}  // namespace ream
