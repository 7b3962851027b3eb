// The transfer cache: objects of one size class between threads that free and threads that
// allocate. What overflows one thread's bin lies here until a bin runs dry, so that a batch changes
// hands by a copy of its entries; spans are not looked at.
//
//   bins  --put-->  [oldest ... newest]  --take-->  bins
//                     |
//                     +--take_idle--> central lists      what nobody took for a while
//
// A cache starts without room. It doubles when it was both full and dry: objects then go to and
// fro; where they only come, or only go, the central lists serve as well. It loses the room that
// was not used, or by what lay idle. TransferCaches bounds the room of all together, by the heap's
// size.
//
// CPUs are parted into groups of kGroupCpus; each has its own caches, so a lock is shared by few,
// and objects stay near. Of several memory nodes each has groups of its own, and objects that lie
// at another node pass by here (heap_nodes.cc).
//
// Thread safety: all functions lock, unless they say otherwise. Fork: the locks are held, so a
// batch is in a bin or here, never half.
//
// Invariants (is_valid):
//  1. low_ <= count_ <= high_ <= capacity_ <= max_capacity(); entries [0, count_) are cached
//     objects of the class.
//  2. The sum of capacities, in bytes, is what TransferCaches::room() has given.
//
// Lifetime: constant-initialised to zeros, never destroyed. Entries are mapped once, for the most
// that there may be; what is not used is not touched.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/annotate.h"
#include "base/config.h"
#include "base/root_access.h"
#include "heap/lock_ranks.h"
#include "heap/memory_limit.h"
#include "heap/nodes.h"
#include "heap/thread_cache.h"
#include "heap/work_budget.h"
#include "os/mutex.h"

namespace ream {

class Heap;

// The room of all transfer caches.
class TransferRoom {
 public:
  static constexpr std::uint64_t kLeastBytes = 1 << 20;
  static constexpr std::uint64_t kMostBytes = 64 << 20;
  static constexpr std::uint64_t kShareOfHeap = 8;

  // Whether room for `bytes` more was had. None is above the soft memory limit.
  [[nodiscard]] bool take(Bytes bytes, const MemoryLimit& limit) noexcept;
  void give(Bytes bytes) noexcept { bytes_.fetch_sub(bytes.n, std::memory_order_relaxed); }
  [[nodiscard]] Bytes bytes() const noexcept {
    return Bytes(bytes_.load(std::memory_order_relaxed));
  }

  // Metadata: what was mapped for entries.
  void add_mapped(Bytes bytes) noexcept { mapped_.fetch_add(bytes.n, std::memory_order_relaxed); }
  [[nodiscard]] Bytes mapped_bytes() const noexcept {
    return Bytes(mapped_.load(std::memory_order_relaxed));
  }

 private:
  friend struct inspect::RootAccess;

  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> mapped_{0};
};

class alignas(kCacheLineBytes) TransferCache {
 public:
  static constexpr std::uint64_t kMaxBytes = 2 << 20;
  static constexpr std::uint32_t kMaxObjects = 8192;

  // Moves the `count` objects that lie lowest in the bin, or as many as there is room for. Returns
  // how many. REQUIRES: the bin belongs to the caller, and to class c.
  [[nodiscard]] std::uint32_t put(Bin& bin, ClassIndex c, std::uint32_t count, TransferRoom& room,
                                  MemoryLimit& limit) noexcept REAM_EXCLUDES(lock_);

  // Moves up to `max` objects to `out`, the newest. Returns how many.
  [[nodiscard]] std::uint32_t take(Taken* out, std::uint32_t max) noexcept REAM_EXCLUDES(lock_) {
    if (__atomic_load_n(&count_, __ATOMIC_RELAXED) == 0) {
      if (!__atomic_load_n(&was_dry_, __ATOMIC_RELAXED))
        __atomic_store_n(&was_dry_, true, __ATOMIC_RELAXED);
      return 0;
    }
    return take_locking(out, max);
  }

  // Moves objects that were here all the time since the last look(), with the room they took: at
  // most `max`. Returns how many.
  [[nodiscard]] std::uint32_t take_idle(ClassIndex c, Taken* out, std::uint32_t max,
                                        TransferRoom& room) noexcept REAM_EXCLUDES(lock_);
  // Gives up the room that was not used since the last look.
  void look(ClassIndex c, TransferRoom& room) noexcept REAM_EXCLUDES(lock_);

  // Without the lock, as what follows; may be a moment old.
  [[nodiscard]] bool has_room() const noexcept {
    return __atomic_load_n(&capacity_, __ATOMIC_RELAXED) > 0;
  }
  [[nodiscard]] std::uint32_t count() const noexcept {
    return __atomic_load_n(&count_, __ATOMIC_RELAXED);
  }
  // Of entries that were used at some time.
  [[nodiscard]] Bytes touched_bytes() const noexcept {
    return Bytes(__atomic_load_n(&touched_, __ATOMIC_RELAXED) * sizeof(Taken));
  }

  [[nodiscard]] static constexpr std::uint32_t max_capacity(ClassIndex c) noexcept {
    const std::uint64_t fit = kMaxBytes / kSizeClasses[c].object_bytes;
    return static_cast<std::uint32_t>(fit < kMaxObjects ? fit : kMaxObjects);
  }

  [[nodiscard]] os::Mutex& lock() noexcept REAM_TSA(lock_returned(lock_)) { return lock_; }
  [[nodiscard]] bool is_valid(ClassIndex c) noexcept REAM_EXCLUDES(lock_);
  [[nodiscard]] Bytes room_bytes(ClassIndex c) noexcept REAM_EXCLUDES(lock_);

 private:
  [[nodiscard]] std::uint32_t take_locking(Taken* out, std::uint32_t max) noexcept
      REAM_EXCLUDES(lock_);
  [[nodiscard]] bool enlarge(ClassIndex c, std::uint32_t batch, TransferRoom& room,
                             MemoryLimit& limit) noexcept REAM_REQUIRES(lock_);
  void set_count(std::uint32_t count) noexcept REAM_REQUIRES(lock_) {
    __atomic_store_n(&count_, count, __ATOMIC_RELAXED);
  }
  void set_capacity(std::uint32_t capacity) noexcept REAM_REQUIRES(lock_) {
    __atomic_store_n(&capacity_, capacity, __ATOMIC_RELAXED);
  }

  os::Mutex lock_{rank::kTransfer};
  std::uint32_t count_ = 0;                        // changes under lock_, read without
  std::uint32_t capacity_ = 0;                     // likewise
  std::uint32_t low_ REAM_GUARDED_BY(lock_) = 0;   // the least count_ since the last look
  std::uint32_t high_ REAM_GUARDED_BY(lock_) = 0;  // and the most
  std::uint32_t touched_ = 0;  // the most that capacity_ ever was; changes under lock_
  bool was_dry_ = false;       // since it last grew; set at any time
  Taken* entries_ REAM_GUARDED_BY(lock_) = nullptr;
};

class TransferCaches {
 public:
  static constexpr unsigned kGroupCpus = 16;
  static constexpr unsigned kMaxGroups = 16;

  // The cache of this thread's CPU.
  [[nodiscard]] TransferCache& of(ClassIndex c, const Nodes& nodes) noexcept {
    const unsigned groups = __atomic_load_n(&groups_, __ATOMIC_RELAXED);
    return caches_[groups <= 1 ? 0 : group_here(nodes, groups)][c];
  }

  // Before any other function, in the only thread.
  void start() noexcept { part(1); }
  // Gives each node groups of its own. REQUIRES: the only thread.
  void part(unsigned nodes) noexcept;

  // Gives objects that lay here since the last call, if that was kIdleNs ago, to the central lists,
  // until the budget is spent. False if a later call may find some.
  static constexpr std::uint64_t kIdleNs = 500'000'000;
  [[nodiscard]] bool give_idle(Heap& heap, const WorkBudget& budget, std::uint64_t now_ns) noexcept;
  // The same of all objects.
  void give_all(Heap& heap) noexcept;

  [[nodiscard]] std::uint64_t cached(ClassIndex c) const noexcept;
  [[nodiscard]] TransferRoom& room() noexcept { return room_; }
  [[nodiscard]] Bytes metadata_bytes() const noexcept { return room_.mapped_bytes(); }
  // Of these, used at some time.
  [[nodiscard]] Bytes touched_bytes() const noexcept;

  // The locks, in their order.
  void lock_for_fork() noexcept;
  void unlock_after_fork() noexcept;

  // REQUIRES: no other thread uses the heap.
  [[nodiscard]] bool is_valid() noexcept;

 private:
  friend struct inspect::RootAccess;

  [[nodiscard]] static unsigned group_here(const Nodes& nodes, unsigned groups) noexcept {
    if (nodes.several()) [[unlikely]]
      return group_at_node(nodes, groups);
    return os::current_cpu() / kGroupCpus % groups;
  }
  [[nodiscard]] REAM_COLD static unsigned group_at_node(const Nodes& nodes,
                                                        unsigned groups) noexcept;
  [[nodiscard]] bool give_idle_of(Heap& heap, TransferCache& cache, ClassIndex c,
                                  const WorkBudget& budget) noexcept;

  unsigned groups_ = 0;
  // The worker's.
  std::uint64_t looked_ns_ = 0;
  std::uint32_t next_ = 0;  // the cache that comes next in this pass
  TransferRoom room_;
  std::array<std::array<TransferCache, kClassCount>, kMaxGroups> caches_;
};

}  // namespace ream
