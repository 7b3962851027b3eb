#include "heap/central_list.h"

#include <bit>
#include <utility>

#include "base/check.h"
#include "heap/page_heap.h"
#include "os/os.h"

namespace ream {
namespace {

// Gives the free units of a span back, where they make up whole OS pages: in one system call, where
// the system can. What it refuses is left.
Bytes purge_units(PageHeap& pages, Span& span) noexcept {
  if (pages.is_pooled(Addr(span.base), Bytes(span.bytes()))) return {};
  const std::uint64_t page = os::os_page_size().n;
  std::array<os::MemoryRange, 32> runs;  // of 64 units there are no more
  std::size_t count = 0;
  for (std::uint64_t units = purgeable_units(span); units != 0;) {
    const auto first = static_cast<unsigned>(std::countr_zero(units));
    const auto length = static_cast<unsigned>(std::countr_one(units >> first));
    units &= ~bit_range(first, length);
    const std::uint64_t begin = round_up(span.base + (std::uint64_t{first} << kUnitShift), page);
    const std::uint64_t end =
        round_down(span.base + (std::uint64_t{first + length} << kUnitShift), page);
    if (begin >= end) continue;
    runs[count++] = {Addr(begin), Bytes(end - begin)};
    pages.before_purge(Addr(begin), Bytes(end - begin));
  }
  Bytes purged{};
  std::uint64_t units = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t end = i + os::purge_batch(&runs[i], count - i);
    for (; i < end; ++i) {
      const auto first = static_cast<unsigned>((runs[i].base.n - span.base) >> kUnitShift);
      units |= bit_range(first, static_cast<unsigned>(runs[i].bytes.n >> kUnitShift));
      purged += runs[i].bytes;
    }
  }
  if (units != 0) mark_purged(span, units);
  return purged;
}

// Frees a chain that set_aside made. Returns its bytes. REQUIRES: no central list's lock is held.
Bytes free_spans(PageHeap& pages, Span* emptied) noexcept {
  Bytes freed{};
  while (emptied != nullptr) {
    Span* next = emptied->next;
    freed += Bytes(emptied->bytes());
    pages.free_span(*emptied);
    emptied = next;
  }
  return freed;
}

// How many of `want` objects of a span with purged units may be taken, given what becomes resident.
std::uint32_t admitted(const MemoryLimit& limit, const Span& span, std::uint32_t want) noexcept {
  if (limit.admits(unused_inside(span))) [[likely]]
    return want;
  constexpr std::uint64_t kUnits = std::uint64_t{2} << kUnitShift;  // that an object's ends lie in
  return limit.admits(Bytes(span.object_bytes + kUnits)) ? 1 : 0;
}

}  // namespace

void CentralList::link(Span& span) noexcept {
  span.bucket = bucket_of(span);
  if (span.bucket == kUnlinked && !links_full()) return;
  List& list = list_of(span);
  span.prev = nullptr;
  span.next = list.first;
  (span.next != nullptr ? span.next->prev : list.last) = &span;
  list.first = &span;
  if (span.bucket == kUnlinked) return;
  nonempty_ = static_cast<std::uint8_t>(nonempty_ | 1u << span.bucket);
}

void CentralList::link_last(Span& span) noexcept {
  List& list = buckets_[span.bucket];
  span.next = nullptr;
  span.prev = list.last;
  (span.prev != nullptr ? span.prev->next : list.first) = &span;
  list.last = &span;
  nonempty_ = static_cast<std::uint8_t>(nonempty_ | 1u << span.bucket);
}

void CentralList::unlink(Span& span) noexcept {
  if (span.bucket == kUnlinked && !links_full()) return;
  if (next_swept_ == &span) next_swept_ = span.next;
  List& list = list_of(span);
  (span.prev != nullptr ? span.prev->next : list.first) = span.next;
  (span.next != nullptr ? span.next->prev : list.last) = span.prev;
  if (list.first == nullptr && span.bucket != kUnlinked) {
    nonempty_ = static_cast<std::uint8_t>(nonempty_ & ~(1u << span.bucket));
  }
}

void CentralList::relink_if_moved(Span& span) noexcept {
  if (bucket_of(span) == span.bucket) return;
  unlink(span);
  link(span);
}

Span* CentralList::fullest() const noexcept {
  return nonempty_ == 0 ? nullptr : buckets_[std::bit_width(nonempty_) - 1u].first;
}

void CentralList::set_aside(Span& span, Span*& emptied) noexcept {
  unlink(span);
  --empty_spans_;
  --spans_;
  capacity_ -= span.objects;
  pages_ -= span.pages;
  purged_units_ -= count_bits(span.purged);
  span.next = emptied;
  emptied = &span;
}

Bytes CentralList::purge_inside(PageHeap& pages, Span& span) noexcept {
  const Bytes purged = purge_units(pages, span);
  purged_units_ += purged.n >> kUnitShift;
  pages.limit().add_unused_inside(purged);
  return purged;
}

std::uint32_t CentralList::fetch(PageHeap& pages, ClassIndex c, std::uint8_t shard, Taken* out,
                                 std::uint32_t max) noexcept {
  std::uint32_t taken = 0;
  std::uint32_t counted = 0;  // of these, in taken_
  lock_.lock();
  while (taken < max) {
    Span* span = fullest();
    if (span == nullptr) {
      taken_ += taken - counted;
      counted = taken;
      lock_.unlock();  // others may fetch, give and fork while the page heap works
      span = pages.new_small_span(c, shard, owner_);
      lock_.lock();
      if (span == nullptr) break;
      ++spans_;
      capacity_ += span->objects;
      pages_ += span->pages;
      purged_units_ += count_bits(span->purged);
      ++empty_spans_;
      link(*span);
      continue;
    }
    const std::uint64_t purged = span->purged;
    const std::uint32_t most =
        purged == 0 ? max - taken : admitted(pages.limit(), *span, max - taken);
    if (most == 0) break;
    if (span->used == 0) --empty_spans_;
    const std::uint32_t got = take_objects(*span, out + taken, most);
    if (purged != span->purged) {
      const unsigned retaken = count_bits(purged & ~span->purged);
      pages.limit().subtract_unused_inside(Bytes(std::uint64_t{retaken} << kUnitShift));
      purged_units_ -= retaken;
      if (span->was_purged) retaken_units_ += retaken;
    }
    REAM_CHECK(got > 0);
    taken += got;
    relink_if_moved(*span);
  }
  taken_ += taken - counted;
  note_change();
  lock_.unlock();
  return taken;
}

void CentralList::put_back(Span& span, Span*& emptied) noexcept {
  if (span.used == 0) {
    ++empty_spans_;
    if (!keeps_empty(span)) return set_aside(span, emptied);
  }
  relink_if_moved(span);
}

bool CentralList::keeps_empty(const Span& span) const noexcept {
  return empty_spans_ <= 1 && span.pages <= kEmptySpanPagesKept;
}

// Objects that were allocated together are often freed together, so a span is looked up, and moved
// between lists, once a run of its objects.
std::uint32_t CentralList::give(PageHeap& pages, const Taken* batch, std::uint32_t count) noexcept {
  Span* emptied = nullptr;  // linked through next; freed without the lock
  std::uint32_t given = 0;
  bool freed_twice = false;
  {
    os::MutexLock hold(lock_);
    Span* const first = pages.map().span_for_first_page(Addr(batch[0].object).n);
    Span* span = first;
    do {
      const std::uint32_t n = give_objects(*span, batch + given, count - given);
      freed_twice = n == 0;  // the first is the span's own, so it was free
      if (freed_twice) break;
      put_back(*span, emptied);
      given += n;
      if (given == count) break;
      span = pages.map().span_for_first_page(Addr(batch[given].object).n);
    } while (span->shard == first->shard && span->size_class == first->size_class);
    taken_ -= given;
    note_change();
  }
  // Without the lock, for a handler of SIGABRT may allocate or fork.
  if (freed_twice) fatal_at("double free", Addr(batch[given].object).n);
  free_spans(pages, emptied);
  return given;
}

Bytes CentralList::release_empty(PageHeap& pages) noexcept {
  Span* emptied = nullptr;
  {
    os::MutexLock hold(lock_);
    Span* next = nullptr;
    for (Span* span = buckets_[0].first; span != nullptr; span = next) {
      next = span->next;
      if (span->used == 0) set_aside(*span, emptied);
    }
  }
  return free_spans(pages, emptied);
}

std::uint64_t CentralList::release_all(PageHeap& pages) noexcept {
  Span* emptied = nullptr;
  std::uint64_t taken = 0;
  {
    os::MutexLock hold(lock_);
    for (unsigned b = 0; b <= kBuckets; ++b) {
      const List& list = b < kBuckets ? buckets_[b] : full_;
      while (list.first != nullptr) {
        Span& span = *list.first;
        unlink(span);
        span.next = emptied;
        emptied = &span;
      }
    }
    taken = std::exchange(taken_, 0);
    empty_spans_ = 0;
    spans_ = capacity_ = pages_ = purged_units_ = 0;
  }
  free_spans(pages, emptied);
  return taken;
}

Bytes CentralList::purge_sparse(PageHeap& pages, std::uint32_t& spans) noexcept {
  Bytes purged{};
  os::MutexLock hold(lock_);
  for (unsigned b = 0; b < kSparseBuckets; ++b) {
    const Span* const newest_seen =
        buckets_[b].last;  // the last that was not looked at in this round
    for (bool more = buckets_[b].first != nullptr; more && spans > 0; --spans) {
      Span& span = *buckets_[b].first;
      more = &span != newest_seen;
      purged += purge_inside(pages, span);
      unlink(span);
      link_last(span);
    }
  }
  return purged;
}

void CentralList::begin_sweep() noexcept {
  os::MutexLock hold(lock_);
  swept_bucket_ = 0;
  next_swept_ = buckets_[0].first;
  __atomic_store_n(&changed_, false, __ATOMIC_RELAXED);
}

// Spans that move while the sweep goes on were touched, so it does not matter where they go.
bool CentralList::sweep_next(PageHeap& pages, Sweep what, Bytes& purged) noexcept {
  Span* emptied = nullptr;
  {
    os::MutexLock hold(lock_);
    while (next_swept_ == nullptr) {
      if (swept_bucket_ + 1 >= kBuckets) return false;
      next_swept_ = buckets_[++swept_bucket_].first;
    }
    Span& span = *next_swept_;
    next_swept_ = span.next;
    if (span.touched && what == Sweep::kUntouched) {
      span.touched = false;
      note_change();
    } else if (span.used == 0) {
      set_aside(span, emptied);
    } else {
      purged += purge_inside(pages, span);
    }
  }
  free_spans(pages, emptied);
  return true;
}

Bytes CentralList::take_retaken() noexcept {
  os::MutexLock hold(lock_);
  return Bytes(std::exchange(retaken_units_, 0) << kUnitShift);
}

CentralStats CentralList::stats() noexcept {
  os::MutexLock hold(lock_);
  return {.spans = spans_,
          .span_pages = pages_,
          .taken = taken_,
          .objects = capacity_,
          .purged = Bytes(purged_units_ << kUnitShift)};
}

bool CentralList::is_valid() noexcept {
  os::MutexLock hold(lock_);
  std::uint64_t linked_used = 0;
  std::uint64_t linked_purged = 0;
  for (unsigned b = 0; b < kBuckets; ++b) {
    if ((buckets_[b].first != nullptr) != ((nonempty_ >> b & 1) != 0)) return false;  // 2
    for (const Span* s = buckets_[b].first; s != nullptr; s = s->next) {
      if (s->bucket != b || bucket_of(*s) != b || !ream::is_valid(*s)) return false;  // 1
      linked_used += s->used;
      linked_purged += count_bits(s->purged);
    }
  }
  for (const Span* s = full_.first; s != nullptr; s = s->next) {
    if (s->bucket != kUnlinked || s->used != s->objects || !ream::is_valid(*s)) return false;  // 1
    linked_used += s->used;
  }
  if (links_full()) return linked_used == taken_ && linked_purged == purged_units_;  // 3
  return linked_used <= taken_ && taken_ <= capacity_ &&
         linked_purged <= purged_units_;  // 3: spans without free objects are not linked
}

}  // namespace ream
