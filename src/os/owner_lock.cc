#include "os/owner_lock.h"

namespace ream::os {

void OwnerLock::wait() noexcept {
  do {
    inside_.store(0, std::memory_order_release);
    for (;;) {
      std::uint32_t wanted = kYes;
      if (!wanted_.compare_exchange_strong(wanted, kAwaited) && wanted == kNo) break;
      futex_wait(&wanted_, kAwaited);
    }
    inside_.store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } while (wanted_.load(std::memory_order_acquire) != kNo);
}

}  // namespace ream::os
