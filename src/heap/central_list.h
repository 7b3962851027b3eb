// A central list: the spans of one size class that have free objects, shared by threads. Thread
// caches fetch and return objects here in batches.
//
// To scale past one lock a class has several lists (shards), each with spans of its own. A thread
// stays with one shard until it finds the lock taken, then moves to the next; so a program with one
// busy thread packs everything into the first shard. An object returns to the shard of its span. Of
// several memory nodes each has shards of its own, in turns; a thread stays within those of the
// node that it is at.
//
// Within a shard, spans are linked by how full they are, in eighths; objects come from the fullest
// span, lowest address first, so that sparse spans can empty.
//
// A sub-heap has lists of its own (sub_heap.h). They also link the spans without a free object, so
// that all of them can be found when the sub-heap ends.
//
// Thread safety: all functions lock, unless their name says otherwise.
//
// Invariants (is_valid):
//  1. A span with a free object is in list bucket_of(span); one without is in none, or, of a
//     sub-heap, in full_.
//  2. nonempty_ has the bit of each bucket that links a span.
//  3. taken_ = sum of used over the shard's spans; purged_units_ of their purged units.
//
// Lifetime: constant-initialised, never destroyed.
#pragma once

#include <array>
#include <cstdint>

#include "base/annotate.h"
#include "base/config.h"
#include "base/root_access.h"
#include "heap/lock_ranks.h"
#include "os/mutex.h"
#include "span/span.h"

namespace ream {

class PageHeap;
struct SpanOwner;

struct CentralStats {
  std::uint64_t spans = 0;
  std::uint64_t span_pages = 0;
  std::uint64_t taken = 0;    // objects live or in a thread cache
  std::uint64_t objects = 0;  // capacity of the spans
  Bytes purged{};  // of span_pages, without memory behind them: given back, or never used

  CentralStats& operator+=(const CentralStats& more) noexcept {
    spans += more.spans;
    span_pages += more.span_pages;
    taken += more.taken;
    objects += more.objects;
    purged += more.purged;
    return *this;
  }
};

class alignas(kCacheLineBytes) CentralList {
 public:
  constexpr CentralList() noexcept = default;
  explicit constexpr CentralList(SpanOwner& owner) noexcept : owner_(&owner) {}

  // Takes `max` objects, lowest addresses first; fewer only when there is no memory.
  std::uint32_t fetch(PageHeap& pages, ClassIndex c, std::uint8_t shard, Taken* out,
                      std::uint32_t max) noexcept REAM_EXCLUDES(lock_);

  // Gives back the first of the `count` objects in `batch` and those after it while they belong to
  // this list. Returns how many. An object that is free already was freed twice: ends the program.
  std::uint32_t give(PageHeap& pages, const Taken* batch, std::uint32_t count) noexcept
      REAM_EXCLUDES(lock_);

  // Gives the pages of spans without objects back to the page heap. Returns their bytes.
  Bytes release_empty(PageHeap& pages) noexcept REAM_EXCLUDES(lock_);

  // Frees all spans, also those with taken objects. Returns how many objects these were. REQUIRES:
  // the list of a sub-heap that nobody uses any more.
  std::uint64_t release_all(PageHeap& pages) noexcept REAM_EXCLUDES(lock_);

  // Gives memory inside sparse spans back to the OS: looks at up to `spans` of them, sparsest
  // first, other ones each time, and counts those down. Returns the bytes given back.
  Bytes purge_sparse(PageHeap& pages, std::uint32_t& spans) noexcept REAM_EXCLUDES(lock_);

  // A sweep looks once at each span that has free objects, from the sparsest on, and gives back
  // what is free in those that nobody has touched since the sweep before: empty spans whole, of
  // others the units without a taken object. With kAll touched ones too. sweep_next() looks at one
  // span; false when none is left. One thread sweeps at a time.
  enum class Sweep : bool { kUntouched, kAll };
  void begin_sweep() noexcept REAM_EXCLUDES(lock_);
  [[nodiscard]] bool sweep_next(PageHeap& pages, Sweep what, Bytes& purged) noexcept
      REAM_EXCLUDES(lock_);
  // Whether a sweep may find something. Without the lock.
  [[nodiscard]] bool wants_sweep() const noexcept {
    return __atomic_load_n(&changed_, __ATOMIC_RELAXED);
  }
  // Memory that was given back inside spans and taken into use again, since this was last asked.
  [[nodiscard]] Bytes take_retaken() noexcept REAM_EXCLUDES(lock_);

  // True if another thread holds the lock at this moment: a hint to use another shard.
  [[nodiscard]] bool busy() const noexcept { return lock_.is_busy(); }

  [[nodiscard]] CentralStats stats() noexcept REAM_EXCLUDES(lock_);
  [[nodiscard]] os::Mutex& lock() noexcept REAM_TSA(lock_returned(lock_)) { return lock_; }

  [[nodiscard]] bool is_valid() noexcept REAM_EXCLUDES(lock_);

 private:
  friend struct inspect::RootAccess;

  static constexpr unsigned kBuckets = 8;
  static constexpr std::uint8_t kUnlinked = 0xff;
  static constexpr unsigned kSparseBuckets = 6;       // below three quarters full
  static constexpr unsigned kEmptySpanPagesKept = 4;  // at most one empty span, and no larger one

  [[nodiscard]] static std::uint8_t bucket_of(const Span& span) noexcept {
    return span.used == span.objects
               ? kUnlinked
               : static_cast<std::uint8_t>(span.used * kBuckets / span.objects);
  }
  struct List {
    Span* first = nullptr;
    Span* last = nullptr;
  };

  // Whether a span without a free object is in a list too.
  [[nodiscard]] bool links_full() const noexcept { return owner_ != nullptr; }
  [[nodiscard]] List& list_of(const Span& span) noexcept REAM_REQUIRES(lock_) {
    return span.bucket == kUnlinked ? full_ : buckets_[span.bucket];
  }
  void link(Span& span) noexcept REAM_REQUIRES(lock_);
  void link_last(Span& span) noexcept REAM_REQUIRES(lock_);
  void unlink(Span& span) noexcept REAM_REQUIRES(lock_);
  void relink_if_moved(Span& span) noexcept REAM_REQUIRES(lock_);
  [[nodiscard]] Span* fullest() const noexcept REAM_REQUIRES(lock_);
  [[nodiscard]] bool keeps_empty(const Span& span) const noexcept REAM_REQUIRES(lock_);
  // Takes an empty span out of this list, onto a chain of spans to be freed without the lock.
  void set_aside(Span& span, Span*& emptied) noexcept REAM_REQUIRES(lock_);
  // After objects of a span were given back.
  void put_back(Span& span, Span*& emptied) noexcept REAM_REQUIRES(lock_);
  [[nodiscard]] Bytes purge_inside(PageHeap& pages, Span& span) noexcept REAM_REQUIRES(lock_);
  void note_change() noexcept REAM_REQUIRES(lock_) {
    __atomic_store_n(&changed_, true, __ATOMIC_RELAXED);
  }

  os::Mutex lock_{rank::kCentral};
  SpanOwner* const owner_ = nullptr;  // of its spans: the sub-heap, or null
  std::uint8_t nonempty_ REAM_GUARDED_BY(lock_) = 0;
  std::array<List, kBuckets> buckets_ REAM_GUARDED_BY(lock_){};
  List full_ REAM_GUARDED_BY(lock_){};
  std::uint32_t empty_spans_ REAM_GUARDED_BY(lock_) = 0;
  std::uint64_t spans_ REAM_GUARDED_BY(lock_) = 0;
  std::uint64_t taken_ REAM_GUARDED_BY(lock_) = 0;
  std::uint64_t capacity_ REAM_GUARDED_BY(lock_) = 0;
  std::uint64_t pages_ REAM_GUARDED_BY(lock_) = 0;
  // The sweep: the span that comes next, and its bucket.
  Span* next_swept_ REAM_GUARDED_BY(lock_) = nullptr;
  unsigned swept_bucket_ REAM_GUARDED_BY(lock_) = 0;
  std::uint64_t purged_units_ REAM_GUARDED_BY(lock_) = 0;
  std::uint64_t retaken_units_ REAM_GUARDED_BY(lock_) = 0;
  bool changed_ = false;  // since a sweep last found nothing; changes under lock_, read without
};

}  // namespace ream
