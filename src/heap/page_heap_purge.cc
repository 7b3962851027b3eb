// What the page heap gives back to the OS, and when.
#include <cstring>

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
  const bool purged = os::purge(run.base, bytes);
  // What the OS keeps (the program locked it) is cleared all the same: it would stand in the way of
  // what goes back.
  if (!purged) std::memset(run.base.ptr(), 0, bytes.n);
  os::MutexLock hold(lock_);
  windows_[w].end_purge(run, true);
  purging_ = {};
  if (purged) {
    counts_.purged_bytes += bytes.n;
    given_back += bytes;
  }
  return bytes;
}

void PageHeap::purge_if_due() noexcept {
  if (!purge_due_.load(std::memory_order_relaxed)) [[likely]]
    return;
  purge_due_.store(false, std::memory_order_relaxed);
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

void PageHeap::after_fork_in_child() noexcept {
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
