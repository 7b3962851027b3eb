// The shape of an allocator's world, known at compile time.
//
//   address - window base = offset address, below 2^address_bits
//
//   | root entry | level 1 | level 2 | level 3 | leaf = chunk | page in chunk | byte in page |
//   |<- bits 0 ->|<------- kLevelBits 1 .. kLevels-1 ------->|<---- 9 ------>|< page_shift >|
//
//   sum(kLevelBits) + 9 + page_shift = address_bits
//
// The tree of summaries is counted in two ways. A *level* is Go's: 0 is the root, the last one the
// leaves. A *rank* counts upwards from the leaves and goes on above the root into the crown: ranks
// of fan-out 8 that end in at most 8 entries, so that a search never walks a long root
// (summary_tree.h).
//
// Thread safety: constants only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "base/units.h"

namespace ream::page {

inline constexpr unsigned kLogChunkPages = 9;
inline constexpr unsigned kChunkPages = 1u << kLogChunkPages;
inline constexpr unsigned kLogMaxPackedPages = 21;  // what one packed summary can cover

// Number of a chunk in its window: the index of a leaf of the tree.
struct ChunkIndex {
  std::uint64_t n = 0;

  // The two indexes into the sparse chunk table (chunk_table.h).
  template <class G>
  [[nodiscard]] constexpr std::uint64_t l1() const noexcept {
    return n >> G::kChunkL2Bits;
  }
  template <class G>
  [[nodiscard]] constexpr std::uint64_t l2() const noexcept {
    return n & (G::kChunkL2Entries - 1);
  }

  friend constexpr auto operator<=>(ChunkIndex, ChunkIndex) noexcept = default;
};

// Number of a page in its window.
struct PageIndex {
  std::uint64_t n = 0;

  [[nodiscard]] constexpr ChunkIndex chunk() const noexcept {
    return ChunkIndex{n >> kLogChunkPages};
  }
  [[nodiscard]] constexpr unsigned in_chunk() const noexcept {
    return static_cast<unsigned>(n & (kChunkPages - 1));
  }

  friend constexpr auto operator<=>(PageIndex, PageIndex) noexcept = default;
  friend constexpr PageIndex operator+(PageIndex a, Pages b) noexcept {
    return PageIndex{a.n + b.n};
  }
  friend constexpr Pages operator-(PageIndex a, PageIndex b) noexcept { return Pages(a.n - b.n); }
};

constexpr PageIndex first_page(ChunkIndex c) noexcept { return PageIndex{c.n << kLogChunkPages}; }

enum class WindowBase : bool {
  kZero,     // addresses are offset addresses
  kRunTime,  // the base is given to init
};

template <unsigned kAddressBitsValue, unsigned kPageShiftValue, WindowBase kBaseValue,
          unsigned... kBits>
struct Geometry {
  static constexpr unsigned kAddressBits = kAddressBitsValue;
  static constexpr unsigned kPageShift = kPageShiftValue;
  static constexpr WindowBase kBase = kBaseValue;
  static constexpr unsigned kLevels = sizeof...(kBits);
  static constexpr std::array<unsigned, kLevels> kLevelBits{kBits...};

  static constexpr std::uint64_t kPageBytes = 1ULL << kPageShift;
  static constexpr unsigned kLogChunkBytes = kLogChunkPages + kPageShift;
  static constexpr std::uint64_t kChunkBytes = 1ULL << kLogChunkBytes;
  static constexpr unsigned kPageIndexBits = kAddressBits - kPageShift;
  static constexpr std::uint64_t kTotalPages = 1ULL << kPageIndexBits;
  static constexpr unsigned kChunkIndexBits = kPageIndexBits - kLogChunkPages;
  static constexpr std::uint64_t kTotalChunks = 1ULL << kChunkIndexBits;

  static_assert((0u + ... + kBits) + kLogChunkBytes == kAddressBits,
                "the level bits, a chunk and a page make up an address");
  static_assert(kAddressBits < 64 && kLevels >= 2);

  // Pages under one entry of a level; bits of an entry's number; shift from an offset address to
  // it.
  static constexpr std::array<unsigned, kLevels> kLevelLogPages = [] {
    std::array<unsigned, kLevels> log{};
    unsigned pages = kLogChunkPages;
    for (unsigned l = kLevels; l-- > 0; pages += kLevelBits[l]) log[l] = pages;
    return log;
  }();
  [[nodiscard]] static constexpr unsigned level_shift(unsigned level) noexcept {
    return kLevelLogPages[level] + kPageShift;
  }
  [[nodiscard]] static constexpr unsigned level_index_bits(unsigned level) noexcept {
    return kPageIndexBits - kLevelLogPages[level];
  }
  static_assert(kLevelLogPages[0] <= kLogMaxPackedPages, "a root entry must fit in a summary");

  // Entries under one parent are committed together: they fit in the smallest step of 4 KiB.
  static_assert([] {
    for (unsigned l = 1; l < kLevels; ++l) {
      if (kLevelBits[l] > 9) return false;
    }
    return true;
  }());

  // The largest alignment of an allocation, and what a window's base is aligned to: a root entry,
  // or the whole window where that is smaller than 2^21 pages.
  static constexpr std::uint64_t kMaxAlignPages =
      1ULL << (kPageIndexBits < kLogMaxPackedPages ? kPageIndexBits : kLogMaxPackedPages);

  // The sparse chunk table: 8192 chunks (2 MiB of metadata) in a second-level table.
  static constexpr unsigned kChunkL2Bits = kChunkIndexBits < 13 ? kChunkIndexBits : 13;
  static constexpr unsigned kChunkL1Bits = kChunkIndexBits - kChunkL2Bits;
  static constexpr std::uint64_t kChunkL2Entries = 1ULL << kChunkL2Bits;
  static constexpr std::uint64_t kChunkL1Entries = 1ULL << kChunkL1Bits;

  // Ranks. kRankBlockBits[r] is log2 of the entries of rank r under one entry of rank r + 1; for
  // the top rank, of all its entries.
  static constexpr unsigned kCrownBits = 3;
  static constexpr unsigned kRanks =
      kLevels + (kLevelBits[0] == 0 ? 0 : (kLevelBits[0] - 1) / kCrownBits);
  static constexpr std::array<unsigned, kRanks> kRankBlockBits = [] {
    std::array<unsigned, kRanks> bits{};
    for (unsigned r = 0; r + 1 < kLevels; ++r) bits[r] = kLevelBits[kLevels - 1 - r];
    unsigned left = kLevelBits[0];
    for (unsigned r = kLevels - 1; r < kRanks; ++r) {
      bits[r] = left < kCrownBits ? left : kCrownBits;
      left -= bits[r];
    }
    return bits;
  }();
  static constexpr std::array<unsigned, kRanks> kRankLogPages = [] {
    std::array<unsigned, kRanks> log{};
    unsigned pages = kLogChunkPages;
    for (unsigned r = 0; r < kRanks; pages += kRankBlockBits[r++]) log[r] = pages;
    return log;
  }();
  [[nodiscard]] static constexpr std::uint64_t rank_entries(unsigned rank) noexcept {
    return 1ULL << (kPageIndexBits - kRankLogPages[rank]);
  }
  [[nodiscard]] static constexpr unsigned rank_of_level(unsigned level) noexcept {
    return kLevels - 1 - level;
  }
};

// The default: Go's geometry on 64-bit systems.
using Go48 = Geometry<48, 13, WindowBase::kZero, 14, 3, 3, 3, 3>;
// A malloc heap's window of 16 TiB; its metadata reserves 39 MiB of address space at first.
using HeapWindow = Geometry<44, 13, WindowBase::kRunTime, 10, 3, 3, 3, 3>;
// Other page sizes, wider and narrower address spaces.
using Pages4K = Geometry<48, 12, WindowBase::kZero, 15, 3, 3, 3, 3>;
using Pages16K = Geometry<48, 14, WindowBase::kZero, 13, 3, 3, 3, 3>;
using Pages64K = Geometry<48, 16, WindowBase::kZero, 11, 3, 3, 3, 3>;
using Wide57 = Geometry<57, 13, WindowBase::kZero, 23, 3, 3, 3, 3>;
using Narrow32 = Geometry<32, 13, WindowBase::kZero, 1, 3, 3, 3>;
using Window1T = Geometry<40, 13, WindowBase::kRunTime, 6, 3, 3, 3, 3>;
// Toys that a test can exhaust: 4 chunks in two levels, 64 chunks in three.
using Tiny4 = Geometry<24, 13, WindowBase::kRunTime, 1, 1>;
using Tiny64 = Geometry<28, 13, WindowBase::kRunTime, 2, 2, 2>;

}  // namespace ream::page
