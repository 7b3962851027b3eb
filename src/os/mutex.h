// The one lock of ream: a futex of three states, with a rank.
//
// Ranks order the locks: a thread may only take a lock whose rank is above that of every lock it
// holds (two locks of equal rank are never held together). Debug builds check that on every
// acquisition, try_lock included, and end the program with `ream: lock rank violation`. Rank
// kUnranked is exempt. The order itself is declared where the locks are.
//
// Thread safety: all. A Mutex is constant-initialised, trivially destructible and 8 bytes; it must
// not move while anyone may hold it. Not recursive. unlock() is the last access to the Mutex by its
// owner, save for the wake-up by address, so memory that holds it may be unmapped only when no
// thread is in it. Fork: a lock held at fork stays locked in the child, so either the forking
// thread holds it, from the prepare handler to those of the parent and of the child
// (lock_for_fork), or the child must reinitialize it. Between these handlers others run, of
// libraries that registered theirs earlier: the forking thread passes through the locks it holds
// for the fork.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/annotate.h"
#include "base/config.h"

namespace ream::os {

enum class LockRank : std::uint8_t { kUnranked = 0 };

// Sleeps while *word == expected; returns at a wake-up, at once if it differs, and sometimes for no
// reason. The timed form also returns when timeout_ns have passed, then false.
void futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t expected) noexcept;
bool futex_wait_for(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
                    std::uint64_t timeout_ns) noexcept;
// Wakes up to `count` threads that wait on the word. Only the address is used.
void futex_wake(const std::atomic<std::uint32_t>* word, unsigned count) noexcept;

// Sleeps for so long, or less where a signal comes.
void sleep_ns(std::uint64_t ns) noexcept;

class REAM_CAPABILITY("mutex") Mutex {
 public:
  // Ranks are kept where they are checked. Elsewhere a lock is all zeros, and so is a heap full of
  // them.
  explicit constexpr Mutex(LockRank rank = LockRank::kUnranked) noexcept
      : rank_(kDebug ? rank : LockRank::kUnranked) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() noexcept REAM_ACQUIRE() {
    if constexpr (kDebug) check_rank();
    if (!acquire()) [[unlikely]]
      lock_slow();
    if constexpr (kDebug) push_rank();
  }

  // False when another thread (or this one) holds it.
  [[nodiscard]] bool try_lock() noexcept REAM_TRY_ACQUIRE(true) {
    if constexpr (kDebug) check_rank();
    if (!acquire() && !is_held_for_fork()) return false;
    if constexpr (kDebug) push_rank();
    return true;
  }

  void unlock() noexcept REAM_RELEASE() {
    if constexpr (kDebug) pop_rank();
    if (__atomic_load_n(&held_for_fork_, __ATOMIC_RELAXED)) [[unlikely]]
      return;  // only the forking thread gets here meanwhile
    release();
  }

  // What the forking thread holds from prepare on. It may hold many of one rank: no order is
  // checked. Until unlock_after_fork(), lock() and unlock() by this thread do nothing.
  // REQUIRES: every thread that forks begins with the same lock, so one forks at a time.
  void lock_for_fork() noexcept REAM_ACQUIRE();
  void unlock_after_fork() noexcept REAM_RELEASE() {
    __atomic_store_n(&held_for_fork_, false, __ATOMIC_RELAXED);
    release();
  }

  // In the only thread of a fork's child: free, whoever held it in the parent.
  void reinitialize() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS;

  // A hint: some thread holds it, and this one would have to wait.
  [[nodiscard]] bool is_busy() const noexcept {
    return state_.load(std::memory_order_relaxed) != kFree && !is_held_for_fork();
  }
  // This thread holds it for its fork.
  [[nodiscard]] bool is_held_for_fork() const noexcept;
  // For assertions: some thread holds it.
  [[nodiscard]] bool is_locked() const noexcept {
    return state_.load(std::memory_order_relaxed) != kFree;
  }

 private:
  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kHeld = 1;       // nobody waits
  static constexpr std::uint32_t kContended = 2;  // held, and a thread may wait: unlock wakes one

  // Takes it if it is free.
  [[nodiscard]] bool acquire() noexcept {
    std::uint32_t expected = kFree;
    return state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }
  REAM_COLD void lock_slow() noexcept;
  void release() noexcept {
    if (state_.exchange(kFree, std::memory_order_release) == kContended) [[unlikely]]
      futex_wake(&state_, 1);
  }
  void check_rank() const noexcept;
  void push_rank() const noexcept;
  void pop_rank() const noexcept;

  std::atomic<std::uint32_t> state_{kFree};
  const LockRank rank_;
  bool held_for_fork_ = false;  // changes while held; others may look at any time (atomic)
};

static_assert(sizeof(Mutex) == 8);

// Holds a Mutex for a scope.
class REAM_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) noexcept REAM_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() REAM_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace ream::os
