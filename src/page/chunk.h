// One chunk: 512 pages, a leaf of the tree.
//
//   line 0   used      1 = in use
//   line 1   counts, marks
//   line 2   backed    1 = has memory behind it: in use, or free and not scavenged
//   line 3   returned  pages that were freed without the lock (chunk_lease.h)
//
// The scavenged bitmap is the complement of `backed`, so a chunk of zero bytes is a freshly grown
// one: all free, all scavenged. Growing memory therefore writes no chunk at all.
//
// Thread safety: the owner of the PageAlloc holds its lock; `leased`, `sent`, `rich`, `spare`,
// `next_sent` and `returned` are accessed atomically. While a chunk is leased `used` and `backed`
// belong to the lessee; while it is parked nobody changes them.
//
// Invariants (is_valid), while not leased:
//  1. used_pages == popcount(used), backed_pages == popcount(backed).
//  2. A page in use is backed: used & ~backed == 0.
//  3. returned is zero, or the chunk is sent, or its freer is about to send it.
// And of a parked one: it is sent, or who parked it is about to send it.
//
// Lifetime: in a lazily committed table; zero-filled memory is a valid chunk, and none is
// destroyed.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "base/annotate.h"
#include "base/config.h"
#include "page/chunk_bits.h"
#include "page/kernels.h"

namespace ream::page {

struct alignas(kCacheLineBytes) Chunk {
  ChunkBits used;

  alignas(kCacheLineBytes) std::uint16_t used_pages;
  std::uint16_t backed_pages;
  std::uint8_t candidate;   // 1: in the scavenger's set
  std::uint8_t leased;      // not 0: shows as full in the tree; below; atomic
  std::uint8_t sent;        // 1: on a list of sent chunks; atomic
  std::uint8_t rich;        // 1: on a list of rich chunks; atomic
  std::uint16_t spare;      // pages that settling it would free, about; atomic
  std::uint64_t next_sent;  // the next of the list: chunk index + 1, or 0; atomic
  std::uint64_t next_rich;  // likewise; of whose list it is on

  alignas(kCacheLineBytes) ChunkBits backed;
  alignas(kCacheLineBytes) ChunkBits returned;  // atomic

  // Values of `leased`.
  static constexpr std::uint8_t kUnleased = 0;
  static constexpr std::uint8_t kLeased = 1;  // a thread allocates from it
  static constexpr std::uint8_t kParked = 2;  // nobody does; anyone may, without the lock

  [[nodiscard]] std::uint8_t lease_state(std::memory_order order) const noexcept {
    return std::atomic_ref<std::uint8_t>(const_cast<std::uint8_t&>(leased)).load(order);
  }
  // Or parked.
  [[nodiscard]] bool is_leased() const noexcept {
    return lease_state(std::memory_order_relaxed) != kUnleased;
  }
  // On a list of chunks with returned pages.
  [[nodiscard]] bool is_sent() const noexcept {
    return std::atomic_ref<std::uint8_t>(const_cast<std::uint8_t&>(sent))
               .load(std::memory_order_relaxed) != 0;
  }
  // Whether some of pages [i, i + n) were returned.
  [[nodiscard]] bool has_returned(unsigned i, unsigned n) const noexcept {
    std::uint64_t some = 0;
    for_each_word(i, n, [&](unsigned w, std::uint64_t mask) noexcept {
      some |= mask & std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(returned[w]))
                         .load(std::memory_order_relaxed);
    });
    return some != 0;
  }
  // Whether pages [i, i + n) are in use, and none was returned. REQUIRES: not leased.
  [[nodiscard]] REAM_INLINE bool is_in_use(unsigned i, unsigned n) const noexcept {
    return all_set(used, i, n) && !(is_sent() && has_returned(i, n));
  }
  [[nodiscard]] unsigned free_pages() const noexcept { return kChunkPages - used_pages; }
  // Free and with memory behind it.
  [[nodiscard]] unsigned unscavenged_pages() const noexcept { return backed_pages - used_pages; }
  [[nodiscard]] std::uint64_t scavenged_word(unsigned w) const noexcept { return ~backed[w]; }

  // Marks free pages [i, i + n) in use. Returns how many of them were scavenged.
  REAM_INLINE unsigned allocate(unsigned i, unsigned n) noexcept {
    const unsigned scavenged =
        n <= kWordPages ? take_range(used, backed, i, n) : kernels().take_range(used, backed, i, n);
    used_pages = static_cast<std::uint16_t>(used_pages + n);
    backed_pages = static_cast<std::uint16_t>(backed_pages + scavenged);
    return scavenged;
  }

  // Marks pages [i, i + n), all in use, free and unscavenged. A whole chunk is one store a word.
  REAM_INLINE void free(unsigned i, unsigned n) noexcept {
    if (n == kChunkPages) {
      used = {};
      used_pages = 0;
      return;
    }
    if (n <= kWordPages) {
      clear_range(used, i, n);
    } else {
      kernels().clear_range(used, i, n);
    }
    used_pages = static_cast<std::uint16_t>(used_pages - n);
  }

  // Marks free pages [i, i + n) scavenged. Returns how many were not before.
  unsigned mark_scavenged(unsigned i, unsigned n) noexcept {
    const unsigned changed = kernels().popcount_range(backed, i, n);
    clear_range(backed, i, n);
    backed_pages = static_cast<std::uint16_t>(backed_pages - changed);
    return changed;
  }

  // Marks pages [i, i + n) as having memory behind them. Returns how many had not before.
  unsigned mark_backed(unsigned i, unsigned n) noexcept {
    const unsigned changed = n - kernels().popcount_range(backed, i, n);
    set_range(backed, i, n);
    backed_pages = static_cast<std::uint16_t>(backed_pages + changed);
    return changed;
  }

  // Returns those of the pages that were returned before. Both are sequentially consistent.
  std::uint64_t add_returned(unsigned w, std::uint64_t pages) noexcept {
    return std::atomic_ref<std::uint64_t>(returned[w]).fetch_or(pages) & pages;
  }
  [[nodiscard]] unsigned returned_pages() noexcept {
    unsigned pages = 0;
    for (std::uint64_t& w : returned) {
      const std::uint64_t x = std::atomic_ref<std::uint64_t>(w).load(std::memory_order_relaxed);
      if (x != 0) pages += count_bits(x);
    }
    return pages;
  }
  // A hint: two that add at once may count as one, and a late one may count for the next lease.
  [[nodiscard]] unsigned spare_pages() const noexcept {
    return std::atomic_ref<std::uint16_t>(const_cast<std::uint16_t&>(spare))
        .load(std::memory_order_relaxed);
  }
  void set_spare(unsigned pages) noexcept {
    std::atomic_ref<std::uint16_t>(spare).store(static_cast<std::uint16_t>(pages),
                                                std::memory_order_relaxed);
  }
  std::uint64_t take_returned(unsigned w) noexcept {
    const std::atomic_ref<std::uint64_t> word(returned[w]);
    return word.load() == 0 ? 0 : word.exchange(0);
  }

  [[nodiscard]] bool is_valid() const noexcept {
    for (unsigned w = 0; w < kChunkWords; ++w) {
      if ((used[w] & ~backed[w]) != 0) return false;  // 2
    }
    return used_pages == popcount(used) && backed_pages == popcount(backed);  // 1
  }
};
static_assert(sizeof(Chunk) == 4 * kCacheLineBytes && std::is_trivial_v<Chunk>);

}  // namespace ream::page
