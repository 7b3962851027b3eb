// What the page heap gives back to the OS, and when.
#include <cstring>

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

}  // namespace

void PageHeap::keep_pace() noexcept {
  pace_.note(bytes_of(in_use_), os::now_ns());
  const bool has_worker = worker_.load(std::memory_order_relaxed) != nullptr;
  const Bytes due = excess();
  Due state = kNotDue;
  if (due.n != 0 && (!has_worker || due >= kLeastUrgent)) state = kDue;
  if (due > kMostLag + Bytes(bytes_of(in_use_).n / 8)) state = kOverdue;
  purge_due_.store(state, std::memory_order_relaxed);
}

Bytes PageHeap::excess() const noexcept {
  const Bytes resident = bytes_of(in_use_ + unscavenged_free());
  const Bytes allowed = pace_.allowed() + options().retain;
  return resident > allowed ? resident - allowed : Bytes();
}

// A run being purged is in nobody's hands but this thread's, so the lock is free while the OS
// works.
Bytes PageHeap::purge_some(Bytes want, Bytes& given_back) noexcept {
  std::size_t w = kWindows;
  page::PageAlloc<page::HeapWindow>::PurgeRun run;
  {
    os::MutexLock hold(lock_);
    if (purging_) return {};
    while (!run && w-- > 0) {
      if (ready_[w]) run = windows_[w].begin_purge(want);
    }
    if (!run) return {};
    purging_ = run;
  }
  const Bytes bytes = bytes_of(run.pages);
  before_purge(run.base, bytes);
  const bool purged = os::purge(run.base, bytes);
  // What the OS keeps (the program locked it) is cleared all the same: it would stand in the way of
  // what goes back.
  if (!purged) std::memset(run.base.ptr(), 0, bytes.n);
  os::MutexLock hold(lock_);
  windows_[w].end_purge(run, true);
  purging_ = {};
  if (purged) {
    counts_.purged_bytes += bytes.n;
    pace_.count_given(bytes);
    given_back += bytes;
  }
  return bytes;
}

void PageHeap::purge_if_due() noexcept {
  const Due due = purge_due_.load(std::memory_order_relaxed);
  if (due == kNotDue) [[likely]]
    return;
  purge_due_.store(kNotDue, std::memory_order_relaxed);
  Worker* const worker = worker_.load(std::memory_order_relaxed);
  if (worker != nullptr && worker->urge() && due != kOverdue) return;
  Bytes given_back{};
  for (Bytes done{}; done < kMaxPurge;) {
    Bytes want{};
    {
      os::MutexLock hold(lock_);
      want = excess();
    }
    if (want == Bytes()) break;
    const Bytes settled = purge_some(want, given_back);
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
      may_become_due = bytes_of(unscavenged_free()) > options().retain;
    }
    if (want == Bytes()) return !may_become_due;
    Bytes given_back{};
    if (purge_some(want, given_back) == Bytes()) return true;  // nothing can be given back
    if (budget.is_spent()) return false;
  }
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
}

Bytes PageHeap::purge_all() noexcept {
  Bytes given_back{};
  while (purge_some(Bytes(~0ULL), given_back) != Bytes()) {
  }
  return given_back;
}

}  // namespace ream
