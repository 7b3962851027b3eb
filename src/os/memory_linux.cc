// Page states on Linux. Reserved is PROT_NONE, committed is read-write private anonymous memory,
// both MAP_NORESERVE: adjacent mappings become one, which without it would be charged to the
// process as a whole, and in heuristic overcommit forbid it to fork as soon as it exceeds RAM and
// swap, however little of it is in use. For the same policy to refuse what the machine cannot have,
// a large mapping is first made without. libc's wrappers are used rather than raw system calls so
// that sanitizers see the mappings.
#include <sys/auxv.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>

#include "os/errno_keeper.h"
#include "os/exact_map.h"
#include "os/memory.h"
#include "os/range_check.h"

namespace ream::os {
namespace {

constexpr int kMapFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

// Mappings from this size on are refused where the kernel's policy would refuse them to others.
constexpr Bytes kAskPolicy = 1_GiB;

Addr map(Addr hint, Bytes bytes, int protection, int extra_flags) noexcept {
  void* p = ::mmap(hint.ptr(), bytes.n, protection, kMapFlags | extra_flags, -1, 0);
  return p == MAP_FAILED ? Addr() : Addr(p);
}

bool policy_allows(Bytes bytes) noexcept {
  if (bytes < kAskPolicy) return true;
  void* p = ::mmap(nullptr, bytes.n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return false;
  ::munmap(p, bytes.n);
  return true;
}

// Maps `bytes` at a multiple of `align`: takes what comes, and if that does not fit, takes align
// more and gives back both ends.
Addr map_aligned(Bytes bytes, Bytes align, int protection) noexcept {
  const Bytes page = os_page_size();
  REAM_CHECK(is_power_of_two(align.n) && bytes.n != 0 && is_aligned(bytes.n, page.n));
  const Addr first = map(Addr(), bytes, protection, 0);
  if (first == Addr() || is_aligned(first.n, align.n)) return first;
  release(first, bytes);

  const Bytes slack = align - page;
  if (bytes.n > ~std::uint64_t{0} - slack.n) return Addr();
  const Addr wide = map(Addr(), bytes + slack, protection, 0);
  if (wide == Addr()) return Addr();
  const Addr base(round_up(wide.n, align.n));
  const Addr end = base + bytes;
  const Addr wide_end = wide + bytes + slack;
  if (base > wide) release(wide, base - wide);
  if (wide_end > end) release(end, wide_end - end);
  return base;
}

}  // namespace

Bytes os_page_size() noexcept {
  static constinit std::atomic<std::uint64_t> cached{0};
  std::uint64_t page = cached.load(std::memory_order_relaxed);
  if (page == 0) [[unlikely]] {
    page = ::getauxval(AT_PAGESZ);
    if (!is_power_of_two(page)) page = 4096;
    cached.store(page, std::memory_order_relaxed);
  }
  return Bytes(page);
}

Addr reserve(Bytes bytes, Bytes align) noexcept {
  const ErrnoKeeper keep;
  return map_aligned(bytes, align, PROT_NONE);
}

bool commit(Addr base, Bytes bytes) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  return ::mprotect(base.ptr(), bytes.n, PROT_READ | PROT_WRITE) == 0;
}

// A fresh PROT_NONE mapping in place, because mprotect would keep the commit charge.
bool renew(Addr base, Bytes bytes) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  return map(base, bytes, PROT_READ | PROT_WRITE, MAP_FIXED) == base;
}

bool decommit(Addr base, Bytes bytes) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  return map(base, bytes, PROT_NONE, MAP_FIXED) == base;
}

bool release(Addr base, Bytes bytes) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  return ::munmap(base.ptr(), bytes.n) == 0;
}

Addr map_at(Addr hint, Bytes bytes) noexcept {
  check_range(hint, bytes);
  const ErrnoKeeper keep;
  if (!policy_allows(bytes)) return Addr();
  const Addr got = map(hint, bytes, PROT_READ | PROT_WRITE, kMapExactly);
  if (got == hint || got == Addr()) return got;
  release(got, bytes);
  return Addr();
}

Addr map_anywhere(Bytes bytes, Bytes align) noexcept {
  const ErrnoKeeper keep;
  if (!policy_allows(bytes)) return Addr();
  return map_aligned(bytes, align, PROT_READ | PROT_WRITE);
}

bool protect(Addr base, Bytes bytes, Protection protection) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  int flags = PROT_NONE;
  if (protection == Protection::kRead) flags = PROT_READ;
  if (protection == Protection::kReadWrite) flags = PROT_READ | PROT_WRITE;
  return ::mprotect(base.ptr(), bytes.n, flags) == 0;
}

bool purge(Addr base, Bytes bytes) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  return ::madvise(base.ptr(), bytes.n, MADV_DONTNEED) == 0;
}

bool purge_lazy(Addr base, Bytes bytes) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  return ::madvise(base.ptr(), bytes.n, MADV_FREE) == 0;
}

Bytes resident_bytes(Addr base, Bytes bytes) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  const std::uint64_t page = os_page_size().n;
  constexpr std::uint64_t kWindowPages = 1024;
  unsigned char in_memory[kWindowPages];
  std::uint64_t resident_pages = 0;
  std::uint64_t window_pages = kWindowPages;
  for (Addr at = base, end = base + bytes; at < end;) {
    const std::uint64_t pages = std::min(window_pages, (end - at).n / page);
    if (::mincore(at.ptr(), pages * page, in_memory) == 0) {
      for (std::uint64_t i = 0; i < pages; ++i) resident_pages += in_memory[i] & 1u;
    } else if (pages > 1) {  // something in the window is not mapped: look at smaller ones
      window_pages = pages / 2;
      continue;
    }
    at = at + Bytes(pages * page);
    window_pages = kWindowPages;
  }
  return Bytes(resident_pages * page);
}

}  // namespace ream::os
