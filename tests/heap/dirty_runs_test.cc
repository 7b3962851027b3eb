// The dirty parts of a run against a model of its bytes, over OS pages of every size.
#include "heap/dirty_runs.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/check.h"
#include "os/fake_os.h"
#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

constexpr std::uint64_t kPage = 8192;  // runs are whole pages of the heap

class DirtyRunsTest : public testing::TestWithParam<Bytes> {
 protected:
  DirtyRunsTest() { fake_os::reset({.page_size = GetParam()}); }
  ~DirtyRunsTest() override { fake_os::reset(); }

  static Addr map(Bytes bytes) {
    const Addr base = fake_os::map_anywhere(bytes, 64_KiB);
    EXPECT_NE(base, Addr());
    EXPECT_TRUE(fake_os::advise_huge(base, bytes, false));  // residency is exact
    return base;
  }
  static bool is_zero(Addr base, Bytes bytes) {
    const auto* p = static_cast<const unsigned char*>(base.ptr());
    return p[0] == 0 && std::memcmp(p, p + 1, bytes.n - 1) == 0;
  }
};

TEST_P(DirtyRunsTest, EmptyRunsClearNothing) {
  const DirtyRuns runs;
  EXPECT_EQ(runs.count(), 0u);
  EXPECT_EQ(runs.total(), Bytes());
  runs.clear();
}

TEST_P(DirtyRunsTest, RunsThatTouchBecomeOne) {
  DirtyRuns runs;
  const Addr base(0x10'0000);
  runs.add(base, Bytes(kPage));
  runs.add(base + Bytes(kPage), Bytes(2 * kPage));
  EXPECT_EQ(runs.count(), 1u);
  runs.add(base + Bytes(4 * kPage), Bytes(kPage));
  EXPECT_EQ(runs.count(), 2u);
  EXPECT_EQ(runs.total(), Bytes(4 * kPage));
}

// Every page that was added reads as zero; while there are few runs, no other is touched.
TEST_P(DirtyRunsTest, ClearsWhatWasAdded) {
  constexpr std::uint64_t kPages = 128;
  const Addr base = map(Bytes(kPages * kPage));
  for (std::uint64_t seed = 1; seed <= 30 * kEffort; ++seed) {
    REAM_TRACE_SEED(seed);
    Random random(seed);
    std::memset(base.ptr(), 0xa5, kPages * kPage);
    DirtyRuns runs;
    std::vector<bool> added(kPages);
    std::size_t maximal = 0;  // runs of added pages
    for (std::uint64_t page = random.below(8); page < kPages;) {
      const std::uint64_t n = std::min(1 + random.of_any_magnitude(40), kPages - page);
      runs.add(base + Bytes(page * kPage), Bytes(n * kPage));
      if (page == 0 || !added[page - 1]) ++maximal;
      for (std::uint64_t i = page; i < page + n; ++i) added[i] = true;
      page += n + random.of_any_magnitude(seed % 2 == 0 ? 2 : 40);
    }
    ASSERT_LE(runs.count(), DirtyRuns::kMaxRuns);
    const bool exact = maximal <= DirtyRuns::kMaxRuns;
    if (exact) {
      ASSERT_EQ(runs.count(), maximal);
    }
    runs.clear();
    for (std::uint64_t i = 0; i < kPages; ++i) {
      const bool zero = is_zero(base + Bytes(i * kPage), Bytes(kPage));
      if (added[i]) {
        ASSERT_TRUE(zero) << "page " << i;
      }
      if (!added[i] && exact) {
        ASSERT_FALSE(zero) << "page " << i;
      }
    }
  }
}

TEST_P(DirtyRunsTest, ALargeRunHardlyResidentIsGivenBackNotTouched) {
  const Addr base = map(8_MiB);
  std::memset(base.ptr(), 1, 64 << 10);
  DirtyRuns runs;
  runs.add(base, 8_MiB);
  runs.clear();
  EXPECT_EQ(fake_os::resident_bytes(base, 8_MiB), Bytes());
  EXPECT_TRUE(is_zero(base, 64_KiB));
}

TEST_P(DirtyRunsTest, ARunMostlyResidentIsCleared) {
  const Addr base = map(8_MiB);
  std::memset(base.ptr(), 1, 6 << 20);
  DirtyRuns runs;
  runs.add(base, 8_MiB);
  runs.clear();
  EXPECT_TRUE(fake_os::purged().empty());
  EXPECT_TRUE(is_zero(base, 8_MiB));
}

TEST_P(DirtyRunsTest, WhatTheOsKeepsIsCleared) {
  const Addr base = map(8_MiB);
  std::memset(base.ptr(), 1, 64 << 10);
  fake_os::fail(fake_os::Call::kPurge);
  DirtyRuns runs;
  runs.add(base, 8_MiB);
  runs.clear();
  EXPECT_TRUE(is_zero(base, 8_MiB));
}

// Pages of the heap are smaller than some OS pages: the ends of a run share one with others, which
// stay.
TEST_P(DirtyRunsTest, NeighboursInTheSameOsPageStay) {
  const Addr base = map(8_MiB);
  std::memset(base.ptr(), 1, 3 * kPage);
  const Addr end = base + 8_MiB - Bytes(kPage);
  std::memset(end.ptr(), 2, kPage);
  DirtyRuns runs;
  runs.add(base + Bytes(kPage), 8_MiB - Bytes(2 * kPage));
  runs.clear();
  EXPECT_TRUE(is_zero(base + Bytes(kPage), 8_MiB - Bytes(2 * kPage)));
  EXPECT_EQ(*static_cast<unsigned char*>((base + Bytes(kPage - 1)).ptr()), 1);
  EXPECT_EQ(*static_cast<unsigned char*>(end.ptr()), 2);
}

INSTANTIATE_TEST_SUITE_P(OsPages, DirtyRunsTest, testing::Values(4_KiB, 16_KiB, 64_KiB),
                         [](const auto& info) {
                           return std::to_string(info.param.n >> 10) + "KiB";
                         });

}  // namespace
}  // namespace ream
