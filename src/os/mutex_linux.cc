// The mutex's slow path and rank bookkeeping, and the futex system call.
#include "os/mutex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "base/check.h"
#include "os/errno_keeper.h"

namespace ream::os {
namespace {

constexpr unsigned kSpins = 64;  // about 1 to 3 us: longer than most holders, shorter than a sleep

void pause_cpu() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

long futex(const std::atomic<std::uint32_t>* word, int op, std::uint32_t value,
           const timespec* timeout) noexcept {
  return ::syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, 0);
}

// The ranks that this thread holds, in the order of acquisition. Initial-exec, because the general
// model may allocate on first use; debug builds only, elsewhere nothing refers to it.
constexpr unsigned kMaxHeld = 15;
struct HeldRanks {
  std::uint8_t count;
  LockRank ranks[kMaxHeld];
};
[[gnu::tls_model("initial-exec"), maybe_unused]] thread_local constinit HeldRanks t_held{};

// The thread that forks or forked last, by an address of its own: the child's only thread has the
// same.
std::atomic<const void*> g_forking{nullptr};
[[gnu::tls_model("initial-exec")]] thread_local constinit char t_self = 0;

}  // namespace

void Mutex::lock_for_fork() noexcept {
  if (!acquire()) lock_slow();
  g_forking.store(&t_self, std::memory_order_relaxed);
  __atomic_store_n(&held_for_fork_, true, __ATOMIC_RELEASE);
}

bool Mutex::is_held_for_fork() const noexcept {
  return __atomic_load_n(&held_for_fork_, __ATOMIC_ACQUIRE) &&
         g_forking.load(std::memory_order_relaxed) == &t_self;
}

void futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t expected) noexcept {
  const ErrnoKeeper keep;
  futex(word, FUTEX_WAIT, expected, nullptr);
}

bool futex_wait_for(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
                    std::uint64_t timeout_ns) noexcept {
  const ErrnoKeeper keep;
  timespec timeout{};
  timeout.tv_sec = static_cast<time_t>(timeout_ns / 1'000'000'000u);
  timeout.tv_nsec = static_cast<long>(timeout_ns % 1'000'000'000u);
  return futex(word, FUTEX_WAIT, expected, &timeout) == 0 || errno != ETIMEDOUT;
}

void sleep_ns(std::uint64_t ns) noexcept {
  static constinit std::atomic<std::uint32_t> g_nobody_wakes{0};
  futex_wait_for(&g_nobody_wakes, 0, ns);
}

void futex_wake(const std::atomic<std::uint32_t>* word, unsigned count) noexcept {
  const ErrnoKeeper keep;
  futex(word, FUTEX_WAKE, count > INT_MAX ? INT_MAX : count, nullptr);
}

// Spins while the holder runs without waiters, then announces itself (kContended) and sleeps. A
// thread that has slept takes the lock as kContended, since it cannot know whether others still
// wait.
void Mutex::lock_slow() noexcept {
  if (is_held_for_fork()) return;
  for (unsigned spin = 0; spin < kSpins; ++spin) {
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    if (state == kContended) break;
    if (state == kFree && state_.compare_exchange_weak(state, kHeld, std::memory_order_acquire,
                                                       std::memory_order_relaxed)) {
      return;
    }
    pause_cpu();
  }
  while (state_.exchange(kContended, std::memory_order_acquire) != kFree)
    futex_wait(&state_, kContended);
}

void Mutex::reinitialize() noexcept {
  if constexpr (kDebug) {
    if (is_locked()) pop_rank();  // if this thread is the holder; else its rank is not in the list
  }
  __atomic_store_n(&held_for_fork_, false, __ATOMIC_RELAXED);
  state_.store(kFree, std::memory_order_release);
}

void Mutex::check_rank() const noexcept {
  if (rank_ == LockRank::kUnranked) return;
  for (unsigned i = 0; i < t_held.count; ++i) {
    if (t_held.ranks[i] >= rank_) fatal("lock rank violation");
  }
}

void Mutex::push_rank() const noexcept {
  if (rank_ == LockRank::kUnranked) return;
  if (t_held.count == kMaxHeld) fatal("too many locks held");
  t_held.ranks[t_held.count++] = rank_;
}

// Ranks held are distinct, so the rank names the lock; releases may come in any order.
void Mutex::pop_rank() const noexcept {
  if (rank_ == LockRank::kUnranked) return;
  for (unsigned i = t_held.count; i-- > 0;) {
    if (t_held.ranks[i] != rank_) continue;
    for (--t_held.count; i < t_held.count; ++i) t_held.ranks[i] = t_held.ranks[i + 1];
    return;
  }
}

}  // namespace ream::os
