// How much the pace allows, as a function of what was used when.
#include "heap/purge_pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

constexpr std::uint64_t kPeriod = PurgePace::kPeriodNs;
constexpr std::uint64_t kStart = 1'000'000 * kPeriod;

Bytes allowed_for(Bytes peak) { return Bytes(peak.n + peak.n / 16); }

TEST(PurgePaceTest, AllowsNothingBeforeAnythingWasUsed) {
  EXPECT_EQ(PurgePace().allowed(), Bytes());
}

TEST(PurgePaceTest, FollowsAGrowingHeapAtOnce) {
  PurgePace pace;
  for (Bytes use = 1_MiB; use < 1_GiB; use += 7_MiB) {
    pace.note(use, kStart);
    EXPECT_EQ(pace.allowed(), allowed_for(use));
  }
}

TEST(PurgePaceTest, RemembersAPeakForThisPeriodAndTheNext) {
  PurgePace pace;
  pace.note(100_MiB, kStart);
  pace.note(1_MiB, kStart + 1);
  EXPECT_EQ(pace.allowed(), allowed_for(100_MiB));
  pace.note(2_MiB, kStart + kPeriod - 1);
  EXPECT_EQ(pace.allowed(), allowed_for(100_MiB));
  pace.note(3_MiB, kStart + kPeriod);
  EXPECT_EQ(pace.allowed(), allowed_for(100_MiB));
  pace.note(1_MiB, kStart + 2 * kPeriod - 1);
  EXPECT_EQ(pace.allowed(), allowed_for(100_MiB));
  pace.note(1_MiB, kStart + 2 * kPeriod);
  EXPECT_EQ(pace.allowed(), allowed_for(3_MiB));
  pace.note(1_MiB, kStart + 3 * kPeriod);
  EXPECT_EQ(pace.allowed(), allowed_for(1_MiB));
}

TEST(PurgePaceTest, ForgetsAPeakAfterSilence) {
  PurgePace pace;
  pace.note(100_MiB, kStart);
  pace.note(5_MiB, kStart + 2 * kPeriod);
  EXPECT_EQ(pace.allowed(), allowed_for(5_MiB));
}

// With a note in every period (of the pace's own, which begin at its first note), what is allowed
// is the peak of the current and the last one.
TEST(PurgePaceTest, RandomUseEqualsTheTwoLatestPeaks) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    REAM_TRACE_SEED(seed);
    Random random(seed);
    PurgePace pace;
    std::vector<Bytes> peaks;
    for (std::uint64_t period = 0; period < 200 * kEffort; ++period) {
      peaks.emplace_back();
      std::uint64_t now = kStart + period * kPeriod;
      for (std::uint64_t notes = random.between(1, 5); notes > 0; --notes) {
        const Bytes use(random.of_any_magnitude(1ULL << 40));
        pace.note(use, now);
        peaks.back() = std::max(peaks.back(), use);
        const Bytes last = period == 0 ? Bytes() : peaks[period - 1];
        // The first note of all finds no earlier period: what was used then also stands for it.
        const Bytes before = period == 1 ? std::max(last, peaks[0]) : last;
        const Bytes peak = std::max(peaks.back(), before);
        if (period > 0) {
          ASSERT_EQ(pace.allowed(), allowed_for(peak)) << "period " << period;
        }
        ASSERT_GE(pace.allowed(), use);
        now = std::min(now + random.below(kPeriod / 4), kStart + (period + 1) * kPeriod - 1);
      }
    }
  }
}

}  // namespace
}  // namespace ream
