// Large objects on the page heap: spans of one object that can be resized and moved.
#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"
#include "heap/dirty_runs.h"
#include "heap/page_heap.h"
#include "heap/page_units.h"

namespace ream {

Span*& PageHeap::large_list_of(const Span& span) noexcept {
  SpanOwner* const owner = owner_of(span);
  return owner != nullptr ? owner->large : large_;
}

void PageHeap::link_large(Span& span) noexcept {
  Span*& first = large_list_of(span);
  span.prev = nullptr;
  span.next = first;
  if (first != nullptr) first->prev = &span;
  first = &span;
  if (SpanOwner* owner = owner_of(span)) owner->large_bytes += Bytes(span.bytes());
  ++counts_.large_objects;
  counts_.large_live += Bytes(span.bytes());
}

void PageHeap::unlink_large(Span& span) noexcept {
  (span.prev != nullptr ? span.prev->next : large_list_of(span)) = span.next;
  if (span.next != nullptr) span.next->prev = span.prev;
  if (SpanOwner* owner = owner_of(span)) owner->large_bytes -= Bytes(span.bytes());
  --counts_.large_objects;
  counts_.large_live -= Bytes(span.bytes());
}

// Ends what moving pages has left of a mapping's history: the range becomes like one never used,
// which the OS can join with its neighbours. Best effort; the contents do not matter.
void PageHeap::renew_if_moved(const Span& span, Addr base, Bytes bytes) noexcept {
  if (!span.moved || is_pooled(base, bytes)) return;
  const std::uint64_t page = os::os_page_size().n;
  const Addr first(round_up(base.n, page));
  const Addr last(round_down((base + bytes).n, page));
  if (first >= last) return;
  static_cast<void>(os::renew(first, last - first));
  nodes_.place(node_of(first), first, last - first);
}

Span* PageHeap::new_large_span_locked(Pages pages, const Where& where, Bytes requested,
                                      DirtyRuns* dirty, SpanOwner* owner) noexcept {
  Span* span = new_span_metadata(1);
  if (span == nullptr) return nullptr;
  const Run run = allocate_run(pages, where, dirty);
  if (run.base == Addr()) {
    free_span_metadata(*span, 1);
    return nullptr;
  }
  init_large_span(*span, run.base, pages, requested);
  if (owner != nullptr) {
    span->shard = kOwnedShards;
    span->set_owner(owner);
    store_state(span->states()[0], kLiveOwned);
  }
  map_.enter(*span);
  link_large(*span);
  ++counts_.large_mallocs;
  return span;
}

Span* PageHeap::new_large_span(Bytes bytes, Bytes alignment, bool zeroed,
                               SpanOwner* owner) noexcept {
  if (bytes.n > kMaxObjectBytes || alignment.n > kMaxAlignment) return nullptr;
  const Bytes charged = bytes_of(pages_for(bytes));
  if (owner != nullptr && !owner->budget.charge(charged)) return nullptr;
  const Where where{.align = pages_for(alignment), .node = nodes_.here()};
  DirtyRuns dirty;
  Span* span = nullptr;
  {
    os::MutexLock hold(lock_);
    span = new_large_span_locked(pages_for(bytes), where, bytes, zeroed ? &dirty : nullptr, owner);
  }
  if (span != nullptr) dirty.clear(!is_pooled(Addr(span->base), Bytes(span->bytes())));
  if (span == nullptr && owner != nullptr) owner->budget.refund(charged);
  purge_if_due();
  return span;
}

void PageHeap::free_large_of(SpanOwner& owner) noexcept {
  for (;;) {
    Span* span = nullptr;
    {
      os::MutexLock hold(lock_);
      span = owner.large;
    }
    if (span == nullptr) return;
    free_span(*span);
  }
}

bool PageHeap::resize_in_place(Span& span, Bytes bytes) noexcept {
  if (bytes.n > kMaxObjectBytes) return false;
  const Pages want = pages_for(bytes);
  const Pages have(span.pages);
  SpanOwner* const owner = owner_of(span);
  const Bytes added = bytes_of(want - std::min(want, have));
  if (owner != nullptr && !owner->budget.charge(added)) return false;
  bool resized = false;
  {
    os::MutexLock hold(lock_);
    resized = resize_locked(span, want);
    if (resized) span.requested_bytes = bytes.n;
  }
  const Bytes unused = resized ? bytes_of(have - std::min(want, have)) : added;
  if (owner != nullptr) owner->budget.refund(unused);
  purge_if_due();
  return resized;
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
  if (SpanOwner* owner = owner_of(span)) {
    owner->large_bytes += bytes_of(want);
    owner->large_bytes -= bytes_of(have);
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

Span* PageHeap::new_moved_span(Pages pages, Where where, Bytes requested,
                               SpanOwner* owner) noexcept {
  os::MutexLock hold(lock_);
  if (moved_spans_ >= kMaxMovedSpans) return nullptr;
  Span* to = new_large_span_locked(pages, where, requested, nullptr, owner);
  where.room = {};
  if (to == nullptr) to = new_large_span_locked(pages, where, requested, nullptr, owner);
  if (to == nullptr) return nullptr;
  if (is_pooled(Addr(to->base), Bytes(to->bytes()))) {
    free_span_locked(*to);
    return nullptr;
  }
  to->moved = true;
  ++moved_spans_;
  return to;
}

Span* PageHeap::move_pages(Span& span, Bytes bytes, Bytes room) noexcept {
  const Pages want = pages_for(bytes);
  const Bytes have(span.bytes());
  const Bytes moved = std::min(bytes_of(want), have);
  // What moves is whole pages of the OS.
  if (!is_aligned(span.base | moved.n, os::os_page_size().n)) return nullptr;
  if (is_pooled(Addr(span.base), have)) return nullptr;
  SpanOwner* const owner = owner_of(span);
  const Bytes added = bytes_of(want) - moved;
  if (owner != nullptr && !owner->budget.charge(added)) return nullptr;
  const Where where{.align = pages_for(os::os_page_size()),
                    .room = pages_for(room),
                    .moving = moved,
                    .node = node_of(Addr(span.base))};  // where its memory is
  Span* const to = new_moved_span(want, where, bytes, owner);
  if (to == nullptr) {
    if (owner != nullptr) owner->budget.refund(added);
    return nullptr;
  }
  const Addr from(span.base);
  const bool left_nothing = move_or_copy(from, Addr(to->base), moved);  // both are ours: no lock
  // What moves is placed as it was. That was elsewhere if the run is not where it was asked for.
  if (node_of(Addr(to->base)) != where.node)
    nodes_.place(node_of(Addr(to->base)), Addr(to->base), moved);
  {
    os::MutexLock hold(lock_);
    free_span_locked(span);
    if (left_nothing && windows_[window_of(from)].mark_scavenged(from, pages_for(moved))) publish();
  }
  if (owner != nullptr) owner->budget.refund(have - moved);
  purge_if_due();
  return to;
}

}  // namespace ream
