// What the page heap gives back to the OS, and when.
#include <algorithm>

#include "heap/options.h"
#include "heap/page_heap.h"
#include "heap/page_units.h"
#include "heap/worker.h"

namespace ream {
namespace {

constexpr Bytes kMaxPurge = 16_MiB;    // at a time, on the way of a caller
constexpr Bytes kLeastUrgent = 1_MiB;  // what the worker is woken for
// What it may lag behind before callers do a part of its work: this, and an eighth of the heap.
constexpr Bytes kMostLag = 64_MiB;
constexpr std::uint64_t kPauseNs = 50'000;  // between looks whether another thread's purge is done

Bytes retained_when_idle() noexcept { return Bytes(options().retain.n / 4); }

}  // namespace

void PageHeap::keep_pace() noexcept {
  const std::uint64_t now_ns = os::now_ns();
  pace_.note(bytes_of(in_use_), now_ns);
  const bool has_worker = worker_.load(std::memory_order_relaxed) != nullptr;
  publish();
  const Bytes due = excess();
  Due state = kNotDue;
  if (due.n != 0 && (!has_worker || due >= kLeastUrgent)) state = kDue;
  if (limit_.relief_due(now_ns)) state = kDue;
  if (due > kMostLag + Bytes(bytes_of(in_use_).n / 8)) state = kOverdue;
  purge_due_.store(state, std::memory_order_relaxed);
}

Bytes PageHeap::retained() const noexcept {
  return pace_.is_steady() ? retained_when_idle() : options().retain;
}

Bytes PageHeap::excess() const noexcept {
  const Bytes free = bytes_of(unscavenged_free());
  const Bytes resident = bytes_of(in_use_) + free;
  const Bytes allowed = pace_.allowed() + retained();
  const Bytes beyond = resident > allowed ? resident - allowed : Bytes();
  return std::max(beyond, std::min(free, limit_.over_soft()));
}

void PageHeap::publish() noexcept {
  Bytes sum = bytes_of(in_use_ + unscavenged_free() + purging_.pages);
  sum += span_pool_.mapped_bytes() + sub_heap_pool_.mapped_bytes() + map_.metadata_bytes();
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (ready_[i]) sum += windows_[i].metadata().committed;
  }
  limit_.publish_pages(sum);
}

void PageHeap::limit_changed() noexcept {
  {
    os::MutexLock hold(lock_);
    keep_pace();
  }
  purge_if_due();
}

bool PageHeap::make_room(Bytes more) noexcept {
  // More than needed, so that a heap at its limit does not come here for each run of pages.
  const Bytes slack = std::min(Bytes(limit_.hard().n / 64), kMaxPurge);
  Bytes want = limit_.missing(more);
  if (want == Bytes()) return true;
  for (want += slack; want != Bytes();) {
    const Purged purged = purge_some(want);
    want -= std::min(want, purged.given_back);
    if (purged.settled != Bytes()) continue;
    if (limit_.admits(more) || !purged.busy) break;
    os::sleep_ns(kPauseNs);  // another thread's purge is about to make room
  }
  return limit_.admits(more);
}

// A run being purged is in nobody's hands but this thread's, so the lock is free while the OS
// works.
PageHeap::Purged PageHeap::purge_some(Bytes want) noexcept {
  std::size_t w = kWindows;
  page::PageAlloc<page::HeapWindow>::PurgeRun run;
  {
    os::MutexLock hold(lock_);
    if (purging_) return {.busy = true};
    // Of several nodes none is to give back all before the next gives anything.
    if (nodes_.several()) {
      const std::size_t dirtiest = dirtiest_window();
      if (ready_[dirtiest]) run = windows_[dirtiest].begin_purge(want);
    }
    while (!run && w-- > 0) {
      if (ready_[w]) run = windows_[w].begin_purge(want);
    }
    if (!run) return {};
    purging_ = run;
  }
  const Bytes bytes = bytes_of(run.pages);
  before_purge(run.base, bytes);
  const Bytes given_back = clear_or_purge(run.base, bytes);
  os::MutexLock hold(lock_);
  windows_[window_of(run.base)].end_purge(run, true);
  purging_ = {};
  publish();
  counts_.purged_bytes += given_back.n;
  pace_.count_given(given_back);
  return {.settled = bytes, .given_back = given_back};
}

void PageHeap::purge_if_due() noexcept {
  const Due due = purge_due_.load(std::memory_order_relaxed);
  if (due == kNotDue) [[likely]]
    return;
  purge_due_.store(kNotDue, std::memory_order_relaxed);
  Worker* const worker = worker_.load(std::memory_order_relaxed);
  if (worker != nullptr && worker->urge() && due != kOverdue) return;
  for (Bytes done{}; done < kMaxPurge;) {
    Bytes want{};
    {
      os::MutexLock hold(lock_);
      want = excess();
    }
    if (want == Bytes()) break;
    const Bytes settled = purge_some(want).settled;
    if (settled == Bytes()) break;
    done += settled;
  }
}

bool PageHeap::give_back_excess(const WorkBudget& budget) noexcept {
  for (;;) {
    Bytes want{};
    bool may_become_due = false;
    {
      os::MutexLock hold(lock_);
      keep_pace();
      want = excess();
      may_become_due = bytes_of(unscavenged_free()) > retained_when_idle();
    }
    if (want == Bytes()) return !may_become_due;
    const Purged purged = purge_some(want);
    if (purged.settled == Bytes()) return !purged.busy;  // nothing can go back
    if (budget.is_spent()) return false;
  }
}

Bytes PageHeap::in_use() noexcept {
  os::MutexLock hold(lock_);
  return bytes_of(in_use_);
}

void PageHeap::discount_since(Bytes in_use_before) noexcept {
  os::MutexLock hold(lock_);
  const Bytes now = bytes_of(in_use_);
  if (now < in_use_before) pace_.discount(in_use_before - now);
}

void PageHeap::count_inside(Bytes given, Bytes taken) noexcept {
  os::MutexLock hold(lock_);
  pace_.count_given(given);
  pace_.count_taken(taken);
}

std::uint64_t PageHeap::pace_window_ns() noexcept {
  os::MutexLock hold(lock_);
  return pace_.window_ns();
}

void PageHeap::after_fork_in_child() noexcept {
  worker_.store(nullptr, std::memory_order_relaxed);
  os::MutexLock hold(lock_);
  if (!purging_) return;
  windows_[window_of(purging_.base)].end_purge(purging_, false);
  purging_ = {};
  publish();
}

Bytes PageHeap::purge_all() noexcept {
  Bytes given_back{};
  for (;;) {
    const Purged purged = purge_some(Bytes(~0ULL));
    given_back += purged.given_back;
    if (purged.settled != Bytes()) continue;
    if (!purged.busy) return given_back + give_back_to_pool();
    os::sleep_ns(kPauseNs);
  }
}

}  // namespace ream
