// A lock for what one thread owns and uses all the time, and another looks after now and then. The
// owner pays a store and a load, no atomic read-modify-write; the other makes up for it with a
// barrier on every CPU that runs the process (a system call).
//
//   owner                               other
//     enter:  inside = 1                  begin:  wanted = 1
//             (compiler keeps order)              barrier on all CPUs
//             wanted? then wait                   inside? then it is the owner's: give up
//     leave:  inside = 0                  end:    wanted = 0, wake the owner
//
// After the barrier either the owner's `inside` is visible to the other, or the owner, when it
// enters, sees `wanted`: Dekker's algorithm with its second fence moved out of the owner's way
// (asymmetric fences, as in WG21 P1202).
//
// Thread safety: enter and leave by the owner, the rest by one other thread at a time. Not for
// signal handlers. Fork: the other holds no OwnerLock then, or its caller keeps fork away.
// Lifetime: zero-initialised is free; trivially destructible.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/annotate.h"
#include "os/mutex.h"
#include "os/thread.h"

namespace ream::os {

class OwnerLock {
 public:
  REAM_INLINE void enter() noexcept {
    inside_.store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (wanted_.load(std::memory_order_acquire) != kNo) [[unlikely]]
      wait();
  }
  REAM_INLINE void leave() noexcept { inside_.store(0, std::memory_order_release); }

  // The other thread. Between want() and the questions whether is_free() comes
  // barrier_everywhere(), one for any number of locks. What was wanted is ended, whether it was
  // free or not.
  void want() noexcept { wanted_.store(kYes, std::memory_order_relaxed); }
  [[nodiscard]] bool is_free() const noexcept {
    return inside_.load(std::memory_order_acquire) == 0;
  }
  void end() noexcept {
    if (wanted_.exchange(kNo, std::memory_order_release) == kAwaited) futex_wake(&wanted_, 1);
  }

  // In the only thread of a fork's child: free, whoever held it in the parent.
  void reinitialize() noexcept {
    inside_.store(0, std::memory_order_relaxed);
    wanted_.store(kNo, std::memory_order_relaxed);
  }

 private:
  enum Wanted : std::uint32_t { kNo, kYes, kAwaited };  // the owner waits for its end

  REAM_COLD void wait() noexcept;

  std::atomic<std::uint32_t> inside_{0};
  std::atomic<std::uint32_t> wanted_{kNo};
};

// Holds an OwnerLock for a scope of its owner's.
class OwnerHold {
 public:
  REAM_INLINE explicit OwnerHold(OwnerLock& lock) noexcept : lock_(lock) { lock_.enter(); }
  REAM_INLINE ~OwnerHold() { lock_.leave(); }
  OwnerHold(const OwnerHold&) = delete;
  OwnerHold& operator=(const OwnerHold&) = delete;

 private:
  OwnerLock& lock_;
};

}  // namespace ream::os
