// Large spans freed a moment ago, kept as they are for the next request of about their size: a pair
// of malloc and free of a megabyte costs two exchanges, no lock, and touches no page anew.
//
// Each shard has a few slots, an atomic pointer each. A request that finds no fitting span empties
// one slot, so a program of ever different sizes keeps next to nothing here. Of several memory
// nodes each has shards of its own, and a span is kept in one of where it lies.
//
// Thread safety: all. Who exchanges a span out of its slot owns it.
//
// Invariants:
//  1. A span in a slot is cached: its object's state is kCached, its pages stay in use.
//  2. A shard's slots hold at most kMaxShardBytes, and no span of more than kMaxSpanBytes.
//
// Lifetime: constant-initialised, never destroyed.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/config.h"
#include "base/root_access.h"
#include "base/units.h"
#include "span/span.h"

namespace ream {

class LargeCache {
 public:
  static constexpr unsigned kShards = 16;
  static constexpr unsigned kSlots = 4;
  static constexpr std::uint64_t kMaxSpanBytes = 16 << 20;
  static constexpr std::uint64_t kMaxShardBytes = 32 << 20;

  struct Taken {
    Span* fitting = nullptr;  // a cached span of the pages asked for, or up to an eighth more
    Span* evicted = nullptr;  // where none fits: one of the others, for the caller to free
  };
  [[nodiscard]] Taken take(unsigned shard, Pages pages) noexcept;

  // Keeps a span that the caller owns. Returns what does not stay, an older one or itself, for the
  // caller to free; else null.
  [[nodiscard]] Span* put(unsigned shard, Span& span) noexcept;

  // Takes out a span that was found in its slot by a call age_ns ago or earlier; null when there is
  // none. `clean` becomes false if one may be found by a later call. REQUIRES: one thread calls it.
  [[nodiscard]] Span* evict_aged(std::uint64_t now_ns, std::uint64_t age_ns, bool& clean) noexcept;

  // Takes out any one span; null when there is none.
  [[nodiscard]] Span* evict() noexcept;

  // In the child of a fork: counts anew what the slots hold. A thread that does not exist any more
  // may have stopped between a slot and its counters; the span in its hands is lost to the child.
  void after_fork_in_child() noexcept;

  struct Stats {
    std::uint64_t spans = 0;
    Bytes bytes{};
    std::uint64_t hits = 0;  // requests served, over time
  };
  [[nodiscard]] Stats stats() const noexcept;

 private:
  friend struct inspect::RootAccess;

  struct Slot {
    std::atomic<Span*> span{nullptr};
    std::atomic<std::uint32_t> pages{
        0};  // of the span put there last: a hint, checked after the exchange
    // What evict_aged() found there, and when first.
    Span* seen = nullptr;
    std::uint64_t seen_ns = 0;
  };

  struct alignas(kCacheLineBytes) Shard {
    std::array<Slot, kSlots> slots{};
    std::atomic<std::uint64_t> held{0};  // spans, and above kHeldPages their pages: one addition
    std::atomic<std::uint32_t> next{0};  // the slot to be emptied next
    std::atomic<std::uint32_t> more{0};  // slots beyond the first that put() may fill
    std::atomic<std::uint64_t> hits{0};
  };

  static constexpr unsigned kHeldPages = 16;
  [[nodiscard]] static std::uint64_t held_by(const Span& span) noexcept {
    return std::uint64_t{span.pages} << kHeldPages | 1;
  }
  [[nodiscard]] static Bytes held_bytes(std::uint64_t held) noexcept {
    return Bytes(held >> kHeldPages << kPageShift);
  }
  [[nodiscard]] static std::uint32_t held_spans(std::uint64_t held) noexcept {
    return static_cast<std::uint32_t>(held & ((1u << kHeldPages) - 1));
  }

  static Span* empty(Shard& shard, Slot& slot) noexcept;
  static Span* empty_next(Shard& shard) noexcept;

  std::array<Shard, kShards> shards_{};
};

}  // namespace ream
