// Huge pages and page moves on Linux.
#include <sys/mman.h>

#include <atomic>
#include <cstring>

#include "os/errno_keeper.h"
#include "os/exact_map.h"
#include "os/memory.h"
#include "os/range_check.h"
#include "os/small_file.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace ream::os {
namespace {

std::uint64_t read_huge_page_size() noexcept {
  char text[32];
  if (read_small_file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", text, sizeof text) <= 0)
    return 0;
  std::uint64_t bytes = 0;
  for (const char* p = text; *p >= '0' && *p <= '9'; ++p)
    bytes = bytes * 10 + static_cast<std::uint64_t>(*p - '0');
  return is_power_of_two(bytes) ? bytes : 0;
}

}  // namespace

Bytes huge_page_size() noexcept {
  constexpr std::uint64_t kNotRead = 1;
  static constinit std::atomic<std::uint64_t> cached{kNotRead};
  std::uint64_t bytes = cached.load(std::memory_order_relaxed);
  if (bytes == kNotRead) {
    bytes = read_huge_page_size();
    cached.store(bytes, std::memory_order_relaxed);
  }
  return Bytes(bytes);
}

// The rule of the one size, where the kernel has one of each, or else that of all.
HugePageRule huge_page_rule() noexcept {
  if (huge_page_size() == Bytes()) return HugePageRule::kNever;
  constexpr const char* kFiles[] = {"/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/enabled",
                                    "/sys/kernel/mm/transparent_hugepage/enabled"};
  for (const char* file : kFiles) {
    char text[64];
    if (read_small_file(file, text, sizeof text) <= 0) continue;
    if (std::strstr(text, "[always]") != nullptr) return HugePageRule::kAlways;
    if (std::strstr(text, "[madvise]") != nullptr) return HugePageRule::kAdvised;
    if (std::strstr(text, "[never]") != nullptr) return HugePageRule::kNever;
  }
  return HugePageRule::kNever;
}

bool advise_huge(Addr base, Bytes bytes, bool on) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  return ::madvise(base.ptr(), bytes.n, on ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0;
}

bool collapse_huge(Addr base, Bytes bytes) noexcept {
  check_range(base, bytes);
  const ErrnoKeeper keep;
  return ::madvise(base.ptr(), bytes.n, MADV_COLLAPSE) == 0;
}

// Without MAP_NORESERVE the pages are reserved, but from a pool for all of the machine: a control
// group's limit, or a rule that binds the process to some of its nodes, shows only when they are
// touched, as SIGBUS. Populating (Linux 5.14) touches them all, and reports it as an error.
Addr map_pooled_at(Addr hint, Bytes bytes) noexcept {
  check_range(hint, bytes);
  REAM_CHECK(is_aligned(hint.n | bytes.n, kPooledPage.n));
  const ErrnoKeeper keep;
  constexpr int kOf2MiB = 21 << 26;  // MAP_HUGE_2MB
  void* const got =
      ::mmap(hint.ptr(), bytes.n, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | kOf2MiB | kMapExactly, -1, 0);
  if (got == MAP_FAILED) return Addr();
  if (got == hint.ptr() && ::madvise(got, bytes.n, MADV_POPULATE_WRITE) == 0) return hint;
  ::munmap(got, bytes.n);
  return Addr();
}

// In two steps, because mremap onto `to` unmaps `to` before it has checked `from` (it refuses one
// that is several mappings), and another thread's mmap could take the hole before we filled it
// again:
//   1. from -> a place of the kernel's choice; a refusal changes nothing. `from` stays mapped,
//      empty.
//   2. that place, one whole mapping, -> to. Should the kernel refuse here, the contents go back.
bool move_pages(Addr from, Addr to, Bytes bytes) noexcept {
  check_range(from, bytes);
  check_range(to, bytes);
  REAM_CHECK(from + bytes <= to || to + bytes <= from);
  const ErrnoKeeper keep;
  void* const aside =
      ::mremap(from.ptr(), bytes.n, bytes.n, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, nullptr);
  if (aside == MAP_FAILED) return false;
  if (::mremap(aside, bytes.n, bytes.n, MREMAP_MAYMOVE | MREMAP_FIXED, to.ptr()) == to.ptr())
    return true;
  // The way back by mremap would need what was just refused (mappings, near their limit).
  std::memcpy(from.ptr(), aside, bytes.n);
  ::munmap(aside, bytes.n);
  // `to` may have been unmapped by the failed step; where it was not, this is refused.
  static_cast<void>(map_at(to, bytes));
  return false;
}

}  // namespace ream::os
