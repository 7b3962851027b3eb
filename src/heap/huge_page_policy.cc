#include "heap/huge_page_policy.h"

#include <algorithm>
#include <bit>

#include "base/bits.h"
#include "os/thread.h"

namespace ream {
namespace {

constexpr std::uint64_t kMarkNs = 500'000'000;
constexpr Bytes kLeastFast = 8_MiB;           // in two marks' time, and an eighth of the heap
constexpr Bytes kMostAsked = 256_KiB;         // by one request of steady growth
constexpr Bytes kSample = 4_MiB;              // the first of the growth before
constexpr std::uint64_t kSlowNs = 1'000'000;  // about what 512 faults of small pages cost
constexpr unsigned kMostSlow = 8;
constexpr unsigned kPatientRefusals = 3;  // after which the worker need not stay awake for it

Addr block_of(Addr a) noexcept { return Addr(round_down(a.n, HugePagePolicy::kBlock.n)); }

}  // namespace

// ---- Mode --------------------------------------------------------------------------------------

void HugePagePolicy::start() noexcept {
  started_ = true;
  rule_ = os::huge_page_size() == kRegion ? os::huge_page_rule() : os::HugePageRule::kNever;
  refusals_in_a_row_ = 0;
  if (rule_ == os::HugePageRule::kNever) note_refusals(wants_transparent() ? 1 : 0);
  active_.store(rule_ != os::HugePageRule::kNever, std::memory_order_relaxed);
}

void HugePagePolicy::set_mode(HugePageMode mode) noexcept {
  mode_.store(mode, std::memory_order_relaxed);
  last_advice_ = Advice::kNone;
  if (started_ || mode != HugePageMode::kAdaptive) start();
}

void HugePagePolicy::adopt_old(Addr base, Bytes bytes) noexcept {
  if (!active_ || !regions_.cover(base)) return;
  const bool by_rule = rule_ == os::HugePageRule::kAlways;
  bool any_open = by_rule;
  bool any_closed = !by_rule;  // of what the system does not make huge by itself
  HugeRegions::for_each(base, bytes, [&](Addr a) noexcept {
    any_open |= regions_.get(a).open;
    any_closed |= regions_.get(a).closed;
  });
  const bool open = mode() == HugePageMode::kAlways && any_closed;
  const bool close = mode() == HugePageMode::kNever && any_open;
  const bool changed = (open || close) && advise(base, bytes, open);
  HugeRegions::for_each(base, bytes, [&](Addr a) noexcept {
    Region r = regions_.get(a);
    if (changed) {
      r.open = open;
      r.closed = close;
    } else if (by_rule && !r.closed) {
      r.open = true;
    }
    r.backed |= r.open;
    r.age = r.refusals = 0;
    regions_.set(a, r);
  });
}

// ---- Growth ------------------------------------------------------------------------------------

// Sparse memory is not to become dense by our advice: what the heap grew by before tells.
bool HugePagePolicy::is_steady(const Growth& g) noexcept {
  if (marks_[1].ns == 0) marks_[1] = {g.now_ns, g.heap};
  if (marks_[0].ns == 0) marks_[0] = marks_[1];
  if (g.now_ns - marks_[1].ns >= kMarkNs) {
    marks_[0] = marks_[1];
    marks_[1] = {g.now_ns, g.heap};
  }
  if (g.heap < kLeastSteady || g.asked > kMostAsked) return false;
  if (g.now_ns - marks_[0].ns > 4 * kMarkNs) return false;
  if (g.heap - marks_[0].heap < std::max(kLeastFast, Bytes(g.heap.n / 8))) return false;
  return last_grown_ != Addr() && os::resident_bytes(last_grown_, kSample).n >= kSample.n / 8 * 7;
}

HugePagePolicy::Advice HugePagePolicy::advice_for(const Growth& g) noexcept {
  const bool steady = is_steady(g);
  switch (mode()) {
    case HugePageMode::kNever:
      return rule_ == os::HugePageRule::kAlways ? Advice::kAgainst : Advice::kNone;
    case HugePageMode::kAlways:
      return rule_ == os::HugePageRule::kAlways ? Advice::kNone : Advice::kFor;
    case HugePageMode::kExplicit:
      return Advice::kNone;
    case HugePageMode::kAdaptive:
      break;
  }
  if (!steady || g.limited || rule_ != os::HugePageRule::kAdvised || stretches_ >= kMostStretches)
    return Advice::kNone;
  if (unadvised_ > 0) {
    --unadvised_;
    return Advice::kNone;
  }
  return Advice::kFor;
}

bool HugePagePolicy::leaves_small_heaps() const noexcept {
  return mode() == HugePageMode::kAdaptive || mode() == HugePageMode::kExplicit ||
         (mode() == HugePageMode::kNever && os::huge_page_rule() != os::HugePageRule::kAlways);
}

bool HugePagePolicy::come_cheaply(Addr region) noexcept {
  const std::uint64_t begin_ns = os::thread_cpu_ns();
  *static_cast<volatile unsigned char*>(region.ptr()) = 0;
  const bool slow = os::thread_cpu_ns() - begin_ns > kSlowNs;
  slow_in_a_row_ = slow ? std::min(slow_in_a_row_ + 1, kMostSlow) : 0;
  if (slow) unadvised_ = 1u << slow_in_a_row_;
  return !slow;
}

HugePagePolicy::GrowthNote HugePagePolicy::on_growth(const Growth& g) noexcept {
  if (!started_) {
    if (g.heap + g.bytes < kLeastHeap && leaves_small_heaps()) return GrowthNote::kNothing;
    start();
    return active_ ? GrowthNote::kFirst : GrowthNote::kNothing;
  }
  if (!active_ || !regions_.cover(g.base)) return GrowthNote::kNothing;
  const Advice advice = advice_for(g);
  const bool probe = advice == Advice::kFor && mode() == HugePageMode::kAdaptive;
  Region fresh{.open = rule_ == os::HugePageRule::kAlways};
  bool advised = advice != Advice::kNone && advise(g.base, g.bytes, advice == Advice::kFor);
  if (advised) fresh.open = advice == Advice::kFor;
  const bool touched = advised && probe;
  if (touched && !come_cheaply(g.base)) {
    advised = advise(g.base, g.bytes, false);
    fresh.open = !advised;
  }
  fresh.closed = advised && !fresh.open;
  fresh.backed = fresh.open;
  if (advice != last_advice_) ++stretches_;
  last_advice_ = advice;
  last_grown_ = g.base;
  HugeRegions::for_each(g.base, g.bytes, [&](Addr a) noexcept { regions_.set(a, fresh); });
  return touched ? GrowthNote::kTouched : GrowthNote::kNothing;
}

// Where the system makes huge pages by its own rule it would do so without us, too.
void HugePagePolicy::on_fresh_span(Addr base, Bytes bytes) noexcept {
  if (!active_ || mode() != HugePageMode::kAdaptive || rule_ == os::HugePageRule::kAlways) return;
  for (Addr block = block_of(base); block < base + bytes; block = block + kBlock) {
    const Addr first = std::max(block, Addr(round_down(base.n, kRegion.n)));
    if (regions_.get(first).open) close_block(block);
  }
}

// ---- Giving back -------------------------------------------------------------------------------

bool HugePagePolicy::may_matter(Addr base, Bytes bytes) const noexcept {
  if (!active_.load(std::memory_order_relaxed)) return false;
  bool matters = false;
  HugeRegions::for_each(base, bytes, [&](Addr a) noexcept {
    const Region r = regions_.get(a);
    matters |= r.backed || r.open || r.age != 0;
  });
  return matters;
}

HugePagePolicy::Splits HugePagePolicy::before_purge(Addr base, Bytes bytes) noexcept {
  Splits splits;
  if (!active_) return splits;
  const Addr end = base + bytes;
  HugeRegions::for_each(base, bytes, [&](Addr a) noexcept {
    if (mode() == HugePageMode::kAdaptive && regions_.get(a).open) close_block(block_of(a));
    Region r = regions_.get(a);
    if (r == Region{}) return;
    const bool whole = base <= a && a + kRegion <= end;
    if (r.backed && !whole && splits.count < splits.at.size()) {
      splits.at[splits.count++] = std::max(a, base);
      ++stats_.split;
      r.refusals = std::min(r.refusals + 1, Region::kMostRefusals);
    }
    r.age = 0;
    r.backed = r.open;
    regions_.set(a, r);
  });
  return splits;
}

void HugePagePolicy::close_block(Addr block) noexcept {
  const bool may_advise = ++stretches_ < kMostStretches;
  for (unsigned i = 0; i < kBlockRegions;) {
    const Addr first = block + Bytes(i * kRegion.n);
    unsigned n = 0;
    for (; i < kBlockRegions && regions_.get(block + Bytes(i * kRegion.n)).open; ++i, ++n) {
    }
    if (n == 0) {
      ++i;
      continue;
    }
    const bool closed = may_advise && advise(first, Bytes(n * kRegion.n), false);
    HugeRegions::for_each(first, Bytes(n * kRegion.n), [&](Addr a) noexcept {
      Region r = regions_.get(a);
      r.open = false;  // also where that was refused: it would be again
      r.closed = closed;
      regions_.set(a, r);
    });
  }
}

bool HugePagePolicy::advise(Addr base, Bytes bytes, bool on) noexcept {
  const std::uint64_t regions = bytes.n / kRegion.n;
  if (!os::advise_huge(base, bytes, on)) {
    note_refusals(regions);
    return false;
  }
  (on ? stats_.advised : stats_.advised_against) += regions;
  return true;
}

void HugePagePolicy::note_refusals(std::uint64_t regions) noexcept {
  stats_.refused += regions;
  if (++refusals_in_a_row_ >= kMostRefusals) active_.store(false, std::memory_order_relaxed);
}

// ---- Looks -------------------------------------------------------------------------------------

std::uint32_t HugePagePolicy::look(Addr block, std::uint32_t grown, std::uint32_t full) noexcept {
  if (!active_) return 0;
  std::uint32_t ripe = 0;  // full for long enough
  std::uint32_t ready = 0;
  bool closed = false;
  for (unsigned i = 0; i < kBlockRegions; ++i) {
    if ((grown >> i & 1) == 0) continue;
    const Addr a = block + Bytes(i * kRegion.n);
    Region r = regions_.get(a);
    const Region before = r;
    const unsigned needed = kLooks << r.refusals;
    r.age = (full >> i & 1) == 0 ? 0 : std::min(r.age + 1, Region::kMostAge);
    // Collapsed ones stay at the age at which they were.
    if (r.age >= needed) ripe |= 1u << i;
    if (r.age == needed || (r.closed && r.age > needed)) ready |= 1u << i;
    closed |= r.closed;
    if (r.age != 0 && r.age < needed && r.refusals < kPatientRefusals) waiting_ = true;
    if (r != before) regions_.set(a, r);
  }
  if (!closed || ready == 0) return ready;
  const auto first = static_cast<unsigned>(std::countr_zero(grown));
  const auto last = static_cast<unsigned>(32 - std::countl_zero(grown));
  const bool has_hole = static_cast<unsigned>(std::popcount(grown)) != last - first;
  if (ripe != grown || has_hole || stretches_ >= kMostStretches) {
    // Those of the block that are not closed may be collapsed.
    for (unsigned i = 0; i < kBlockRegions; ++i) {
      if (regions_.get(block + Bytes(i * kRegion.n)).closed) ready &= ~(1u << i);
    }
    return ready;
  }
  const Addr base = block + Bytes(first * kRegion.n);
  const Bytes bytes((last - first) * kRegion.n);
  if (!advise(base, bytes, true)) return 0;
  if (stretches_ > 0) --stretches_;
  HugeRegions::for_each(base, bytes, [&](Addr a) noexcept {
    Region r = regions_.get(a);
    r.closed = false;
    r.open = r.backed = true;
    regions_.set(a, r);
  });
  return ripe;
}

void HugePagePolicy::on_collapse(Addr region, Outcome outcome) noexcept {
  Region r = regions_.get(region);
  if (outcome == Outcome::kCollapsed) {
    r.backed = true;
    ++stats_.collapsed;
    refusals_in_a_row_ = 0;
  } else if (outcome == Outcome::kPostponed) {
    r.age = (kLooks << r.refusals) - 1;
    waiting_ = true;
  } else {
    r.age = 0;
    r.refusals = std::min(r.refusals + 1, Region::kMostRefusals);
    if (outcome == Outcome::kRefused) note_refusals(1);
  }
  regions_.set(region, r);
}

}  // namespace ream
