// Address space and memory.
//
// A page of address space (an OS page: 4, 16 or 64 KiB, known at run time) is in one of three
// states:
//
//              reserve                    commit
//   unmapped ----------> reserved <--------------------> committed     (purge: stays committed,
//      ^                (PROT_NONE,       decommit       (readable,      contents become zero,
//      |                 costs nothing)                   writable)      memory goes back)
//      |  release from any state                             ^
//      +---------------- map_at, map_anywhere ---------------+
//
//   - Committed memory reads as zero from its commit until it is written; after decommit + commit
//     and after purge it reads as zero again.
//   - Bases and lengths are multiples of os_page_size(), lengths are not zero; anything else, or a
//     range that wraps, ends the program.
//   - Any sub-range of a mapped range may be committed, decommitted, purged or released on its own,
//     and a range may span several earlier calls.
//   - map_at and map_anywhere follow vm.overcommit_memory: 0 refuses what exceeds all RAM and swap,
//     1 nothing; 2 charges them and commit at once and refuses beyond the limit. Memory is resident
//     when it is touched. Reserving is never charged.
//
// Thread safety: all functions, on ranges that do not overlap. Between find_unmapped and map_at any
// other thread may take the hole; map_at then says so.
#pragma once

#include <cstddef>

#include "base/units.h"

namespace ream::os {

// A half-open range [base, base + bytes).
struct MemoryRange {
  Addr base;
  Bytes bytes;
};

// The unit of everything below. A power of two, constant for the life of the process.
[[nodiscard]] Bytes os_page_size() noexcept;

// ---- states (memory_linux.cc)

// Reserves `bytes` of address space whose base is a multiple of `align`. Null when there is no room
// or RLIMIT_AS forbids. REQUIRES: align is a power of two (below a page counts as a page).
[[nodiscard]] Addr reserve(Bytes bytes, Bytes align) noexcept;

// Makes a mapped range readable and writable. Pages already committed keep their contents. False
// when the kernel refuses (strict overcommit, too many mappings); then no page of the range has
// lost contents, but a leading part may be committed: commit or decommit the whole range
// afterwards.
[[nodiscard]] bool commit(Addr base, Bytes bytes) noexcept;

// Exchanges a committed range for one that was never used and reads as zero, in one step. False
// when the kernel refuses; then the range is committed with its contents.
bool renew(Addr base, Bytes bytes) noexcept;

// Back to reserved: contents are gone, memory and commit charge are returned. False when the kernel
// refuses; then the range stays committed with its contents.
[[nodiscard]] bool decommit(Addr base, Bytes bytes) noexcept;

// Unmaps. REQUIRES: the whole range is ours. False when the kernel refuses (unmapping the middle of
// a mapping at the limit of their number); then the range is still mapped as it was.
bool release(Addr base, Bytes bytes) noexcept;

// Committed zero memory exactly at `hint` and nowhere else. Null when any of the range is mapped
// already, is not user address space, or limits forbid; then nothing has changed.
[[nodiscard]] Addr map_at(Addr hint, Bytes bytes) noexcept;

// Committed zero memory anywhere, base a multiple of `align` as in reserve. Null on failure.
[[nodiscard]] Addr map_anywhere(Bytes bytes, Bytes align) noexcept;

enum class Protection : unsigned char { kNone, kRead, kReadWrite };
// Changes what may be done to committed memory; contents stay. False when the kernel refuses.
bool protect(Addr base, Bytes bytes, Protection protection) noexcept;

// ---- giving memory back (memory_linux.cc, purge_batch_linux.cc)

// Gives the memory back now; the range stays committed and reads as zero. False when the kernel
// refuses (locked memory): then every page either reads as zero or has its contents.
bool purge(Addr base, Bytes bytes) noexcept;

// Lets the kernel take the memory when it runs short. Until a page is written again it reads as
// zero or as before, at the kernel's choice, so it does not count as known zero. False as for
// purge.
bool purge_lazy(Addr base, Bytes bytes) noexcept;

// Purges ranges[0..count) in one system call where the kernel has it (process_madvise on oneself,
// Linux 6.13), else one by one. Returns how many leading ranges have been purged; below `count` the
// next one was refused as by purge, and the ones after it are untouched: skip it and go on.
[[nodiscard]] std::size_t purge_batch(const MemoryRange* ranges, std::size_t count) noexcept;

// Bytes of the range in memory now. Unmapped pages count as zero. Costs one system call per 4 MiB
// (of 4 KiB pages).
[[nodiscard]] Bytes resident_bytes(Addr base, Bytes bytes) noexcept;

// ---- huge pages and page moves (huge_linux.cc)

// Committed zero memory exactly at `hint`, as map_at, made of the system's pool of 2 MiB pages.
// They are taken from the pool before this returns, so that touching them cannot fail. Null when
// the pool has too few, or limits forbid; then nothing has changed. The memory goes back by release
// or renew of whole huge pages; REQUIRES of who calls: nothing else is asked for a part of them,
// since the kernel may pass it over and say nothing. A child of fork shares the pages: when either
// writes to one, another is taken from the pool, and where there is none the child has lost the
// page: touching it ends it by SIGBUS. REQUIRES: multiples of kPooledPage. Cost: clears all of it.
inline constexpr Bytes kPooledPage = 2_MiB;
[[nodiscard]] Addr map_pooled_at(Addr hint, Bytes bytes) noexcept;

// The size of a transparent huge page, or zero where there are none (a kernel without them).
[[nodiscard]] Bytes huge_page_size() noexcept;

// What the system does with memory for which there is no advice.
enum class HugePageRule : unsigned char {
  kNever,    // no transparent huge pages, whatever is advised
  kAdvised,  // where it is advised
  kAlways,   // wherever it is not advised against
};
// Reads it anew.
[[nodiscard]] HugePageRule huge_page_rule() noexcept;

// Advises for (on) or against (off) huge pages in the range. False when the kernel has none or
// refuses. Differing advice splits the kernel's record of the range, of which a process has 65530
// by default.
bool advise_huge(Addr base, Bytes bytes, bool on) noexcept;

// Backs the range with huge pages now, copying what is there. Contents do not change; on false (no
// kernel support, no free huge page, range holds no whole huge page) some may have been collapsed.
bool collapse_huge(Addr base, Bytes bytes) noexcept;

// Moves the memory of [from, from + bytes) to [to, to + bytes) without copying: afterwards `to` has
// the contents and `from` is committed and reads as zero. False where the kernel refuses (before
// 5.7, a `from` that the kernel keeps as several mappings, limits): then both ranges are committed,
// `from` has its contents, `to` has its contents or zero; the caller copies. REQUIRES: both are
// committed and do not overlap. What was in `to` is lost. Costs two page-table moves (per 2 MiB if
// from, to are equal modulo 2 MiB, else per page) and up to three of the process's 65530 mappings
// for good, so it is for large blocks only.
[[nodiscard]] bool move_pages(Addr from, Addr to, Bytes bytes) noexcept;

// ---- the process's address space (address_space_linux.cc)

// The lowest unmapped range of `bytes`, its base a multiple of `align`, at or above `hint`, as
// things stood during the call; room for the main stack to grow is left alone. Null when there is
// none. Cost: reads /proc/self/maps, through a buffer on the stack; without /proc it probes up to a
// bound and may miss a hole. REQUIRES: align is a power of two.
[[nodiscard]] Addr find_unmapped(Bytes bytes, Bytes align, Addr hint) noexcept;

// The first address that user memory cannot have (2^47 on x86-64 without asking for more).
[[nodiscard]] Addr user_address_limit() noexcept;

}  // namespace ream::os
