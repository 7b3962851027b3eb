#include "heap/thread_caches.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"
#include "heap/heap.h"
#include "heap/page_units.h"

namespace ream {
namespace {

// The caches without arrays: of threads that have none yet, and of those that have none any more.
constinit ThreadCache g_no_cache;  // its tops change in all threads (settle_overdraft)
constinit ThreadCache g_bypass{.bypass = true};

// The state of an entry that repair() has passed: taken, and none that objects have.
constexpr std::uint8_t kSeen = kLive | kZeroBit;

// More lists than CPUs would only spread the objects. Each node has as many as the others.
unsigned most_shards(unsigned nodes) noexcept {
  static constinit unsigned g_most = 0;  // a race writes the same value twice
  unsigned most = __atomic_load_n(&g_most, __ATOMIC_RELAXED);
  if (most == 0) {
    most = std::clamp(os::cpu_count(), 1u, Heap::kMaxShards);
    __atomic_store_n(&g_most, most, __ATOMIC_RELAXED);
  }
  return nodes == 1 ? most : std::max(most / nodes, 1u) * nodes;
}

// Above the soft memory limit a cache may hold such a part of its budget.
constexpr std::uint64_t kScarceShare = 4;

// False before a thread's first slow path and after its end.
bool has_own_cache() noexcept { return t_cache != &g_no_cache && t_cache != &g_bypass; }

void thread_exits(void*) noexcept { g_heap.caches().end_this_thread(g_heap); }

}  // namespace

constinit thread_local ThreadCache* t_cache [[gnu::tls_model("initial-exec")]] = &g_no_cache;

ThreadCache& ThreadCaches::get() noexcept {
  if (t_cache != &g_no_cache) return *t_cache;
  ThreadCache* cache = nullptr;
  {
    os::MutexLock hold(lock_);
    void* memory = pool_.allocate(sizeof(ThreadCache), map_metadata);
    if (memory != nullptr) {
      cache = new (memory) ThreadCache{};
      cache->owner_thread = os::kernel_thread_id();
      cache->forks = forks_;
      cache->next = first_;
      if (first_ != nullptr) first_->prev = cache;
      first_ = cache;
      __atomic_store_n(&count_, count_ + 1, __ATOMIC_RELAXED);
      g_heap.page_heap().limit().publish_caches(pool_.mapped_bytes());
    }
  }
  if (cache == nullptr) return g_bypass;  // asked again at the next call
  t_cache = cache;
  // May allocate, and then finds the cache just made.
  if (!os::on_thread_exit(thread_exits, cache)) {
    destroy(g_heap, *cache);
    t_cache = &g_bypass;
  }
  return *t_cache;
}

// The array changes under the lock, which fork holds: a child finds the old one or the new.
bool ThreadCaches::enlarge(ThreadCache& cache, ClassIndex c) noexcept {
  Bin& bin = cache.bins[c];
  settle(cache, c);
  const std::uint32_t before = cache.room[c];
  const std::uint32_t after = before == 0 ? ThreadCache::first_capacity(c)
                                          : std::min(ThreadCache::max_capacity(c), before * 2);
  if (after == before) return false;
  const std::uint64_t added = std::uint64_t{after - before} * kSizeClasses[c].object_bytes;
  const std::uint64_t most = budget() + budget() / 2;
  if (cache.capacity_bytes + added > most) {
    if (before != 0 || ++cache.refused < ThreadCache::kMostRefused) return false;
    make_way(g_heap, cache);
    if (cache.capacity_bytes + added > most) return false;
  }
  os::MutexLock hold(lock_);
  auto* array = static_cast<Taken*>(pool_.allocate(after * sizeof(Taken), map_metadata));
  if (array == nullptr) return false;
  g_heap.page_heap().limit().publish_caches(pool_.mapped_bytes());
  const std::uint32_t size = bin.size();
  if (size > 0) std::memcpy(array, bin.base, size * sizeof(Taken));
  if (bin.base != nullptr) pool_.free(bin.base, before * sizeof(Taken));
  bin.base = array;
  bin.top = array + size;
  bin.limit = array + after;
  cache.room[c] = static_cast<std::uint16_t>(after);
  cache.capacity_bytes += added;
  return true;
}

// A class without an array is served by the central lists, a lock an object. Those that this thread
// uses now get theirs again.
void ThreadCaches::make_way(Heap& heap, ThreadCache& cache) noexcept {
  cache.refused = 0;
  give_everything(heap, cache);
  os::MutexLock hold(lock_);
  for (std::size_t c = 1; c < kClassCount; ++c) {
    Bin& bin = cache.bins[c];
    if (bin.base == nullptr) continue;
    pool_.free(cache.array(static_cast<ClassIndex>(c)), cache.room[c] * sizeof(Taken));
    bin.base = bin.top = bin.limit = nullptr;
    cache.room[c] = 0;
    cache.met[c] = ThreadCache::Met::kNothing;
  }
  cache.capacity_bytes = 0;
}

std::uint8_t ThreadCaches::choose_shard(Heap& heap, ThreadCache& cache, ClassIndex c) noexcept {
  const Nodes& nodes = heap.page_heap().nodes();
  if (nodes.several()) [[unlikely]]
    follow_node(nodes, cache);
  if (!heap.central(c, cache.shard).busy()) [[likely]]
    return cache.shard;
  const unsigned count = nodes.count();
  const unsigned next = (cache.shard + count) % most_shards(count);
  open_shard(next);
  cache.shard = static_cast<std::uint8_t>(next);
  return cache.shard;
}

void ThreadCaches::open_shard(unsigned shard) noexcept {
  if (shard < shards()) return;
  os::MutexLock hold(lock_);  // fork must not miss a list
  if (shard >= shards_) __atomic_store_n(&shards_, shard + 1, __ATOMIC_RELAXED);
}

// After the worker has taken objects from the bottom: the others move there. Top comes first: the
// child of a fork in between finds fewer objects, not such as the worker took.
void ThreadCaches::settle(ThreadCache& cache, ClassIndex c) noexcept {
  Bin& bin = cache.bins[c];
  Taken* const array = cache.array(c);
  if (bin.base == array) return;
  const std::uint32_t size = bin.size();
  std::copy(bin.base, bin.top, array);
  set_top(bin, array + size);
  __atomic_store_n(&bin.base, array, __ATOMIC_RELEASE);
}

bool ThreadCaches::refill(Heap& heap, ThreadCache& cache, ClassIndex c) noexcept {
  const os::OwnerHold hold(cache.lock);
  Bin& bin = cache.bins[c];
  if (!is_dry(bin)) return true;  // the worker had claimed what it then left
  settle(cache, c);
  if (__atomic_load_n(&orphans_, __ATOMIC_RELAXED) != 0) adopt_orphan(heap);
  if (heap.sparse().due(heap.page_heap()) &&
      (!heap.worker().urge() || heap.sparse().overdue(heap.page_heap()))) {
    heap.sparse().step(heap);
  }
  const bool small =
      cache.room[c] * kSizeClasses[c].object_bytes <= ThreadCache::kFreeGrowthBytes / 2;
  if (small || cache.met[c] == ThreadCache::Met::kFull) static_cast<void>(enlarge(cache, c));
  if (cache.room[c] == 0) return false;
  cache.met[c] = ThreadCache::Met::kDry;
  const std::uint32_t want = std::max(cache.room[c] / 2u, 1u);
  std::uint32_t got = heap.transfers().of(c, heap.page_heap().nodes()).take(bin.base, want);
  if (got == 0) {
    const std::uint8_t shard = choose_shard(heap, cache, c);
    got = heap.central(c, shard).fetch(heap.page_heap(), c, shard, bin.base, want);
    std::reverse(bin.base, bin.base + got);  // the lowest address is popped first
  }
  set_top(bin, bin.base + got);
  trim_if_due(heap, cache, std::uint64_t{got} * kSizeClasses[c].object_bytes);
  heap.worker().notify();
  return bin.top != bin.base;
}

void ThreadCaches::overflow(Heap& heap, ThreadCache& cache, ClassIndex c) noexcept {
  const os::OwnerHold hold(cache.lock);
  Bin& bin = cache.bins[c];
  settle(cache, c);
  if (bin.top != bin.limit) return;
  const bool grows = cache.room[c] == 0 || cache.met[c] == ThreadCache::Met::kDry;
  cache.met[c] = ThreadCache::Met::kFull;
  if (grows && enlarge(cache, c)) return;
  if (cache.room[c] == 0) return;
  const std::uint32_t count = std::max(bin.size() / 2, 1u);
  give_bottom(heap, bin, c, count);
  trim_if_due(heap, cache, std::uint64_t{count} * kSizeClasses[c].object_bytes);
  heap.worker().notify();
}

// Gives back the objects that were cached longest. To the central lists they leave the bin before
// they change hands: the child of a fork at that moment loses them, but never finds one that a
// list has too.
void ThreadCaches::give_bottom(Heap& heap, Bin& bin, ClassIndex c, std::uint32_t count) noexcept {
  const Nodes& nodes = heap.page_heap().nodes();
  std::uint32_t near = count;
  if (nodes.several()) [[unlikely]]
    near = sort_by_node(heap.page_heap(), bin, count);
  TransferCaches& transfers = heap.transfers();
  count -= transfers.of(c, nodes).put(bin, c, near, transfers.room(), heap.page_heap().limit());
  constexpr std::uint32_t kBatch = 64;
  std::array<Taken, kBatch> batch;
  while (count > 0) {
    const std::uint32_t n = std::min(count, kBatch);
    std::copy_n(bin.base, n, batch.begin());
    std::copy(bin.base + n, bin.top, bin.base);
    set_top(bin, bin.top - n);
    for (std::uint32_t given = 0; given < n;) given += heap.give(&batch[given], n - given);
    count -= n;
  }
}

std::uint64_t ThreadCaches::budget() const noexcept {
  const std::uint64_t threads =
      std::max<std::uint64_t>(__atomic_load_n(&count_, __ATOMIC_RELAXED), 1);
  return std::clamp(ThreadCache::kAllCachesBytes / threads, ThreadCache::kMinCacheBytes,
                    ThreadCache::kMaxCacheBytes);
}

void ThreadCaches::trim_if_due(Heap& heap, ThreadCache& cache, std::uint64_t moved_bytes) noexcept {
  const bool scarce = heap.page_heap().limit().is_above_soft();
  const std::uint64_t most = scarce ? budget() / kScarceShare : budget();
  cache.flow_bytes += moved_bytes;
  if (cache.flow_bytes < most / 2) return;
  cache.flow_bytes = 0;
  std::uint64_t total = 0;
  for (std::size_t c = 1; c < kClassCount; ++c) {
    total += std::uint64_t{cache.bins[c].size()} * kSizeClasses[c].object_bytes;
  }
  if (total <= most) return;
  // From the largest objects down, so that few lists are visited.
  const std::uint64_t least = most - most / 4;
  for (std::size_t c = kClassCount; --c > 0 && total > least;) {
    Bin& bin = cache.bins[c];
    const std::uint64_t fits = div_ceil(total - least, kSizeClasses[c].object_bytes);
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(bin.size(), fits));
    give_bottom(heap, bin, static_cast<ClassIndex>(c), count);
    total -= std::uint64_t{count} * kSizeClasses[c].object_bytes;
  }
}

void ThreadCaches::give_everything(Heap& heap, ThreadCache& cache) noexcept {
  for (std::size_t c = 1; c < kClassCount; ++c) {
    Bin& bin = cache.bins[c];
    if (bin.size() > 0) give_bottom(heap, bin, static_cast<ClassIndex>(c), bin.size());
  }
}

void ThreadCaches::empty(Heap& heap, ThreadCache& cache) noexcept {
  const os::OwnerHold hold(cache.lock);
  give_everything(heap, cache);
}

// The owner's lock is held until the cache is gone, so that the worker leaves it alone.
void ThreadCaches::destroy(Heap& heap, ThreadCache& cache) noexcept {
  empty(heap, cache);
  cache.lock.enter();
  os::MutexLock hold(lock_);
  if (cache.prev != nullptr)
    cache.prev->next = cache.next;
  else
    first_ = cache.next;
  if (cache.next != nullptr) cache.next->prev = cache.prev;
  __atomic_store_n(&count_, count_ - 1, __ATOMIC_RELAXED);
  for (std::size_t c = 1; c < kClassCount; ++c) {
    Bin& bin = cache.bins[c];
    __atomic_fetch_add(&ended_frees_[c], bin.frees, __ATOMIC_RELAXED);
    if (bin.base != nullptr)
      pool_.free(cache.array(static_cast<ClassIndex>(c)), cache.room[c] * sizeof(Taken));
  }
  pool_.free(&cache, sizeof(ThreadCache));
}

void ThreadCaches::end_this_thread(Heap& heap) noexcept {
  if (!has_own_cache()) return;
  ThreadCache* cache = t_cache;
  t_cache = &g_bypass;
  if (cache->owner_thread == os::process_id()) heap.worker().main_thread_ends();
  destroy(heap, *cache);
  heap.worker().notify();
}

ThreadCaches::BinTotals ThreadCaches::totals(ClassIndex c) noexcept {
  os::MutexLock hold(lock_);
  BinTotals sum;
  sum.frees = __atomic_load_n(&ended_frees_[c], __ATOMIC_RELAXED);
  for (const ThreadCache* cache = first_; cache != nullptr; cache = cache->next) {
    const Bin& bin = cache->bins[c];
    // Top and base may come from before and after a change of the array: then it counts as empty.
    const std::uint64_t objects = objects_in(bin);
    if (objects <= ThreadCache::kMaxBinObjects) sum.cached += objects;
    sum.frees += load_frees(bin);
  }
  return sum;
}

std::uint64_t ThreadCaches::count() noexcept {
  os::MutexLock hold(lock_);
  return count_;
}

Bytes ThreadCaches::metadata_bytes() noexcept {
  os::MutexLock hold(lock_);
  return pool_.mapped_bytes();
}

Bytes ThreadCaches::touched_bytes() noexcept {
  os::MutexLock hold(lock_);
  return pool_.touched_bytes();
}

void ThreadCaches::orphan_others() noexcept {
  os::MutexLock hold(lock_);
  ++forks_;
  std::uint64_t mine = 0;
  if (has_own_cache()) {
    t_cache->forks = forks_;
    t_cache->owner_thread = os::kernel_thread_id();
    mine = 1;
  }
  __atomic_store_n(&orphans_, static_cast<std::uint32_t>(count_ - mine), __ATOMIC_RELAXED);
}

// An orphan's thread was stopped anywhere: an entry may be live already though still in its array
// (malloc had not returned), or cached and in no array (that object is lost to the child), or in it
// twice, or half of two (give_bottom was shifting). The first kind is taken back, of the second to
// last kind one is kept, the last is dropped.
void ThreadCaches::repair(const PageMap& map, Bin& bin) noexcept {
  Taken* top = bin.base;
  for (const Taken* entry = bin.base; is_below(entry, bin.top); ++entry) {
    Span* span = map.span_for_first_page(Addr(entry->object).n);
    if (span == nullptr || &span->states()[span->index_of(Addr(entry->object).n)] != entry->state)
      continue;
    const std::uint8_t state = load_state(*entry->state);
    if (state == kSeen || (state & kTakenBit) == 0) continue;
    store_state(*entry->state, kSeen);
    *top++ = *entry;
  }
  set_top(bin, top);
  for (Taken* entry = bin.base; entry != top; ++entry) store_state(*entry->state, kCached);
}

void ThreadCaches::adopt_orphan(Heap& heap) noexcept {
  ThreadCache* orphan = nullptr;
  {
    os::MutexLock hold(lock_);
    for (orphan = first_; orphan != nullptr && orphan->forks == forks_;) orphan = orphan->next;
    if (orphan == nullptr) {
      __atomic_store_n(&orphans_, 0u, __ATOMIC_RELAXED);
      return;
    }
    orphan->forks = forks_;  // this thread's now
    orphan->lock.reinitialize();
    orphan->lock.enter();
    __atomic_store_n(&orphans_, orphans_ - 1, __ATOMIC_RELAXED);
  }
  for (Bin& bin : orphan->bins) repair(heap.page_heap().map(), bin);
  orphan->lock.leave();
  destroy(heap, *orphan);
}

}  // namespace ream
