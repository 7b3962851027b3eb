// The page allocator: which pages of a window of address space are in use, free, or free and given
// back (scavenged); address-ordered first fit in a bounded number of steps.
//
//   AddrRanges    what was grown                                   addr_ranges.h
//   SummaryTree   free runs of regions: finds where a run fits     summary_tree.h, page_search.h
//   ChunkTable    one bit a page: in use, backed by memory         chunk_table.h, chunk.h
//   ChunkSet      chunks with pages worth giving back              chunk_set.h
//
// A page is taken or freed by changing its chunk's bits, deriving the chunk's new summary from the
// old one (chunk_summary.h), and correcting the tree as far as it changes: mostly, not at all.
//
// Results equal those of the Go runtime's page allocator, operation for operation. Beyond it:
// aligned and top-down search, resizing in place, leases of whole chunks, and refusal of every bad
// argument with nothing changed.
//
// Thread safety: none of its own; the owner holds a lock around every call. Exempt are those of a
// ChunkLease by its lessee, and free_remote(), park() and take_rich(), each thread with a list of
// its own.
//
// Invariants (is_valid):
//  1. No page below search_ is free, save within [freed_lo_, freed_hi_). search_ is in grown
//  memory,
//     or kNoPageIndex.
//  2. free_pages_ and unscavenged_ are the sums over chunks that are not leased.
//  3. The leaf of a chunk is the summary of its bits; of a leased one, 0. Above, see SummaryTree.
//  4. A chunk is in the scavenger's set exactly if its `candidate` mark is set; no leased one is.
//     A parked chunk is a leased one here.
//  5. No run of refused_ or more free pages exists.
//  6. hint_ holds (fit_hint.h).
//
// Lifetime: constant-initialised, all zeros; usable after init(); trivially destructible: metadata
// stays until release().
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/annotate.h"
#include "base/config.h"
#include "base/root_access.h"
#include "base/units.h"
#include "page/addr_ranges.h"
#include "page/chunk_lease.h"
#include "page/chunk_set.h"
#include "page/chunk_table.h"
#include "page/environment.h"
#include "page/fit_hint.h"
#include "page/free_runs.h"
#include "page/geometry.h"
#include "page/page_cache.h"
#include "page/page_search.h"
#include "page/scavenge_candidate.h"
#include "page/summary_tree.h"
#include "page/window.h"
#include "page/word_run.h"

namespace ream::page {

enum class InitResult : std::uint8_t {
  kOk,
  kMisalignedBase,  // the window's base must be a multiple of kMaxAlignPages pages
  kBadEnvironment,  // a function is missing
  kNoMetadata,      // no address space
};
enum class GrowResult : std::uint8_t { kOk, kOverlap, kOutOfWindow, kNoMetadata };
enum class FreeKind : std::uint8_t {
  kCandidate,  // the scavenger shall look at these pages
  kQuiet,      // it need not
};
enum class PageState : std::uint8_t { kUnknown, kInUse, kFree, kScavenged };

// An address that was looked for. Test it before use.
struct Place {
  Addr base{};
  bool ok = false;
  explicit constexpr operator bool() const noexcept { return ok; }
};

// Cost of searches, since init.
struct SearchStats {
  std::uint64_t in_chunk = 0;    // served by the chunk of the search address
  std::uint64_t searches = 0;    // that climbed the tree
  std::uint64_t visits = 0;      // summaries looked at by these
  std::uint64_t max_visits = 0;  // by one of them
  std::uint64_t refused = 0;     // known not to fit, without a look
};

// Memory that describes pages. Committed is a subset of reserved; untouched parts are not resident.
struct MetadataSize {
  Bytes reserved{};
  Bytes committed{};
  std::uint64_t huge_refused = 0;  // pieces for which the OS refused huge-page advice
};

template <class G>
class PageAlloc {
 public:
  using Geometry = G;
  using Cache = PageCache<G>;
  using Lease = ChunkLease<G>;

  constexpr PageAlloc() noexcept = default;
  PageAlloc(const PageAlloc&) = delete;
  PageAlloc& operator=(const PageAlloc&) = delete;

  // ---- Life ----------------------------------------------------------------------------------

  // Reserves address space for metadata; commits nothing. On failure it may be called again.
  [[nodiscard]] InitResult init(const Environment& env, Addr window_base = {}) noexcept;
  // Gives all metadata back; afterwards init() may be called again.
  void release() noexcept;

  // Adds [base, base + bytes), widened to whole chunks, as free and scavenged pages. Ranges may
  // come in any order. On failure the state is unchanged. Costs a few stores a rank of the tree
  // plus the committing of metadata; no chunk is touched.
  [[nodiscard]] GrowResult grow(Addr base, Bytes bytes) noexcept;

  // ---- Allocation ----------------------------------------------------------------------------

  static constexpr unsigned kAlignedPasses = 16;

  // The lowest run of n free pages whose base is a multiple of `align` pages. Where more than
  // kAlignedPasses lower runs are long enough but hold no aligned one, it may be a higher one: the
  // lowest in a run of n + align - 1, if there is such a run. Not ok when no aligned run is free,
  // or n is 0, or align is no power of two up to kMaxAlignPages.
  [[nodiscard]] Allocation alloc(Pages n, Pages align = Pages(1)) noexcept;
  [[nodiscard]] Allocation alloc_aligned(Pages n, Pages align) noexcept { return alloc(n, align); }
  // Exactly these pages, if all are grown and free.
  [[nodiscard]] Allocation alloc_range(Addr base, Pages n) noexcept;

  // Frees pages, also a part of an earlier allocation or several that touch. False, and unchanged,
  // unless all of them are in use.
  [[nodiscard]] bool free(Addr base, Pages n, FreeKind kind = FreeKind::kCandidate) noexcept;

  // Takes the pages [have, want) behind an allocation of `have` pages if all are free; ok with base
  // as given. REQUIRES: the allocation is the caller's; its last page is checked.
  [[nodiscard]] Allocation try_extend(Addr base, Pages have, Pages want) noexcept;
  // Frees the pages [want, have) of an allocation. False, and unchanged, unless 0 < want <= have
  // and these pages are in use.
  [[nodiscard]] bool shrink(Addr base, Pages have, Pages want,
                            FreeKind kind = FreeKind::kCandidate) noexcept;

  // ---- Search (nothing is taken) -------------------------------------------------------------

  // At most PageSearch<G>::kMaxVisits summaries and one chunk.
  [[nodiscard]] Place find(Pages n) noexcept;
  // What alloc would take. Costs a find() for each free run of n pages below the answer that is not
  // aligned: at most kAlignedPasses + 1 if there is a run of n + align - 1 pages.
  [[nodiscard]] Place find_aligned(Pages n, Pages align) noexcept;
  // The highest run of n free pages within [lo, hi), which is cut to the window.
  [[nodiscard]] Place find_highest(Pages n, Addr lo, Addr hi) noexcept;
  // The lowest grown address >= addr.
  [[nodiscard]] Place find_mapped_addr(Addr addr) const noexcept;

  // Calls visit(Addr, Pages) for each maximal run of pages in [base, base + n) that is backed by
  // memory, so does not read as zero. REQUIRES: all are grown; none is leased.
  template <class Visit>
  void for_each_unscavenged(Addr base, Pages n, Visit visit) const noexcept;

  // ---- Page caches ---------------------------------------------------------------------------

  // The free pages of the 64-page block that holds the lowest free page; empty when there is none.
  [[nodiscard]] Cache alloc_to_cache() noexcept;
  // Gives a cache's pages back and empties it. Go leaves them out of the scavenger's sight
  // (kQuiet).
  void flush(Cache& cache, FreeKind kind = FreeKind::kQuiet) noexcept;

  // ---- Leases (chunk_lease.h) ----------------------------------------------------------------

  // Leases the lowest chunk that holds a run of n free pages, n in [1, 512]. Not ok when there is
  // none, or when all runs that long that were looked at (kLeaseTries) lie across two chunks.
  [[nodiscard]] Lease lease_chunk(Pages n = Pages(1)) noexcept;
  // Leases a chunk that holds a run of n free pages, n in [1, 256], by one search for 2n - 1: not
  // the lowest, but with more to give. Not ok when no run is that long.
  [[nodiscard]] Lease lease_roomy(Pages n) noexcept;
  // Ends a lease; all that is free in the chunk can be found by others again.
  void end_lease(Lease& lease) noexcept;
  // Without the lock: the lessee is done with the chunk, which stays out of the tree. Who frees
  // pages of it until it is rich may take it over (take_rich); the next settling of the list, the
  // lessee's own, gives it back to the tree.
  void park(Lease& lease, SentChunks& list) noexcept;
  // Without the lock, by the list's thread: frees pages of one chunk, leased or not. Of a leased
  // one they go to its lessee; of a parked one, to who takes it over; others are free when the list
  // that names their chunk is settled, mostly `list`. False, and unchanged, if they lie in no one
  // chunk of the window, or some were returned already. REQUIRES: they are in grown memory, in use,
  // and the caller's. What is wrong else is not always known, and a page freed twice may be handed
  // out twice; pages that are not in use when the list is settled are dropped then.
  [[nodiscard]] bool free_remote(Addr base, Pages n, SentChunks& list) noexcept;
  // Without the lock, by the list's thread: leases a parked chunk that it noticed to be rich. Not
  // ok when it knows none.
  [[nodiscard]] Lease take_rich(SentChunks& list) noexcept;
  // By the list's thread: the same of any chunk. Such with fewer than `least` pages free, because
  // others were faster, are settled. Cheap, but not the lowest.
  [[nodiscard]] Lease lease_rich(SentChunks& list, Pages least) noexcept;
  // Ends what park() and free_remote() have left: what they freed is found by others from then on.
  // Until then these pages count as in use; an owner who wants the lowest fit of all settles every
  // list first. Returns how many pages are free that were not.
  Pages settle(SentChunks& list) noexcept;
  // The same of at most so many chunks, and of those only that are rich or not parked.
  void settle_some(SentChunks& list, unsigned chunks) noexcept;
  // By the list's thread: the same of the rich chunks that it has noticed, but for so many.
  void settle_rich(SentChunks& list, unsigned keep) noexcept;

  // ---- Scavenging ----------------------------------------------------------------------------

  void set_scavenge_shape(ScavengeShape shape) noexcept { shape_ = shape; }
  [[nodiscard]] ScavengeShape scavenge_shape() const noexcept { return shape_; }

  static constexpr std::uint64_t kNoDeadline = ~0ULL;
  // Gives free pages of candidate chunks back, highest first, until at least `want` bytes are, or
  // none is left, or the environment's clock reaches the deadline. Returns how much; it may be more
  // than wanted, since huge pages stay whole.
  Bytes scavenge(Bytes want, std::uint64_t deadline_ns = kNoDeadline) noexcept;

  // The same in two steps, for an owner who drops its lock around the purge: takes one run (as
  // allocated), then frees it as scavenged or, if the purge failed, as it was. Not ok: none is
  // left.
  struct PurgeRun {
    Addr base{};
    Pages pages{};
    explicit operator bool() const noexcept { return pages != Pages(); }
  };
  [[nodiscard]] PurgeRun begin_purge(Bytes want) noexcept;
  void end_purge(PurgeRun run, bool purged) noexcept;

  // Gives back the free, unscavenged pages of a range, whatever the candidate marks say; pages in
  // use or not grown are passed over. Returns how much.
  Bytes scavenge_range(Addr base, Pages n) noexcept;
  // Marks free pages as scavenged that the owner has purged itself. False, and unchanged, unless
  // all are free.
  [[nodiscard]] bool mark_scavenged(Addr base, Pages n) noexcept;
  // Marks those pages of a grown range that are free as backed by memory, as they are where an OS
  // page is several pages and one of them was touched. Pages in use or leased are passed over.
  void mark_backed(Addr base, Pages n) noexcept;

  // ---- Questions -----------------------------------------------------------------------------

  [[nodiscard]] static constexpr Bytes page_size() noexcept { return Bytes(G::kPageBytes); }
  [[nodiscard]] static constexpr unsigned page_shift() noexcept { return G::kPageShift; }
  [[nodiscard]] static constexpr unsigned page_index_bits() noexcept { return G::kPageIndexBits; }
  [[nodiscard]] Pages total_pages() const noexcept {
    return Pages(ranges_.total_bytes().n >> G::kPageShift);
  }
  [[nodiscard]] Pages free_pages_total() const noexcept { return free_pages_; }
  [[nodiscard]] Pages unscavenged_free_pages() const noexcept { return unscavenged_; }
  [[nodiscard]] FreeRunHistogram free_run_histogram() const noexcept;
  [[nodiscard]] PageState page_state(Addr addr) const noexcept;
  [[nodiscard]] const SearchStats& search_stats() const noexcept { return stats_; }
  [[nodiscard]] MetadataSize metadata() const noexcept;

  // A page as a number of page_index_bits() bits, and back. REQUIRES: in the window.
  [[nodiscard]] std::uint64_t encode_page_id(Addr addr) const noexcept {
    return window_.page_of(addr).n;
  }
  [[nodiscard]] Addr decode_page_id(std::uint64_t id) const noexcept {
    return window_.addr_of(PageIndex{id});
  }
  [[nodiscard]] const Window<G>& window() const noexcept { return window_; }
  // Where the search for one page would begin; max_search_addr() when nothing is free.
  [[nodiscard]] Addr search_addr() const noexcept {
    const PageIndex start = search_start();
    return start == kNoPageIndex ? max_search_addr() : window_.addr_of(start);
  }
  [[nodiscard]] Addr max_search_addr() const noexcept {
    return Addr(window_.base().n + ((1ULL << G::kAddressBits) - 1));
  }

  // Calls visit(Addr, Bytes) for each maximal grown range, ascending.
  template <class Visit>
  void for_each_grown(Visit visit) const noexcept {
    for (const AddrRange& r : ranges_) visit(Addr(window_.base().n + r.base.n), r.size());
  }
  [[nodiscard]] bool is_grown(Addr base, Pages n) const noexcept;

  // The chunk, or null if it was not grown; the checked form ends the program instead.
  [[nodiscard]] const Chunk* try_chunk_of(ChunkIndex c) const noexcept;
  [[nodiscard]] const Chunk& chunk_of(ChunkIndex c) const noexcept;
  // A summary of Go's tree; 0 is the root level. Exact for every entry of the window.
  [[nodiscard]] Summary summary(unsigned level, std::uint64_t index) const noexcept;

  // Huge pages behind the chunk table, for what is grown now and later. Where the OS refuses, it is
  // counted (metadata().huge_refused) and goes on.
  void enable_chunk_huge_pages(bool on) noexcept;

  // Walks everything. For tests and audits.
  [[nodiscard]] bool is_valid() const noexcept;

 private:
  friend struct inspect::RootAccess;

  using Found = typename PageSearch<G>::Found;
  static constexpr PageIndex kNoPageIndex{~0ULL};

  // [base, base + n) as pages; not ok unless page-aligned, not empty and within the window.
  struct PageRange {
    PageIndex first{};
    std::uint64_t pages = 0;
    bool ok = false;
  };
  [[nodiscard]] PageRange to_pages(Addr base, Pages n) const noexcept;
  [[nodiscard]] bool is_grown(PageIndex first, std::uint64_t n) const noexcept;
  [[nodiscard]] bool look_up_grown(PageIndex first, std::uint64_t n) const noexcept;

  // Calls visit(chunk, first page in it, pages) for the part of a run in each chunk.
  template <class Visit>
  static void for_each_part(PageIndex first, std::uint64_t n, Visit visit) noexcept;

  [[nodiscard]] Found place(std::uint64_t n) noexcept;
  [[nodiscard]] Found place_outside_chunk(std::uint64_t n, ChunkIndex c) noexcept;
  [[nodiscard]] Found place_from_hint(std::uint64_t n, PageIndex hint) noexcept;
  [[nodiscard]] Found place_aligned(std::uint64_t n, std::uint64_t align) noexcept;
  void note_search(const PageSearch<G>& search) noexcept;
  [[nodiscard]] PageIndex search_start() const noexcept {
    return freed_lo_ < freed_hi_ ? std::min(freed_lo_, search_) : search_;
  }
  void note_lowest_free(PageIndex page) noexcept;
  [[nodiscard]] PageIndex next_grown(PageIndex page) const noexcept;
  void skip_taken(PageIndex first, std::uint64_t n) noexcept;

  [[nodiscard]] bool is_free(PageIndex first, std::uint64_t n) const noexcept;
  [[nodiscard]] bool is_in_use(PageIndex first, std::uint64_t n) const noexcept;
  [[nodiscard]] Allocation take(PageIndex first, std::uint64_t n) noexcept;
  [[nodiscard]] unsigned take_in_chunk(ChunkIndex c, unsigned i, unsigned n) noexcept;
  [[nodiscard]] std::uint64_t take_across(PageIndex first, std::uint64_t n) noexcept;
  // Inside one word (page_word_impl.h).
  template <bool kLoose>
  [[nodiscard]] unsigned take_in_word(ChunkIndex c, Chunk& chunk, const WordRun& r) noexcept;
  [[nodiscard]] Allocation taken(PageIndex first, std::uint64_t n,
                                 std::uint64_t scavenged) noexcept;
  [[nodiscard]] Allocation alloc_page_in_word() noexcept;
  void give_in_word(ChunkIndex c, Chunk& chunk, const WordRun& r, FreeKind kind) noexcept;
  [[nodiscard]] bool free_in_word(Addr base, Pages n, FreeKind kind) noexcept;

  void give(PageIndex first, std::uint64_t n, FreeKind kind) noexcept;
  void give_in_chunk(ChunkIndex c, Chunk& chunk, unsigned i, unsigned n, FreeKind kind) noexcept;
  [[nodiscard]] bool free_slow(Addr base, Pages n, FreeKind kind) noexcept;
  [[nodiscard]] bool free_across(PageIndex first, std::uint64_t n, FreeKind kind) noexcept;
  void give_across(PageIndex first, std::uint64_t n, FreeKind kind) noexcept;
  void note_free(PageIndex first, std::uint64_t reach, std::uint64_t pages) noexcept;
  void note_lower_free(PageIndex first, std::uint64_t n) noexcept;
  void note_run(ChunkIndex c, const Chunk& chunk, unsigned i, unsigned n) noexcept;
  void note_runs_from(PageIndex first) noexcept;
  void lower_hint(ChunkIndex c, const Chunk& chunk, unsigned i, unsigned n) noexcept;
  void mark_candidate(ChunkIndex c, Chunk& chunk) noexcept;
  void unmark_candidate(ChunkIndex c, Chunk& chunk) noexcept;

  [[nodiscard]] bool free_with_leases(PageIndex first, std::uint64_t n, FreeKind kind) noexcept;
  [[nodiscard]] bool may_hold(ChunkIndex c, std::uint64_t n) const noexcept;
  [[nodiscard]] Lease begin_lease(ChunkIndex c) noexcept;
  void send(ChunkIndex c, Chunk& chunk, SentChunks& list) noexcept;
  void push_sent(ChunkIndex c, Chunk& chunk, SentChunks& list) noexcept;
  [[nodiscard]] std::optional<ChunkIndex> next_sent(SentChunks& list) noexcept;
  void note_rich(ChunkIndex c, Chunk& chunk, std::uint64_t& head, SentChunks& list) noexcept;
  [[nodiscard]] std::optional<ChunkIndex> next_rich(std::uint64_t& head, SentChunks& list) noexcept;
  [[nodiscard]] Lease take_parked(ChunkIndex c, Chunk& chunk) noexcept;
  [[nodiscard]] Pages settle_chunk(ChunkIndex c, Chunk& chunk) noexcept;

  [[nodiscard]] ScavengeRun next_candidate(Bytes want, ChunkIndex& c) noexcept;
  void purge_run(PageIndex first, unsigned n) noexcept;
  void forget_pages() noexcept;
  [[nodiscard]] bool cover(const Growth& growth) noexcept;
  void advise_huge(std::uint64_t lo, std::uint64_t hi) noexcept;
  [[nodiscard]] bool is_valid_chunk(ChunkIndex c) const noexcept;
  [[nodiscard]] bool is_valid_around(PageIndex first, std::uint64_t n) const noexcept;

  static constexpr unsigned kLeaseTries = 4;
  // A search that looked at so many summaries leaves a hint; a shorter one costs as little again.
  // In audit builds, which compare everything, each does.
  static constexpr unsigned kWorthHint = kAudit ? 1 : 16;

  // A run of the geometry's window cannot be this long, so nothing is refused.
  static constexpr std::uint64_t kNothingRefused = ~0ULL;

  Window<G> window_{};
  PageIndex search_{};
  // What was freed below it since. A page that is freed and soon allocated again so costs no search
  // for the next one.
  PageIndex freed_lo_{};
  PageIndex freed_hi_{};
  FitHint hint_{};
  std::uint64_t refused_ = 0;
  Pages free_pages_{};
  Pages unscavenged_{};  // free and backed by memory
  ChunkTable<G> chunks_{};
  SummaryTree<G> tree_{};
  ChunkSet<G> candidates_{};
  AddrRanges ranges_{};           // offset addresses
  mutable PageIndex known_lo_{};  // the grown range [known_lo_, known_hi_) that was
  mutable PageIndex known_hi_{};  // looked up last
  SearchStats stats_{};
  ScavengeShape shape_{0, 0};  // set by init()
  Environment env_{};
  MetaReservation reservation_{};
  Bytes committed_{};
  Bytes chunk_bytes_{};  // reserved by the chunk table's second levels
  std::uint64_t huge_refused_ = 0;
  bool huge_ = false;
};

}  // namespace ream::page

#include "page/page_alloc_impl.h"
#include "page/page_find_impl.h"
#include "page/page_lease_impl.h"
#include "page/page_query_impl.h"
#include "page/page_scavenge_impl.h"
#include "page/page_word_impl.h"

namespace ream::page {

// Instantiated once, in page_alloc.cc.
extern template class PageAlloc<Go48>;
extern template class PageAlloc<HeapWindow>;
extern template class PageAlloc<Pages4K>;
extern template class PageAlloc<Pages16K>;
extern template class PageAlloc<Pages64K>;
extern template class PageAlloc<Wide57>;
extern template class PageAlloc<Narrow32>;
extern template class PageAlloc<Window1T>;
extern template class PageAlloc<Tiny4>;
extern template class PageAlloc<Tiny64>;

}  // namespace ream::page
