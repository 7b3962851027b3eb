#include "heap/central_list.h"

#include <bit>

#include "base/check.h"
#include "heap/page_heap.h"

namespace ream {

void CentralList::link(Span& span) noexcept {
  const std::uint8_t bucket = bucket_of(span);
  span.bucket = bucket;
  if (bucket == kUnlinked) return;
  span.prev = nullptr;
  span.next = buckets_[bucket];
  if (span.next != nullptr) span.next->prev = &span;
  buckets_[bucket] = &span;
  nonempty_ = static_cast<std::uint8_t>(nonempty_ | 1u << bucket);
}

void CentralList::unlink(Span& span) noexcept {
  if (span.bucket == kUnlinked) return;
  Span*& head = buckets_[span.bucket];
  if (span.prev != nullptr)
    span.prev->next = span.next;
  else
    head = span.next;
  if (span.next != nullptr) span.next->prev = span.prev;
  if (head == nullptr) nonempty_ = static_cast<std::uint8_t>(nonempty_ & ~(1u << span.bucket));
  span.bucket = kUnlinked;
}

void CentralList::relink_if_moved(Span& span) noexcept {
  if (bucket_of(span) == span.bucket) return;
  unlink(span);
  link(span);
}

Span* CentralList::fullest() const noexcept {
  return nonempty_ == 0 ? nullptr : buckets_[std::bit_width(nonempty_) - 1u];
}

void CentralList::forget(Span& span) noexcept {
  unlink(span);
  --spans_;
  capacity_ -= span.objects;
  pages_ -= span.pages;
}

std::uint32_t CentralList::fetch(PageHeap& pages, ClassIndex c, std::uint8_t shard, Taken* out,
                                 std::uint32_t max) noexcept {
  std::uint32_t taken = 0;
  lock_.lock();
  while (taken < max) {
    Span* span = fullest();
    if (span == nullptr) {
      lock_.unlock();  // others may fetch and give while the page heap works
      span = pages.new_small_span(c, shard);
      lock_.lock();
      if (span == nullptr) break;
      ++spans_;
      capacity_ += span->objects;
      pages_ += span->pages;
      ++empty_spans_;
      link(*span);
      continue;
    }
    if (span->used == 0) --empty_spans_;
    const std::uint32_t got = take_objects(*span, out + taken, max - taken);
    REAM_CHECK(got > 0);
    taken += got;
    relink_if_moved(*span);
  }
  taken_ += taken;
  lock_.unlock();
  return taken;
}

bool CentralList::keeps_empty(const Span& span) const noexcept {
  return empty_spans_ <= 1 && span.pages <= kEmptySpanPagesKept;
}

std::uint32_t CentralList::give(PageHeap& pages, const Taken* batch, std::uint32_t count) noexcept {
  Span* emptied = nullptr;  // linked through next; freed without the lock
  std::uint32_t given = 0;
  {
    os::MutexLock hold(lock_);
    Span* const first = pages.map().span_for_first_page(Addr(batch[0].object).n);
    for (; given < count; ++given) {
      const Addr object(batch[given].object);
      Span* span = pages.map().span_for_first_page(object.n);
      if (span->shard != first->shard) break;
      if (!give_object(*span, batch[given].state)) fatal_at("double free", object.n);
      if (span->used == 0) {
        ++empty_spans_;
        if (!keeps_empty(*span)) {
          --empty_spans_;
          forget(*span);
          span->next = emptied;
          emptied = span;
          continue;
        }
      }
      relink_if_moved(*span);
    }
    taken_ -= given;
  }
  while (emptied != nullptr) {
    Span* next = emptied->next;
    pages.free_span(*emptied);
    emptied = next;
  }
  return given;
}

Bytes CentralList::release_empty(PageHeap& pages) noexcept {
  Span* emptied = nullptr;
  {
    os::MutexLock hold(lock_);
    Span* next = nullptr;
    for (Span* span = buckets_[0]; span != nullptr; span = next) {
      next = span->next;
      if (span->used != 0) continue;
      --empty_spans_;
      forget(*span);
      span->next = emptied;
      emptied = span;
    }
  }
  Bytes released{};
  while (emptied != nullptr) {
    Span* next = emptied->next;
    released += Bytes(emptied->bytes());
    pages.free_span(*emptied);
    emptied = next;
  }
  return released;
}

CentralStats CentralList::stats() noexcept {
  os::MutexLock hold(lock_);
  return {.spans = spans_, .span_pages = pages_, .taken = taken_, .objects = capacity_};
}

bool CentralList::is_valid() noexcept {
  os::MutexLock hold(lock_);
  std::uint64_t linked_used = 0;
  for (unsigned b = 0; b < kBuckets; ++b) {
    if ((buckets_[b] != nullptr) != ((nonempty_ >> b & 1) != 0)) return false;  // 2
    for (const Span* s = buckets_[b]; s != nullptr; s = s->next) {
      if (s->bucket != b || bucket_of(*s) != b || !ream::is_valid(*s)) return false;  // 1
      linked_used += s->used;
    }
  }
  return linked_used <= taken_ &&
         taken_ <= capacity_;  // 3: spans without free objects are not linked
}

}  // namespace ream
