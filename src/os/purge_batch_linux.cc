// Purging many ranges with one system call. process_madvise() accepts MADV_DONTNEED on the caller's
// own process since Linux 6.13, and PIDFD_SELF in place of a descriptor since 6.14; where either is
// missing the ranges are purged one by one, and the kernel is not asked again.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "os/errno_keeper.h"
#include "os/memory.h"
#include "os/range_check.h"

namespace ream::os {
namespace {

constexpr int kPidfdSelf = -10000;
#ifdef SYS_process_madvise
constexpr long kProcessMadvise = SYS_process_madvise;
#else
constexpr long kProcessMadvise = 440;
#endif

constinit std::atomic<bool> g_batch_unsupported{false};

// Purges a prefix; returns its length in bytes, 0 when the kernel refuses.
std::uint64_t purge_vector(const iovec* vector, std::size_t count) noexcept {
  const long n = ::syscall(kProcessMadvise, kPidfdSelf, vector, count, MADV_DONTNEED, 0);
  if (n > 0) return static_cast<std::uint64_t>(n);
  if (n < 0 && (errno == ENOSYS || errno == EBADF || errno == EPERM)) {
    g_batch_unsupported.store(true, std::memory_order_relaxed);
  }
  return 0;
}

}  // namespace

std::size_t purge_batch(const MemoryRange* ranges, std::size_t count) noexcept {
  const ErrnoKeeper keep;
  constexpr std::size_t kVectorLength = 64;
  iovec vector[kVectorLength];
  std::size_t done = 0;
  while (done < count) {
    const std::size_t n = std::min(count - done, kVectorLength);
    if (n > 1 && !g_batch_unsupported.load(std::memory_order_relaxed)) {
      for (std::size_t i = 0; i < n; ++i) {
        check_range(ranges[done + i].base, ranges[done + i].bytes);
        vector[i] = {ranges[done + i].base.ptr(), ranges[done + i].bytes.n};
      }
      std::uint64_t purged = purge_vector(vector, n);
      const std::size_t before = done;
      while (done < before + n && purged >= ranges[done].bytes.n) purged -= ranges[done++].bytes.n;
      if (done == before + n) continue;
    }
    // One by one: always where there is no batch, else past the range at which the batch stopped.
    if (!purge(ranges[done].base, ranges[done].bytes)) return done;
    ++done;
  }
  return done;
}

}  // namespace ream::os
