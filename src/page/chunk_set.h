// A set of chunks that finds its highest member in a few steps: a bitmap, over it a bitmap of its
// words that are not zero, and so on up to a single word.
//
//   top      [ 1 word ]
//   level 1  [ bit i: word i of level 0 is not zero ]
//   level 0  [ bit c: chunk c is in the set         ]
//
// Thread safety: the owner's lock.
//
// Invariants (is_valid): 1. a bit above level 0 is set exactly if its word below is not zero.
//
// Lifetime: in the allocator's reservation, committed as the window grows.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "page/geometry.h"
#include "page/meta_array.h"

namespace ream::page {

template <class G>
class ChunkSet {
 public:
  static constexpr unsigned kLogWord = 6;
  static constexpr unsigned kDepth = (G::kChunkIndexBits + kLogWord - 1) / kLogWord;

  [[nodiscard]] static constexpr Bytes reservation() noexcept {
    Bytes sum{};
    for (unsigned d = 0; d < kDepth; ++d) sum += MetaArray<std::uint64_t>::reservation(words(d));
    return sum;
  }

  void init(MetaReservation& reservation) noexcept {
    for (unsigned d = 0; d < kDepth; ++d) {
      levels_[d] = reservation.template take<std::uint64_t>(words(d), kLogWord * (d + 1));
    }
  }
  [[nodiscard]] bool cover(const Environment& env, const Growth& growth,
                           Bytes& committed) noexcept {
    for (const auto& level : levels_) {
      if (!level.cover(env, growth, committed)) return false;
    }
    ready_ = true;
    return true;
  }

  // REQUIRES: the chunk was grown.
  void insert(ChunkIndex c) noexcept {
    std::uint64_t i = c.n;
    for (const auto& level : levels_) {
      std::uint64_t& word = level[i >> kLogWord];
      const bool was_empty = word == 0;
      word |= bit(i);
      if (!was_empty) return;
      i >>= kLogWord;
    }
  }
  void erase(ChunkIndex c) noexcept {
    std::uint64_t i = c.n;
    for (const auto& level : levels_) {
      std::uint64_t& word = level[i >> kLogWord];
      word &= ~bit(i);
      if (word != 0) return;
      i >>= kLogWord;
    }
  }
  [[nodiscard]] bool contains(ChunkIndex c) const noexcept {
    return (levels_[0][c.n >> kLogWord] & bit(c.n)) != 0;
  }
  [[nodiscard]] bool empty() const noexcept { return !ready_ || levels_[kDepth - 1][0] == 0; }

  // REQUIRES: not empty.
  [[nodiscard]] ChunkIndex highest() const noexcept {
    std::uint64_t i = 0;
    for (unsigned d = kDepth; d-- > 0;) {
      i = (i << kLogWord) + 63 - static_cast<unsigned>(std::countl_zero(levels_[d][i]));
    }
    return ChunkIndex{i};
  }

  // Whether the path of one chunk is consistent: for walkers over grown chunks.
  [[nodiscard]] bool is_valid(ChunkIndex c) const noexcept {
    std::uint64_t i = c.n >> kLogWord;
    for (unsigned d = 0; d + 1 < kDepth; ++d, i >>= kLogWord) {
      const bool marked = (levels_[d + 1][i >> kLogWord] & bit(i)) != 0;
      if (marked != (levels_[d][i] != 0)) return false;  // 1
    }
    return true;
  }

 private:
  [[nodiscard]] static constexpr std::uint64_t bit(std::uint64_t i) noexcept {
    return 1ULL << (i & 63);
  }
  [[nodiscard]] static constexpr std::uint64_t words(unsigned depth) noexcept {
    const unsigned bits = kLogWord * (depth + 1);
    return bits >= G::kChunkIndexBits ? 1 : 1ULL << (G::kChunkIndexBits - bits);
  }

  std::array<MetaArray<std::uint64_t>, kDepth> levels_{};
  bool ready_ = false;  // something is committed
};

}  // namespace ream::page
