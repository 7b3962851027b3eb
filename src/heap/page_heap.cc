#include "heap/page_heap.h"

#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"
#include "heap/dirty_runs.h"
#include "heap/options.h"
#include "heap/page_environment.h"

namespace ream {
namespace {

using page::Allocation;

// Growth begins here: above what programs map low, far below where the OS maps by itself.
constexpr Addr kFirstAddress{0x00c0'0000'0000};
constexpr Bytes kChunkBytes = 4_MiB;
constexpr Bytes kMaxGrowth = 64_MiB;  // beyond what a request needs
constexpr int kGrowthAttempts = 8;    // holes tried before the OS may choose
constexpr Bytes kMaxPurge = 16_MiB;   // at a time, on the way of a caller

void* map_metadata(Bytes bytes) noexcept {
  return os::map_anywhere(bytes, os::os_page_size()).ptr();
}

constexpr Pages pages_for(Bytes bytes) noexcept {
  return Pages(std::max<std::uint64_t>(div_ceil(bytes.n, kPageBytes), 1));
}
// Ends what moving pages has left of a mapping's history: the range becomes like one never used,
// which the OS can join with its neighbours. Best effort; the contents do not matter.
void renew(Addr base, Bytes bytes) noexcept {
  if (os::decommit(base, bytes)) REAM_CHECK(os::commit(base, bytes));
}

constexpr Bytes bytes_of(Pages pages) noexcept { return Bytes(pages.n << kPageShift); }

}  // namespace

PageHeap::Run PageHeap::find_run(Pages pages, Pages align, DirtyRuns* dirty) noexcept {
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (!ready_[i]) continue;
    WindowAlloc& window = windows_[i];
    if (dirty == nullptr) {
      const Allocation got = window.alloc(pages, align);
      if (got) return {got.base, got.scavenged == bytes_of(pages)};
      continue;
    }
    // In two steps, since allocating forgets which pages were given back.
    const Addr base = window.find_aligned(pages, align);
    if (base == Addr()) continue;
    window.for_each_unscavenged(
        base, pages, [dirty](Addr run, Pages n) noexcept { dirty->add(run, bytes_of(n)); });
    REAM_CHECK(window.alloc_range(base, pages));
    return {base, dirty->count() == 0};
  }
  return {};
}

PageHeap::Run PageHeap::allocate_run(Pages pages, Pages align, DirtyRuns* dirty) noexcept {
  Run run = find_run(pages, align, dirty);
  if (run.base == Addr() && grow(pages, align)) run = find_run(pages, align, dirty);
  if (run.base == Addr()) return {};
  in_use_ += pages;
  counts_.peak_in_use = std::max(counts_.peak_in_use, bytes_of(in_use_));
  keep_pace();
  return run;
}

void PageHeap::free_run(Addr base, Pages pages) noexcept {
  REAM_CHECK(windows_[window_of(base)].free(base, pages));
  in_use_ -= pages;
  keep_pace();
}

// Growth in large steps costs address space only, so the step follows the heap's size; what the
// system refuses is asked for again in the smallest step that serves the request.
bool PageHeap::grow(Pages pages, Pages align) noexcept {
  const Bytes alignment = std::max(bytes_of(align), kChunkBytes);
  const Bytes need(round_up(bytes_of(pages).n, kChunkBytes.n));
  const Bytes ahead(round_down(std::min(counts_.grown.n / 8, kMaxGrowth.n), kChunkBytes.n));
  return grow_by(std::max(need, ahead), alignment) || grow_by(need, alignment);
}

bool PageHeap::grow_by(Bytes bytes, Bytes align) noexcept {
  const Addr base = map_somewhere(bytes, align);
  if (base == Addr()) return false;
  if (!adopt(base, bytes)) {
    os::release(base, bytes);
    return false;
  }
  ++counts_.grows;
  counts_.grown += bytes;
  return true;
}

Addr PageHeap::map_somewhere(Bytes bytes, Bytes align) noexcept {
  if (next_ == Addr()) next_ = kFirstAddress;
  Addr hint(round_up(next_.n, align.n));
  for (int attempt = 0; attempt < kGrowthAttempts && hint != Addr(); ++attempt) {
    if (os::map_at(hint, bytes) == hint) {
      next_ = hint + bytes;
      return hint;
    }
    const Addr hole = os::find_unmapped(bytes, align, hint);
    if (hole == hint) break;  // it is free, and the system still refuses: a limit, not a neighbour
    hint = hole;
  }
  return os::map_anywhere(bytes, align);
}

bool PageHeap::adopt(Addr base, Bytes bytes) noexcept {
  const std::size_t first = window_of(base);
  if (first >= kWindows || window_of(base + bytes - 1_B) != first) return false;
  if (!ready_[first]) {
    if (windows_[first].init(page_environment(), Addr(first << page::HeapWindow::kAddressBits)) !=
        page::InitResult::kOk) {
      return false;
    }
    ready_[first] = true;
  }
  if (!map_.cover(base, bytes, map_metadata) ||
      windows_[first].grow(base, bytes) != page::GrowResult::kOk) {
    return false;
  }
  Grown& grown = grown_[first];
  __atomic_store_n(&grown.begin, grown.end == 0 ? base.n : std::min(grown.begin, base.n),
                   __ATOMIC_RELAXED);
  __atomic_store_n(&grown.end, std::max(grown.end, (base + bytes).n), __ATOMIC_RELAXED);
  return true;
}

Span* PageHeap::new_span_metadata(std::size_t objects) noexcept {
  return static_cast<Span*>(span_pool_.allocate(span_metadata_bytes(objects), map_metadata));
}

void PageHeap::free_span_metadata(Span& span, std::size_t objects) noexcept {
  span_pool_.free(&span, span_metadata_bytes(objects));
}

Span* PageHeap::new_small_span(ClassIndex c, std::uint8_t shard) noexcept {
  const SizeClass& k = kSizeClasses[c];
  os::MutexLock hold(lock_);
  Span* span = new_span_metadata(k.objects);
  if (span == nullptr) return nullptr;
  const Run run = allocate_run(Pages(k.span_pages), 1_pages, nullptr);
  if (run.base == Addr()) {
    free_span_metadata(*span, k.objects);
    return nullptr;
  }
  init_small_span(*span, run.base, c, shard, run.zero);
  map_.enter(*span);
  return span;
}

Span* PageHeap::new_large_span_locked(Pages pages, Pages align, Bytes requested,
                                      DirtyRuns* dirty) noexcept {
  Span* span = new_span_metadata(1);
  if (span == nullptr) return nullptr;
  const Run run = allocate_run(pages, align, dirty);
  if (run.base == Addr()) {
    free_span_metadata(*span, 1);
    return nullptr;
  }
  init_large_span(*span, run.base, pages, requested);
  map_.enter(*span);
  link_large(*span);
  ++counts_.large_mallocs;
  return span;
}

Span* PageHeap::new_large_span(Bytes bytes, Bytes alignment, bool zeroed) noexcept {
  if (bytes.n > kMaxObjectBytes || alignment.n > kMaxAlignment) return nullptr;
  DirtyRuns dirty;
  Span* span = nullptr;
  {
    os::MutexLock hold(lock_);
    span = new_large_span_locked(pages_for(bytes), pages_for(alignment), bytes,
                                 zeroed ? &dirty : nullptr);
  }
  dirty.clear();
  return span;
}

void PageHeap::free_span(Span& span) noexcept {
  os::MutexLock hold(lock_);
  free_span_locked(span);
}

void PageHeap::free_span_locked(Span& span) noexcept {
  map_.remove(span);
  if (span.is_large()) {
    unlink_large(span);
    ++counts_.large_frees;
    if (span.moved) renew(Addr(span.base), Bytes(span.bytes()));
  }
  free_run(Addr(span.base), Pages(span.pages));
  free_span_metadata(span, span.objects);
}

bool PageHeap::resize_in_place(Span& span, Bytes bytes) noexcept {
  if (bytes.n > kMaxObjectBytes) return false;
  os::MutexLock hold(lock_);
  if (!resize_locked(span, pages_for(bytes))) return false;
  span.requested_bytes = bytes.n;
  return true;
}

bool PageHeap::resize_locked(Span& span, Pages want) noexcept {
  const Pages have(span.pages);
  const Addr base(span.base);
  WindowAlloc& window = windows_[window_of(base)];
  if (want > have) {
    if (!window.try_extend(base, have, want)) return false;
    in_use_ += want - have;
  } else if (want < have) {
    if (span.moved) renew(base + bytes_of(want), bytes_of(have - want));
    REAM_CHECK(window.shrink(base, have, want));
    in_use_ -= have - want;
  } else {
    return true;
  }
  counts_.large_live += bytes_of(want);
  counts_.large_live -= bytes_of(have);
  counts_.peak_in_use = std::max(counts_.peak_in_use, bytes_of(in_use_));
  span.pages = static_cast<std::uint32_t>(want.n);
  map_.resize(span, have);
  keep_pace();
  return true;
}

Span* PageHeap::move_pages(Span& span, Bytes bytes, Bytes room) noexcept {
  const Pages want = pages_for(bytes);
  const Bytes moved(std::min<std::uint64_t>(want.n << kPageShift, span.bytes()));
  os::MutexLock hold(lock_);
  Span* to = new_large_span_locked(want + pages_for(room), 1_pages, bytes, nullptr);
  if (to == nullptr) to = new_large_span_locked(want, 1_pages, bytes, nullptr);
  if (to == nullptr) return nullptr;
  resize_locked(*to, want);
  if (!os::move_pages(Addr(span.base), Addr(to->base), moved)) {
    free_span_locked(*to);
    return nullptr;
  }
  to->moved = true;
  free_span_locked(span);
  return to;
}

void PageHeap::keep_pace() noexcept {
  pace_.note(bytes_of(in_use_), os::now_ns());
  const Bytes resident = bytes_of(in_use_ + unscavenged_free());
  const Bytes allowed = pace_.allowed() + options().retain;
  if (resident > allowed) purge(std::min(resident - allowed, kMaxPurge));
}

Pages PageHeap::unscavenged_free() const noexcept {
  Pages sum{};
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (ready_[i]) sum += windows_[i].unscavenged_free_pages();
  }
  return sum;
}

Bytes PageHeap::purge(Bytes bytes) noexcept {
  Bytes done{};
  for (std::size_t i = kWindows; i-- > 0 && done < bytes;) {
    if (ready_[i]) done += windows_[i].scavenge(bytes - done);
  }
  counts_.purged_bytes += done.n;
  return done;
}

Bytes PageHeap::purge_all() noexcept {
  os::MutexLock hold(lock_);
  return purge(Bytes(~0ULL));
}

PageHeapStats PageHeap::stats() noexcept {
  os::MutexLock hold(lock_);
  PageHeapStats sum = counts_;
  sum.in_use = bytes_of(in_use_);
  sum.free = sum.grown - sum.in_use;
  sum.scavenged = sum.free - bytes_of(unscavenged_free());
  sum.metadata = span_pool_.mapped_bytes() + map_.metadata_bytes();
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (ready_[i]) sum.metadata += windows_[i].metadata().committed;
  }
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
    if (!ready_[i]) continue;
    if (!windows_[i].is_valid()) return false;
    in_use += windows_[i].total_grown_pages() - windows_[i].free_pages_total();
  }
  return in_use == in_use_;
}

}  // namespace ream
