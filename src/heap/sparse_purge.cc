#include "heap/sparse_purge.h"

#include <algorithm>

#include "heap/heap.h"

namespace ream {

namespace {

constexpr std::uint32_t kSpansBetweenLooks = 16;  // at the clock, which is a system call

std::uint32_t list_count(Heap& heap) noexcept {
  return heap.caches().shards() * static_cast<std::uint32_t>(kClassCount);
}

// Lists are numbered by shard, then class.
CentralList& list_of(Heap& heap, std::uint32_t number) noexcept {
  constexpr auto kClasses = static_cast<std::uint32_t>(kClassCount);
  return heap.central(static_cast<ClassIndex>(number % kClasses), number / kClasses);
}

bool any_wants_sweep(Heap& heap) noexcept {
  for (std::uint32_t number = 0; number < list_count(heap); ++number) {
    if (list_of(heap, number).wants_sweep()) return true;
  }
  return heap.sub_heaps().wants_sweep();
}

}  // namespace

// From the largest objects down: a free object of 4 KiB and more leaves whole OS pages, of many
// small ones one is live in nearly every page. A list that has little free that is not purged is
// passed over.
void SparsePurge::step(Heap& heap) noexcept {
  if (!lock_.try_lock()) return;
  const std::uint64_t wanted = heap.page_heap().take_fresh_span_bytes();
  const unsigned shards = heap.caches().shards();
  std::uint32_t spans = kSpansPerStep;
  Bytes purged{};
  for (std::size_t c = kClassCount; --c > 0;) {
    for (unsigned s = 0; s < shards && spans > 0 && purged.n < wanted; ++s) {
      CentralList& list = heap.central(static_cast<ClassIndex>(c), s);
      const CentralStats stats = list.stats();
      const Bytes free((stats.objects - stats.taken) * kSizeClasses[c].object_bytes);
      if (free >= stats.purged + kWorthALook) purged += list.purge_sparse(heap.page_heap(), spans);
    }
  }
  purged_.fetch_add(purged.n, std::memory_order_relaxed);
  const std::uint32_t doublings = doublings_.load(std::memory_order_relaxed);
  const bool worth_it = purged.n >= wanted / 4;
  doublings_.store(worth_it ? 0 : std::min(doublings + 1, kMaxDoublings),
                   std::memory_order_relaxed);
  lock_.unlock();
}

bool SparsePurge::sweep(Heap& heap, const WorkBudget& budget) noexcept {
  const std::uint64_t now_ns = os::now_ns();
  const std::uint64_t between_ns = heap.page_heap().pace_window_ns() / PurgePace::kSlots * 2;
  os::MutexLock hold(lock_);
  if (swept_list_ == 0 && !in_list_) {
    if (now_ns - sweep_begin_ns_ < between_ns) return !again_ && !any_wants_sweep(heap);
    sweep_begin_ns_ = now_ns;
    again_ = false;
    heap.sub_heaps().begin_sweep();
  }
  Bytes given{};
  Bytes taken{};
  bool spent = false;
  for (; swept_list_ < list_count(heap) && !spent; swept_list_ += in_list_ ? 0 : 1) {
    CentralList& list = list_of(heap, swept_list_);
    if (!in_list_) {
      if (!list.wants_sweep()) continue;
      list.begin_sweep();
      taken += list.take_retaken();
      in_list_ = true;
    }
    for (std::uint32_t spans = 1; in_list_ && !spent; ++spans) {
      in_list_ = list.sweep_next(heap.page_heap(), CentralList::Sweep::kUntouched, given);
      spent = spans % kSpansBetweenLooks == 0 && budget.is_spent();
    }
    if (list.wants_sweep()) again_ = true;
  }
  SubHeaps::Swept swept{.given = given, .taken = taken, .again = again_};
  while (!spent &&
         heap.sub_heaps().sweep_step(heap.page_heap(), CentralList::Sweep::kUntouched, swept)) {
    spent = budget.is_spent();
  }
  again_ = swept.again;
  purged_.fetch_add(swept.given.n, std::memory_order_relaxed);
  heap.page_heap().count_inside(swept.given, swept.taken);
  if (spent) return false;
  swept_list_ = 0;
  return !again_;
}

Bytes SparsePurge::all(Heap& heap) noexcept {
  Bytes purged{};
  os::MutexLock hold(lock_);
  for (std::uint32_t number = 0; number < list_count(heap); ++number) {
    CentralList& list = list_of(heap, number);
    list.begin_sweep();
    while (list.sweep_next(heap.page_heap(), CentralList::Sweep::kAll, purged)) {
    }
  }
  in_list_ = false;
  SubHeaps::Swept swept;
  heap.sub_heaps().begin_sweep();
  while (heap.sub_heaps().sweep_step(heap.page_heap(), CentralList::Sweep::kAll, swept)) {
  }
  purged += swept.given;
  purged_.fetch_add(purged.n, std::memory_order_relaxed);
  doublings_.store(0, std::memory_order_relaxed);  // looks made in vain before do not count
  return purged;
}

}  // namespace ream
