#include "heap/dirty_runs.h"

#include <cstring>

#include "os/os.h"

namespace ream {
namespace {

// Below this, clearing costs less than asking what is resident.
constexpr Bytes kWorthAsking = 256_KiB;

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

void DirtyRuns::clear() const noexcept {
  for (std::size_t i = 0; i < count_; ++i) {
    const Run& run = runs_[i];
    if (run.bytes >= kWorthAsking && os::resident_bytes(run.base, run.bytes).n < run.bytes.n / 2 &&
        os::purge(run.base, run.bytes)) {
      continue;
    }
    std::memset(run.base.ptr(), 0, run.bytes.n);
  }
}

Bytes DirtyRuns::total() const noexcept {
  Bytes sum{};
  for (std::size_t i = 0; i < count_; ++i) sum += runs_[i].bytes;
  return sum;
}

}  // namespace ream
