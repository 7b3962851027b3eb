// What the page heap gives back to the OS: all on demand, and what exceeds its pace by itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "heap/options.h"
#include "heap/page_heap_model.h"

namespace ream {
namespace {

class PageHeapPurgeTest : public PageHeapTest {
 protected:
  static void fill(const Span& span) { std::memset(Addr(span.base).ptr(), 0x5a, span.bytes()); }
};
INSTANTIATE_TEST_SUITE_P(OsPages, PageHeapPurgeTest, testing::Values(4_KiB, 16_KiB, 64_KiB),
                         os_page_name);

TEST_P(PageHeapPurgeTest, AllThatIsFreeReadsAsZeroAfterwards) {
  Span& low = large(3_MiB);
  Span& live = large(128_KiB);
  Span& high = large(5_MiB);
  for (Span* s : {&low, &live, &high}) fill(*s);
  const Addr low_base(low.base), high_base(high.base);
  heap->free_span(low);
  heap->free_span(high);
  const Bytes purged = heap->purge_all();
  EXPECT_GE(purged, 8_MiB - 256_KiB);  // the edges may share an OS page with the live one
  EXPECT_LE(purged, 8_MiB);
  EXPECT_EQ(heap->stats().purged_bytes, purged.n);
  EXPECT_TRUE(Stamps::all_zero((low_base + 64_KiB).ptr(), 2 << 20));
  EXPECT_TRUE(Stamps::all_zero((high_base + 64_KiB).ptr(), 4 << 20));
  const auto* kept = static_cast<unsigned char*>(Addr(live.base).ptr());
  EXPECT_EQ(kept[0], 0x5a);
  EXPECT_EQ(std::memcmp(kept, kept + 1, live.bytes() - 1), 0);
  EXPECT_TRUE(heap->is_valid());
  EXPECT_EQ(heap->purge_all(), Bytes());
}

// An OS page is resident as a whole once a part of it was touched, and goes back as a whole.
TEST_P(PageHeapPurgeTest, ASmallObjectsWholeOsPageGoesBack) {
  Span& whole = large(1_MiB);
  const Addr base(whole.base);
  fill(whole);
  heap->free_span(whole);
  EXPECT_EQ(heap->purge_all(), 1_MiB);
  Span& little = large(Bytes(kPageBytes));
  EXPECT_EQ(Addr(little.base), base);
  fill(little);
  EXPECT_TRUE(heap->is_valid());
  heap->free_span(little);
  EXPECT_EQ(heap->purge_all(), std::max(GetParam(), Bytes(kPageBytes)));
  EXPECT_EQ(fake_os::resident_bytes(base, 1_MiB), Bytes());
}

TEST_P(PageHeapPurgeTest, ZeroedObjectsOnDirtyMemoryReadAsZero) {
  for (const Bytes bytes : {8_KiB, 24_KiB, 300_KiB, 5_MiB}) {
    Span& dirty = large(bytes);
    const std::uint64_t base = dirty.base;
    fill(dirty);
    heap->free_span(dirty);
    Span& zeroed = large(bytes, true);
    EXPECT_EQ(zeroed.base, base);  // the lowest fit
    EXPECT_TRUE(Stamps::all_zero(Addr(zeroed.base).ptr(), zeroed.bytes()));
    heap->free_span(zeroed);
  }
}

TEST_P(PageHeapPurgeTest, ZeroedObjectsOnPartlyPurgedMemoryReadAsZero) {
  Random random(1);
  for (unsigned round = 0; round < 20; ++round) {
    Span* parts[6];
    for (Span*& s : parts) s = &large(Bytes(random.between(1, 60) * kPageBytes));
    for (Span* s : parts) {
      fill(*s);
      heap->free_span(*s);
      if (random.one_in(3)) heap->purge_all();
    }
    Span& zeroed = large(1_MiB, true);
    ASSERT_TRUE(Stamps::all_zero(Addr(zeroed.base).ptr(), zeroed.bytes()));
    fill(zeroed);
    heap->free_span(zeroed);
  }
}

TEST_P(PageHeapPurgeTest, ZeroedObjectsOnUntouchedMemoryStayUntouched) {
  Span& zeroed = large(3_MiB, true);
  EXPECT_EQ(fake_os::resident_bytes(Addr(zeroed.base), Bytes(zeroed.bytes())), Bytes());
}

TEST_P(PageHeapPurgeTest, AHeapThatShrankGivesBackByItself) {
  Span& small = large(1_MiB);
  Span& big = large(100_MiB);
  fill(big);
  heap->free_span(big);
  EXPECT_EQ(heap->stats().scavenged + 101_MiB, heap->stats().grown);  // within the pace: kept
  for (unsigned i = 0; i < 20; ++i) {
    fake_os::advance_clock(PurgePace::kMinWindowNs);
    heap->free_span(large(64_KiB));
  }
  const PageHeapStats stats = heap->stats();
  EXPECT_LE(stats.in_use + stats.free - stats.scavenged,
            Bytes(small.bytes()) + options().retain + 1_MiB);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapPurgeTest, ASteadyHeapGivesNothingBack) {
  for (unsigned i = 0; i < 200; ++i) {
    Span& a = large(10_MiB);
    heap->free_span(a);
    fake_os::advance_clock(PurgePace::kMinWindowNs / 7);
  }
  EXPECT_EQ(heap->stats().purged_bytes, 0u);
}

TEST_P(PageHeapPurgeTest, MemoryThatTheOsKeepsIsNotTakenForZero) {
  Span& dirty = large(1_MiB);
  const std::uint64_t base = dirty.base;
  fill(dirty);
  heap->free_span(dirty);
  fake_os::fail(fake_os::Call::kPurge, 1, 1000);
  EXPECT_EQ(heap->purge_all(), Bytes());
  EXPECT_TRUE(heap->is_valid());
  EXPECT_EQ(heap->stats().purged_bytes, 0u);
  Span& zeroed = large(1_MiB, true);
  EXPECT_EQ(zeroed.base, base);
  EXPECT_TRUE(Stamps::all_zero(Addr(base).ptr(), zeroed.bytes()));
  heap->free_span(zeroed);
  fake_os::succeed_again();
  EXPECT_EQ(heap->purge_all(), 1_MiB);
}

TEST_P(PageHeapPurgeTest, ShrinkingInPlaceGivesBack) {
  Span& big = large(256_MiB);
  fill(big);
  ASSERT_TRUE(heap->resize_in_place(big, 1_MiB));
  EXPECT_EQ(heap->stats().purged_bytes, 0u);
  fake_os::advance_clock(2 * PurgePace::kMinWindowNs);
  heap->free_span(large(Bytes(kPageBytes)));
  fake_os::advance_clock(2 * PurgePace::kMinWindowNs);
  heap->free_span(large(Bytes(kPageBytes)));
  EXPECT_GT(heap->stats().purged_bytes, 0u);
  heap->free_span(big);
}

TEST_P(PageHeapPurgeTest, WhatWasRefusedIsTriedAgainLater) {
  Span& low = large(4_MiB);
  Span& between = large(4_MiB);
  Span& high = large(4_MiB);
  for (Span* s : {&low, &between, &high}) fill(*s);
  heap->free_span(low);
  heap->free_span(high);
  fake_os::fail(fake_os::Call::kPurge, 1, 1);
  const Bytes purged = heap->purge_all() + heap->purge_all();
  EXPECT_GE(purged, 3_MiB);
  EXPECT_TRUE(heap->is_valid());
}

}  // namespace
}  // namespace ream
