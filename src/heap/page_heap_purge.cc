// What the page heap gives back to the OS, and when.
#include "heap/options.h"
#include "heap/page_heap.h"
#include "heap/page_units.h"

namespace ream {
namespace {

constexpr Bytes kMaxPurge = 16_MiB;  // at a time, on the way of a caller

}  // namespace

void PageHeap::keep_pace() noexcept {
  pace_.note(bytes_of(in_use_), os::now_ns());
  purge_due_.store(excess().n != 0, std::memory_order_relaxed);
}

Bytes PageHeap::excess() const noexcept {
  const Bytes resident = bytes_of(in_use_ + unscavenged_free());
  const Bytes allowed = pace_.allowed() + options().retain;
  return resident > allowed ? resident - allowed : Bytes();
}

// A run being purged is in nobody's hands but this thread's, so the lock is free while the OS
// works.
Bytes PageHeap::purge_some(Bytes want) noexcept {
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
  const bool purged = os::purge(run.base, bytes);
  os::MutexLock hold(lock_);
  windows_[w].end_purge(run, purged);
  purging_ = {};
  if (!purged) return {};
  counts_.purged_bytes += bytes.n;
  return bytes;
}

void PageHeap::purge_if_due() noexcept {
  if (!purge_due_.load(std::memory_order_relaxed)) [[likely]]
    return;
  for (Bytes done{}; done < kMaxPurge;) {
    Bytes want{};
    {
      os::MutexLock hold(lock_);
      want = excess();
    }
    if (want == Bytes()) break;
    const Bytes purged = purge_some(want);
    if (purged == Bytes()) break;
    done += purged;
  }
  purge_due_.store(false, std::memory_order_relaxed);
}

void PageHeap::after_fork_in_child() noexcept {
  os::MutexLock hold(lock_);
  if (!purging_) return;
  windows_[window_of(purging_.base)].end_purge(purging_, false);
  purging_ = {};
}

Bytes PageHeap::purge_all() noexcept {
  Bytes done{};
  for (;;) {
    const Bytes purged = purge_some(Bytes(~0ULL));
    if (purged == Bytes()) return done;
    done += purged;
  }
}

}  // namespace ream
