// A thread's own window of 64 pages: taken out of the allocator under its lock, allocated from
// without.
//
// Thread safety: belongs to one thread. PageAlloc::alloc_to_cache and flush need the lock.
//
// Invariants: 1. scavenged is a subset of free. 2. free pages of the cache are in use for the
// allocator.
//
// Lifetime: flush it before dropping it, or its pages are lost.
#pragma once

#include <bit>
#include <cstdint>

#include "base/bits.h"
#include "base/units.h"
#include "page/chunk_bits.h"

namespace ream::page {

// A run of pages that was allocated. Test it before use.
struct Allocation {
  Addr base{};
  Bytes scavenged{};  // how much of it had been given back and reads as zero
  bool ok = false;
  explicit constexpr operator bool() const noexcept { return ok; }
};

template <class G>
class PageCache {
 public:
  constexpr PageCache() noexcept = default;
  constexpr PageCache(Addr base, std::uint64_t free, std::uint64_t scavenged) noexcept
      : base_(base), free_(free), scavenged_(scavenged) {}

  [[nodiscard]] bool empty() const noexcept { return free_ == 0; }
  [[nodiscard]] Addr base() const noexcept { return base_; }
  [[nodiscard]] std::uint64_t free() const noexcept { return free_; }
  [[nodiscard]] std::uint64_t scavenged() const noexcept { return scavenged_; }

  // The lowest run of n pages in the cache; not ok if there is none.
  [[nodiscard]] Allocation alloc(Pages n) noexcept {
    if (n.n - 1 >= kWordPages) return {};
    const auto pages = static_cast<unsigned>(n.n);
    const unsigned i = find_bit_range64(free_, pages);
    if (i >= kWordPages) return {};
    const std::uint64_t mask = bit_range(i, pages);
    const auto scavenged = count_bits(scavenged_ & mask);
    free_ &= ~mask;
    scavenged_ &= ~mask;
    return {base_ + Bytes(std::uint64_t{i} << G::kPageShift),
            Bytes(std::uint64_t{scavenged} << G::kPageShift), true};
  }

 private:
  Addr base_{};                  // of 64 pages, aligned to as many
  std::uint64_t free_ = 0;       // 1: free, owned by the cache
  std::uint64_t scavenged_ = 0;  // 1: free and scavenged
};

}  // namespace ream::page
