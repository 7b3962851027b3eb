// The budget: what it admits, and that threads together never exceed it.
#include "heap/budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

TEST(BudgetTest, AdmitsUpToItsEnd) {
  Budget budget;
  budget.set(100_B);
  EXPECT_TRUE(budget.charge(60_B));
  EXPECT_EQ(budget.missing(40_B), 0_B);
  EXPECT_EQ(budget.missing(41_B), 1_B);
  EXPECT_FALSE(budget.charge(41_B));
  EXPECT_EQ(budget.used(), 60_B);
  EXPECT_TRUE(budget.charge(40_B));
  EXPECT_FALSE(budget.charge(1_B));
  EXPECT_TRUE(budget.charge(0_B));
  budget.refund(100_B);
  EXPECT_EQ(budget.used(), 0_B);
  EXPECT_EQ(budget.peak(), 100_B);
}

TEST(BudgetTest, NoneAdmitsEverything) {
  Budget budget;
  EXPECT_TRUE(budget.charge(1_TiB));
  EXPECT_EQ(budget.missing(1_TiB), 0_B);
  EXPECT_EQ(budget.most(), 0_B);
}

TEST(BudgetTest, LoweredItRefusesUntilEnoughIsRefunded) {
  Budget budget;
  ASSERT_TRUE(budget.charge(100_B));
  budget.set(50_B);
  EXPECT_EQ(budget.missing(1_B), 51_B);
  EXPECT_FALSE(budget.charge(1_B));
  budget.refund(60_B);
  EXPECT_TRUE(budget.charge(10_B));
  EXPECT_FALSE(budget.charge(1_B));
}

TEST(BudgetTest, ThreadsTogetherNeverExceedIt) {
  constexpr Bytes kMost = 1000_B;
  Budget budget;
  budget.set(kMost);
  std::atomic<unsigned> wrong{0}, refused{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= 4; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      for (unsigned i = 0; i < 20'000 * kEffort; ++i) {
        const Bytes more(random.between(1, 600));
        if (!budget.charge(more)) {
          ++refused;
          continue;
        }
        wrong += budget.used() > kMost;
        budget.refund(more);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_EQ(budget.used(), 0_B);
  EXPECT_LE(budget.peak(), kMost);
}

}  // namespace
}  // namespace ream
