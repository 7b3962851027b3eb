// The implicit radix tree over chunks, and the crown over its root.
//
//   rank 0          one summary a chunk (the leaves; level kLevels - 1)
//   rank r          one summary for 8 (or 2^kRankBlockBits) entries of rank r - 1
//   rank kLevels-1  the root, level 0: up to 2^23 entries of at most 2^21 pages
//   crown           ranks of fan-out 8 above the root, unpacked, since their regions exceed 2^21
//
// A block is the set of entries under one parent. A search climbs and descends over at most 8
// entries a rank, so its cost does not depend on the size of the address space.
//
// What an all-free entry covers is not looked at. Growing memory and freeing large ranges write
// only the highest entries that the range covers; what lies below them is stale until push_down()
// writes it, which is due before the first page is taken from a chunk that is all free.
//
// The ranks above the leaves run behind: of up to two chunks whose leaf has changed they still show
// the summary before (behind_). A page freed and one allocated in the same chunk often leave its
// leaf as it was, and most searches end in one chunk; then the parents are never written. Whoever
// looks above the leaves catches up first.
//
// One leaf may be loose: its max is at least the longest run of its chunk, but perhaps more. Taking
// page after page of a chunk would else look for the longest run that is left each time. Catching
// up tightens it.
//
// Thread safety: the owner's lock.
//
// Invariants (is_valid), after catch_up():
//  1. Unless a higher entry on its path is all free, an entry is exact: the merge of its block
//  below,
//     or for a leaf the summary of its chunk (0 while the chunk is leased or not grown).
//  2. Memory is committed for every block under an entry that is not 0.
//
// Lifetime: in the allocator's reservation, committed as the window grows.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/annotate.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/root_access.h"
#include "page/chunk_bits.h"
#include "page/chunk_summary.h"
#include "page/geometry.h"
#include "page/meta_array.h"
#include "page/summary.h"

namespace ream::page {

template <class G>
class SummaryTree {
 public:
  static constexpr unsigned kTop = G::kRanks - 1;

  [[nodiscard]] static constexpr Bytes reservation() noexcept;
  void init(MetaReservation& reservation) noexcept;
  [[nodiscard]] bool cover(const Environment& env, const Growth& growth, Bytes& committed) noexcept;

  [[nodiscard]] Summary& leaf(ChunkIndex c) const noexcept { return packed_[0][c.n]; }
  // An entry that is not above the root.
  [[nodiscard]] Summary packed(unsigned rank, std::uint64_t i) const noexcept {
    return packed_[rank][i];
  }
  [[nodiscard]] Runs at(unsigned rank, std::uint64_t i) const noexcept {
    return rank < G::kLevels ? packed_[rank][i].unpack() : crown_[rank - G::kLevels][i].runs;
  }

  // Where the path from the top to a chunk ends: at the first entry that is full or all free, else
  // at the leaf. Safe for every chunk of the window.
  struct Position {
    unsigned rank = 0;
    std::uint64_t index = 0;
    Runs runs{};
  };
  [[nodiscard]] Position locate(ChunkIndex c) const noexcept;

  // What an entry would say if nothing were left stale.
  [[nodiscard]] Runs summary_of(unsigned rank, std::uint64_t i) const noexcept;

  // Brings the ranks above the leaves up to date. REQUIRED before at(); the functions here do it.
  void catch_up() const noexcept {
    if ((behind_[0].key | behind_[1].key | loose_.key) != 0) [[unlikely]]
      catch_up_slow();
  }

  // The leaf of a chunk became loose. `used` are the chunk's bits, which stay where they are.
  void note_loose(ChunkIndex c, const ChunkBits& used) const noexcept {
    if (loose_.key == c.n + 1) return;
    tighten();
    loose_ = {c.n + 1, &used};
  }
  // The leaf of a chunk, exact.
  [[nodiscard]] Summary tight_leaf(ChunkIndex c) const noexcept {
    if (loose_.key == c.n + 1) tighten();
    return leaf(c);
  }

  // Writes what is stale on the path to a chunk, so that its leaf may change.
  REAM_COLD void push_down(ChunkIndex c) noexcept;

  // A leaf that is exact becomes `now`; what is above it follows at the next catch_up().
  REAM_INLINE void change_leaf(ChunkIndex c, Summary now) const noexcept {
    Summary& entry = leaf(c);
    const Summary old = entry;
    if (old == now) return;
    // Before the leaf changes, for this may climb from the leaf next to it.
    if (behind_[0].key != c.n + 1 && behind_[1].key != c.n + 1) fall_behind(c, old);
    entry = now;
  }

  // Chunks [lo, hi), at least two: the leaf of the first and of the last, and what all between
  // become (all free or full). REQUIRES: the first and the last leaf are exact.
  void change_range(ChunkIndex lo, ChunkIndex hi, Summary first, Summary last,
                    bool free_between) noexcept;

  // Chunks [lo, hi), not known before, are all free. Costs a few stores a rank, however many they
  // are.
  void grow(ChunkIndex lo, ChunkIndex hi) noexcept;

  // Invariant 1 for the entry at (rank, index) and its block below. REQUIRES: rank > 0.
  [[nodiscard]] bool is_valid_above(unsigned rank, std::uint64_t index) const noexcept;

 private:
  friend struct inspect::RootAccess;

  static constexpr unsigned kCrownRanks = G::kRanks - G::kLevels;

  [[nodiscard]] static constexpr std::uint64_t index_at(unsigned rank, ChunkIndex c) noexcept {
    return c.n >> (G::kRankLogPages[rank] - kLogChunkPages);
  }

  // A chunk whose leaf has changed, and the leaf that the ranks above it show.
  struct Behind {
    std::uint64_t key = 0;  // chunk index + 1; 0: none
    Summary shown{};
    [[nodiscard]] ChunkIndex chunk() const noexcept { return ChunkIndex{key - 1}; }
  };

  REAM_INLINE void fall_behind(ChunkIndex c, Summary shown) const noexcept {
    if (behind_[1].key != 0) settle_older();
    behind_[1] = behind_[0];
    behind_[0] = {c.n + 1, shown};
  }
  REAM_COLD void catch_up_slow() const noexcept;
  void settle_older() const noexcept;
  void tighten() const noexcept;

  template <unsigned kRank>
  void climb(ChunkIndex c, Summary old, Summary now) const noexcept;
  template <unsigned kRank>
  [[nodiscard]] Summary after_max_change(std::uint64_t i, Summary parent, std::uint64_t old_max,
                                         std::uint64_t max) const noexcept;
  template <unsigned kRank>
  [[nodiscard]] Summary after_end_change(ChunkIndex c, Runs parent, const Runs& old,
                                         const Runs& now) const noexcept;
  void climb_crown(ChunkIndex c, Runs old, Runs now) const noexcept;

  [[nodiscard]] Runs merge_at(unsigned rank, std::uint64_t i) const noexcept;
  bool store(unsigned rank, std::uint64_t i, const Runs& runs) noexcept;
  void fill(unsigned rank, std::uint64_t lo, std::uint64_t hi, bool free) noexcept;

  std::array<MetaArray<Summary>, G::kLevels> packed_{};
  std::array<MetaArray<CrownEntry>, kCrownRanks> crown_{};
  struct Loose {
    std::uint64_t key = 0;  // as in Behind
    const ChunkBits* used = nullptr;
  };
  mutable Loose loose_{};
  mutable std::array<Behind, 2> behind_{};  // the newer one first
};

// Entries below the root never cover 2^21 pages, so they are unpacked without looking for the top
// bit.
template <class G>
template <unsigned kRank>
void SummaryTree<G>::climb(ChunkIndex c, Summary old, Summary now) const noexcept {
  const std::uint64_t i = index_at(kRank, c);
  Summary& parent = packed_[kRank][i];
  const Summary before = parent;
  if (((old.bits() ^ now.bits()) & ~Summary::kMaxField) != 0) {
    parent = after_end_change<kRank>(c, before.unpack(), old.unpack_small(), now.unpack_small());
  } else {
    parent = after_max_change<kRank>(i, before, old.max_small(), now.max_small());
  }
  if (parent == before) return;
  if constexpr (kRank + 1 < G::kLevels)
    climb<kRank + 1>(c, before, parent);
  else if constexpr (kCrownRanks > 0)
    climb_crown(c, before.unpack(), parent.unpack());
}

// The parent of an entry that kept its start and its end, mostly as it was: the entry's max raises
// the parent's, or leaves it alone unless it was the one that set it, and no sibling has it too.
template <class G>
template <unsigned kRank>
REAM_INLINE Summary SummaryTree<G>::after_max_change(std::uint64_t i, Summary parent,
                                                     std::uint64_t old_max,
                                                     std::uint64_t max) const noexcept {
  constexpr unsigned kBlock = 1u << G::kRankBlockBits[kRank - 1];
  const Runs p = parent.unpack();
  if (max > p.max) return Summary::pack(p.start, max, p.end);
  if (old_max < p.max) return parent;
  const Summary* block = packed_[kRank - 1].data() + i * kBlock;
  for (unsigned k = 0; k < kBlock; ++k) {
    if (block[k].max_small() == p.max) return parent;
  }
  return Summary::pack(merge_summaries(block, kBlock, G::kRankLogPages[kRank - 1]));
}

template <class G>
template <unsigned kRank>
Summary SummaryTree<G>::after_end_change(ChunkIndex c, Runs parent, const Runs& old,
                                         const Runs& now) const noexcept {
  constexpr unsigned kBlock = 1u << G::kRankBlockBits[kRank - 1];
  constexpr unsigned kLogPages = G::kRankLogPages[kRank - 1];
  const std::uint64_t child = index_at(kRank - 1, c);
  const Summary* block = packed_[kRank - 1].data() + round_down(child, kBlock);
  const auto k = static_cast<unsigned>(child % kBlock);
  if (change_entry(parent, block, k, kBlock, kLogPages, old, now)) return Summary::pack(parent);
  return Summary::pack(merge_summaries(block, kBlock, kLogPages));
}

}  // namespace ream::page

#include "page/summary_tree_impl.h"
