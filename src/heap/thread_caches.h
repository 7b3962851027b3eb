// The registry of all thread caches: makes and ends them, refills and empties their bins.
//
// Thread safety: functions that take a ThreadCache are called by its thread; the others lock.
// Lifetime: constant-initialised, never destroyed.
#pragma once

#include <array>
#include <cstdint>

#include "base/annotate.h"
#include "base/root_access.h"
#include "heap/lock_ranks.h"
#include "heap/thread_cache.h"
#include "heap/work_budget.h"
#include "os/mutex.h"
#include "span/meta_pool.h"
#include "span/page_map.h"

namespace ream {

class Heap;
class Nodes;
class PageHeap;

class ThreadCaches {
 public:
  // Once, before any other function.
  void start() noexcept { __atomic_store_n(&shards_, 1u, __ATOMIC_RELAXED); }

  // This thread's cache, made if it has none yet. A thread that ended its cache, or for which there
  // is no memory, keeps one that bypasses.
  [[nodiscard]] ThreadCache& get() noexcept REAM_EXCLUDES(lock_);

  // Fetches objects for an empty bin. False when there is no memory.
  [[nodiscard]] bool refill(Heap& heap, ThreadCache& cache, ClassIndex c) noexcept;

  // Makes room in a full bin.
  void overflow(Heap& heap, ThreadCache& cache, ClassIndex c) noexcept;

  // Gives all objects back to the central lists.
  void empty(Heap& heap, ThreadCache& cache) noexcept;

  // Takes objects from threads that have not used their caches for kIdleNs, so far as calls at
  // other times have seen, and gives them to the central lists, until the budget is spent. False if
  // there was more, or a later call may find some. Where the system has no barrier_everywhere() it
  // takes nothing.
  static constexpr std::uint64_t kIdleNs = 500'000'000;
  [[nodiscard]] bool take_idle(Heap& heap, const WorkBudget& budget, std::uint64_t now_ns) noexcept
      REAM_EXCLUDES(idle_lock_, lock_);
  // The same of all other threads, whatever they do.
  void take_all(Heap& heap) noexcept REAM_EXCLUDES(idle_lock_, lock_);

  // Moves a thread to another shard of its node when the central list it uses is busy, or when the
  // thread is at another node than that.
  [[nodiscard]] std::uint8_t choose_shard(Heap& heap, ThreadCache& cache, ClassIndex c) noexcept;

  // Makes a shard one of those in use.
  void open_shard(unsigned shard) noexcept REAM_EXCLUDES(lock_);

  // Totals over the caches of all threads, and over those that ended.
  struct BinTotals {
    std::uint64_t cached = 0;
    std::uint64_t frees = 0;
  };
  [[nodiscard]] BinTotals totals(ClassIndex c) noexcept REAM_EXCLUDES(lock_);
  [[nodiscard]] std::uint64_t count() noexcept REAM_EXCLUDES(lock_);
  [[nodiscard]] Bytes metadata_bytes() noexcept REAM_EXCLUDES(lock_);
  [[nodiscard]] Bytes touched_bytes() noexcept REAM_EXCLUDES(lock_);

  // Counts frees that found no cache.
  void count_free(ClassIndex c, std::uint64_t count = 1) noexcept {
    __atomic_fetch_add(&ended_frees_[c], count, __ATOMIC_RELAXED);
  }

  // The calling thread exits: its cache goes back and may not come again.
  void end_this_thread(Heap& heap) noexcept REAM_EXCLUDES(lock_);

  // In the child of a fork: the caches of all other threads are orphans. Their objects are taken
  // over a cache at a time as slow paths run, so that a child that only calls exec does not pay.
  void orphan_others() noexcept REAM_EXCLUDES(lock_);

  // Held by who takes objects from other threads' caches.
  [[nodiscard]] os::Mutex& idle_lock() noexcept REAM_TSA(lock_returned(idle_lock_)) {
    return idle_lock_;
  }
  [[nodiscard]] os::Mutex& lock() noexcept REAM_TSA(lock_returned(lock_)) { return lock_; }
  [[nodiscard]] unsigned shards() const noexcept {
    return __atomic_load_n(&shards_, __ATOMIC_RELAXED);
  }

 private:
  friend struct inspect::RootAccess;

  // What each cache may hold at this moment, given how many there are.
  [[nodiscard]] std::uint64_t budget() const noexcept;
  [[nodiscard]] bool enlarge(ThreadCache& cache, ClassIndex c) noexcept REAM_EXCLUDES(lock_);
  // The owner holds the cache's lock: gives all objects back; also drops all arrays, which makes
  // room for those of other classes.
  void give_everything(Heap& heap, ThreadCache& cache) noexcept;
  void make_way(Heap& heap, ThreadCache& cache) noexcept REAM_EXCLUDES(lock_);
  void give_bottom(Heap& heap, Bin& bin, ClassIndex c, std::uint32_t count) noexcept;
  // Of several memory nodes (heap_nodes.cc).
  REAM_COLD void follow_node(const Nodes& nodes, ThreadCache& cache) noexcept REAM_EXCLUDES(lock_);
  [[nodiscard]] REAM_COLD static std::uint32_t sort_by_node(const PageHeap& pages, Bin& bin,
                                                            std::uint32_t& count) noexcept;
  void trim_if_due(Heap& heap, ThreadCache& cache, std::uint64_t moved_bytes) noexcept;
  void destroy(Heap& heap, ThreadCache& cache) noexcept REAM_EXCLUDES(lock_);
  static void repair(const PageMap& map, Bin& bin) noexcept;
  void adopt_orphan(Heap& heap) noexcept REAM_EXCLUDES(lock_);

  // Objects on their way from an idle cache.
  static constexpr std::uint32_t kTakenAtOnce = 512;
  using Batch = std::array<Taken, kTakenAtOnce>;
  struct Idle {
    std::uint64_t now_ns = 0;
    std::uint64_t age_ns = 0;
  };
  bool take(Heap& heap, const WorkBudget& budget, const Idle& idle) noexcept
      REAM_EXCLUDES(idle_lock_, lock_);
  [[nodiscard]] ThreadCache* hold_next(const Idle& idle, bool& clean) noexcept
      REAM_REQUIRES(idle_lock_) REAM_EXCLUDES(lock_);
  [[nodiscard]] static std::uint32_t take_from(ThreadCache& cache, Batch& batch) noexcept;
  static void settle(ThreadCache& cache, ClassIndex c) noexcept;

  os::Mutex idle_lock_{rank::kIdleCaches};
  std::uint32_t pass_ REAM_GUARDED_BY(idle_lock_) = 0;

  os::Mutex lock_{rank::kThreadCaches};
  ThreadCache* first_ REAM_GUARDED_BY(lock_) = nullptr;
  std::uint64_t count_ = 0;  // changes under lock_, read without
  MetaPool pool_ REAM_GUARDED_BY(lock_);
  std::array<std::uint64_t, kClassCount> ended_frees_{};  // atomic
  // In use so far, at most Heap::kMaxShards; grows under lock_, read without. 0 before start().
  unsigned shards_ = 0;
  std::uint32_t forks_ = 0;    // caches of another number belong to threads that fork left behind
  std::uint32_t orphans_ = 0;  // how many there may be; changes under lock_, read without
};

}  // namespace ream
