// Which regions are backed by huge pages, on a made-up OS that records advice and collapses.
#include "heap/huge_page_policy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "heap/page_heap_model.h"

namespace ream {
namespace {

using fake_os::Call;
using os::HugePageRule;

constexpr std::uint64_t kRestNs = 60'000'000'000;  // collapsing takes a hundredth of the time
constexpr std::uint64_t kLookNs = 600'000'000;     // a little more than lies between two looks
constexpr unsigned kLooks = HugePagePolicy::kLooks;

class HugePagePolicyTest : public PageHeapTest {
 protected:
  static void fill(const Span& span) { std::memset(Addr(span.base).ptr(), 0x5a, span.bytes()); }

  Span& filled(Bytes bytes) {
    Span& span = large(bytes);
    fill(span);
    return span;
  }

  // So many looks; true if no later one is to be expected to find anything.
  bool look(unsigned times = 1) {
    bool clean = true;
    fake_os::advance_clock(kRestNs);
    for (unsigned i = 0; i < times; ++i) {
      fake_os::advance_clock(kLookNs);
      clean = heap->collapse_dense(WorkBudget(WorkBudget::kUnlimited));
    }
    return clean;
  }

  // A heap that grows by small requests, all touched.
  std::vector<Span*> grow_steadily(Bytes total) {
    fake_os::advance_clock(1'000'000'000);  // the clock stands from here on
    std::vector<Span*> spans;
    for (Bytes sum{}; sum < total; sum += 128_KiB) spans.push_back(&filled(128_KiB));
    return spans;
  }

  HugePageStats stats() { return heap->stats().huge_pages; }
};
INSTANTIATE_TEST_SUITE_P(OsPages, HugePagePolicyTest, testing::Values(4_KiB, 16_KiB, 64_KiB),
                         os_page_name);

TEST_P(HugePagePolicyTest, ASmallHeapIsLeftAlone) {
  filled(11_MiB);
  look(20);
  heap->purge_all();
  EXPECT_EQ(fake_os::calls(Call::kAdviseHuge), 0u);
  EXPECT_EQ(fake_os::calls(Call::kCollapseHuge), 0u);
}

// What a huge page holds ahead of use would count against the limit.
TEST_P(HugePagePolicyTest, GrowthUnderAMemoryLimitIsNotAdvised) {
  for (const bool limited : {true, false}) {
    heap->limit().set({}, limited ? 1_GiB : Bytes());
    grow_steadily(128_MiB);
    EXPECT_EQ(stats().advised > 0, !limited);
  }
}

TEST_P(HugePagePolicyTest, WhatIsFullAndStaysSoIsCollapsedOnce) {
  filled(40_MiB);
  EXPECT_FALSE(look(kLooks - 1));
  EXPECT_EQ(fake_os::calls(Call::kCollapseHuge), 0u);
  look();
  EXPECT_EQ(stats().collapsed, 20u);
  EXPECT_EQ(fake_os::collapsed().size(), 20u);
  EXPECT_TRUE(look(20));
  EXPECT_EQ(fake_os::calls(Call::kCollapseHuge), 20u);
  EXPECT_EQ(fake_os::calls(Call::kAdviseHuge), 0u);
}

TEST_P(HugePagePolicyTest, LooksBeginSomeTimeApart) {
  filled(40_MiB);
  for (unsigned i = 0; i < 100; ++i) {
    EXPECT_FALSE(heap->collapse_dense(WorkBudget(WorkBudget::kUnlimited)));
  }
  EXPECT_EQ(fake_os::calls(Call::kCollapseHuge), 0u);
}

TEST_P(HugePagePolicyTest, WhatWasNeverTouchedIsNotMadeResident) {
  large(40_MiB);
  look(100);
  EXPECT_EQ(fake_os::calls(Call::kCollapseHuge), 0u);
  EXPECT_EQ(stats().refused, 0u);
}

// A quarter of each region is free, though it may be resident.
TEST_P(HugePagePolicyTest, SparseRegionsAreNotCollapsed) {
  std::vector<Span*> spans;
  for (unsigned i = 0; i < 80; ++i) spans.push_back(&filled(512_KiB));
  for (unsigned i = 0; i < 80; i += 4) heap->free_span(*spans[i]);
  look(20);
  EXPECT_EQ(fake_os::calls(Call::kCollapseHuge), 0u);
}

TEST_P(HugePagePolicyTest, AHugePageIsSplitBeforeAPartOfItGoesBack) {
  std::vector<Span*> spans;
  for (unsigned i = 0; i < 40; ++i) spans.push_back(&filled(1_MiB));
  look(kLooks);
  ASSERT_EQ(stats().collapsed, 20u);
  heap->free_span(*spans[11]);  // half a region
  heap->free_span(*spans[20]);  // a whole one
  heap->free_span(*spans[21]);
  ASSERT_EQ(heap->purge_all(), 3_MiB);
  EXPECT_EQ(stats().split, 1u);
  EXPECT_EQ(fake_os::calls(Call::kPurgeLazy), 1u);
  EXPECT_TRUE(heap->is_valid());
  // Full again, it waits twice as long; the one that went back as a whole does not.
  for (unsigned i = 0; i < 3; ++i) filled(1_MiB);
  look(kLooks);
  EXPECT_EQ(stats().collapsed, 21u);
  look(kLooks);
  EXPECT_EQ(stats().collapsed, 22u);
}

TEST_P(HugePagePolicyTest, ASystemThatRefusesIsNotAskedForEver) {
  fake_os::fail(Call::kCollapseHuge, 1, ~std::size_t{0} / 2);
  filled(256_MiB);
  look(200);
  EXPECT_EQ(stats().collapsed, 0u);
  EXPECT_EQ(stats().refused, HugePagePolicy::kMostRefusals);
  EXPECT_LE(fake_os::calls(Call::kCollapseHuge), 128u);
  const std::size_t calls = fake_os::calls(Call::kCollapseHuge);
  EXPECT_TRUE(look(100));
  EXPECT_EQ(fake_os::calls(Call::kCollapseHuge), calls);
}

TEST_P(HugePagePolicyTest, ASystemWithoutHugePagesIsNotAsked) {
  for (const Bytes huge : {0_B, 2_MiB, 32_MiB}) {
    for (const auto rule : {HugePageRule::kNever, HugePageRule::kAlways}) {
      if (huge == 2_MiB && rule == HugePageRule::kAlways) continue;
      for (const auto mode : {HugePageMode::kAdaptive, HugePageMode::kAlways}) {
        start_again({.huge_page_size = huge, .huge_page_rule = rule});
        heap->set_huge_page_mode(mode);
        filled(256_MiB);
        EXPECT_TRUE(look(10));
        heap->purge_all();
        EXPECT_EQ(fake_os::calls(Call::kAdviseHuge), 0u);
        EXPECT_EQ(fake_os::calls(Call::kCollapseHuge), 0u);
        EXPECT_GE(stats().refused, 1u);
        EXPECT_LE(stats().refused, 2u);
      }
    }
  }
}

TEST_P(HugePagePolicyTest, SteadyGrowthIsAdvisedUntilItIsSparse) {
  const std::vector<Span*> spans = grow_steadily(200_MiB);
  EXPECT_GE(stats().advised, 8u);
  if (fake_os::advised_huge() == Bytes())
    GTEST_SKIP() << "the first touch of a page takes a millisecond here";
  EXPECT_EQ(fake_os::advised_huge() + fake_os::advised_against_huge(),
            Bytes(stats().advised * HugePagePolicy::kRegion.n));
  for (std::size_t i = 0; i < spans.size(); i += 2) heap->free_span(*spans[i]);
  heap->purge_all();
  EXPECT_GT(fake_os::advised_against_huge(), Bytes());
  EXPECT_LE(fake_os::advised_huge(), 16_MiB);  // at the end, where nothing was yet
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(HugePagePolicyTest, GrowthByLargeSpansIsNotAdvised) {
  for (unsigned i = 0; i < 100; ++i) filled(3_MiB);
  EXPECT_EQ(fake_os::calls(Call::kAdviseHuge), 0u);
}

TEST_P(HugePagePolicyTest, GrowthThatIsNotTouchedIsNotAdvised) {
  for (unsigned i = 0; i < 2000; ++i) large(128_KiB);
  EXPECT_EQ(fake_os::calls(Call::kAdviseHuge), 0u);
}

TEST_P(HugePagePolicyTest, SlowGrowthIsNotAdvised) {
  for (unsigned i = 0; i < 2000; ++i) {
    filled(128_KiB);
    fake_os::advance_clock(100'000'000);
  }
  EXPECT_EQ(fake_os::calls(Call::kAdviseHuge), 0u);
}

// Where the system makes huge pages by itself it must not do so where parts went back.
TEST_P(HugePagePolicyTest, SparseBlocksAreClosedUntilTheyAreFullAgain) {
  start_again({.huge_page_rule = HugePageRule::kAlways});
  std::vector<Span*> spans;
  for (unsigned i = 0; i < 192; ++i) spans.push_back(&filled(1_MiB));
  ASSERT_EQ(fake_os::calls(Call::kAdviseHuge), 0u);
  const Addr gone(spans[100]->base);
  heap->free_span(*spans[100]);
  heap->purge_all();
  EXPECT_EQ(fake_os::advised_against_huge(), HugePagePolicy::kBlock);
  EXPECT_EQ(stats().advised_against, HugePagePolicy::kBlockRegions);
  EXPECT_EQ(stats().split, 1u);
  look(4 * kLooks);
  EXPECT_EQ(fake_os::advised_against_huge(), HugePagePolicy::kBlock);
  EXPECT_EQ(Addr(filled(1_MiB).base), gone);
  look(4 * kLooks);
  EXPECT_EQ(fake_os::advised_against_huge(), Bytes());
  EXPECT_GE(stats().collapsed, HugePagePolicy::kBlockRegions);
}

TEST_P(HugePagePolicyTest, AlwaysAdvisesAllGrowthOfSmallHeapsToo) {
  heap->set_huge_page_mode(HugePageMode::kAlways);
  for (const Bytes bytes : {1_MiB, 9_MiB, 100_MiB}) {
    large(bytes);
    EXPECT_EQ(fake_os::advised_huge(), heap->stats().grown);
  }
}

TEST_P(HugePagePolicyTest, NeverAsksNothingUnlessTheSystemWouldByItself) {
  heap->set_huge_page_mode(HugePageMode::kNever);
  filled(100_MiB);
  look(10);
  EXPECT_EQ(fake_os::calls(Call::kAdviseHuge) + fake_os::calls(Call::kCollapseHuge), 0u);

  start_again({.huge_page_rule = HugePageRule::kAlways});
  heap->set_huge_page_mode(HugePageMode::kNever);
  for (const Bytes bytes : {1_MiB, 100_MiB}) {
    large(bytes);
    EXPECT_EQ(fake_os::advised_against_huge(), heap->stats().grown);
  }
}

TEST_P(HugePagePolicyTest, TheModeCanBeChangedWhileRunning) {
  for (const auto rule : {HugePageRule::kAdvised, HugePageRule::kAlways}) {
    start_again({.huge_page_rule = rule});
    filled(40_MiB);
    const Bytes grown = heap->stats().grown;
    EXPECT_EQ(heap->huge_page_mode(), HugePageMode::kAdaptive);
    for (unsigned round = 0; round < 3; ++round) {
      heap->set_huge_page_mode(HugePageMode::kAlways);
      EXPECT_EQ(heap->huge_page_mode(), HugePageMode::kAlways);
      EXPECT_EQ(fake_os::advised_against_huge(), Bytes());
      if (rule == HugePageRule::kAdvised) {
        EXPECT_EQ(fake_os::advised_huge(), grown);
      }
      heap->set_huge_page_mode(HugePageMode::kNever);
      EXPECT_EQ(fake_os::advised_huge(), Bytes());
      EXPECT_EQ(fake_os::advised_against_huge(), grown);
      look(2 * kLooks);
      EXPECT_EQ(fake_os::calls(Call::kCollapseHuge), 0u);
    }
    heap->set_huge_page_mode(HugePageMode::kAdaptive);
    look(2 * kLooks);
    EXPECT_GE(stats().collapsed, 16u);  // a block that is all full is open again
  }
}

// Whatever is advised, refused and collapsed, the program's memory is what it was.
TEST_P(HugePagePolicyTest, TheHeapIsAsItWasThroughModesAndRefusals) {
  for (const auto rule : {HugePageRule::kAdvised, HugePageRule::kAlways}) {
    start_again({.huge_page_rule = rule});
    Random random(5);
    PageHeapModel model(*heap, random);
    for (unsigned i = 0; i < 3000; ++i) {
      model.step();
      if (random.one_in(4)) look();
      if (random.one_in(200)) heap->set_huge_page_mode(static_cast<HugePageMode>(random.below(3)));
      if (random.one_in(50)) fake_os::fail(Call::kAdviseHuge, 1 + random.below(3));
      if (random.one_in(50)) fake_os::fail(Call::kCollapseHuge, 1 + random.below(3));
      if (i % 500 == 0) model.expect_valid();
      if (HasFatalFailure()) return;
    }
    model.expect_valid();
    model.free_all();
    heap->purge_all();
    model.expect_valid();
  }
}

TEST(HugeRegionsTest, RememberEachRegionOfCoveredWindows) {
  fake_os::reset();
  auto regions = std::make_unique<HugeRegions>();
  const Addr first(0x00c0'0000'0000);
  const Addr far(0x7f00'0000'0000);
  EXPECT_EQ(regions->get(far), HugeRegions::Region{});
  ASSERT_TRUE(regions->cover(first) && regions->cover(far) && regions->cover(far));
  const HugeRegions::Region a{.open = true, .refusals = 7, .age = 1023};
  const HugeRegions::Region b{.closed = true, .backed = true, .age = 1};
  regions->set(first, a);
  regions->set(far + 2_MiB, b);
  EXPECT_EQ(regions->get(first + 2_MiB - 1_B), a);
  EXPECT_EQ(regions->get(first + 2_MiB), HugeRegions::Region{});
  EXPECT_EQ(regions->get(far), HugeRegions::Region{});
  EXPECT_EQ(regions->get(far + 4_MiB - 1_B), b);
  fake_os::fail(Call::kMapAnywhere);
  EXPECT_FALSE(regions->cover(Addr(0x2000'0000'0000)));
  EXPECT_EQ(regions->get(Addr(0x2000'0000'0000)), HugeRegions::Region{});
  fake_os::reset();
}

}  // namespace
}  // namespace ream
