// How much the pace allows, as a function of what was used when, and how it learns.
#include "heap/purge_pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

constexpr std::uint64_t kSlot = PurgePace::kMinWindowNs / PurgePace::kSlots;
constexpr std::uint64_t kStart = 1'000'000 * PurgePace::kMinWindowNs;

Bytes allowed_for(Bytes peak) { return Bytes(peak.n + peak.n / 8); }

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

TEST(PurgePaceTest, RemembersAPeakForAWindow) {
  PurgePace pace;
  pace.note(100_MiB, kStart);
  pace.note(1_MiB, kStart + 1);
  for (unsigned slot = 1; slot < PurgePace::kSlots; ++slot) {
    pace.note(1_MiB, kStart + slot * kSlot);
    EXPECT_EQ(pace.allowed(), allowed_for(100_MiB)) << slot;
  }
  pace.note(1_MiB, kStart + PurgePace::kSlots * kSlot);
  EXPECT_EQ(pace.allowed(), 1_MiB);
}

// What is used stays used until the next note, however long that takes.
TEST(PurgePaceTest, SilenceCountsAsTheUseBeforeIt) {
  PurgePace pace;
  pace.note(100_MiB, kStart);
  pace.note(5_MiB, kStart + 100 * PurgePace::kMinWindowNs);
  EXPECT_EQ(pace.allowed(), allowed_for(100_MiB));
  pace.note(5_MiB, kStart + 102 * PurgePace::kMinWindowNs);
  EXPECT_EQ(pace.allowed(), 5_MiB);
}

// Against the plain definition: the highest of all uses that were in force in the current slot or
// the four before it.
TEST(PurgePaceTest, RandomUseEqualsTheDefinition) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    REAM_TRACE_SEED(seed);
    Random random(seed);
    PurgePace pace;
    pace.note(Bytes(), kStart);
    struct Use {
      std::uint64_t from;
      Bytes bytes;
    };
    std::vector<Use> uses{{kStart, Bytes()}};
    std::uint64_t now = kStart;
    for (unsigned i = 0; i < 300 * kEffort; ++i) {
      now += random.of_any_magnitude(3 * PurgePace::kMinWindowNs);
      const Bytes use(random.of_any_magnitude(1ULL << 40));
      pace.note(use, now);
      uses.push_back({now, use});
      const std::uint64_t slot = (now - kStart) / kSlot;
      const std::uint64_t oldest = slot < PurgePace::kSlots ? 0 : slot - (PurgePace::kSlots - 1);
      Bytes peak{};
      bool steady = slot >= PurgePace::kSlots;
      for (std::size_t u = 0; u < uses.size(); ++u) {
        const bool last = u + 1 == uses.size();
        // In force to the end of the slot before the one in which it changed, or later in its own.
        const std::uint64_t began = (uses[u].from - kStart) / kSlot;
        const std::uint64_t ended =
            last ? slot : std::max(began, (uses[u + 1].from - kStart) / kSlot);
        const bool counts = ended > began ? ended >= oldest : began >= oldest;
        if (!counts) continue;
        peak = std::max(peak, uses[u].bytes);
      }
      // Steady: in each slot the highest use was what is used now.
      for (std::uint64_t at = oldest; at <= slot; ++at) {
        Bytes highest{};
        for (std::size_t u = 0; u < uses.size(); ++u) {
          const std::uint64_t began = (uses[u].from - kStart) / kSlot;
          const std::uint64_t ended =
              u + 1 == uses.size() ? slot : std::max(began, (uses[u + 1].from - kStart) / kSlot);
          if (began <= at && at <= ended && (began == at || ended > began))
            highest = std::max(highest, uses[u].bytes);
        }
        steady = steady && highest == use;
      }
      ASSERT_EQ(pace.allowed(), steady ? use : allowed_for(peak)) << "note " << i;
      ASSERT_EQ(pace.window_ns(), PurgePace::kMinWindowNs);
    }
  }
}

TEST(PurgePaceTest, WhatLayUnusedDoesNotCount) {
  PurgePace pace;
  pace.note(100_MiB, kStart);
  pace.note(60_MiB, kStart + 1);
  pace.note(30_MiB, kStart + kSlot);
  pace.discount(20_MiB);
  EXPECT_EQ(pace.allowed(), allowed_for(80_MiB));
  pace.discount(1_GiB);
  EXPECT_EQ(pace.allowed(), 30_MiB);  // never less than what is used now
}

TEST(PurgePaceTest, AWindowThatWasTooShortDoubles) {
  PurgePace pace;
  pace.note(1_GiB, kStart);
  pace.count_taken(500_MiB);  // nothing had been given: growth
  EXPECT_EQ(pace.window_ns(), PurgePace::kMinWindowNs);
  pace.count_given(1_GiB);
  pace.count_taken(PurgePace::kBearableDebt);
  EXPECT_EQ(pace.window_ns(), PurgePace::kMinWindowNs);
  pace.count_taken(1_B);
  EXPECT_EQ(pace.window_ns(), 2 * PurgePace::kMinWindowNs);
}

TEST(PurgePaceTest, TheWindowHasAnEnd) {
  PurgePace pace;
  pace.note(1_MiB, kStart);
  for (unsigned i = 0; i < 100; ++i) {
    pace.count_given(1_GiB);
    pace.count_taken(1_GiB);
  }
  EXPECT_EQ(pace.window_ns(), PurgePace::kMaxWindowNs);
}

// A heap that rises and falls, seen as its page heap sees it: what exceeds is given at each look.
class Sawtooth {
 public:
  explicit Sawtooth(std::uint64_t period_ns) : period_ns_(period_ns) {}

  // Returns what was given back over that many periods.
  Bytes run(unsigned periods) {
    constexpr Bytes kPeak = 500_MiB;
    Bytes given{};
    for (unsigned p = 0; p < periods; ++p) {
      pace.count_taken(given_);  // all is taken again
      given_ = Bytes();
      pace.note(kPeak, now_);
      pace.note(Bytes(), now_ + 1);
      for (std::uint64_t t = kSlot; t < period_ns_; t += kSlot) {
        pace.note(Bytes(), now_ + t);
        const Bytes excess = kPeak - given_ - std::min(pace.allowed(), kPeak - given_);
        given_ += excess;
        pace.count_given(excess);
        given += excess;
      }
      now_ += period_ns_;
    }
    return given;
  }
  PurgePace pace;

 private:
  std::uint64_t period_ns_;
  std::uint64_t now_ = kStart;
  Bytes given_{};
};

TEST(PurgePaceTest, ASawtoothOfASecondGivesNothing) {
  EXPECT_EQ(Sawtooth(1'000'000'000).run(20), Bytes());
}

TEST(PurgePaceTest, ASawtoothOfSecondsIsLearnt) {
  Sawtooth slow(3'000'000'000);
  EXPECT_EQ(slow.run(1), 500_MiB);
  EXPECT_LE(slow.run(20), 3000_MiB);
  EXPECT_EQ(slow.run(10), Bytes());
}

// 50 MiB a second are borne.
TEST(PurgePaceTest, ASlowSawtoothGivesAndTakes) {
  Sawtooth slow(10'000'000'000);
  EXPECT_EQ(slow.run(20), Bytes(20 * (500_MiB).n));
  EXPECT_EQ(slow.pace.window_ns(), PurgePace::kMinWindowNs);
}

TEST(PurgePaceTest, WhatWasLearntIsForgotten) {
  Sawtooth slow(3'000'000'000);
  slow.run(20);
  const std::uint64_t learnt = slow.pace.window_ns();
  EXPECT_GT(learnt, 2 * PurgePace::kMinWindowNs);
  std::uint64_t now = kStart + 1000 * PurgePace::kMaxWindowNs;
  for (unsigned i = 0; i < 10000; ++i) slow.pace.note(1_MiB, now += PurgePace::kMinWindowNs);
  EXPECT_EQ(slow.pace.window_ns(), PurgePace::kMinWindowNs);
}

}  // namespace
}  // namespace ream
