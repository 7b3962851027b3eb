#include "os/mutex.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/config.h"
#include "os/child.h"
#include "os/process.h"

namespace ream::os {
namespace {

constexpr LockRank kLow{1};
constexpr LockRank kHigh{2};

// A constant-initialised, trivially destructible global, as in the allocator.
constinit Mutex g_mutex;
static_assert(std::is_trivially_destructible_v<Mutex>);

template <class Body>
void in_thread(Body body) {
  std::thread(body).join();
}

bool others_can_lock(Mutex& mutex) {
  bool locked = false;
  in_thread([&] {
    locked = mutex.try_lock();
    if (locked) mutex.unlock();
  });
  return locked;
}

TEST(MutexTest, ExcludesUnderContention) {
  constexpr unsigned kThreads = 4, kRounds = 50000;
  Mutex mutex;
  std::uint64_t count = 0;  // the race detector watches it
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (unsigned i = 0; i < kRounds; ++i) {
        const MutexLock hold(mutex);
        ++count;
        if (i % 4096 == 0) std::this_thread::yield();  // now and then the others have to sleep
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(count, kThreads * kRounds);
  EXPECT_FALSE(mutex.is_locked());
}

TEST(MutexTest, TryLockExcludesToo) {
  constexpr unsigned kThreads = 3, kSuccesses = 5000;
  Mutex mutex;
  std::uint64_t count = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (unsigned done = 0; done < kSuccesses;) {
        if (!mutex.try_lock()) {
          std::this_thread::yield();
          continue;
        }
        ++count;
        ++done;
        mutex.unlock();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(count, kThreads * kSuccesses);
}

TEST(MutexTest, TryLockTellsWhetherItIsHeld) {
  EXPECT_TRUE(others_can_lock(g_mutex));
  g_mutex.lock();
  EXPECT_TRUE(g_mutex.is_locked());
  EXPECT_FALSE(others_can_lock(g_mutex));
  g_mutex.unlock();
  EXPECT_TRUE(others_can_lock(g_mutex));
}

// Several sleepers, released one after the other: no wake-up is lost.
TEST(MutexTest, EverySleeperGetsItsTurn) {
  for (unsigned round = 0; round < 20; ++round) {
    Mutex mutex;
    std::atomic<unsigned> arrived{0};
    unsigned served = 0;
    std::vector<std::thread> threads;
    mutex.lock();
    for (unsigned t = 0; t < 6; ++t) {
      threads.emplace_back([&] {
        arrived.fetch_add(1);
        const MutexLock hold(mutex);
        ++served;
      });
    }
    while (arrived.load() < 6) std::this_thread::yield();
    if (round % 2 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // let them sleep
    mutex.unlock();
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(served, 6u);
  }
}

TEST(MutexTest, ForkChildReinitializes) {
  Mutex mutex(kLow);
  std::atomic<int> phase{0};
  std::thread holder([&] {
    const MutexLock hold(mutex);
    phase.store(1);
    while (phase.load() != 2) std::this_thread::yield();
  });
  while (phase.load() != 1) std::this_thread::yield();
  EXPECT_EQ(exit_of_child([&] {
              if (!mutex.is_locked()) return 1;
              mutex.reinitialize();
              if (!mutex.try_lock()) return 2;
              mutex.unlock();
              mutex.lock();
              mutex.unlock();
              return 0;
            }),
            0);
  phase.store(2);
  holder.join();

  mutex.lock();  // held by the forking thread: its rank goes too
  EXPECT_EQ(exit_of_child([&] {
              mutex.reinitialize();
              mutex.lock();
              mutex.unlock();
              return 0;
            }),
            0);
  mutex.unlock();
}

TEST(MutexTest, TheForkingThreadPassesThroughItsLocks) {
  Mutex first(kLow), second(kHigh);
  first.lock_for_fork();
  second.lock_for_fork();
  for (unsigned i = 0; i < 2; ++i) {  // in any order, again and again
    second.lock();
    second.unlock();
    first.lock();
    ASSERT_TRUE(second.try_lock());
    second.unlock();
    first.unlock();
  }
  EXPECT_TRUE(second.is_locked());
  EXPECT_FALSE(second.is_busy());
  in_thread([&] {
    EXPECT_FALSE(first.try_lock());
    EXPECT_TRUE(first.is_busy());
  });
  EXPECT_EQ(exit_of_child([&] {
              second.lock();  // the child's thread is the one that forked
              second.unlock();
              second.unlock_after_fork();
              first.unlock_after_fork();
              if (second.is_locked() || first.is_locked()) return 1;
              const MutexLock hold(first);
              return first.is_busy() ? 0 : 2;
            }),
            0);
  std::atomic<bool> got{false};
  std::thread waiter([&] {
    const MutexLock hold(second);
    got.store(true);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(got.load());
  second.unlock_after_fork();
  first.unlock_after_fork();
  waiter.join();
  EXPECT_TRUE(got.load());
}

TEST(MutexTest, RanksInOrderAreFine) {
  Mutex low(kLow), high(kHigh), unranked, another;
  for (unsigned i = 0; i < 3; ++i) {
    const MutexLock a(low), b(unranked), c(high), d(another);
  }
  low.lock();
  high.lock();
  low.unlock();  // released in another order
  high.unlock();
  low.lock();
  low.unlock();
  in_thread([&] {  // ranks belong to a thread
    const MutexLock hold(high);
    in_thread([&] { const MutexLock inner(low); });
  });
}

TEST(MutexDeathTest, RankViolationsDieInDebugBuilds) {
  if constexpr (!kDebug) GTEST_SKIP() << "ranks are checked in debug builds";
  set_message_sink(write_stderr);
  Mutex low(kLow), high(kHigh), same(kHigh);
  high.lock();
  EXPECT_DEATH(low.lock(), "ream: lock rank violation");
  EXPECT_DEATH(same.lock(), "ream: lock rank violation");
  EXPECT_DEATH(static_cast<void>(low.try_lock()), "ream: lock rank violation");
  EXPECT_DEATH(high.lock(), "ream: lock rank violation");  // instead of waiting for oneself
  high.unlock();
}

TEST(FutexMutexTest, WaitReturnsWhenTheWordDiffers) {
  std::atomic<std::uint32_t> word{1};
  futex_wait(&word, 0);
  EXPECT_TRUE(futex_wait_for(&word, 0, 1));
}

TEST(FutexMutexTest, WaitEndsByTime) {
  std::atomic<std::uint32_t> word{1};
  bool woken = true;
  // A signal may end a wait early; time ends one of a few.
  for (unsigned i = 0; i < 100 && woken; ++i) woken = futex_wait_for(&word, 1, 1'000'000);
  EXPECT_FALSE(woken);
}

TEST(FutexMutexTest, WakeEndsAWait) {
  std::atomic<std::uint32_t> word{0};
  std::thread sleeper([&] {
    while (word.load() == 0) futex_wait(&word, 0);
  });
  word.store(1);
  futex_wake(&word, ~0u);
  sleeper.join();
}

}  // namespace
}  // namespace ream::os
