// The sparse table of chunks: a first level of pointers, second levels of 8192 chunks that are
// reserved when the window first grows into them and committed in steps of 16 KiB. Small windows
// have one second level and no first.
//
//   l1: [ * | - | - | * | ... ]        a second level covers 8192 chunks (32 GiB of 8 KiB pages)
//         |           |
//         v           v
//   l2: [ chunk ... ] [ chunk ... ]    256 bytes a chunk
//
// Thread safety: find() may run beside grow(); the pointers are published with release order.
//
// Lifetime: second levels live until the table is released.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "base/root_access.h"
#include "page/chunk.h"
#include "page/geometry.h"
#include "page/meta_array.h"

namespace ream::page {

template <class G>
class ChunkTable {
 public:
  // Address space that the first level takes from the allocator's reservation.
  [[nodiscard]] static constexpr Bytes reservation() noexcept {
    return kFlat ? Bytes() : MetaArray<Chunk*>::reservation(G::kChunkL1Entries);
  }

  void init(MetaReservation& reservation) noexcept {
    if constexpr (!kFlat) {
      l1_ = reservation.template take<Chunk*>(G::kChunkL1Entries, G::kChunkL2Bits);
    }
  }

  // The chunk, or null if its table was never needed. A chunk that is not null may still be one
  // that was never grown, and then not be accessible.
  [[nodiscard]] Chunk* find(ChunkIndex c) const noexcept {
    Chunk* const l2 = slot(c).load(std::memory_order_acquire);
    return l2 == nullptr ? nullptr : l2 + c.template l2<G>();
  }
  // REQUIRES: the chunk was grown.
  [[nodiscard]] Chunk& at(ChunkIndex c) const noexcept {
    return slot(c).load(std::memory_order_relaxed)[c.template l2<G>()];
  }

  // Makes the chunks of `growth` accessible. False when there is no memory.
  [[nodiscard]] bool cover(const Environment& env, const Growth& growth, Bytes& committed,
                           Bytes& reserved) noexcept {
    if constexpr (!kFlat) {
      if (!l1_.cover(env, growth, committed)) return false;
    }
    for (std::uint64_t lo = growth.lo; lo < growth.hi;) {
      const std::uint64_t table = lo >> G::kChunkL2Bits;
      const std::uint64_t hi = std::min(growth.hi, (table + 1) << G::kChunkL2Bits);
      if (!cover_in_table(env, growth, table, lo, hi, committed, reserved)) return false;
      lo = hi;
    }
    return true;
  }

  // Releases the second levels of chunks [lo, hi).
  void release(const Environment& env, std::uint64_t lo, std::uint64_t hi) noexcept {
    for_each_table(lo, hi, [&](std::atomic_ref<Chunk*> l2) noexcept {
      Chunk* const table = l2.exchange(nullptr, std::memory_order_relaxed);
      if (table != nullptr) env.release(env.context, table, kL2Bytes);
    });
  }

  // Calls visit(reference to a second level) for each table that chunks [lo, hi) lie in.
  template <class Visit>
  void for_each_table(std::uint64_t lo, std::uint64_t hi, Visit visit) const noexcept {
    for (std::uint64_t t = lo >> G::kChunkL2Bits; t <= (hi - 1) >> G::kChunkL2Bits; ++t) {
      visit(slot(ChunkIndex{t << G::kChunkL2Bits}));
    }
  }

  static constexpr Bytes kL2Bytes{G::kChunkL2Entries * sizeof(Chunk)};

 private:
  friend struct inspect::RootAccess;

  static constexpr bool kFlat = G::kChunkL1Bits == 0;
  static constexpr std::uint64_t kGranuleBytes = 16384;

  [[nodiscard]] std::atomic_ref<Chunk*> slot(ChunkIndex c) const noexcept {
    if constexpr (kFlat)
      return std::atomic_ref<Chunk*>(flat_);
    else
      return std::atomic_ref<Chunk*>(l1_[c.template l1<G>()]);
  }

  // The part [lo, hi) of the growth that lies in one second level.
  [[nodiscard]] bool cover_in_table(const Environment& env, const Growth& growth,
                                    std::uint64_t table, std::uint64_t lo, std::uint64_t hi,
                                    Bytes& committed, Bytes& reserved) noexcept {
    const std::uint64_t base = table << G::kChunkL2Bits;
    const std::atomic_ref<Chunk*> l2 = slot(ChunkIndex{base});
    if (l2.load(std::memory_order_relaxed) == nullptr) {
      auto* fresh = static_cast<Chunk*>(env.reserve(env.context, kL2Bytes));
      if (fresh == nullptr) return false;
      reserved += kL2Bytes;
      l2.store(fresh, std::memory_order_release);
    }
    Growth part{lo - base, hi - base};
    if (growth.has_below && growth.last_below >= base) {
      part.has_below = true;
      part.last_below = growth.last_below - base;
    }
    if (growth.has_above && growth.first_above < base + G::kChunkL2Entries) {
      part.has_above = true;
      part.first_above = growth.first_above - base;
    }
    const MetaArray<Chunk> chunks(l2.load(std::memory_order_relaxed), G::kChunkL2Entries, 0,
                                  kGranuleBytes);
    return chunks.cover(env, part, committed);
  }

  MetaArray<Chunk*> l1_;
  mutable Chunk* flat_ = nullptr;
};

}  // namespace ream::page
