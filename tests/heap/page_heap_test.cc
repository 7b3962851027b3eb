// The page heap as a whole against a model, over OS pages of every size.
#include "heap/page_heap.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "heap/page_heap_model.h"
#include "support/effort.h"

namespace ream {
namespace {

INSTANTIATE_TEST_SUITE_P(OsPages, PageHeapTest, testing::Values(4_KiB, 16_KiB, 64_KiB),
                         os_page_name);

TEST_P(PageHeapTest, ANewHeapHasNothing) {
  EXPECT_TRUE(heap->is_valid());
  const PageHeapStats stats = heap->stats();
  EXPECT_EQ(stats.grown, Bytes());
  EXPECT_EQ(stats.in_use, Bytes());
  EXPECT_EQ(heap->map().span_of(Addr(0x00c0'0000'0000)), nullptr);
  EXPECT_FALSE(heap->may_own(Addr(0x00c0'0000'0000)));
  EXPECT_FALSE(heap->may_own(Addr(~0ULL)));
  EXPECT_EQ(heap->purge_all(), Bytes());
}

TEST_P(PageHeapTest, RandomSpansEqualTheModel) {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    REAM_TRACE_SEED(seed);
    start_again();
    Random random(seed);
    PageHeapModel model(*heap, random);
    for (unsigned i = 0; i < 300 * kEffort; ++i) {
      model.step();
      if (random.one_in(8)) fake_os::advance_clock(random.below(PurgePace::kMinWindowNs));
      if (i % 40 == 0) model.expect_valid();
      if (HasFatalFailure()) return;
    }
    model.free_all();
    model.expect_valid();
    EXPECT_EQ(heap->stats().in_use, Bytes());
    heap->purge_all();
    EXPECT_TRUE(heap->is_valid());
    // Of a larger page of the OS all must be free and dirty for it to go back.
    const PageHeapStats stats = heap->stats();
    EXPECT_GE(stats.scavenged.n, stats.grown.n / 10 * 9);
    if (GetParam() == 4_KiB) {
      EXPECT_EQ(stats.scavenged, stats.grown);
    }
  }
}

TEST_P(PageHeapTest, MetadataIsApartFromTheMemoryOfPrograms) {
  Span& span = large(1_MiB);
  EXPECT_EQ(heap->map().span_of(Addr(&span)), nullptr);
  EXPECT_GT(heap->stats().metadata, Bytes());
}

TEST_P(PageHeapTest, MayOwnIsTheRangeGrownTo) {
  Span& span = large(1_MiB);
  const Addr base(span.base);
  EXPECT_TRUE(heap->may_own(base));
  EXPECT_TRUE(heap->may_own(base + 1_MiB - 1_B));
  heap->free_span(span);
  EXPECT_TRUE(heap->may_own(base));
  int on_stack = 0;
  EXPECT_FALSE(heap->may_own(Addr(&on_stack)));
}

TEST_P(PageHeapTest, SmallSpansOfUntouchedMemoryAreKnownToBeZero) {
  Span* span = heap->new_small_span(class_of(1000), 0);
  ASSERT_NE(span, nullptr);
  EXPECT_EQ(span->states()[0], kFreeZero);
  std::memset(Addr(span->base).ptr(), 1, span->bytes());
  span->purged = 0;
  heap->free_span(*span);
  span = heap->new_small_span(class_of(1000), 0);
  EXPECT_EQ(span->states()[0], kFree);  // the same pages, dirty
  heap->free_span(*span);
  // The span may be smaller than a page of the OS, which then keeps it.
  const bool purged = heap->purge_all() > Bytes();
  EXPECT_TRUE(purged || GetParam() > 4_KiB);
  span = heap->new_small_span(class_of(1000), 0);
  EXPECT_EQ(span->states()[0], purged ? kFreeZero : kFree);
  EXPECT_EQ(Stamps::all_zero(Addr(span->base).ptr(), span->bytes()), purged);
}

// Memory inside a span that is not resident stays known to be so when the span is freed.
TEST_P(PageHeapTest, WhatWasPurgedInsideASpanIsScavengedAfterIt) {
  if (GetParam() > 4_KiB) GTEST_SKIP() << "spans are smaller than OS pages";
  ClassIndex c = 1;
  while (kSizeClasses[c].span_pages < 6) ++c;
  Span* span = heap->new_small_span(c, 0);
  ASSERT_NE(span, nullptr);
  const Addr base(span->base);
  const std::uint64_t pages = span->pages;
  ASSERT_EQ(span->purged, low_mask(static_cast<unsigned>(2 * pages)));
  // Pages 1 and 3 were written, half of page 4, and all from 5 on but the last.
  span->purged = 0b01'00'11'00'11 | std::uint64_t{3} << (2 * (pages - 1));
  for (std::uint64_t page = 0; page < pages; ++page) {
    if (page != 0 && page != 2 && page + 1 != pages)
      std::memset((base + Bytes(page * kPageBytes)).ptr(), 1, 4096);
  }
  const Bytes before = heap->stats().free - heap->stats().scavenged;
  heap->free_span(*span);
  EXPECT_EQ(heap->stats().free - heap->stats().scavenged - before, Bytes((pages - 3) * kPageBytes));
  Span* zeroed = heap->new_large_span(Bytes(pages * kPageBytes), 16_B, true);
  ASSERT_NE(zeroed, nullptr);
  ASSERT_EQ(zeroed->base, base.n);
  EXPECT_TRUE(Stamps::all_zero(base.ptr(), zeroed->bytes()));
  EXPECT_TRUE(heap->is_valid());
}

class PageHeapThreadTest : public PageHeapTest {
 protected:
  PageHeapThreadTest() : PageHeapTest(4_KiB) {}
};

TEST_F(PageHeapThreadTest, ThreadsMakeAndFreeSpansOfTheirOwn) {
  std::atomic<unsigned> wrong{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= 3; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      std::vector<std::pair<Span*, std::uint64_t>> mine;
      for (unsigned i = 0; i < 200 * kEffort; ++i) {
        if (mine.size() < 20 && random.below(3) > 0) {
          Span* span =
              random.one_in(2)
                  ? heap->new_small_span(
                        static_cast<ClassIndex>(random.between(1, kClassCount - 1)),
                        static_cast<std::uint8_t>(t))
                  : heap->new_large_span(Bytes(1 + random.of_any_magnitude(2 << 20)), 16_B, true);
          if (span == nullptr) continue;
          const std::uint64_t tag = t << 32 | i;
          if (span->is_large()) wrong += !Stamps::all_zero(Addr(span->base).ptr(), span->bytes());
          Stamps::write(Addr(span->base).ptr(), span->bytes(), tag);
          span->purged = 0;
          mine.emplace_back(span, tag);
        } else if (!mine.empty()) {
          auto& [span, tag] = random.pick(mine);
          wrong += !Stamps::hold(Addr(span->base).ptr(), span->bytes(), tag);
          wrong += heap->map().span_of(Addr(span->base + random.below(span->bytes()))) != span;
          heap->free_span(*span);
          std::swap(mine.back(), *std::find(mine.begin(), mine.end(), std::pair{span, tag}));
          mine.pop_back();
        }
        if (random.one_in(50)) heap->purge_all();
      }
      for (auto& [span, tag] : mine) heap->free_span(*span);
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_TRUE(heap->is_valid());
  EXPECT_EQ(heap->stats().in_use, Bytes());
}

}  // namespace
}  // namespace ream
