// How the page heap asks for huge pages, and has them split before it gives a part of one back.
#include <algorithm>
#include <bit>

#include "base/bits.h"
#include "heap/page_heap.h"
#include "heap/page_units.h"
#include "heap/worker.h"

namespace ream {
namespace {

constexpr Bytes kRegion = HugePagePolicy::kRegion;
constexpr unsigned kRegionPages = kRegion.n / kPageBytes;
constexpr unsigned kRegionWords = kRegionPages / page::kWordPages;
constexpr unsigned kLeastUsed = kRegionPages / 8 * 7;
constexpr Bytes kLeastResident{kRegion.n / 32 * 31};
// Of a pass: a collapse keeps threads waiting that touch new memory or map some.
constexpr std::uint64_t kSliceNs = 25'000'000;
// Nor is it worth the worker's savings: a program that ends soon has nothing of it.
constexpr std::uint64_t kCollapseShare = 100;  // of the time one part
constexpr unsigned kBlocksBetweenLooks = 16;   // at the clock, which is a system call

// All of it has memory, and nearly all is in use.
bool is_full(const page::Chunk& chunk, unsigned first_word) noexcept {
  unsigned used = 0;
  unsigned backed = 0;
  for (unsigned w = first_word; w < first_word + kRegionWords; ++w) {
    used += static_cast<unsigned>(std::popcount(chunk.used[w]));
    backed += static_cast<unsigned>(std::popcount(chunk.backed[w]));
  }
  return backed == kRegionPages && used >= kLeastUsed;
}

}  // namespace

void PageHeap::note_growth(Addr base, Bytes bytes, Pages asked) noexcept {
  using Note = HugePagePolicy::GrowthNote;
  const Note note =
      huge_pages_.on_growth({.base = base,
                             .bytes = bytes,
                             .asked = bytes_of(asked),
                             .heap = counts_.grown,
                             .now_ns = os::now_ns(),
                             .limited = limit_.soft() != Bytes() || limit_.hard() != Bytes()});
  if (note == Note::kFirst) adopt_old_growth();
  if (note == Note::kTouched) {
    windows_[window_of(base)].mark_backed(base, Pages(kRegionPages));
    fresh_span_bytes_.fetch_add(kRegion.n, std::memory_order_relaxed);  // growth all the same
  }
  Worker* const worker = worker_.load(std::memory_order_relaxed);
  if (worker != nullptr && huge_pages_.collapses()) worker->notify();
}

void PageHeap::adopt_old_growth() noexcept {
  for (std::size_t w = 0; w < kWindows; ++w) {
    if (!ready_[w]) continue;
    windows_[w].for_each_grown(
        [this](Addr base, Bytes bytes) noexcept { huge_pages_.adopt_old(base, bytes); });
  }
}

void PageHeap::set_huge_page_mode(HugePageMode mode) noexcept {
  {
    os::MutexLock hold(lock_);
    if (mode == huge_pages_.mode()) return;
    huge_pages_.set_mode(mode);
    pool_pause_ = pool_refusals_ = 0;
    adopt_old_growth();
  }
  if (mode != HugePageMode::kExplicit) give_back_to_pool();
}

// Zapping a part of a huge page leaves all of its memory taken until the kernel runs short; it is
// really split when a part of it is given back lazily. That part is about to go back anyway.
void PageHeap::split_huge_pages(Addr base, Bytes bytes) noexcept {
  HugePagePolicy::Splits splits;
  {
    os::MutexLock hold(lock_);
    splits = huge_pages_.before_purge(base, bytes);
  }
  for (unsigned i = 0; i < splits.count; ++i) {
    if (!is_pooled(splits.at[i], os::os_page_size()))
      static_cast<void>(os::purge_lazy(splits.at[i], os::os_page_size()));
  }
}

// The block at or after looked_at_. False at the end of the heap.
bool PageHeap::next_block(HugeBlock& block) noexcept {
  os::MutexLock hold(lock_);
  for (std::size_t w = window_of(looked_at_); w < kWindows; ++w) {
    if (!ready_[w]) continue;
    const page::Place place =
        windows_[w].find_mapped_addr(std::max(looked_at_, windows_[w].window().base()));
    if (!place) continue;
    block.base = Addr(round_down(place.base.n, HugePagePolicy::kBlock.n));
    looked_at_ = block.base + HugePagePolicy::kBlock;
    std::uint32_t grown = 0;
    std::uint32_t full = 0;
    for (unsigned i = 0; i < HugePagePolicy::kBlockRegions; ++i) {
      const page::PageIndex first = windows_[w].window().page_of(block.base + Bytes(i * kRegion.n));
      const page::Chunk* const chunk = windows_[w].try_chunk_of(first.chunk());
      if (chunk == nullptr || pooled_.holds_any(block.base + Bytes(i * kRegion.n), kRegion))
        continue;
      grown |= 1u << i;
      if (is_full(*chunk, first.in_chunk() / page::kWordPages)) full |= 1u << i;
    }
    block.ready = huge_pages_.look(block.base, grown, full);
    return true;
  }
  return false;
}

// What the program has not touched, or what was given back inside spans, would become resident.
HugePagePolicy::Outcome PageHeap::collapse(Addr region) noexcept {
  using Outcome = HugePagePolicy::Outcome;
  if (os::resident_bytes(region, kRegion) < kLeastResident) return Outcome::kNotResident;
  return os::collapse_huge(region, kRegion) ? Outcome::kCollapsed : Outcome::kRefused;
}

bool PageHeap::collapse_dense(const WorkBudget& budget) noexcept {
  using Outcome = HugePagePolicy::Outcome;
  if (!huge_pages_.collapses()) return true;
  const std::uint64_t now_ns = os::now_ns();
  if (now_ns < collapse_next_ns_) return false;
  std::uint64_t spent_ns = 0;
  if (looked_at_ == Addr()) {
    if (now_ns - look_begin_ns_ < pace_window_ns() / PurgePace::kSlots * 2) return looks_end_;
    look_begin_ns_ = now_ns;
    looks_end_ = true;
  }
  const WorkBudget slice(kSliceNs);
  HugeBlock block;
  bool spent = false;
  for (unsigned n = 1; !spent; ++n) {
    if (!next_block(block)) {
      looked_at_ = Addr();
      break;
    }
    const bool collapses = block.ready != 0;
    const std::uint64_t begin_ns = collapses ? os::thread_cpu_ns() : 0;
    for (; block.ready != 0 && huge_pages_.collapses(); block.ready &= block.ready - 1) {
      const Addr region =
          block.base + Bytes(static_cast<unsigned>(std::countr_zero(block.ready)) * kRegion.n);
      spent = spent || slice.is_spent() || budget.is_spent();
      const Outcome outcome = spent ? Outcome::kPostponed : collapse(region);
      os::MutexLock hold(lock_);
      huge_pages_.on_collapse(region, outcome);
      // What was given back meanwhile has memory again.
      if (outcome == Outcome::kCollapsed)
        windows_[window_of(region)].mark_backed(region, Pages(kRegionPages));
    }
    if (collapses) spent_ns += os::thread_cpu_ns() - begin_ns;
    spent = spent || (n % kBlocksBetweenLooks == 0 && (slice.is_spent() || budget.is_spent()));
  }
  collapse_next_ns_ = now_ns + spent_ns * kCollapseShare;
  os::MutexLock hold(lock_);
  if (huge_pages_.take_waiting() || in_use_ != in_use_at_look_) looks_end_ = false;
  in_use_at_look_ = in_use_;
  return !spent && looks_end_;
}

}  // namespace ream
