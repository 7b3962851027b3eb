// Which 2 MiB regions of the heap the system shall back with huge pages: by their density and age,
// never at the price of memory.
//
//            advised before its first touch                partly given back: split
//   (new) -------------------------------> perhaps huge ------------------------------> small pages
//     |                                        ^                                            |
//     +--- full, and stays so: collapsed ------+--------------------------------------------+
//
// Full: all pages have memory, and seven eighths at least are in use. A region that stays full for
// about the pace's window is collapsed by the worker; each time that one was split or refused it
// waits twice as long. Growth is advised while a heap that is large grows fast by small requests
// that are touched, and huge pages come cheaply: the first of each growth is touched and timed.
// Where the system has to make room for it, or a host has to find the memory, small pages serve the
// program better, and the worker can wait. Once a part of a region is given back, its block of 32
// MiB is advised against huge pages, where the system would make some by itself (on our advice, or
// its own rule), until all of the block is full again.
//
// A block is what advice is changed for, since the system keeps a record for each stretch of equal
// advice, and a process has 65530. There are at most kMostStretches.
//
// Nothing is asked of a system without huge pages of 2 MiB, of one whose rule is never, or of one
// that refused kMostRefusals times in a row.
//
// Thread safety: may_matter(), mode() and collapses() from any thread; all else under the lock of
// the page heap. Lifetime: constant-initialised, never destroyed.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "heap/huge_page_mode.h"
#include "heap/huge_regions.h"
#include "os/memory.h"

namespace ream {

class HugePagePolicy {
 public:
  using Region = HugeRegions::Region;

  static constexpr Bytes kRegion = HugeRegions::kBytes;
  static constexpr Bytes kLeastHeap = 16_MiB;    // below, a heap is left alone
  static constexpr Bytes kLeastSteady = 32_MiB;  // below, growth is not advised
  static constexpr unsigned kBlockRegions = 16;
  static constexpr Bytes kBlock{kRegion.n * kBlockRegions};
  static constexpr unsigned kLooks = 4;  // that find a region full before it is collapsed
  static constexpr std::uint32_t kMostRefusals = 64;
  static constexpr std::uint32_t kMostStretches = 4096;

  // ---- Mode. The caller walks the grown ranges afterwards where `true` is returned.

  [[nodiscard]] HugePageMode mode() const noexcept { return mode_.load(std::memory_order_relaxed); }
  // The rule of the system is read anew; refusals are forgotten.
  void set_mode(HugePageMode mode) noexcept;
  // Brings what had grown before a change of mode, or before the heap was large enough, in line.
  void adopt_old(Addr base, Bytes bytes) noexcept;

  // ---- Growth

  struct Growth {
    Addr base;
    Bytes bytes;
    Bytes asked;  // by the request that made the heap grow
    Bytes heap;   // address space of the heap before
    std::uint64_t now_ns;
    bool limited = false;  // memory is: none of it may become resident ahead of use
  };
  enum class GrowthNote : std::uint8_t {
    kNothing,
    kFirst,    // the heap is large enough now: adopt_old is due for all there is
    kTouched,  // the first region has memory now, and reads as zero
  };
  [[nodiscard]] GrowthNote on_growth(const Growth& growth) noexcept;
  // A large span on memory that is not resident: it may never be touched.
  void on_fresh_span(Addr base, Bytes bytes) noexcept;

  // ---- Giving back

  // Whether before_purge has anything to do. Lock-free.
  [[nodiscard]] bool may_matter(Addr base, Bytes bytes) const noexcept;
  // The ends of a range that may lie within huge pages, of which other parts stay.
  struct Splits {
    std::array<Addr, 2> at{};
    unsigned count = 0;
  };
  [[nodiscard]] Splits before_purge(Addr base, Bytes bytes) noexcept;

  // ---- Looks, by the worker

  // Whether there is anything to look for.
  [[nodiscard]] bool collapses() const noexcept {
    return active_.load(std::memory_order_relaxed) && wants_transparent();
  }
  // A look at a block: bit i of `grown` and `full` is its i-th region. Returns those to be
  // collapsed. May end the advice against the block.
  [[nodiscard]] std::uint32_t look(Addr block, std::uint32_t grown, std::uint32_t full) noexcept;
  // Whether regions that the last looks found full may be collapsed before long.
  [[nodiscard]] bool take_waiting() noexcept { return std::exchange(waiting_, false); }
  enum class Outcome : std::uint8_t { kCollapsed, kRefused, kNotResident, kPostponed };
  void on_collapse(Addr region, Outcome outcome) noexcept;

  [[nodiscard]] const HugePageStats& stats() const noexcept { return stats_; }

 private:
  enum class Advice : std::uint8_t { kNone, kFor, kAgainst };

  void start() noexcept;
  [[nodiscard]] bool wants_transparent() const noexcept {
    return mode() == HugePageMode::kAdaptive || mode() == HugePageMode::kAlways;
  }
  // False when the system refuses.
  bool advise(Addr base, Bytes bytes, bool on) noexcept;
  void note_refusals(std::uint64_t regions) noexcept;
  void close_block(Addr block) noexcept;
  [[nodiscard]] Advice advice_for(const Growth& growth) noexcept;
  [[nodiscard]] bool come_cheaply(Addr region) noexcept;
  [[nodiscard]] bool leaves_small_heaps() const noexcept;
  [[nodiscard]] bool is_steady(const Growth& growth) noexcept;

  HugeRegions regions_;
  std::atomic<HugePageMode> mode_{HugePageMode::kAdaptive};
  std::atomic<bool> active_{false};  // the system takes part, and the heap is large enough
  bool started_ = false;
  bool waiting_ = false;
  os::HugePageRule rule_ = os::HugePageRule::kNever;
  std::uint32_t refusals_in_a_row_ = 0;
  std::uint32_t stretches_ = 0;  // of differing advice, about
  Advice last_advice_ = Advice::kNone;
  Addr last_grown_{};
  unsigned unadvised_ = 0;  // growths to come that are not advised: huge pages were slow to come
  unsigned slow_in_a_row_ = 0;
  // The heap's size at two times, half a second apart or more.
  struct Mark {
    std::uint64_t ns = 0;
    Bytes heap{};
  };
  std::array<Mark, 2> marks_{};
  HugePageStats stats_{};
};

}  // namespace ream
