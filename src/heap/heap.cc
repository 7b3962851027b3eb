#include "heap/heap.h"

#include <algorithm>
#include <cstring>

#include "heap/heap_start.h"

namespace ream {

constinit Heap g_heap;

void* Heap::allocate_uncached(std::size_t bytes) noexcept {
  bool zero = false;
  if (bytes <= kMaxSmallBytes) return allocate_slow(class_of(bytes), zero);
  return allocate_large(bytes, kMinAlignment, false);
}

void Heap::before_growth() noexcept {
  start_heap();
  worker_.start_if_due(page_heap_.size());
  if (page_heap_.limit().is_above_soft()) relieve_without_worker();
}

void* Heap::allocate_slow(ClassIndex c, bool& zero) noexcept {
  settle_overdraft(t_cache->bins[c]);  // before anything allocates
  before_growth();
  for (unsigned attempt = 0;;) {
    // Making a cache may allocate, and so fill the bin already.
    ThreadCache& cache = caches_.get();
    Bin& bin = cache.bins[c];
    if (!is_dry(bin) || (!cache.bypass && caches_.refill(*this, cache, c))) {
      const Taken* entry = pop(bin);
      if (entry != nullptr) return make_live(*entry, zero);
      settle_overdraft(bin);  // the worker was faster
      continue;
    }
    void* object = allocate_bypassing(c, zero);
    if (object != nullptr) return object;
    if (!make_room(Bytes(std::uint64_t{kSizeClasses[c].span_pages} << kPageShift), attempt))
      return nullptr;
  }
}

void* Heap::allocate_bypassing(ClassIndex c, bool& zero) noexcept {
  Taken taken;
  const unsigned shard = page_heap_.nodes().here();
  caches_.open_shard(shard);
  if (central(c, shard).fetch(page_heap_, c, static_cast<std::uint8_t>(shard), &taken, 1) == 0)
    return nullptr;
  return make_live(taken, zero);
}

void Heap::free_bypassing(const LiveObject& object) noexcept {
  const ClassIndex c = object.span->size_class;  // the span may be gone after the object
  store_state(*object.state, kCached);
  const Taken taken{object.address, object.state};
  give(&taken, 1);
  caches_.count_free(c);
  worker_.notify();
}

void Heap::free_slow(void* address) noexcept {
  if (address == nullptr) return;
  start_heap();
  const LiveObject object = live_object(page_heap_, address, kFreeTexts);
  if (object.span->is_owned()) return free_owned(object);
  if (object.span->is_large()) return free_large(object);
  ThreadCache& cache = caches_.get();
  if (cache.bypass) return free_bypassing(object);
  const ClassIndex c = object.span->size_class;
  Bin& bin = cache.bins[c];
  if (is_full(bin)) caches_.overflow(*this, cache, c);
  if (is_full(bin)) return free_bypassing(object);
  push_freed(bin, top_of(bin), {object.address, object.state});
}

void Heap::free_sized(void* address, std::size_t bytes) noexcept {
  if (address == nullptr) return;
  const LiveObject object = live_object(page_heap_, address, kFreeTexts);
  if (object.span->usable_bytes() < bytes)
    fatal_at("free_sized with a wrong size", Addr(address).n);
  free(address);
}

void* Heap::allocate_zeroed(std::size_t bytes) noexcept {
  if (bytes > kMaxSmallBytes) return allocate_large(bytes, kMinAlignment, true);
  bool zero = false;
  void* object = allocate_class(class_of(bytes), zero);
  if (object != nullptr && !zero) std::memset(object, 0, bytes);
  return object;
}

void* Heap::allocate_aligned(std::size_t bytes, std::size_t alignment) noexcept {
  const ClassIndex c = class_of_aligned(bytes, alignment);
  bool zero = false;
  if (c != kLargeClass) return allocate_class(c, zero);
  return allocate_large(bytes, alignment, false);
}

std::size_t Heap::usable_size(const void* object) noexcept {
  return live_object(page_heap_, object, kUsableTexts).span->usable_bytes();
}

void Heap::reclaim() noexcept {
  while (Span* span = large_cache_.evict()) page_heap_.free_span(*span);
  ThreadCache& cache = caches_.get();
  if (!cache.bypass) caches_.empty(*this, cache);
  transfers_.give_all(*this);
  for (unsigned s = 0; s < caches_.shards(); ++s) {
    for (CentralList& list : central_[s]) list.release_empty(page_heap_);
  }
  sub_heaps_.release_empty(page_heap_);
}

Bytes Heap::trim() noexcept {
  caches_.take_all(*this);
  reclaim();
  const Bytes inside = sparse_.all(*this);
  return inside + page_heap_.purge_all();
}

bool Heap::tidy(const WorkBudget& budget) noexcept {
  follow_group(MemoryLimit::kFollowNs);
  MemoryLimit& limit = page_heap_.limit();
  const bool pressed = hear_pressure();
  relieve();
  // Who is not woken by pressure is to see whether it lasts.
  bool clean = !limit.is_above_soft() && !limit.is_pressed() && !pressed;
  const std::uint64_t now_ns = os::now_ns();
  const Bytes in_use = page_heap_.in_use();
  const std::uint64_t age_ns = page_heap_.pace_window_ns() / PurgePace::kSlots * 3;
  if (!caches_.take_idle(*this, budget, now_ns)) clean = false;
  if (!transfers_.give_idle(*this, budget, now_ns)) clean = false;
  while (Span* span = large_cache_.evict_aged(now_ns, age_ns, clean)) page_heap_.free_span(*span);
  while (sparse_.due(page_heap_) && !budget.is_spent()) sparse_.step(*this);
  if (!sparse_.sweep(*this, budget)) clean = false;
  page_heap_.discount_since(in_use);
  if (!page_heap_.give_back_excess(budget)) clean = false;
  if (!page_heap_.collapse_dense(budget)) clean = false;
  if (clean && limit.follows()) pressure_.listen();
  return clean;
}

ClassStats Heap::class_stats(ClassIndex c) noexcept {
  ClassStats sum;
  sum.object_bytes = kSizeClasses[c].object_bytes;
  CentralStats lists = sub_heaps_.stats(c);
  for (unsigned s = 0; s < caches_.shards(); ++s) lists += central(c, s).stats();
  sum.spans = lists.spans;
  sum.span_bytes = lists.span_pages * kPageBytes;
  sum.purged = lists.purged;
  const ThreadCaches::BinTotals bins = caches_.totals(c);
  sum.cached = std::min(bins.cached + transfers_.cached(c), lists.taken);
  sum.live = lists.taken - sum.cached;
  sum.free = lists.objects - lists.taken;
  sum.nfree = bins.frees;
  sum.nmalloc = sum.nfree + sum.live;
  return sum;
}

HeapStats Heap::stats() noexcept {
  // The parts are read one after another: a span that goes into the cache or leaves it meanwhile
  // must not make a difference negative.
  const LargeCache::Stats large = large_cache_.stats();
  const PageHeapStats pages = page_heap_.stats();
  HeapStats sum;
  for (std::size_t c = 1; c < kClassCount; ++c) {
    const ClassStats k = class_stats(static_cast<ClassIndex>(c));
    sum.small_live += Bytes(k.live * k.object_bytes);
    sum.cached += Bytes(k.cached * k.object_bytes);
    sum.live_objects += k.live;
    sum.nmalloc += k.nmalloc;
    sum.nfree += k.nfree;
    sum.inside_purged += k.purged;
  }
  sum.cached += large.bytes;
  sum.large_live = pages.large_live - std::min(large.bytes, pages.large_live);
  sum.size = sum.small_live + sum.large_live;
  sum.max = pages.peak_in_use;
  sum.in_use = pages.in_use;
  sum.free = pages.free;
  sum.scavenged = pages.scavenged;
  sum.grown = pages.grown;
  sum.metadata = pages.metadata + caches_.metadata_bytes() + transfers_.metadata_bytes();
  sum.metadata_touched =
      pages.metadata_touched + caches_.touched_bytes() + transfers_.touched_bytes();
  sum.large_objects = pages.large_objects - std::min(large.spans, pages.large_objects);
  sum.live_objects += sum.large_objects;
  sum.nmalloc += pages.large_mallocs + large.hits;
  sum.nfree += pages.large_frees + large.hits + large.spans;
  sum.threads = caches_.count();
  sum.pressures = page_heap_.limit().pressures();
  sum.huge_pages = pages.huge_pages;
  sum.node_count = pages.node_count;
  sum.nodes = pages.nodes;
  sum.placements_refused = pages.placements_refused;
  sum.purged_bytes = pages.purged_bytes + sparse_.purged_bytes().n;
  return sum;
}

bool Heap::is_valid() noexcept {
  for (auto& shards : central_) {
    for (CentralList& list : shards) {
      if (!list.is_valid()) return false;
    }
  }
  return transfers_.is_valid() && sub_heaps_.is_valid() && page_heap_.is_valid();
}

}  // namespace ream
