// How much resident memory the heap takes, and how much it may.
//
//   in_use()   0 ......... soft ............. hard
//   tier           free  |  give back, tell  |  refuse
//
// Memory may be short elsewhere: pressure (pressure_watch.h) asks for a relief as being above soft
// does, and for more, since nobody says how much would be enough.
//
// What counts: pages in use and free pages not given back (PageHeap publishes their sum), metadata
// that is committed, less the units inside spans of a size class that hold no data (Span::purged):
// never touched, or given back. Pages of a large object count from the moment it is made, touched
// or not: the program may touch them at any time. The cache of a thread, and what LargeCache keeps,
// lie on pages in use.
//
// The tiers are carried out elsewhere: PageHeap refuses runs of pages that do not fit and gives
// free pages back above soft; CentralList refuses to take emptied units into use; Heap makes room
// (heap_pressure.cc).
//
// Thread safety: all. Two threads that ask admits() at the same moment, of which one does not hold
// the page heap's lock, may both be admitted: central lists ask for one object or one span's units
// at a time, so the hard limit is overshot by at most kMaxOvershoot a thread.
//
// Lifetime: constant-initialised, never destroyed. The child of a fork has the parent's limits.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/units.h"
#include "os/cgroup.h"

namespace ream {

class MemoryLimit {
 public:
  static constexpr std::uint64_t kAlertNs = 100'000'000;  // at least, between two reliefs
  static constexpr std::uint64_t kReliefShare = 10;  // a relief rests so many times what it took
  static constexpr std::uint64_t kFollowNs = 1'000'000'000;    // between looks at the control group
  static constexpr std::uint64_t kFollowNearNs = 100'000'000;  // the same near the limit
  static constexpr Bytes kMaxOvershoot = 256_KiB;              // a thread: the units of one span

  // The soft limit that goes with a hard one where none is given.
  [[nodiscard]] static constexpr Bytes soft_of(Bytes hard) noexcept {
    return Bytes(hard.n - hard.n / 8);
  }

  // 0: none. REQUIRES: soft <= hard, or one of them is 0.
  void set(Bytes soft, Bytes hard) noexcept {
    soft_.store(soft.n, std::memory_order_relaxed);
    hard_.store(hard.n, std::memory_order_relaxed);
  }
  // The control group's: hard is its limit, soft the lower of its `high` and soft_of(hard). What
  // the group does not say, or cannot be read, is none.
  void set_from(const os::CgroupMemory& group) noexcept {
    const auto value = [](const os::CgroupValue& v) noexcept {
      return v.kind == os::CgroupKind::kValue ? v.bytes : Bytes();
    };
    const Bytes hard = value(group.limit);
    const Bytes high = value(group.high);
    const Bytes soft = soft_of(hard);
    set(high != Bytes() && (high < soft || hard == Bytes()) ? high : soft, hard);
  }
  [[nodiscard]] Bytes soft() const noexcept { return load(soft_); }
  [[nodiscard]] Bytes hard() const noexcept { return load(hard_); }

  // The figure that the limits are compared with.
  [[nodiscard]] Bytes in_use() const noexcept {
    const std::int64_t sum = static_cast<std::int64_t>(pages_.load(std::memory_order_relaxed) +
                                                       caches_.load(std::memory_order_relaxed) +
                                                       transfers_.load(std::memory_order_relaxed)) -
                             unused_inside_.load(std::memory_order_relaxed);
    return Bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(sum, 0)));
  }

  // Whether `more` bytes may become resident.
  [[nodiscard]] bool admits(Bytes more) const noexcept { return missing(more) == Bytes(); }
  // By how much `more` bytes exceed the hard limit.
  [[nodiscard]] Bytes missing(Bytes more) const noexcept {
    const Bytes most = hard();
    if (most == Bytes()) return {};
    const Bytes used = in_use();
    const Bytes room = most > used ? most - used : Bytes();
    if (more <= room) return {};
    return more - room + (used > most ? used - most : Bytes());
  }
  // By how much the soft limit is exceeded.
  [[nodiscard]] Bytes over_soft() const noexcept {
    const Bytes most = soft();
    if (most == Bytes()) return {};
    const Bytes used = in_use();
    return used > most ? used - most : Bytes();
  }
  [[nodiscard]] bool is_above_soft() const noexcept { return over_soft() != Bytes(); }

  // There is pressure: the next relief is for it.
  void press() noexcept { pressed_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool is_pressed() const noexcept {
    return pressed_.load(std::memory_order_relaxed);
  }
  // Whether the relief that has begun is for pressure.
  [[nodiscard]] bool take_pressure() noexcept {
    if (!is_pressed() || !pressed_.exchange(false, std::memory_order_relaxed)) return false;
    pressures_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  // Reliefs for pressure so far.
  [[nodiscard]] std::uint64_t pressures() const noexcept {
    return pressures_.load(std::memory_order_relaxed);
  }

  // Whether a relief is due: above soft or under pressure, and the last one is long enough ago.
  [[nodiscard]] bool relief_due(std::uint64_t now_ns) const noexcept {
    return (is_above_soft() || is_pressed()) &&
           now_ns >= next_relief_ns_.load(std::memory_order_relaxed);
  }
  // True for the one thread that is to carry out the relief that is due.
  [[nodiscard]] bool begin_relief(std::uint64_t now_ns) noexcept {
    std::uint64_t next = next_relief_ns_.load(std::memory_order_relaxed);
    return (is_above_soft() || is_pressed()) && now_ns >= next &&
           next_relief_ns_.compare_exchange_strong(next, now_ns + kAlertNs,
                                                   std::memory_order_relaxed);
  }
  void end_relief(std::uint64_t begin_ns, std::uint64_t now_ns) noexcept {
    next_relief_ns_.store(now_ns + std::max(kAlertNs, (now_ns - begin_ns) * kReliefShare),
                          std::memory_order_relaxed);
  }

  // The control group's limits are followed until the program sets its own.
  void follow(bool on) noexcept { follows_.store(on, std::memory_order_relaxed); }
  [[nodiscard]] bool follows() const noexcept { return follows_.load(std::memory_order_relaxed); }
  // True for the one thread that is to look, when the last look is at least `age_ns` ago.
  [[nodiscard]] bool begin_look(std::uint64_t now_ns, std::uint64_t age_ns) noexcept {
    std::uint64_t last = looked_ns_.load(std::memory_order_relaxed);
    return follows() && now_ns - last >= age_ns &&
           looked_ns_.compare_exchange_strong(last, now_ns, std::memory_order_relaxed);
  }

  // What the figure is made of. By PageHeap, under its lock: pages and the metadata that they need.
  void publish_pages(Bytes pages) noexcept { pages_.store(pages.n, std::memory_order_relaxed); }
  // By ThreadCaches, under its lock: its metadata.
  void publish_caches(Bytes metadata) noexcept {
    caches_.store(metadata.n, std::memory_order_relaxed);
  }
  // By transfer caches: room for more entries.
  void add_transfers(Bytes metadata) noexcept {
    transfers_.fetch_add(metadata.n, std::memory_order_relaxed);
  }
  // Memory inside spans that holds no data: more of it, or less.
  void add_unused_inside(Bytes bytes) noexcept {
    unused_inside_.fetch_add(static_cast<std::int64_t>(bytes.n), std::memory_order_relaxed);
  }
  void subtract_unused_inside(Bytes bytes) noexcept {
    unused_inside_.fetch_sub(static_cast<std::int64_t>(bytes.n), std::memory_order_relaxed);
  }
  [[nodiscard]] Bytes unused_inside() const noexcept {
    return Bytes(static_cast<std::uint64_t>(
        std::max<std::int64_t>(unused_inside_.load(std::memory_order_relaxed), 0)));
  }

 private:
  [[nodiscard]] static Bytes load(const std::atomic<std::uint64_t>& x) noexcept {
    return Bytes(x.load(std::memory_order_relaxed));
  }

  std::atomic<std::uint64_t> soft_{0};
  std::atomic<std::uint64_t> hard_{0};
  std::atomic<std::uint64_t> pages_{0};
  std::atomic<std::uint64_t> caches_{0};
  std::atomic<std::uint64_t> transfers_{0};
  // Counted a moment before or after the spans change, so it may be negative for a moment.
  std::atomic<std::int64_t> unused_inside_{0};
  std::atomic<std::uint64_t> next_relief_ns_{0};
  std::atomic<std::uint64_t> looked_ns_{0};
  std::atomic<bool> follows_{false};
  std::atomic<bool> pressed_{false};
  std::atomic<std::uint64_t> pressures_{0};
};

}  // namespace ream
