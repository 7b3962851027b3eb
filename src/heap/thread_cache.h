// The thread cache: for each size class an array of objects that its thread owns. malloc pops, free
// pushes; neither locks, nor touches the object. What overflows goes to the central lists in
// batches, what runs out comes from there; objects freed by another thread than the one that
// allocated them simply travel through both.
//
//   bin:   base -> [object, state] [object, state] ... top -> (free slots) ... limit
//
// An entry holds the address of the object's state byte beside the object's own, so malloc marks it
// live without a lookup.
//
// An array starts small. Running dry doubles it up to kFreeGrowthBytes of objects; beyond, it
// doubles when the thread has run it both dry and over, up to kMaxBinBytes: a thread that only
// allocates or only frees needs no more. A thread's share of kAllCachesBytes, between
// kMinCacheBytes and kMaxCacheBytes, is its budget. Arrays grow together to 3/2 of it, which bounds
// what a cache holds; where that has refused 64 calls a first array, all arrays are dropped. Each
// time half a budget has passed through the central lists, the whole cache is cut back to one.
//
// Of a thread that sleeps the worker takes objects away, from the bottom of its bins, without its
// help (idle_caches.cc): it moves `base` up. malloc therefore moves `top` first and compares then:
// either it sees the new base, or the worker the new top.
//
// Thread safety: a cache belongs to its thread; what is not a pop or a push is done holding its
// `lock` (and the worker holds it against the owner). `frees`, `top` and `base` are read by others
// for statistics, which may be a moment old. After fork, the child adopts the caches of threads
// that are gone (thread_caches.h).
//
// Invariants:
//  1. base <= top <= limit in every bin; entries [base, top) are cached objects of the bin's class.
//     Only while its owner is about to find a bin dry, or the worker takes objects that the owner
//     pops at the same moment, top may lie one below base: the bin is overdrawn.
//  2. Class 0 (large) has base == top == limit == null: it always takes the slow path.
//
// Lifetime: made at a thread's first slow path, destroyed at its exit. Before and after, the thread
// has an empty cache without arrays, which sends every call to the slow path.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/annotate.h"
#include "base/config.h"
#include "base/units.h"
#include "os/owner_lock.h"
#include "span/span.h"

namespace ream {

struct Bin {
  Taken* top = nullptr;
  Taken* base = nullptr;  // the array's begin, or above what the worker took
  Taken* limit = nullptr;
  std::uint64_t frees = 0;  // objects this thread freed, for statistics

  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(top - base);
  }
  [[nodiscard]] std::uint32_t capacity() const noexcept {
    return static_cast<std::uint32_t>(limit - base);
  }
};

// The owner counts by a plain addition, one instruction; others may read a count a moment old.
REAM_RACES inline std::uint64_t load_frees(const Bin& bin) noexcept {
  return *static_cast<const volatile std::uint64_t*>(&bin.frees);
}

struct ThreadCache {
  static constexpr std::size_t kMaxBinBytes = 512 << 10;
  static constexpr std::uint32_t kMaxBinObjects = 256;
  static constexpr std::uint32_t kMinBinObjects = 2;
  static constexpr std::uint32_t kFirstBinObjects = 8;
  static constexpr std::size_t kFirstBinBytes = 4 << 10;
  static constexpr std::size_t kFreeGrowthBytes = 16 << 10;
  static constexpr std::uint16_t kMostRefused = 64;
  static constexpr std::uint64_t kAllCachesBytes = 32 << 20;
  static constexpr std::uint64_t kMinCacheBytes = 64 << 10;
  static constexpr std::uint64_t kMaxCacheBytes = 4 << 20;

  std::array<Bin, kClassCount> bins{};

  // Which end of its array each bin met last.
  enum class Met : std::uint8_t { kNothing, kDry, kFull };
  std::array<Met, kClassCount> met{};

  // Entries that each bin's array has room for; it ends at the bin's limit.
  std::array<std::uint16_t, kClassCount> room{};
  [[nodiscard]] Taken* array(ClassIndex c) const noexcept { return bins[c].limit - room[c]; }

  os::OwnerLock lock{};
  // The worker's: what it saw of the bins last, since when, and in which pass it was here.
  std::uint64_t seen = 0;
  std::uint64_t seen_since_ns = 0;
  std::uint32_t pass = 0;

  // Which central list of each class this thread uses.
  std::uint8_t shard = 0;
  // Objects bypass a cache without arrays: the thread has none yet, or has it no more.
  bool bypass = false;
  std::uint16_t refused = 0;         // first arrays not made, for capacity_bytes
  std::uint64_t capacity_bytes = 0;  // of objects that the arrays have room for
  std::uint64_t flow_bytes = 0;      // through the central lists since the last trim
  ThreadCache* next = nullptr;       // registry links, under its lock
  ThreadCache* prev = nullptr;
  std::uint32_t owner_thread = 0;  // kernel thread id
  std::uint32_t forks = 0;         // of the process when its thread last was seen alive

  // The bin of the class of `bytes`. REQUIRES: bytes <= kTableMaxBytes.
  [[nodiscard]] REAM_INLINE Bin& bin_of_table(std::size_t bytes) noexcept;

  // Objects that a bin of class c holds at first, and at most.
  [[nodiscard]] static constexpr std::uint32_t first_capacity(ClassIndex c) noexcept {
    const std::uint64_t fit = kFirstBinBytes / kSizeClasses[c].object_bytes;
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(fit, kMinBinObjects, kFirstBinObjects));
  }
  [[nodiscard]] static constexpr std::uint32_t max_capacity(ClassIndex c) noexcept {
    const std::uint64_t fit = kMaxBinBytes / kSizeClasses[c].object_bytes;
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(fit, kMinBinObjects, kMaxBinObjects));
  }
};

namespace internal {

// The class table again, of offsets into ThreadCache::bins: a shift less.
consteval auto make_bin_table() {
  std::array<std::uint16_t, kClassTable.size()> table{};
  for (std::size_t slot = 0; slot < table.size(); ++slot) {
    table[slot] = static_cast<std::uint16_t>(kClassTable[slot] * sizeof(Bin));
  }
  return table;
}

inline constexpr auto kBinTable = make_bin_table();
static_assert(kClassCount * sizeof(Bin) <= 0xffff);

}  // namespace internal

Bin& ThreadCache::bin_of_table(std::size_t bytes) noexcept {
  const std::uint16_t offset = internal::kBinTable[(bytes + 15) / 16];
  return *reinterpret_cast<Bin*>(reinterpret_cast<std::byte*>(bins.data()) + offset);
}

// Every change of top: an entry is written before it counts, also for the child of a fork.
REAM_INLINE void set_top(Bin& bin, Taken* top) noexcept {
  __atomic_store_n(&bin.top, top, __ATOMIC_RELEASE);
}

// Also of the bins of the cache that threads without one share, whose tops change in any of them.
REAM_INLINE Taken* top_of(const Bin& bin) noexcept {
  return __atomic_load_n(&bin.top, __ATOMIC_RELAXED);
}

// Whether entry a lies below b, where null lies below all others and what is one below null below
// that: addresses as signed numbers.
REAM_INLINE bool is_below(const Taken* a, const Taken* b) noexcept {
  return static_cast<std::int64_t>(Addr(a).n) < static_cast<std::int64_t>(Addr(b).n);
}

// How many objects a bin holds, also seen from another thread; 0 of one that is overdrawn.
inline std::uint64_t objects_in(const Bin& bin) noexcept {
  const Taken* const base = __atomic_load_n(&bin.base, __ATOMIC_RELAXED);
  const Taken* const top = top_of(bin);
  return is_below(base, top) ? (Addr(top).n - Addr(base).n) / sizeof(Taken) : 0;
}

// Whether a bin has no object to pop.
REAM_INLINE bool is_dry(const Bin& bin) noexcept {
  return !is_below(__atomic_load_n(&bin.base, __ATOMIC_RELAXED), top_of(bin));
}

// Whether a bin has no room for an object. Of a bin without an array that a thread has just
// overdrawn top is the highest address there is.
REAM_INLINE bool is_full(const Bin& bin, const Taken* top) noexcept {
  return Addr(top).n >= Addr(bin.limit).n;
}
inline bool is_full(const Bin& bin) noexcept { return is_full(bin, top_of(bin)); }

// Takes the newest entry. Null if the bin is dry; it is overdrawn then, and settle_overdraft()
// comes before anything else is done with it. The new top is written before base is read; across
// threads the worker's barrier keeps that order. Before it, nothing that the entry says may be
// relied on.
REAM_INLINE const Taken* pop(Bin& bin) noexcept {
  auto* const entry = static_cast<Taken*>(Addr(Addr(top_of(bin)).n - sizeof(Taken)).ptr());
  set_top(bin, entry);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (is_below(entry, __atomic_load_n(&bin.base, __ATOMIC_RELAXED))) [[unlikely]]
    return nullptr;
  if (entry == nullptr) __builtin_unreachable();  // spares callers a comparison
  return entry;
}

// A popped object for the program.
REAM_INLINE void* make_live(const Taken& entry) noexcept {
  store_state(*entry.state, kLive);
  void* const object = entry.object;
  if (object == nullptr) __builtin_unreachable();  // spares callers a comparison
  return object;
}
// The same; says whether it reads as zero.
inline void* make_live(const Taken& entry, bool& zero) noexcept {
  zero = load_state(*entry.state) == kCachedZero;
  return make_live(entry);
}

// The two at once.
REAM_INLINE void* pop_live(Bin& bin) noexcept {
  const Taken* const entry = pop(bin);
  if (entry == nullptr) [[unlikely]]
    return nullptr;
  return make_live(*entry);
}

// Takes back a pop that found the bin dry. A bin without an array may be one that all threads share
// (thread_caches.cc): its top is null or below whatever they do.
inline void settle_overdraft(Bin& bin) noexcept {
  set_top(bin, bin.limit == nullptr ? nullptr : bin.top + 1);
}

// An object from the program. REQUIRES: `top` is the bin's, which is not full.
REAM_INLINE void push_freed(Bin& bin, Taken* top, Taken freed) noexcept {
  store_state(*freed.state, kCached);
  *top = freed;
  set_top(bin, top + 1);
  bin.frees += 1;
}

// This thread's cache; never null. Initially the cache of threads that have none.
extern constinit thread_local ThreadCache* t_cache [[gnu::tls_model("initial-exec")]];

}  // namespace ream
