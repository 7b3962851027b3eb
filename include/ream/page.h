// ream::page, a page allocator for programs that own a region of memory, or of anything numbered:
// databases (buffer frames), language runtimes (heaps), file systems (blocks), GPU memory.
//
// It knows which pages of a window of numbers are in use, free, or free and given back, finds the
// lowest run of free pages that fits, in a bounded number of steps, and never looks at the pages
// themselves. It calls no malloc, no operating system and no clock: what it needs comes in by an
// Environment. <ream/page_os.h> has one for hosted programs; docs/page-library.md is the guide.
//
//   #include <ream/page.h>
//   #include <ream/page_os.h>
//   #include <sys/mman.h>
//
//   #include <cstdio>
//
//   using namespace ream::page;
//   using G = Window1T;  // 8 KiB pages in a window of 1 TiB
//
//   int main() {
//     static PageAlloc<G> heap;  // constant-initialised; a few hundred bytes
//     constexpr Bytes kChunk{G::kChunkBytes};
//     constexpr Bytes kRegion = kChunk * 16;
//     void* memory = mmap(nullptr, (kRegion + kChunk).n, PROT_READ | PROT_WRITE,
//                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
//     if (memory == MAP_FAILED) return 1;
//     const Addr base = chunk_align_up<G>(Addr(memory));  // grow() adds whole chunks
//     if (heap.init(os_environment(), window_base_for<G>(base)) != InitResult::kOk) return 1;
//     if (heap.grow(base, kRegion) != GrowResult::kOk) return 1;
//     const Allocation a = heap.alloc(Pages(3));  // the lowest free run of three
//     if (!a) return 1;                           // there is none
//     std::printf("3 pages at %p, %zu bytes of them zero\n", a.base.ptr(), size_t{a.scavenged.n});
//     if (!heap.free(a.base, Pages(3))) return 1;      // false: they were not in use
//     const Bytes back = heap.scavenge(Bytes(65536));  // purges up to so much free memory
//     std::printf("%zu bytes went back\n", size_t{back.n});
//     heap.release();
//   }
//
// Source of the algorithm: the page allocator of the Go runtime (runtime/mpagealloc.go): a bitmap
// of pages cut into chunks, searched through an implicit radix tree of packed {start, max, end}
// summaries; address-ordered first fit. Results equal Go's, operation for operation. Aligned and
// top-down search, resizing in place and leases are ream's own.
//
// ---- Units -------------------------------------------------------------------------------------
//
//   Addr     an address, or any 64-bit number in its place (a block number times the page size)
//   Bytes    a count of bytes         Pages    a count of pages        (`.n` is the plain number)
//   page     2^kPageShift bytes of the geometry; need not be the OS's page
//   chunk    512 pages, aligned to 512 pages of the window: what grow() rounds to
//   window   the numbers [window base, window base + 2^kAddressBits) that one allocator can
//   describe
//
// The three are types of their own, so they cannot be mixed up; 3_pages and 64_KiB make them after
// `using namespace ream::page::literals`.
//
// ---- The geometry ------------------------------------------------------------------------------
//
//   Geometry<address bits, page shift, WindowBase, level bits...>
//
// with sum(level bits) + 9 + page shift = address bits < 64, two levels or more; the bits of all
// levels but the first (the root) are at most 12 together, and 3 each is the usual choice. A wrong
// one does not compile. WindowBase::kZero: addresses count from 0. WindowBase::kRunTime: the base
// is given to init() and is a multiple of kMaxAlignPages pages (2^21, or the whole window if that
// is smaller); window_base_for() computes it.
//
//   compiled into the library   Go48 Pages4K Pages16K Pages64K (48-bit addresses from 0)  Wide57
//                               Narrow32 Window1T HeapWindow (16 TiB) Tiny4 Tiny64 (for tests)
//   any other                   is instantiated where you use it; nothing else differs
//
// Memory for metadata: 266 bytes a chunk (half a byte a page; 0.006 % of 8 KiB pages), committed as
// the window is grown and touched as pages are used, and address space: 2 MiB for each 8192 chunks
// in use, and for the whole window's tree 593 MiB (Go48), 37 MiB (HeapWindow), 2.4 MiB (Window1T).
// A window no larger than needed keeps that small; else only the bound of a search grows with it.
//
// ---- Functions of PageAlloc<G> -----------------------------------------------------------------
//
// Cost: `S` is a search: at most PageSearch<G>::kMaxVisits summaries (145 for Go48) and one chunk,
// whatever the size of the heap; `C` is the number of chunks that the run touches.
//
//   init(env, window_base)      reserves address space for metadata. Says why it failed; may then
//   be
//                               called again. The Environment is copied
//   release()                   gives all metadata back; the pages are left alone
//   grow(base, bytes)           adds [base, base + bytes), WIDENED TO WHOLE CHUNKS, as free pages
//                               that read as zero. In any order, anywhere in the window; overlap is
//                               refused. Costs a few stores, plus committing the metadata
//   alloc(n, align)             the lowest free run of n pages whose base is a multiple of `align`
//                               pages (a power of two up to kMaxAlignPages). S + C. Allocation
//                               {base, scavenged, ok}: `scavenged` bytes of it read as zero
//   alloc_range(base, n)        exactly these pages, if all are free. C
//   free(base, n, kind)         n pages from base: an allocation, a part of one, or several that
//                               touch. False, and nothing changed, unless all are in use. C, no
//                               search
//   try_extend(base, have, want)  grows an allocation in place, if what follows it is free. C
//   shrink(base, have, want)    frees the tail of an allocation. C
//   find, find_aligned, find_highest(n, lo, hi), find_mapped_addr    look, and take nothing. S
//   alloc_to_cache, flush       a PageCache: up to 64 pages at once for one thread's own use
//   lease_chunk, park, end_lease, free_remote, ...    a ChunkLease: a whole chunk that one thread
//                               allocates from without the lock. SharedPages does it for you
//   scavenge(want, deadline)    has the Environment purge free pages, highest first, until `want`
//                               bytes are given back, none is left, or its clock reaches
//                               `deadline`. Returns how much; a little more than wanted where OS
//                               pages are larger
//   begin_purge, end_purge      the same in two steps, to purge without holding the lock
//   scavenge_range, mark_scavenged, mark_backed, set_scavenge_shape    for owners who purge by
//                               themselves, or whose OS pages or huge pages are larger than a page
//   page_state(addr)            kUnknown (not grown), kInUse, kFree, kScavenged
//   free_run_histogram()        how free pages are cut up, by powers of two. One look at each chunk
//                               that is neither full nor empty
//   total_pages, free_pages_total, unscavenged_free_pages, metadata, search_stats    counters, O(1)
//   for_each_grown, is_grown, search_addr, encode_page_id, decode_page_id, summary, chunk_of    see
//                               page_alloc.h
//   is_valid()                  walks everything: for your own tests
//
// Errors. Exhaustion is a result that is not ok. A bad argument (misaligned, zero pages, not grown,
// not in use, out of the window) is refused with nothing changed. Results are [[nodiscard]].
// Nothing throws, and nothing sets errno.
//
// A broken invariant (metadata overwritten by the program, or a defect) ends the program with the
// line `ream: check failed: <what> (<file>:<line>)`. By default that goes to descriptor 2 and the
// program ends by abort(), both where the program has a C library; without one it traps. Install
// your own with set_message_sink() and set_end_program(), which must be done before other threads
// use the allocator; an end_program may not return, and throwing from it is std::terminate.
//
// Thread safety: none of its own. Hold one lock of yours around every call on a PageAlloc, or use
// it from one thread. What needs no lock: a PageCache and a ChunkLease by their owner,
// free_remote(), park() and take_rich(). Allocators share nothing with each other, so several may
// be used at once.
//
// For many threads on one allocator there is SharedPages<G, Lock>: PageAlloc, a lock of your type
// (std::mutex will do) and a PageLessee a thread. Short runs come from chunks that the thread
// leases, and pages of any chunk are freed, without the lock; a thread gets the lowest run of its
// own chunks then, not of all. Contract: shared_pages.h.
//
// Compilers: C++20; g++ 12 and clang 19 are tested, with and without exceptions and RTTI.
#pragma once

#include "base/bits.h"
#include "base/check.h"
#include "base/units.h"
#include "page/page_alloc.h"
#include "page/shared_pages.h"

namespace ream::page {

using ream::Addr;
using ream::Bytes;
using ream::EndProgram;
using ream::MessageSink;
using ream::Pages;
using ream::set_end_program;
using ream::set_message_sink;

namespace literals {
using ream::operator""_B;
using ream::operator""_KiB;
using ream::operator""_MiB;
using ream::operator""_GiB;
using ream::operator""_TiB;
using ream::operator""_pages;
}  // namespace literals

// The base to give to init() for a region that begins at `region`: the highest that is allowed at
// or below it. The region fits if window_base_for(region) + 2^kAddressBits is not below its end, as
// it always is for a region up to half the window, in windows of 2^22 pages or more.
template <class G>
[[nodiscard]] constexpr Addr window_base_for(Addr region) noexcept {
  if constexpr (G::kBase == WindowBase::kZero)
    return Addr();
  else
    return Addr(round_down(region.n, G::kMaxAlignPages << G::kPageShift));
}

// The first chunk boundary at or above an address, the last one at or below it. A region that is
// given to grow() begins and ends at chunk boundaries, or grow() adds pages outside it.
template <class G>
[[nodiscard]] constexpr Addr chunk_align_up(Addr a) noexcept {
  return Addr(round_up(a.n, G::kChunkBytes));
}
template <class G>
[[nodiscard]] constexpr Addr chunk_align_down(Addr a) noexcept {
  return Addr(round_down(a.n, G::kChunkBytes));
}

// How many pages hold `bytes`; how many bytes `n` pages are.
template <class G>
[[nodiscard]] constexpr Pages pages_for(Bytes bytes) noexcept {
  return Pages(div_ceil(bytes.n, G::kPageBytes));
}
template <class G>
[[nodiscard]] constexpr Bytes bytes_of(Pages n) noexcept {
  return Bytes(n.n << G::kPageShift);
}

// A short text for a message; null for kOk.
[[nodiscard]] constexpr const char* reason(InitResult result) noexcept {
  switch (result) {
    case InitResult::kOk:
      return nullptr;
    case InitResult::kMisalignedBase:
      return "the window's base is not a multiple of kMaxAlignPages pages";
    case InitResult::kBadEnvironment:
      return "the environment lacks reserve, commit or release";
    case InitResult::kNoMetadata:
      return "no address space for metadata";
  }
  return "unknown";
}
[[nodiscard]] constexpr const char* reason(GrowResult result) noexcept {
  switch (result) {
    case GrowResult::kOk:
      return nullptr;
    case GrowResult::kOverlap:
      return "the range overlaps what was grown";
    case GrowResult::kOutOfWindow:
      return "the range is not inside the window";
    case GrowResult::kNoMetadata:
      return "no memory for metadata";
  }
  return "unknown";
}

}  // namespace ream::page
