// Fork hooks. They cannot be taken back, so each test registers in a child.
#include <gtest/gtest.h>

#include <cstring>

#include "os/child.h"
#include "os/mutex.h"
#include "os/sanitized.h"
#include "os/thread.h"

namespace ream::os {
namespace {

char g_order[64];
void note(const char* what) noexcept {
  std::strncat(g_order, what, sizeof g_order - std::strlen(g_order) - 1);
}

TEST(ForkTest, HandlersNestAroundTheFork) {
  EXPECT_EQ(exit_of_child([] {
              const bool registered =
                  at_fork([]() noexcept { note("p1 "); }, []() noexcept { note("P1 "); },
                          []() noexcept { note("C1 "); }) &&
                  at_fork([]() noexcept { note("p2 "); }, []() noexcept { note("P2 "); },
                          []() noexcept { note("C2 "); });
              if (!registered) return 1;
              // The first to register prepares last and resumes first.
              const int child =
                  exit_of_child([] { return std::strcmp(g_order, "p2 p1 C1 C2 ") == 0 ? 0 : 1; });
              if (child != 0) return 2;
              return std::strcmp(g_order, "p2 p1 P1 P2 ") == 0 ? 0 : 3;
            }),
            0);
}

constinit Mutex g_lock{LockRank{1}};
void lock_it() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS { g_lock.lock(); }
void unlock_it() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS { g_lock.unlock(); }
void reinitialize_it() noexcept { g_lock.reinitialize(); }

struct Worker {
  std::atomic<std::uint32_t> rounds{0};
};
void work(void* p) noexcept {
  auto* worker = static_cast<Worker*>(p);
  for (;;) {
    const MutexLock hold(g_lock);
    worker->rounds.fetch_add(1, std::memory_order_relaxed);
  }
}

// The allocator's pattern: the lock is taken around the fork, threads run in parent and child.
TEST(ForkTest, LocksAndThreadsWorkInTheChild) {
  if (kSanitized) GTEST_SKIP() << "the race detector allows no threads in a child";
  EXPECT_EQ(exit_of_child([] {
              static Worker worker;
              if (!at_fork(lock_it, unlock_it, reinitialize_it)) return 1;
              if (!start_thread(work, &worker)) return 2;
              for (unsigned i = 0; i < 200; ++i) {
                const int child = exit_of_child([] {
                  const MutexLock hold(g_lock);
                  static Worker own;
                  if (!start_thread(work, &own)) return 1;
                  return 0;
                });
                if (child != 0) return 3;
                const MutexLock hold(g_lock);
              }
              const std::uint32_t before = worker.rounds.load();
              while (worker.rounds.load() == before) ::usleep(1000);
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace ream::os
