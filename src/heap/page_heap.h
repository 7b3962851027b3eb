// The page heap: address space from the OS, pages from the page layer, spans on them.
//
//   new_span --> PageAlloc<HeapWindow>::alloc --(none fits)--> grow: os::map_at --> PageAlloc::grow
//
// The 48-bit address space is divided into windows of 16 TiB; a window gets its page allocator when
// the heap first grows into it. The heap grows upwards from one address, around what others have
// mapped, and takes whatever the OS offers when that fails. Where the machine has several memory
// nodes each has windows of its own: the heap grows upwards in each, and a span lies where the
// thread is that asks for it (docs/numa.md).
//
// Thread safety: every public function locks unless it says otherwise. The lock is taken once for a
// span, never for an object of a size class.
//
// Invariants (is_valid):
//  1. in_use_ = pages that the windows' allocators count as allocated.
//  2. Every page in use belongs to exactly one span, and the page map knows it.
//  3. Pages in use + free pages not given back stay near what PurgePace allows.
//  4. A span of a sub-heap is paid for from its budget while it exists.
//  5. What limit() says of pages and metadata is true whenever the lock is free. No run of pages is
//     handed out whose fresh part it does not admit.
//  6. A window with an allocator belongs to one node, and never changes it.
//
// Lifetime: constant-initialised, never destroyed.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/annotate.h"
#include "base/root_access.h"
#include "base/units.h"
#include "heap/dirty_runs.h"
#include "heap/huge_page_policy.h"
#include "heap/lock_ranks.h"
#include "heap/memory_limit.h"
#include "heap/nodes.h"
#include "heap/pooled_regions.h"
#include "heap/purge_pace.h"
#include "heap/span_owner.h"
#include "heap/work_budget.h"
#include "os/os.h"
#include "page/page_alloc.h"
#include "span/meta_pool.h"
#include "span/page_map.h"
#include "span/span.h"

namespace ream {

class Worker;

using WindowAlloc = page::PageAlloc<page::HeapWindow>;

// Sums over all windows.
struct PageHeapStats {
  Bytes grown{};             // address space taken from the OS for objects
  Bytes in_use{};            // pages that belong to a span
  Bytes free{};              // free, perhaps resident
  Bytes scavenged{};         // free and given back
  Bytes metadata{};          // spans, page map, page allocators; resident only where touched
  Bytes metadata_touched{};  // about what of it is
  Bytes large_live{};        // usable bytes of live large objects
  Bytes peak_in_use{};
  std::uint64_t large_objects = 0;
  std::uint64_t large_mallocs = 0;
  std::uint64_t large_frees = 0;
  std::uint64_t grows = 0;
  std::uint64_t purged_bytes = 0;  // in total, over time
  unsigned node_count = 0;
  std::array<NodeStats, Nodes::kMost> nodes{};
  std::uint64_t placements_refused = 0;  // by the kernel: of ranges that were to be a node's
  HugePageStats huge_pages;
};

class PageHeap {
 public:
  static constexpr std::size_t kWindows =
      std::size_t{1} << (PageMap::kAddressBits - page::HeapWindow::kAddressBits);

  // What a single object may take: a window, less a page so that sums of sizes do not overflow.
  static constexpr std::uint64_t kMaxObjectBytes =
      (std::uint64_t{1} << page::HeapWindow::kAddressBits) - kPageBytes;
  static constexpr std::uint64_t kMaxAlignment = std::uint64_t{1}
                                                 << 34;  // what the page layer aligns to

  static constexpr std::uint32_t kMaxMovedSpans = 4096;

  // Keeps the memory of these nodes apart from now on. REQUIRES: called once at most.
  void use_nodes(const os::NumaNodes& nodes) noexcept;
  [[nodiscard]] const Nodes& nodes() const noexcept { return nodes_; }
  // Lock-free: the node of an address that the heap has grown to.
  [[nodiscard]] unsigned node_of(Addr address) const noexcept {
    return __atomic_load_n(&window_owner_[window_of(address)], __ATOMIC_RELAXED) - 1u;
  }

  // A span of a size class, with all objects free, at the shard's node if that has memory; with an
  // owner, at this thread's. Null when there is none, or the owner's budget does not allow it.
  // REQUIRES: with an owner, the shard has kOwnedShards.
  [[nodiscard]] Span* new_small_span(ClassIndex c, std::uint8_t shard,
                                     SpanOwner* owner = nullptr) noexcept REAM_EXCLUDES(lock_);

  // A live large object of at least `bytes`, at a multiple of `alignment` (a power of two). With
  // `zeroed` it reads as zero; what is known to be zero is not touched. Null when there is no
  // memory, or the owner's budget does not allow it. It lies at the node of this thread, if that
  // has memory.
  [[nodiscard]] Span* new_large_span(Bytes bytes, Bytes alignment, bool zeroed,
                                     SpanOwner* owner = nullptr) noexcept REAM_EXCLUDES(lock_);

  // Gives a span's pages back. REQUIRES: the caller owns it: a small span with no taken object, or
  // a large one whose state the caller changed from live, or any of an owner that ends.
  void free_span(Span& span) noexcept REAM_EXCLUDES(lock_);
  // Gives back all large spans of an owner that ends.
  void free_large_of(SpanOwner& owner) noexcept REAM_EXCLUDES(lock_);

  // Makes a large span `pages` long where it lies. False, and unchanged, if its neighbour is in
  // use, or its owner's budget does not allow it.
  [[nodiscard]] bool resize_in_place(Span& span, Bytes bytes) noexcept REAM_EXCLUDES(lock_);

  // Moves a large object to a longer span without copying, and frees the old one. There are `room`
  // free bytes behind it if that can be had. Of its owner's budget it takes what is added. Null,
  // and unchanged, when there is no memory, or when kMaxMovedSpans live ones came that way: each
  // may cost the process two mappings of its own.
  [[nodiscard]] Span* move_pages(Span& span, Bytes bytes, Bytes room) noexcept REAM_EXCLUDES(lock_);

  // Gives back what exceeds the pace at this moment, until the budget is spent. False if there was
  // more, or time alone may make more of what is free exceed it.
  [[nodiscard]] bool give_back_excess(const WorkBudget& budget) noexcept REAM_EXCLUDES(lock_);

  // What the worker has freed, since it was unused for long, does not count as needed of late:
  // pages that were in use before it began, and are not any more.
  [[nodiscard]] Bytes in_use() noexcept REAM_EXCLUDES(lock_);
  void discount_since(Bytes in_use_before) noexcept REAM_EXCLUDES(lock_);

  // Memory inside spans was given back, or taken into use again: the pace learns from it.
  void count_inside(Bytes given, Bytes taken) noexcept REAM_EXCLUDES(lock_);
  // To be called before memory of spans is given back: huge pages of which a part stays are split.
  void before_purge(Addr base, Bytes bytes) noexcept REAM_EXCLUDES(lock_) {
    if (huge_pages_.may_matter(base, bytes)) [[unlikely]]
      split_huge_pages(base, bytes);
  }

  // Whether a range lies on pages of the system's pool, of which no part can be given back or
  // moved.
  [[nodiscard]] bool is_pooled(Addr base, Bytes bytes) const noexcept {
    return pooled_.holds_any(base, bytes);
  }

  // What the worker does for huge pages (huge_page_policy.h): a part of a look at all regions,
  // until the budget is spent. Looks begin two fifths of the pace's window apart. False if there
  // was more to do, or a later look may find something.
  [[nodiscard]] bool collapse_dense(const WorkBudget& budget) noexcept REAM_EXCLUDES(lock_);

  // May be changed at any time; what the heap has is brought in line as far as the OS allows it.
  void set_huge_page_mode(HugePageMode mode) noexcept REAM_EXCLUDES(lock_);
  [[nodiscard]] HugePageMode huge_page_mode() const noexcept { return huge_pages_.mode(); }

  // The time over which the pace remembers.
  [[nodiscard]] std::uint64_t pace_window_ns() noexcept REAM_EXCLUDES(lock_);

  // Lock-free: address space taken from the OS so far.
  [[nodiscard]] Bytes size() const noexcept { return Bytes(size_.load(std::memory_order_relaxed)); }
  // From now on what exceeds the pace is `worker`'s to give back; until then, a slice of it is done
  // on the way of whoever frees or grows.
  void set_worker(Worker* worker) noexcept { worker_.store(worker, std::memory_order_relaxed); }

  // Gives free pages back until the limit admits `more` resident bytes. False when it does not,
  // with nothing left to give back.
  bool make_room(Bytes more) noexcept REAM_EXCLUDES(lock_);
  // The limits of resident memory. Who changes them calls limit_changed().
  [[nodiscard]] MemoryLimit& limit() noexcept { return limit_; }
  void limit_changed() noexcept REAM_EXCLUDES(lock_);

  // Gives every free page back to the OS now. Returns how much.
  Bytes purge_all() noexcept REAM_EXCLUDES(lock_);

  // Calls visit(span) for each live large object that belongs to no sub-heap, under the lock.
  template <class Visit>
  void for_each_large(Visit visit) noexcept REAM_EXCLUDES(lock_) {
    os::MutexLock hold(lock_);
    for (const Span* s = large_; s != nullptr; s = s->next) {
      if (load_state(s->states()[0]) == kLive) visit(*s);  // not those that LargeCache keeps
    }
  }

  [[nodiscard]] PageHeapStats stats() noexcept REAM_EXCLUDES(lock_);

  // Memory for the descriptions of sub-heaps, as MetaPool gives it.
  [[nodiscard]] void* allocate_metadata(std::size_t bytes) noexcept REAM_EXCLUDES(lock_);
  void free_metadata(void* block, std::size_t bytes) noexcept REAM_EXCLUDES(lock_);

  // Bytes that became resident as small spans were made, or ahead of them, since they were last
  // taken.
  [[nodiscard]] std::uint64_t fresh_span_bytes() const noexcept {
    return fresh_span_bytes_.load(std::memory_order_relaxed);
  }
  std::uint64_t take_fresh_span_bytes() noexcept {
    return fresh_span_bytes_.exchange(0, std::memory_order_relaxed);
  }

  // Lock-free: whether an address lies between the lowest and the highest that the heap has grown
  // to in its window. For messages.
  [[nodiscard]] bool may_own(Addr address) const noexcept;

  // Lock-free: any address to its span, or null.
  [[nodiscard]] const PageMap& map() const noexcept { return map_; }

  void after_fork_in_child() noexcept REAM_EXCLUDES(lock_);

  // For the handlers of fork and for readers that know what they do.
  [[nodiscard]] os::Mutex& lock() noexcept REAM_TSA(lock_returned(lock_)) { return lock_; }
  [[nodiscard]] const WindowAlloc* window(std::size_t i) const noexcept
      REAM_NO_THREAD_SAFETY_ANALYSIS {
    return ready_[i] ? &windows_[i] : nullptr;
  }

  [[nodiscard]] bool is_valid() noexcept REAM_EXCLUDES(lock_);

 private:
  friend struct inspect::RootAccess;

  struct Run {
    Addr base{};
    bool zero = false;     // all of it reads as zero
    Bytes scavenged{};     // what of it is not resident
    bool refused = false;  // there is one, but the limit does not admit it
  };

  // What is asked of a run's place.
  struct Where {
    Pages align{1};
    Pages room{};    // free pages behind it
    Bytes moving{};  // resident memory that the run takes over from another, by mremap
    unsigned node = 0;
    bool elsewhere = false;  // at any node but this
  };

  // With `dirty`, notes there what of the run may not read as zero.
  [[nodiscard]] Run allocate_run(Pages pages, const Where& where, DirtyRuns* dirty) noexcept
      REAM_REQUIRES(lock_);
  [[nodiscard]] Run find_run(Pages pages, const Where& where, DirtyRuns* dirty) noexcept
      REAM_REQUIRES(lock_);
  // The same where find_run found nothing.
  [[nodiscard]] Run find_run_anew(Pages pages, const Where& where, DirtyRuns* dirty) noexcept
      REAM_REQUIRES(lock_);
  // Where an OS page is several pages: what shares one with pages in use is resident too.
  void note_backed_neighbours(WindowAlloc& window, Addr base, Pages pages) noexcept
      REAM_REQUIRES(lock_);
  void free_run(Addr base, Pages pages) noexcept REAM_REQUIRES(lock_);

  // Of huge pages (page_heap_huge.cc).
  REAM_COLD void split_huge_pages(Addr base, Bytes bytes) noexcept REAM_EXCLUDES(lock_);
  void note_growth(Addr base, Bytes bytes, Pages asked) noexcept REAM_REQUIRES(lock_);
  void adopt_old_growth() noexcept REAM_REQUIRES(lock_);
  struct HugeBlock {
    Addr base{};
    std::uint32_t ready = 0;  // bit i: its i-th region is to be collapsed
  };
  [[nodiscard]] bool next_block(HugeBlock& block) noexcept REAM_EXCLUDES(lock_);
  [[nodiscard]] HugePagePolicy::Outcome collapse(Addr region) noexcept REAM_EXCLUDES(lock_);

  // What is asked of new address space.
  struct Growth {
    Bytes align;
    Pages asked;  // of it, by the request
    unsigned node;
  };
  enum class Source : std::uint8_t { kOrdinary, kPool };
  [[nodiscard]] bool grow(Pages pages, Pages align, unsigned node) noexcept REAM_REQUIRES(lock_);
  [[nodiscard]] bool grow_by(Bytes bytes, const Growth& growth, Source source) noexcept
      REAM_REQUIRES(lock_);
  // With `after`, where the node's part of the heap is to grow next.
  [[nodiscard]] Addr map_somewhere(Bytes bytes, const Growth& growth, Source source,
                                   Addr& after) noexcept REAM_REQUIRES(lock_);
  // A window that is new becomes the node's.
  [[nodiscard]] bool adopt(Addr base, Bytes bytes, unsigned node) noexcept REAM_REQUIRES(lock_);

  // Of nodes (page_heap_nodes.cc).
  // The first address from `hint` on that is in no window of another node.
  [[nodiscard]] Addr past_windows_of_others(Addr hint, unsigned node) const noexcept
      REAM_REQUIRES(lock_);
  [[nodiscard]] std::size_t dirtiest_window() const noexcept REAM_REQUIRES(lock_);
  void add_node_stats(PageHeapStats& sum) const noexcept REAM_REQUIRES(lock_);

  // Of the system's pool of huge pages (page_heap_pool.cc).
  [[nodiscard]] bool grow_from_pool(Bytes need, const Growth& growth) noexcept REAM_REQUIRES(lock_);
  // Makes a run that nobody else has read as zero. Returns how much of it the OS took.
  Bytes clear_or_purge(Addr base, Bytes bytes) noexcept;
  [[nodiscard]] bool is_free_of_pool(const WindowAlloc& window, Addr region) const noexcept
      REAM_REQUIRES(lock_);
  // What is free as a whole, of a grown range or of all, becomes ordinary memory that is not
  // resident. Returns how much.
  Bytes give_back_to_pool(WindowAlloc& window, Addr base, Bytes bytes) noexcept
      REAM_REQUIRES(lock_);
  Bytes give_back_to_pool() noexcept REAM_EXCLUDES(lock_);

  // Pace: what changes the use of pages notes it under the lock; what exceeds goes back without it.
  void keep_pace() noexcept REAM_REQUIRES(lock_);
  [[nodiscard]] Bytes excess() const noexcept REAM_REQUIRES(lock_);
  [[nodiscard]] Bytes retained() const noexcept REAM_REQUIRES(lock_);
  // Settles one run of up to about `want`: it reads as zero then. `settled` is its size, 0 when
  // there is none or another thread is at it (busy); `given_back` what the OS took of it.
  struct Purged {
    Bytes settled{};
    Bytes given_back{};
    bool busy = false;
  };
  Purged purge_some(Bytes want) noexcept REAM_EXCLUDES(lock_);
  void purge_if_due() noexcept REAM_EXCLUDES(lock_);
  // Tells the limit what is resident.
  void publish() noexcept REAM_REQUIRES(lock_);
  [[nodiscard]] Pages unscavenged_free() const noexcept REAM_REQUIRES(lock_);

  [[nodiscard]] Span* new_span_metadata(std::size_t objects) noexcept REAM_REQUIRES(lock_);
  void free_span_metadata(Span& span, std::size_t objects) noexcept REAM_REQUIRES(lock_);
  [[nodiscard]] Span* new_small_span_locked(ClassIndex c, std::uint8_t shard,
                                            SpanOwner* owner) noexcept REAM_REQUIRES(lock_);
  [[nodiscard]] Span* new_large_span_locked(Pages pages, const Where& where, Bytes requested,
                                            DirtyRuns* dirty, SpanOwner* owner) noexcept
      REAM_REQUIRES(lock_);
  [[nodiscard]] Span* new_moved_span(Pages pages, Where where, Bytes requested,
                                     SpanOwner* owner) noexcept REAM_EXCLUDES(lock_);
  void keep_purged(const Span& span) noexcept REAM_REQUIRES(lock_);
  void free_span_locked(Span& span) noexcept REAM_REQUIRES(lock_);
  bool resize_locked(Span& span, Pages want) noexcept REAM_REQUIRES(lock_);
  void renew_if_moved(const Span& span, Addr base, Bytes bytes) noexcept;
  [[nodiscard]] Span*& large_list_of(const Span& span) noexcept REAM_REQUIRES(lock_);
  void link_large(Span& span) noexcept REAM_REQUIRES(lock_);
  void unlink_large(Span& span) noexcept REAM_REQUIRES(lock_);

  [[nodiscard]] static std::size_t window_of(Addr a) noexcept {
    return a.n >> page::HeapWindow::kAddressBits;
  }

  // Lowest and highest addresses the heap has grown to in a window. Written under lock_.
  struct Grown {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  os::Mutex lock_{rank::kPageHeap};
  PageMap map_;
  std::array<WindowAlloc, kWindows> windows_ REAM_GUARDED_BY(lock_);
  std::array<bool, kWindows> ready_{};
  std::array<Grown, kWindows> grown_{};
  // One more than the node of each window, 0 before it is ready; written under lock_.
  std::array<std::uint8_t, kWindows> window_owner_{};
  Nodes nodes_;
  MetaPool span_pool_ REAM_GUARDED_BY(lock_);
  PurgePace pace_ REAM_GUARDED_BY(lock_);
  MetaPool sub_heap_pool_ REAM_GUARDED_BY(lock_);  // apart, so that a block of spans stays one
  // Large objects that belong to no sub-heap, newest first.
  Span* large_ REAM_GUARDED_BY(lock_) = nullptr;
  std::array<Addr, Nodes::kMost> next_ REAM_GUARDED_BY(lock_){};  // where each node grows next
  // Nodes that could not grow when they last tried.
  std::array<bool, Nodes::kMost> starved_ REAM_GUARDED_BY(lock_){};
  WindowAlloc::PurgeRun purging_
      REAM_GUARDED_BY(lock_);  // out of the allocator while the OS takes it
  enum Due : std::uint8_t { kNotDue, kDue, kOverdue };
  std::atomic<Due> purge_due_{kNotDue};
  std::atomic<Worker*> worker_{nullptr};
  MemoryLimit limit_;
  std::atomic<std::uint64_t> size_{0};
  HugePagePolicy huge_pages_;                          // its own comment says what needs lock_
  PooledRegions pooled_;                               // likewise
  unsigned pool_pause_ REAM_GUARDED_BY(lock_) = 0;     // growths that do not ask the pool
  unsigned pool_refusals_ REAM_GUARDED_BY(lock_) = 0;  // in a row
  std::uint32_t pool_given_back_ REAM_GUARDED_BY(lock_) = 0;  // times
  Addr looked_at_{};                    // the worker's: where the look at all regions goes on
  std::uint64_t look_begin_ns_ = 0;     // likewise: when it began
  std::uint64_t collapse_next_ns_ = 0;  // likewise: not before
  Pages in_use_at_look_{};              // likewise
  bool looks_end_ = false;              // likewise: no later look will find anything, so far
  std::uint32_t moved_spans_ REAM_GUARDED_BY(lock_) = 0;  // live spans with the moved mark
  Pages in_use_ REAM_GUARDED_BY(lock_);
  std::atomic<std::uint64_t> fresh_span_bytes_{0};
  PageHeapStats counts_ REAM_GUARDED_BY(lock_);
};

}  // namespace ream
