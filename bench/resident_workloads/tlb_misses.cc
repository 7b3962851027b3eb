// A counter of perf_event_open(2); see tlb_misses.h.

#include "tlb_misses.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace resident {

TlbMisses::TlbMisses() {
  perf_event_attr wanted{};
  wanted.type = PERF_TYPE_HW_CACHE;
  wanted.size = sizeof wanted;
  wanted.config = PERF_COUNT_HW_CACHE_DTLB | PERF_COUNT_HW_CACHE_OP_READ << 8 |
                  PERF_COUNT_HW_CACHE_RESULT_MISS << 16;
  wanted.exclude_kernel = 1;
  wanted.exclude_hv = 1;
  event_ = static_cast<int>(syscall(SYS_perf_event_open, &wanted, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

TlbMisses::~TlbMisses() {
  if (event_ >= 0) {
    close(event_);
  }
}

std::int64_t TlbMisses::count() const {
  std::int64_t misses;
  if (event_ < 0 || read(event_, &misses, sizeof misses) != sizeof misses) {
    return -1;
  }
  return misses;
}

}  // namespace resident
