#include "os/thread.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <list>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "os/child.h"
#include "os/mutex.h"
#include "os/process.h"
#include "os/sanitized.h"

namespace ream::os {
namespace {

// A process has one exit function: this one calls what the argument points to.
using Hook = std::function<void()>;
void run_hook(void* hook) noexcept { (*static_cast<Hook*>(hook))(); }

TEST(ThreadTest, IdentitiesAreDistinctWhileAlive) {
  constexpr unsigned kThreads = 16;
  std::atomic<unsigned> ready{0};
  std::vector<std::uint64_t> ids(kThreads);
  std::vector<std::uint32_t> kernel_ids(kThreads);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      ids[t] = thread_id();
      kernel_ids[t] = kernel_thread_id();
      ready.fetch_add(1);
      while (ready.load() < kThreads) std::this_thread::yield();
      EXPECT_EQ(ids[t], thread_id());
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), kThreads);
  EXPECT_EQ(std::set(kernel_ids.begin(), kernel_ids.end()).size(), kThreads);
  EXPECT_EQ(std::set(ids.begin(), ids.end()).count(0), 0u);
}

TEST(ThreadTest, IdentityOutlivesFork) {
  const std::uint64_t id = thread_id();
  EXPECT_EQ(exit_of_child([id] { return thread_id() == id ? 0 : 1; }), 0);
  EXPECT_EQ(kernel_thread_id(), static_cast<std::uint32_t>(::getpid()));
}

TEST(ThreadTest, CountsCpus) {
  EXPECT_GE(cpu_count(), 1u);
  EXPECT_LE(cpu_count(), 8192u);
  cpu_set_t before, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  CPU_SET(current_cpu(), &one);
  if (::sched_setaffinity(0, sizeof one, &one) != 0) GTEST_SKIP();
  EXPECT_EQ(cpu_count(), 1u);
  EXPECT_TRUE(CPU_ISSET(current_cpu(), &one));
  EXPECT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(ThreadExitTest, RunsOncePerThreadWithItsArgument) {
  constexpr unsigned kThreads = 50;
  std::atomic<unsigned> runs{0};
  std::vector<Hook> hooks;
  for (unsigned t = 0; t < kThreads; ++t) hooks.push_back([&] { runs.fetch_add(1); });
  for (unsigned t = 0; t < kThreads; ++t) {
    std::thread([&, t] { EXPECT_TRUE(on_thread_exit(run_hook, &hooks[t])); }).join();
    EXPECT_EQ(runs.load(), t + 1);
  }
}

TEST(ThreadExitTest, ManyThreadsRegisterAtOnce) {
  std::atomic<unsigned> runs{0};
  Hook hook = [&] { runs.fetch_add(1); };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 16; ++t) {
    threads.emplace_back([&] { EXPECT_TRUE(on_thread_exit(run_hook, &hook)); });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(runs.load(), 16u);
}

TEST(ThreadExitTest, LaterCallReplacesAndNullWithdraws) {
  int first = 0, second = 0;
  Hook one = [&] { ++first; }, two = [&] { ++second; };
  std::thread([&] {
    EXPECT_TRUE(on_thread_exit(run_hook, &one));
    EXPECT_TRUE(on_thread_exit(run_hook, &two));
  }).join();
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
  std::thread([&] {
    EXPECT_TRUE(on_thread_exit(run_hook, &one));
    EXPECT_TRUE(on_thread_exit(run_hook, nullptr));
  }).join();
  EXPECT_EQ(first, 0);
}

TEST(ThreadExitTest, RunsAfterThreadLocalDestructors) {
  static std::string order;
  order.clear();
  struct Local {
    ~Local() { order += "local "; }
  };
  Hook hook = [] { order += "hook "; };
  std::thread([&] {
    EXPECT_TRUE(on_thread_exit(run_hook, &hook));
    thread_local Local local;
    static_cast<void>(&local);
  }).join();
  EXPECT_EQ(order, "local hook ");
}

TEST(ThreadExitTest, MayRegisterAgainForTheNextRound) {
  // The race detector says goodbye to a thread in the last round; nothing may run after that.
  constexpr unsigned kRounds = kSanitized ? 3 : 4;
  unsigned runs = 0;
  Hook hook = [&] {
    if (++runs < kRounds) {
      EXPECT_TRUE(on_thread_exit(run_hook, &hook));
    }
  };
  std::thread([&] { EXPECT_TRUE(on_thread_exit(run_hook, &hook)); }).join();
  EXPECT_EQ(runs, kRounds);
}

TEST(ThreadExitTest, WorksWithAHighKey) {
  EXPECT_EQ(exit_of_child([] {
              // In a process that uses many keys already, libc allocates for ours. (The key may
              // exist from an earlier test; then it is low and this shows nothing new.)
              pthread_key_t key;
              for (unsigned i = 0; i < 64; ++i) {
                if (::pthread_key_create(&key, nullptr) != 0) return 1;
              }
              bool ran = false, registered = false;
              Hook hook = [&] { ran = true; };
              pthread_t thread;
              Hook body = [&] { registered = on_thread_exit(run_hook, &hook); };
              const auto enter = [](void* p) -> void* { return run_hook(p), nullptr; };
              if (::pthread_create(&thread, nullptr, enter, &body) != 0) return 2;
              ::pthread_join(thread, nullptr);
              return registered && ran ? 0 : 3;
            }),
            0);
}

TEST(ThreadExitDeathTest, ASecondFunctionDies) {
  set_message_sink(write_stderr);
  Hook hook = [] {};
  std::thread([&] { EXPECT_TRUE(on_thread_exit(run_hook, &hook)); }).join();
  EXPECT_DEATH(static_cast<void>(on_thread_exit([](void*) noexcept {}, nullptr)), "check failed");
}

struct Started {
  std::atomic<std::uint32_t> done{0};
  bool signals_blocked = false;
  char name[16] = {};
};

void started(void* p) noexcept {
  auto* s = static_cast<Started*>(p);
  set_thread_name("ream-worker-with-a-long-name");
  ::prctl(PR_GET_NAME, s->name);
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  s->signals_blocked =
      ::sigismember(&blocked, SIGTERM) == 1 && ::sigismember(&blocked, SIGPROF) == 1;
  s->done.store(1, std::memory_order_release);
  futex_wake(&s->done, 1);
}

TEST(StartThreadTest, RunsWithSignalsBlockedAndLeavesOursAlone) {
  sigset_t before, after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  // The thread is detached: it may still be in futex_wake when we have seen `done`.
  static std::list<Started> kept;
  Started& s = kept.emplace_back();
  ASSERT_TRUE(start_thread(started, &s));
  while (s.done.load(std::memory_order_acquire) == 0) futex_wait(&s.done, 0);
  EXPECT_TRUE(s.signals_blocked);
  EXPECT_STREQ(s.name, "ream-worker-wit");
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(::sigismember(&before, SIGTERM), ::sigismember(&after, SIGTERM));
}

TEST(LeaveOpenFilesTest, AThreadHasNoneOfTheProgramsAndTheProgramNoneOfIts) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  std::atomic<int> step{0};
  int own = -1;
  bool left = false;
  bool sees_pipe = true;
  std::thread other([&] {
    errno = 77;
    left = leave_open_files();
    EXPECT_EQ(errno, 77);
    sees_pipe = ::fcntl(pipe_ends[1], F_GETFD) != -1;
    if (left) own = ::open("/proc/self/stat", O_RDONLY);
    step.store(1);
    while (step.load() == 1) std::this_thread::yield();
    if (!left) return;
    EXPECT_NE(::fcntl(own, F_GETFD), -1);
    ::close(own);
  });
  while (step.load() == 0) std::this_thread::yield();
  EXPECT_NE(::fcntl(pipe_ends[0], F_GETFD), -1);
  ::close(pipe_ends[1]);
  char byte;
  EXPECT_EQ(::read(pipe_ends[0], &byte, 1), 0);  // the other thread does not keep it open
  ::close(pipe_ends[0]);
  if (own > STDERR_FILENO) ::close(own);  // whatever has that number here, it is not the other's
  step.store(2);
  other.join();
  if (!left) GTEST_SKIP() << "the kernel has no close_range, or does not let us";
  EXPECT_FALSE(sees_pipe);
}

// libc takes these from each thread's stack: of 64 KiB they would leave too little for the rest.
thread_local volatile char t_large[52 << 10];

void uses_its_stack(void* done) noexcept {
  volatile char frame[32 << 10];
  for (std::size_t i = 0; i < sizeof frame; i += 256) frame[i] = t_large[i];
  auto* word = static_cast<std::atomic<std::uint32_t>*>(done);
  word->store(1u + static_cast<unsigned char>(frame[0]), std::memory_order_release);
  futex_wake(word, 1);
}

TEST(StartThreadTest, LargeThreadLocalsLeaveRoomOnTheStack) {
  static std::atomic<std::uint32_t> done{0};
  ASSERT_TRUE(start_thread(uses_its_stack, &done));
  while (done.load(std::memory_order_acquire) == 0) futex_wait(&done, 0);
  EXPECT_EQ(done.load(), 1u);
}

}  // namespace
}  // namespace ream::os
