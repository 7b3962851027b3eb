// Addresses of a window and the numbers of its chunks, pages and tree entries. The names are Go's.
// Everything in between works on *offset addresses*, that is, distances from the window's base.
//
// Thread safety: a plain value.
#pragma once

#include <cstdint>

#include "base/bits.h"
#include "base/check.h"
#include "base/root_access.h"
#include "base/units.h"
#include "page/geometry.h"

namespace ream::page {

// Half-open range of entries of a tree level.
struct EntryRange {
  std::uint64_t lo = 0;
  std::uint64_t hi = 0;
  friend constexpr bool operator==(EntryRange, EntryRange) noexcept = default;
};

// A range widened to whole blocks, with what that comes to.
struct BlockRange {
  EntryRange entries;
  std::uint64_t blocks = 0;
  Bytes bytes{};  // of summaries
};

template <class G>
class Window {
 public:
  constexpr Window() noexcept = default;
  // REQUIRES: base is zero where the geometry says so.
  explicit constexpr Window(Addr base) noexcept : base_(base) {}

  [[nodiscard]] constexpr Addr base() const noexcept {
    if constexpr (G::kBase == WindowBase::kZero)
      return Addr();
    else
      return base_;
  }
  // Distance from the base, modulo 2^64: below 2^address_bits exactly for addresses of the window.
  [[nodiscard]] constexpr std::uint64_t offset(Addr a) const noexcept { return a.n - base().n; }
  [[nodiscard]] constexpr bool contains(Addr a) const noexcept {
    return offset(a) >> G::kAddressBits == 0;
  }

  // REQUIRES (all below): addresses lie in the window.
  [[nodiscard]] constexpr PageIndex page_of(Addr a) const noexcept {
    return PageIndex{offset(a) >> G::kPageShift};
  }
  [[nodiscard]] constexpr Addr addr_of(PageIndex p) const noexcept {
    return Addr(base().n + (p.n << G::kPageShift));
  }

  [[nodiscard]] constexpr ChunkIndex chunk_index(Addr a) const noexcept {
    return ChunkIndex{offset(a) >> G::kLogChunkBytes};
  }
  [[nodiscard]] constexpr Addr chunk_base(ChunkIndex c) const noexcept {
    return addr_of(first_page(c));
  }
  [[nodiscard]] constexpr unsigned chunk_page_index(Addr a) const noexcept {
    return page_of(a).in_chunk();
  }

  [[nodiscard]] constexpr std::uint64_t off_addr_to_level_index(unsigned level,
                                                                Addr a) const noexcept {
    return offset(a) >> G::level_shift(level);
  }
  [[nodiscard]] constexpr Addr level_index_to_off_addr(unsigned level,
                                                       std::uint64_t index) const noexcept {
    return Addr(base().n + (index << G::level_shift(level)));
  }

  // Entries of a level that cover [begin, limit). REQUIRES: begin < limit; limit may be the end of
  // the window.
  [[nodiscard]] constexpr EntryRange addrs_to_summary_range(unsigned level, Addr begin,
                                                            Addr limit) const noexcept {
    return {off_addr_to_level_index(level, begin), off_addr_to_level_index(level, limit - 1_B) + 1};
  }

 private:
  friend struct inspect::RootAccess;

  Addr base_{};
};

// `range` widened to whole blocks of `level`: the siblings that one entry of the level above
// covers.
template <class G>
constexpr BlockRange block_align_summary_range(unsigned level, EntryRange range) noexcept {
  const std::uint64_t block = 1ULL << G::kLevelBits[level];
  const EntryRange wide{round_down(range.lo, block), round_up(range.hi, block)};
  const std::uint64_t entries = wide.hi - wide.lo;
  return {wide, entries / block, Bytes(entries * sizeof(std::uint64_t))};
}

}  // namespace ream::page
