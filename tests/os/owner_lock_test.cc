#include "os/owner_lock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/effort.h"

namespace ream::os {
namespace {

bool take(OwnerLock& lock) {
  lock.want();
  return barrier_everywhere() && lock.is_free();
}

class OwnerLockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!barrier_everywhere()) GTEST_SKIP() << "this system has no membarrier";
  }
  OwnerLock lock_;
};

TEST_F(OwnerLockTest, IsFreeUnlessTheOwnerIsInside) {
  EXPECT_TRUE(take(lock_));
  lock_.end();
  lock_.enter();
  EXPECT_FALSE(take(lock_));
  lock_.end();
  lock_.leave();
  EXPECT_TRUE(take(lock_));
  lock_.end();
}

TEST_F(OwnerLockTest, TheOwnerWaits) {
  ASSERT_TRUE(take(lock_));
  std::atomic<bool> entered{false};
  std::thread owner([&] {
    const OwnerHold hold(lock_);
    entered = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(entered);
  lock_.end();
  owner.join();
  EXPECT_TRUE(entered);
}

// Neither is ever inside with the other: the count, which is changed in two steps, is never torn.
TEST_F(OwnerLockTest, ExcludesTheOther) {
  constexpr std::uint64_t kTakes = 3000 * kEffort;
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::atomic<bool> stop{false};
  std::uint64_t entered = 0;
  std::uint64_t torn = 0;
  const auto count = [&] {
    torn += low != high ? 1 : 0;
    ++low;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    ++high;
  };
  std::thread owner([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      const OwnerHold hold(lock_);
      count();
      ++entered;
    }
  });
  std::uint64_t taken = 0;
  for (std::uint64_t i = 0; i < kTakes; ++i) {
    if (take(lock_)) {
      count();
      ++taken;
    }
    lock_.end();
    if (i % 64 == 0) std::this_thread::yield();
  }
  stop = true;
  owner.join();
  EXPECT_EQ(torn, 0u);
  EXPECT_EQ(low, entered + taken);
  EXPECT_GT(taken, 0u);
}

}  // namespace
}  // namespace ream::os
