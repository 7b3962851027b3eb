// Large objects on the page heap: spans of one object that can be resized and moved.
#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"
#include "heap/dirty_runs.h"
#include "heap/page_heap.h"
#include "heap/page_units.h"

namespace ream {

void PageHeap::link_large(Span& span) noexcept {
  span.prev = nullptr;
  span.next = large_;
  if (large_ != nullptr) large_->prev = &span;
  large_ = &span;
  ++counts_.large_objects;
  counts_.large_live += Bytes(span.bytes());
}

void PageHeap::unlink_large(Span& span) noexcept {
  (span.prev != nullptr ? span.prev->next : large_) = span.next;
  if (span.next != nullptr) span.next->prev = span.prev;
  --counts_.large_objects;
  counts_.large_live -= Bytes(span.bytes());
}

// Ends what moving pages has left of a mapping's history: the range becomes like one never used,
// which the OS can join with its neighbours. Best effort; the contents do not matter.
void PageHeap::renew_if_moved(const Span& span, Addr base, Bytes bytes) const noexcept {
  if (!span.moved || is_pooled(base, bytes)) return;
  const std::uint64_t page = os::os_page_size().n;
  const Addr first(round_up(base.n, page));
  const Addr last(round_down((base + bytes).n, page));
  if (first < last) static_cast<void>(os::renew(first, last - first));
}

Span* PageHeap::new_large_span_locked(Pages pages, const Where& where, Bytes requested,
                                      DirtyRuns* dirty) noexcept {
  Span* span = new_span_metadata(1);
  if (span == nullptr) return nullptr;
  const Run run = allocate_run(pages, where, dirty);
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
    span = new_large_span_locked(pages_for(bytes), {.align = pages_for(alignment)}, bytes,
                                 zeroed ? &dirty : nullptr);
  }
  if (span != nullptr) dirty.clear(!is_pooled(Addr(span->base), Bytes(span->bytes())));
  purge_if_due();
  return span;
}

bool PageHeap::resize_in_place(Span& span, Bytes bytes) noexcept {
  if (bytes.n > kMaxObjectBytes) return false;
  {
    os::MutexLock hold(lock_);
    if (!resize_locked(span, pages_for(bytes))) return false;
    span.requested_bytes = bytes.n;
  }
  purge_if_due();
  return true;
}

bool PageHeap::resize_locked(Span& span, Pages want) noexcept {
  const Pages have(span.pages);
  const Addr base(span.base);
  WindowAlloc& window = windows_[window_of(base)];
  if (want > have) {
    if (!limit_.admits(bytes_of(want - have))) return false;
    if (!window.try_extend(base, have, want)) return false;
    in_use_ += want - have;
  } else if (want < have) {
    renew_if_moved(span, base + bytes_of(want), bytes_of(have - want));
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

namespace {

// The OS moves what is one mapping to it. Where a range is several, its halves are tried; small
// rests are copied. True if nothing was: then `from` is not resident any more.
bool move_or_copy(Addr from, Addr to, Bytes bytes) noexcept {
  constexpr Bytes kCopied = 1_MiB;
  if (os::move_pages(from, to, bytes)) return true;
  if (bytes <= kCopied) {
    std::memcpy(to.ptr(), from.ptr(), bytes.n);
    return false;
  }
  const Bytes half(round_up(bytes.n / 2, os::os_page_size().n));
  const bool first = move_or_copy(from, to, half);
  return move_or_copy(from + half, to + half, bytes - half) && first;
}

}  // namespace

Span* PageHeap::move_pages(Span& span, Bytes bytes, Bytes room) noexcept {
  const Pages want = pages_for(bytes);
  const Bytes moved(std::min<std::uint64_t>(want.n << kPageShift, span.bytes()));
  const Bytes os_page = os::os_page_size();  // what moves is whole pages of the OS
  if (!is_aligned(span.base | moved.n, os_page.n)) return nullptr;
  if (is_pooled(Addr(span.base), Bytes(span.bytes()))) return nullptr;
  const Pages align = pages_for(os_page);
  Span* to = nullptr;
  {
    os::MutexLock hold(lock_);
    if (moved_spans_ >= kMaxMovedSpans) return nullptr;
    to = new_large_span_locked(want, {align, pages_for(room), moved}, bytes, nullptr);
    if (to == nullptr) to = new_large_span_locked(want, {align, {}, moved}, bytes, nullptr);
    if (to == nullptr) return nullptr;
    if (is_pooled(Addr(to->base), Bytes(to->bytes()))) {
      free_span_locked(*to);
      return nullptr;
    }
    to->moved = true;
    ++moved_spans_;
  }
  const Addr from(span.base);
  const bool left_nothing = move_or_copy(from, Addr(to->base), moved);  // both are ours: no lock
  {
    os::MutexLock hold(lock_);
    free_span_locked(span);
    if (left_nothing && windows_[window_of(from)].mark_scavenged(from, pages_for(moved))) publish();
  }
  purge_if_due();
  return to;
}

}  // namespace ream
