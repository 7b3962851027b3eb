// Threads on Linux with pthreads.
#include "os/thread.h"

#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cstddef>

#include "base/bits.h"
#include "base/check.h"
#include "os/errno_keeper.h"
#include "os/memory.h"
#include "os/mutex.h"

namespace ream::os {
namespace {

// The key of on_thread_exit plus one, 0 until the first registration, and the function it belongs
// to. Made without a lock, so that a fork in the middle leaves nothing locked: whoever loses the
// race deletes its key again.
constinit std::atomic<std::uint32_t> g_exit_key{0};
constinit std::atomic<ThreadExit> g_exit_function{nullptr};

bool exit_key(ThreadExit fn, pthread_key_t* key) noexcept {
  ThreadExit known = nullptr;
  if (!g_exit_function.compare_exchange_strong(known, fn, std::memory_order_relaxed))
    REAM_CHECK(known == fn);
  std::uint32_t stored = g_exit_key.load(std::memory_order_acquire);
  if (stored == 0) {
    pthread_key_t fresh;
    if (::pthread_key_create(&fresh, fn) != 0) return false;
    if (g_exit_key.compare_exchange_strong(stored, fresh + 1, std::memory_order_acq_rel)) {
      stored = fresh + 1;
    } else {
      ::pthread_key_delete(fresh);
    }
  }
  *key = stored - 1;
  return true;
}

// What the thread_local variables of the program and its libraries take in each thread, and more
// where libraries came by dlopen.
std::size_t thread_local_bytes() noexcept {
  std::size_t sum = 0;
  const auto add = [](dl_phdr_info* object, std::size_t, void* sum_of) noexcept -> int {
    for (unsigned i = 0; i < object->dlpi_phnum; ++i) {
      const auto& part = object->dlpi_phdr[i];
      if (part.p_type == PT_TLS) *static_cast<std::size_t*>(sum_of) += part.p_memsz + part.p_align;
    }
    return 0;
  };
  static_cast<void>(::dl_iterate_phdr(add, &sum));
  return sum;
}

struct ThreadStart {
  void (*fn)(void*) noexcept;
  void* arg;
  std::atomic<std::uint32_t> taken{0};
};

}  // namespace

std::uint32_t kernel_thread_id() noexcept {
  return static_cast<std::uint32_t>(::syscall(SYS_gettid));
}

unsigned cpu_count() noexcept {
  const ErrnoKeeper keep;
  std::uint64_t mask[128] = {};  // 8192 CPUs, the most that Linux can be built for
  const long bytes = ::syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  unsigned cpus = 0;
  for (long i = 0; i < bytes / 8; ++i) cpus += static_cast<unsigned>(std::popcount(mask[i]));
  return cpus == 0 ? 1 : cpus;
}

unsigned current_cpu() noexcept {
  const ErrnoKeeper keep;
  const int cpu = ::sched_getcpu();
  return cpu < 0 ? 0 : static_cast<unsigned>(cpu);
}

// Registered once for a process's memory; a second registration costs little. The child of a fork
// has its parent's, exec drops it.
bool barrier_everywhere() noexcept {
  const ErrnoKeeper keep;
  constexpr int kPrivateExpedited = 1 << 3;
  constexpr int kRegisterPrivateExpedited = 1 << 4;
  const auto membarrier = [](int command) noexcept {
    return ::syscall(SYS_membarrier, command, 0, 0) == 0;
  };
  return membarrier(kPrivateExpedited) ||
         (membarrier(kRegisterPrivateExpedited) && membarrier(kPrivateExpedited));
}

bool on_thread_exit(ThreadExit fn, void* arg) noexcept {
  const ErrnoKeeper keep;
  pthread_key_t key;
  return exit_key(fn, &key) && ::pthread_setspecific(key, arg) == 0;
}

bool start_thread(void (*fn)(void*) noexcept, void* arg) noexcept {
  const ErrnoKeeper keep;
  // pthread wants void*(*)(void*): the new thread copies fn and arg out of our frame, then lets us
  // go.
  ThreadStart start{fn, arg};
  const auto enter = [](void* p) noexcept -> void* {
    auto* s = static_cast<ThreadStart*>(p);
    void (*const run)(void*) noexcept = s->fn;
    void* const run_arg = s->arg;
    s->taken.store(1, std::memory_order_release);
    futex_wake(&s->taken, 1);  // by address: the frame may be gone
    run(run_arg);
    return nullptr;
  };
  pthread_attr_t attributes;
  if (::pthread_attr_init(&attributes) != 0) return false;
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);

  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = false;
  // libc puts the program's static TLS on the stack. It refuses a stack that is too small for it,
  // but not one that is too small for anything else.
  const std::size_t tls_bytes = thread_local_bytes();
  for (std::size_t own_bytes = std::size_t{64} << 10; !started && own_bytes <= std::size_t{8} << 20;
       own_bytes *= 4) {
    const std::size_t stack_bytes = round_up(own_bytes + tls_bytes, os_page_size().n);
    pthread_t thread;
    started = ::pthread_attr_setstacksize(&attributes, stack_bytes) == 0 &&
              ::pthread_create(&thread, &attributes, enter, &start) == 0;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  while (started && start.taken.load(std::memory_order_acquire) == 0) futex_wait(&start.taken, 0);
  return started;
}

bool leave_open_files() noexcept {
  const ErrnoKeeper keep;
#ifdef SYS_close_range
  constexpr long kCloseRange = SYS_close_range;
#else
  constexpr long kCloseRange = 436;
#endif
  constexpr unsigned kUnshare = 1u << 1;
  return ::syscall(kCloseRange, 0u, ~0u, kUnshare) == 0;
}

std::uint64_t thread_cpu_ns() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(t.tv_nsec);
}

void set_thread_name(const char* name) noexcept {
  const ErrnoKeeper keep;
  ::prctl(PR_SET_NAME, name);
}

}  // namespace ream::os
