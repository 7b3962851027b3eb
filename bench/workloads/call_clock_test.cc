// The histogram against sorted values; the clock on calls whose CPU time is known, in more threads
// than most machines have processors.

#include "call_clock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "support.h"

namespace bench {
namespace {

TEST(Histogram, QuantilesAreThoseOfTheValuesUpToASixteenth) {
  Rng rng(1);
  Histogram histogram;
  std::vector<std::uint64_t> values;
  for (unsigned i = 0; i < 100'000; ++i) {
    values.push_back(rng.next() >> (24 + rng.below(40)));
    histogram.add(values.back());
  }
  std::sort(values.begin(), values.end());
  EXPECT_EQ(histogram.total(), values.size());
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.quantile(1), values.back());
  for (const double part : {0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999}) {
    const auto rank = static_cast<std::size_t>(part * static_cast<double>(values.size()) + 0.5);
    const std::uint64_t exact = values[rank - 1];
    EXPECT_GE(histogram.quantile(part), exact) << part;
    EXPECT_LE(histogram.quantile(part), exact + exact / 16) << part;
  }
}

TEST(Histogram, TakesTheLargestAndNone) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0u);
  histogram.add(~std::uint64_t{0});
  histogram.add(0);
  EXPECT_EQ(histogram.quantile(0.5), 0u);
  EXPECT_EQ(histogram.quantile(1), ~std::uint64_t{0});
}

TEST(Histogram, AddsAllOfAnother) {
  Histogram one;
  Histogram other;
  one.add(5);
  other.add(7);
  other.add(1000);
  one.add_all(other);
  EXPECT_EQ(one.total(), 3u);
  EXPECT_EQ(one.max(), 1000u);
  EXPECT_EQ(one.quantile(0.5), 7u);
}

std::int64_t thread_cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void spin(std::int64_t cpu_ns) {
  const std::int64_t end_ns = thread_cpu_ns() + cpu_ns;
  while (thread_cpu_ns() < end_ns) {
  }
}

// On a machine with fewer processors most of these calls last many times as long by the wall's
// clock.
TEST(CallClock, CountsTheTimeThatAThreadRan) {
  constexpr unsigned kManyThreads = 8;
  constexpr unsigned kCalls = 50;
  constexpr std::int64_t kCallNs = 2'000'000;
  const double ticks_per_ns = measure_ticks_per_ns();
  std::vector<Histogram> times(kManyThreads);
  run_threads(kManyThreads, [&](unsigned self) {
    CallClock clock(ticks_per_ns);
    for (unsigned i = 0; i < kCalls; ++i) {
      const std::uint64_t begun = clock.begin();
      spin(kCallNs);
      clock.end(begun, times[self]);
      std::this_thread::yield();
    }
  });
  Histogram all;
  for (const Histogram& one : times) {
    all.add_all(one);
  }
  EXPECT_EQ(all.total(), kManyThreads * kCalls);
  EXPECT_GE(static_cast<double>(all.quantile(0.01)) / ticks_per_ns, 0.97 * kCallNs);
  EXPECT_LE(static_cast<double>(all.quantile(0.95)) / ticks_per_ns, 1.25 * kCallNs);
}

TEST(CallClock, LeavesSleepOutAndCountsIt) {
  constexpr unsigned kCalls = 10;
  const double ticks_per_ns = measure_ticks_per_ns();
  CallClock clock(ticks_per_ns);
  Histogram times;
  for (unsigned i = 0; i < kCalls; ++i) {
    const std::uint64_t begun = clock.begin();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    clock.end(begun, times);
    // A sleep between two calls is of neither.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::uint64_t second = clock.begin();
    clock.end(second, times);
  }
  EXPECT_EQ(clock.slept(), kCalls);
  EXPECT_LE(static_cast<double>(times.quantile(0.9)) / ticks_per_ns, 5e6);
}

}  // namespace
}  // namespace bench
