#include "heap/page_heap.h"

#include <algorithm>
#include <bit>

#include "base/bits.h"
#include "base/check.h"
#include "heap/dirty_runs.h"
#include "heap/page_units.h"

namespace ream {

using page::Allocation;

PageHeap::Run PageHeap::find_run(Pages pages, const Where& where, DirtyRuns* dirty) noexcept {
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (!ready_[i] || (window_owner_[i] == where.node + 1) == where.elsewhere) continue;
    WindowAlloc& window = windows_[i];
    Allocation got;
    const Bytes bytes = bytes_of(pages);
    const Bytes most_new = bytes - std::min(bytes, where.moving);
    if (dirty == nullptr && where.room == Pages() && limit_.admits(most_new)) {
      got = window.alloc(pages, where.align);
      if (!got) continue;
    } else {
      // In two steps, since allocating forgets which pages were given back.
      const page::Place place = window.find_aligned(pages + where.room, where.align);
      if (!place) continue;
      Bytes resident = where.moving;
      window.for_each_unscavenged(place.base, pages,
                                  [dirty, &resident](Addr run, Pages n) noexcept {
                                    if (dirty != nullptr) dirty->add(run, bytes_of(n));
                                    resident += bytes_of(n);
                                  });
      if (!limit_.admits(bytes - std::min(bytes, resident))) {
        Run none;
        none.refused = true;
        return none;
      }
      got = window.alloc_range(place.base, pages);
      REAM_CHECK(got);
    }
    if (window.scavenge_shape().physical_page > 1) note_backed_neighbours(window, got.base, pages);
    return {got.base, got.scavenged == bytes, got.scavenged, false};
  }
  return {};
}

void PageHeap::note_backed_neighbours(WindowAlloc& window, Addr base, Pages pages) noexcept {
  const std::uint64_t os_page = window.scavenge_shape().physical_page * kPageBytes;
  const Addr end = base + bytes_of(pages);
  const Addr first(round_down(base.n, os_page));
  const Addr last(round_up(end.n, os_page));
  window.mark_backed(first, Pages((base - first).n >> kPageShift));
  window.mark_backed(end, Pages((last - end).n >> kPageShift));
}

PageHeap::Run PageHeap::allocate_run(Pages pages, const Where& where, DirtyRuns* dirty) noexcept {
  // Fits if all that is resident and free were reused; else it is not worth a search, or growth.
  const Bytes reusable = bytes_of(unscavenged_free()) + where.moving;
  const Bytes bytes = bytes_of(pages);
  if (!limit_.admits(bytes - std::min(bytes, reusable))) return {};
  Run run = find_run(pages, where, dirty);
  if (run.base == Addr() && !run.refused) run = find_run_anew(pages, where, dirty);
  if (run.base == Addr()) return {};
  in_use_ += pages;
  if (run.scavenged != Bytes()) pace_.count_taken(run.scavenged);
  if (run.scavenged >= HugePagePolicy::kRegion)
    huge_pages_.on_fresh_span(run.base, bytes_of(pages));
  counts_.peak_in_use = std::max(counts_.peak_in_use, bytes_of(in_use_));
  keep_pace();
  return run;
}

void PageHeap::free_run(Addr base, Pages pages) noexcept {
  REAM_CHECK(windows_[window_of(base)].free(base, pages));
  in_use_ -= pages;
  keep_pace();
}

Span* PageHeap::new_span_metadata(std::size_t objects) noexcept {
  void* block = span_pool_.allocate(kSpanLead + span_metadata_bytes(objects), map_metadata);
  if (block == nullptr) return nullptr;
  return static_cast<Span*>((Addr(block) + Bytes(kSpanLead)).ptr());
}

void PageHeap::free_span_metadata(Span& span, std::size_t objects) noexcept {
  span_pool_.free((Addr(&span) - Bytes(kSpanLead)).ptr(), kSpanLead + span_metadata_bytes(objects));
}

void* PageHeap::allocate_metadata(std::size_t bytes) noexcept {
  os::MutexLock hold(lock_);
  const Bytes before = sub_heap_pool_.mapped_bytes();
  void* block = sub_heap_pool_.allocate(bytes, map_metadata);
  if (sub_heap_pool_.mapped_bytes() != before) publish();
  return block;
}

void PageHeap::free_metadata(void* block, std::size_t bytes) noexcept {
  os::MutexLock hold(lock_);
  sub_heap_pool_.free(block, bytes);
}

Span* PageHeap::new_small_span(ClassIndex c, std::uint8_t shard, SpanOwner* owner) noexcept {
  const Bytes bytes = bytes_of(Pages(kSizeClasses[c].span_pages));
  if (owner != nullptr && !owner->budget.charge(bytes)) return nullptr;
  purge_if_due();
  Span* span = nullptr;
  {
    os::MutexLock hold(lock_);
    span = new_small_span_locked(c, shard, owner);
  }
  if (span == nullptr && owner != nullptr) owner->budget.refund(bytes);
  return span;
}

Span* PageHeap::new_small_span_locked(ClassIndex c, std::uint8_t shard, SpanOwner* owner) noexcept {
  const SizeClass& k = kSizeClasses[c];
  Span* span = new_span_metadata(k.objects);
  if (span == nullptr) return nullptr;
  const unsigned node = owner == nullptr ? nodes_.of_shard(shard) : nodes_.here();
  const Run run = allocate_run(Pages(k.span_pages), {.node = node}, nullptr);
  if (run.base == Addr()) {
    free_span_metadata(*span, k.objects);
    return nullptr;
  }
  init_small_span(*span, run.base, c, shard, run.zero);
  span->set_owner(owner);
  if (run.zero) fresh_span_bytes_.fetch_add(span->bytes(), std::memory_order_relaxed);
  limit_.add_unused_inside(unused_inside(*span));
  map_.enter(*span);
  return span;
}

void PageHeap::free_span(Span& span) noexcept {
  SpanOwner* const owner = owner_of(span);
  const Bytes bytes(span.bytes());
  {
    os::MutexLock hold(lock_);
    free_span_locked(span);
  }
  if (owner != nullptr) owner->budget.refund(bytes);
  purge_if_due();
}

void PageHeap::free_span_locked(Span& span) noexcept {
  map_.remove(span);
  if (span.is_large()) {
    unlink_large(span);
    ++counts_.large_frees;
    if (span.moved) --moved_spans_;
    renew_if_moved(span, Addr(span.base), Bytes(span.bytes()));
  } else {
    limit_.subtract_unused_inside(unused_inside(span));
  }
  free_run(Addr(span.base), Pages(span.pages));
  if (!span.is_large() && span.purged != 0) keep_purged(span);
  free_span_metadata(span, span.objects);
}

// Pages whose units were all purged are scavenged as soon as they are free.
void PageHeap::keep_purged(const Span& span) noexcept {
  constexpr unsigned kUnits = 1u << (kPageShift - kUnitShift);
  static_assert(kUnits == 2);
  const std::uint64_t first_units = span.purged & span.purged >> 1 & 0x5555'5555'5555'5555;
  WindowAlloc& window = windows_[window_of(Addr(span.base))];
  for (std::uint64_t units = first_units | first_units << 1; units != 0;) {
    const auto first = static_cast<unsigned>(std::countr_zero(units));
    const auto count = static_cast<unsigned>(std::countr_one(units >> first));
    units &= ~bit_range(first, count);
    const Addr base(span.base + (std::uint64_t{first} << kUnitShift));
    REAM_CHECK(window.mark_scavenged(base, Pages(count / kUnits)));
  }
  keep_pace();
}

Pages PageHeap::unscavenged_free() const noexcept {
  Pages sum{};
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (ready_[i]) sum += windows_[i].unscavenged_free_pages();
  }
  return sum;
}

PageHeapStats PageHeap::stats() noexcept {
  os::MutexLock hold(lock_);
  PageHeapStats sum = counts_;
  sum.in_use = bytes_of(in_use_);
  sum.huge_pages = huge_pages_.stats();
  sum.huge_pages.pooled = pooled_.count();
  sum.huge_pages.pool_refused = counts_.huge_pages.pool_refused;
  sum.free = sum.grown - sum.in_use;
  sum.scavenged = sum.free - bytes_of(unscavenged_free());
  sum.metadata = span_pool_.mapped_bytes() + sub_heap_pool_.mapped_bytes() + map_.metadata_bytes();
  // The map has a word for each page.
  sum.metadata_touched = span_pool_.touched_bytes() + sub_heap_pool_.touched_bytes() +
                         Bytes(sum.grown.n / kPageBytes * sizeof(void*));
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (!ready_[i]) continue;
    sum.metadata += windows_[i].metadata().committed;
    sum.metadata_touched += windows_[i].metadata().committed;
  }
  add_node_stats(sum);
  return sum;
}

bool PageHeap::may_own(Addr address) const noexcept {
  const std::size_t w = window_of(address);
  if (w >= kWindows) return false;
  const std::uint64_t begin = __atomic_load_n(&grown_[w].begin, __ATOMIC_RELAXED);
  const std::uint64_t end = __atomic_load_n(&grown_[w].end, __ATOMIC_RELAXED);
  return address.n >= begin && address.n < end;
}

bool PageHeap::is_valid() noexcept {
  os::MutexLock hold(lock_);
  Pages in_use{};
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (ready_[i] ? window_owner_[i] == 0 || window_owner_[i] > nodes_.count()
                  : window_owner_[i] != 0)
      return false;  // 6
    if (!ready_[i]) continue;
    if (!windows_[i].is_valid()) return false;
    in_use += windows_[i].total_pages() - windows_[i].free_pages_total();
  }
  const Bytes published = limit_.in_use() + limit_.unused_inside();
  return in_use == in_use_ + purging_.pages &&
         published >= bytes_of(in_use + unscavenged_free());  // 5
}

}  // namespace ream
