// A heap that grows by pages of a pool, on a made-up OS that ends the program when any part of one
// is given back or moved.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "heap/central_list.h"
#include "heap/page_heap_model.h"

namespace ream {
namespace {

using fake_os::Call;

class PageHeapPoolTest : public PageHeapTest {
 protected:
  static void fill(const Span& span) { std::memset(Addr(span.base).ptr(), 0x5a, span.bytes()); }

  void start_with_pool(Bytes pool) {
    start_again({.huge_page_size = Bytes(), .pool = pool});
    heap->set_huge_page_mode(HugePageMode::kExplicit);
  }
  Span& filled(Bytes bytes) {
    Span& span = large(bytes);
    fill(span);
    return span;
  }
  bool on_pool(const Span& span) { return heap->is_pooled(Addr(span.base), Bytes(span.bytes())); }
  HugePageStats stats() { return heap->stats().huge_pages; }
  // What the heap says it has is what the pool has not.
  void expect_agreement(Bytes pool) {
    EXPECT_EQ(Bytes(stats().pooled * HugePagePolicy::kRegion.n) + fake_os::pool_free(), pool);
  }
};
INSTANTIATE_TEST_SUITE_P(OsPages, PageHeapPoolTest, testing::Values(4_KiB, 16_KiB, 64_KiB),
                         os_page_name);

TEST_P(PageHeapPoolTest, NothingIsTakenUnlessAskedFor) {
  for (const auto mode : {HugePageMode::kAdaptive, HugePageMode::kNever, HugePageMode::kAlways}) {
    start_again({.pool = 1_GiB});
    heap->set_huge_page_mode(mode);
    filled(100_MiB);
    EXPECT_EQ(fake_os::calls(Call::kMapPooled), 0u);
  }
}

TEST_P(PageHeapPoolTest, TheHeapGrowsByThePool) {
  start_with_pool(1_GiB);
  for (unsigned i = 0; i < 50; ++i) EXPECT_TRUE(on_pool(filled(3_MiB)));
  EXPECT_EQ(heap->stats().grown, Bytes(stats().pooled * HugePagePolicy::kRegion.n));
  EXPECT_LE(heap->stats().grown, 150_MiB + 20_MiB);  // ahead by little, since it is taken at once
  EXPECT_EQ(stats().pool_refused, 0u);
  EXPECT_EQ(fake_os::calls(Call::kAdviseHuge), 0u);
  expect_agreement(1_GiB);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapPoolTest, AnEmptyPoolIsNoFailure) {
  start_with_pool(Bytes());
  for (unsigned i = 0; i < 200; ++i) EXPECT_FALSE(on_pool(filled(4_MiB)));
  EXPECT_EQ(stats().pooled, 0u);
  EXPECT_GE(stats().pool_refused, 1u);
  // And it is not asked at each growth.
  EXPECT_LT(stats().pool_refused, heap->stats().grows / 2);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapPoolTest, OrdinaryPagesFollowWhereThePoolEnds) {
  start_with_pool(30_MiB);
  std::vector<Span*> spans;
  for (unsigned i = 0; i < 40; ++i) spans.push_back(&filled(2_MiB));
  EXPECT_GE(stats().pooled, 12u);
  EXPECT_GE(stats().pool_refused, 1u);
  EXPECT_TRUE(on_pool(*spans.front()));
  EXPECT_FALSE(on_pool(*spans.back()));
  expect_agreement(30_MiB);
}

TEST_P(PageHeapPoolTest, FreePagesAreClearedAndStayUntilAllIsGivenBack) {
  start_with_pool(64_MiB);
  Span& kept = filled(1_MiB);
  Span& gone = filled(25_MiB);
  const std::uint64_t pooled = stats().pooled;
  heap->free_span(gone);
  fake_os::advance_clock(10'000'000'000);
  while (!heap->give_back_excess(WorkBudget(WorkBudget::kUnlimited))) {
    fake_os::advance_clock(1'000'000'000);
  }
  EXPECT_EQ(stats().pooled, pooled);
  EXPECT_EQ(heap->stats().purged_bytes, 0u);
  // It reads as zero where the heap believes so.
  Span& again = large(25_MiB, true);
  EXPECT_TRUE(Stamps::all_zero(Addr(again.base).ptr(), again.bytes()));
  fill(again);
  heap->free_span(again);
  EXPECT_GE(heap->purge_all(), 24_MiB);
  EXPECT_EQ(stats().pooled, 1u);  // where `kept` is
  expect_agreement(64_MiB);
  EXPECT_EQ(static_cast<unsigned char*>(Addr(kept.base).ptr())[500'000], 0x5a);
  Span& ordinary = large(25_MiB, true);
  EXPECT_TRUE(Stamps::all_zero(Addr(ordinary.base).ptr(), ordinary.bytes()));
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapPoolTest, APartOfAPageIsNotGivenBack) {
  start_with_pool(64_MiB);
  std::vector<Span*> spans;
  for (unsigned i = 0; i < 24; ++i) spans.push_back(&filled(512_KiB));
  for (unsigned i = 0; i < 24; i += 2) heap->free_span(*spans[i]);
  const std::uint64_t pooled = stats().pooled;
  heap->purge_all();
  EXPECT_EQ(stats().pooled, pooled);
  EXPECT_TRUE(fake_os::purged().empty());
  for (unsigned i = 1; i < 24; i += 2) {
    EXPECT_TRUE(on_pool(*spans[i]));
    EXPECT_EQ(static_cast<unsigned char*>(Addr(spans[i]->base).ptr())[1000], 0x5a);
  }
  for (unsigned i = 1; i < 24; i += 2) heap->free_span(*spans[i]);
  heap->purge_all();
  EXPECT_EQ(fake_os::pool_free(), 64_MiB);
}

TEST_P(PageHeapPoolTest, UnitsInsideSpansAreNotGivenBack) {
  start_with_pool(64_MiB);
  const ClassIndex c = class_of(4096);
  auto list = std::make_unique<CentralList>();
  std::vector<Taken> taken(kSizeClasses[c].objects);
  const auto n = static_cast<std::uint32_t>(taken.size());
  ASSERT_EQ(list->fetch(*heap, c, 0, taken.data(), n), n);
  ASSERT_TRUE(heap->is_pooled(Addr(taken[0].object), 1_B));
  for (const Taken& t : taken) std::memset(t.object, 0x5a, 4096);
  for (std::uint32_t given = 1; given < n;) given += list->give(*heap, &taken[given], n - given);
  std::uint32_t spans = 100;
  EXPECT_EQ(list->purge_sparse(*heap, spans), Bytes());
  EXPECT_EQ(static_cast<unsigned char*>(taken[0].object)[99], 0x5a);
}

// Elsewhere what is hardly resident is not cleared, but given back.
TEST_P(PageHeapPoolTest, WhatIsToReadAsZeroIsCleared) {
  start_with_pool(64_MiB);
  Span& span = large(25_MiB);
  static_cast<unsigned char*>(Addr(span.base).ptr())[3'000'000] = 1;
  heap->free_span(span);
  Span& again = large(25_MiB, true);
  ASSERT_TRUE(on_pool(again));
  EXPECT_TRUE(Stamps::all_zero(Addr(again.base).ptr(), again.bytes()));
}

// By the OS neither from nor to there: who asked copies.
TEST_P(PageHeapPoolTest, PagesAreNotMoved) {
  start_with_pool(64_MiB);
  Span& span = filled(5_MiB);
  EXPECT_EQ(heap->move_pages(span, 9_MiB, 1_MiB), nullptr);
  start_again({.huge_page_size = Bytes(), .pool = 64_MiB});
  Span& ordinary = filled(4_MiB);
  heap->set_huge_page_mode(HugePageMode::kExplicit);
  const PageHeapStats before = heap->stats();
  EXPECT_EQ(heap->move_pages(ordinary, 9_MiB, 1_MiB), nullptr);
  EXPECT_GT(stats().pooled, 0u);
  EXPECT_EQ(heap->stats().in_use, before.in_use);
  EXPECT_EQ(heap->stats().large_live, before.large_live);
  EXPECT_EQ(fake_os::calls(Call::kMovePages), 0u);
  EXPECT_TRUE(heap->is_valid());
}

// A span that once moved, and then grew in place onto the pool, is freed as any other.
TEST_P(PageHeapPoolTest, AMovedSpanThatGrewOntoThePool) {
  start_again({.huge_page_size = Bytes(), .pool = 64_MiB});
  Span& first = filled(3_MiB);
  large(64_KiB);
  Span* moved = heap->move_pages(first, 6_MiB, Bytes());
  ASSERT_NE(moved, nullptr);
  heap->set_huge_page_mode(HugePageMode::kExplicit);
  Span& behind = filled(12_MiB);
  ASSERT_TRUE(on_pool(behind));
  heap->free_span(behind);
  static_cast<void>(heap->resize_in_place(*moved, 14_MiB));
  heap->free_span(*moved);
  heap->purge_all();
  expect_agreement(64_MiB);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapPoolTest, LeavingTheModeGivesBackWhatIsFree) {
  start_with_pool(64_MiB);
  Span& kept = filled(1_MiB);
  heap->free_span(filled(20_MiB));
  heap->set_huge_page_mode(HugePageMode::kAdaptive);
  EXPECT_EQ(stats().pooled, 1u);
  EXPECT_TRUE(on_pool(kept));
  expect_agreement(64_MiB);
  const std::size_t calls = fake_os::calls(Call::kMapPooled);
  filled(100_MiB);
  EXPECT_EQ(fake_os::calls(Call::kMapPooled), calls);
}

TEST_P(PageHeapPoolTest, WhatTheSystemDoesNotTakeBackStays) {
  start_with_pool(64_MiB);
  heap->free_span(filled(20_MiB));
  fake_os::fail(Call::kCommit, 1, 1000);
  heap->purge_all();
  EXPECT_GE(stats().pooled, 10u);
  Span& again = large(20_MiB, true);
  EXPECT_TRUE(Stamps::all_zero(Addr(again.base).ptr(), again.bytes()));
  heap->free_span(again);
  fake_os::succeed_again();
  heap->purge_all();
  EXPECT_EQ(fake_os::pool_free(), 64_MiB);
}

// The pool is soon empty, or refuses now and then; modes come and go.
TEST_P(PageHeapPoolTest, TheHeapIsAsItWasWhateverThePoolHas) {
  struct System {
    Bytes pool;
    Bytes transparent;
    os::HugePageRule rule;
  };
  for (const System& system : {System{20_MiB, Bytes(), os::HugePageRule::kNever},
                               System{200_MiB, 2_MiB, os::HugePageRule::kAdvised},
                               System{60_MiB, 2_MiB, os::HugePageRule::kAlways}}) {
    const Bytes pool = system.pool;
    start_again(
        {.huge_page_size = system.transparent, .huge_page_rule = system.rule, .pool = pool});
    heap->set_huge_page_mode(HugePageMode::kExplicit);
    Random random(23);
    PageHeapModel model(*heap, random);
    for (unsigned i = 0; i < 3000; ++i) {
      model.step();
      if (random.one_in(300)) heap->set_huge_page_mode(static_cast<HugePageMode>(random.below(4)));
      if (random.one_in(20)) heap->set_huge_page_mode(HugePageMode::kExplicit);
      if (random.one_in(50)) fake_os::fail(Call::kMapPooled, 1 + random.below(3));
      if (random.one_in(100)) fake_os::fail(Call::kCommit, 1 + random.below(3));
      if (random.one_in(4)) fake_os::advance_clock(300'000'000);
      if (random.one_in(10))
        static_cast<void>(heap->collapse_dense(WorkBudget(WorkBudget::kUnlimited)));
      if (i % 500 == 0) {
        model.expect_valid();
        expect_agreement(pool);
      }
      if (HasFatalFailure()) return;
    }
    model.free_all();
    heap->purge_all();
    model.expect_valid();
    expect_agreement(pool);
  }
}

TEST(PooledRegionsTest, KnowWhichRegionsAreThere) {
  fake_os::reset();
  auto regions = std::make_unique<PooledRegions>();
  const Addr first(0x00c0'0000'0000);
  const Addr far(0x7f00'0000'0000);
  EXPECT_FALSE(regions->holds_any(first, 1_GiB));
  ASSERT_TRUE(regions->cover(first) && regions->cover(far) && regions->cover(far));
  regions->add(first + 2_MiB, 4_MiB);
  regions->add(far, 200_MiB);
  EXPECT_EQ(regions->count(), 102u);
  EXPECT_FALSE(regions->holds_any(first, 2_MiB));
  EXPECT_TRUE(regions->holds_any(first, 2_MiB + 1_B));
  EXPECT_TRUE(regions->holds_any(first + 6_MiB - 1_B, 1_B));
  EXPECT_FALSE(regions->holds_any(first + 6_MiB, 1_GiB));
  EXPECT_FALSE(regions->holds_any(Addr(0x2000'0000'0000), 1_GiB));
  regions->remove(first + 2_MiB, 2_MiB);
  EXPECT_FALSE(regions->holds_any(first, 4_MiB));
  EXPECT_TRUE(regions->holds_any(first, 4_MiB + 1_B));
  EXPECT_EQ(regions->count(), 101u);
  fake_os::fail(Call::kMapAnywhere);
  EXPECT_FALSE(regions->cover(Addr(0x2000'0000'0000)));
  fake_os::reset();
}

}  // namespace
}  // namespace ream
