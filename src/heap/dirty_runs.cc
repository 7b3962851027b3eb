#include "heap/dirty_runs.h"

#include <cstring>

#include "base/bits.h"
#include "os/os.h"

namespace ream {
namespace {

// Below this, clearing costs less than asking what is resident.
constexpr Bytes kWorthAsking = 2_MiB;

}  // namespace

void DirtyRuns::add(Addr base, Bytes bytes) noexcept {
  if (count_ > 0) {
    Run& last = runs_[count_ - 1];
    if (last.base + last.bytes == base || count_ == kMaxRuns) {
      last.bytes = base + bytes - last.base;
      return;
    }
  }
  runs_[count_++] = {base, bytes};
}

void DirtyRuns::clear(bool by_os) const noexcept {
  for (std::size_t i = 0; i < count_; ++i) {
    const Run& run = runs_[i];
    if (!by_os || run.bytes < kWorthAsking) {
      std::memset(run.base.ptr(), 0, run.bytes.n);
      continue;
    }
    // The OS answers for its own pages, which may be larger: the ends are cleared in any case.
    const std::uint64_t page = os::os_page_size().n;
    const Addr end = run.base + run.bytes;
    const Addr first(round_up(run.base.n, page));
    const Addr last(round_down(end.n, page));
    std::memset(run.base.ptr(), 0, (first - run.base).n);
    std::memset(last.ptr(), 0, (end - last).n);
    const Bytes inner = last - first;
    if (os::resident_bytes(first, inner).n < inner.n / 2 && os::purge(first, inner)) continue;
    std::memset(first.ptr(), 0, inner.n);
  }
}

Bytes DirtyRuns::total() const noexcept {
  Bytes sum{};
  for (std::size_t i = 0; i < count_; ++i) sum += runs_[i].bytes;
  return sum;
}

}  // namespace ream
