// The figure and the tiers of MemoryLimit, alone and as a page heap on the made-up OS applies them.
#include "heap/memory_limit.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "heap/central_list.h"
#include "heap/page_heap_model.h"
#include "heap/page_units.h"

namespace ream {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(MemoryLimitFigureTest, SumsWhatItIsTold) {
  MemoryLimit limit;
  EXPECT_EQ(limit.in_use(), Bytes());
  limit.publish_pages(10_MiB);
  limit.publish_caches(2_MiB);
  EXPECT_EQ(limit.in_use(), 12_MiB);
  limit.add_unused_inside(3_MiB);
  EXPECT_EQ(limit.in_use(), 9_MiB);
  limit.subtract_unused_inside(1_MiB);
  EXPECT_EQ(limit.in_use(), 10_MiB);
  EXPECT_EQ(limit.unused_inside(), 2_MiB);
  limit.add_unused_inside(100_MiB);
  EXPECT_EQ(limit.in_use(), Bytes());  // for a moment: never below nothing
}

TEST(MemoryLimitFigureTest, NoLimitAdmitsAnything) {
  MemoryLimit limit;
  limit.publish_pages(10_GiB);
  EXPECT_TRUE(limit.admits(Bytes(~0ULL)));
  EXPECT_EQ(limit.missing(Bytes(~0ULL)), Bytes());
  EXPECT_FALSE(limit.is_above_soft());
}

TEST(MemoryLimitFigureTest, AdmitsUpToTheHardLimitAndTellsWhatIsMissing) {
  MemoryLimit limit;
  limit.set(5_MiB, 10_MiB);
  limit.publish_pages(7_MiB);
  EXPECT_EQ(limit.over_soft(), 2_MiB);
  EXPECT_TRUE(limit.admits(3_MiB));
  EXPECT_FALSE(limit.admits(3_MiB + 1_B));
  EXPECT_EQ(limit.missing(5_MiB), 2_MiB);
  EXPECT_EQ(limit.missing(Bytes(~0ULL)), Bytes(~0ULL) - 3_MiB);
  limit.publish_pages(12_MiB);
  EXPECT_TRUE(limit.admits(Bytes()));
  EXPECT_EQ(limit.missing(1_MiB), 3_MiB);
}

TEST(MemoryLimitFigureTest, AReliefIsDueAboveSoftAndThenRests) {
  MemoryLimit limit;
  limit.set(5_MiB, Bytes());
  EXPECT_FALSE(limit.begin_relief(kSecond));
  limit.publish_pages(6_MiB);
  EXPECT_TRUE(limit.relief_due(kSecond));
  EXPECT_TRUE(limit.begin_relief(kSecond));
  EXPECT_FALSE(limit.begin_relief(kSecond));
  limit.end_relief(kSecond, kSecond);
  EXPECT_FALSE(limit.relief_due(kSecond + MemoryLimit::kAlertNs - 1));
  EXPECT_TRUE(limit.begin_relief(kSecond + MemoryLimit::kAlertNs));
  // One that took long rests longer.
  limit.end_relief(2 * kSecond, 3 * kSecond);
  EXPECT_FALSE(limit.relief_due(12 * kSecond));
  EXPECT_TRUE(limit.relief_due(13 * kSecond));
}

TEST(MemoryLimitFigureTest, TakesOverTheControlGroupsLimits) {
  using os::CgroupKind;
  using os::CgroupValue;
  const CgroupValue none{CgroupKind::kNoLimit, {}}, absent{};
  struct Case {
    CgroupValue max, high;
    Bytes soft, hard;
  };
  for (const Case& k :
       {Case{{CgroupKind::kValue, 80_MiB}, none, 70_MiB, 80_MiB},
        Case{{CgroupKind::kValue, 80_MiB}, absent, 70_MiB, 80_MiB},
        Case{{CgroupKind::kValue, 80_MiB}, {CgroupKind::kValue, 60_MiB}, 60_MiB, 80_MiB},
        Case{{CgroupKind::kValue, 80_MiB}, {CgroupKind::kValue, 90_MiB}, 70_MiB, 80_MiB},
        Case{none, {CgroupKind::kValue, 90_MiB}, 90_MiB, Bytes()},
        Case{none, none, Bytes(), Bytes()},
        Case{{CgroupKind::kMalformed, 5_MiB}, absent, Bytes(), Bytes()}}) {
    MemoryLimit limit;
    limit.set(1_MiB, 2_MiB);
    limit.set_from({.version = 2, .limit = k.max, .high = k.high, .current = {}});
    EXPECT_EQ(limit.soft(), k.soft);
    EXPECT_EQ(limit.hard(), k.hard);
  }
}

TEST(MemoryLimitFigureTest, OneThreadLooksAtTheGroupAtATime) {
  MemoryLimit limit;
  EXPECT_FALSE(limit.begin_look(kSecond, 0));
  limit.follow(true);
  EXPECT_TRUE(limit.begin_look(2 * kSecond, kSecond));
  EXPECT_FALSE(limit.begin_look(3 * kSecond - 1, kSecond));
  EXPECT_TRUE(limit.begin_look(3 * kSecond, kSecond));
}

class MemoryLimitTest : public PageHeapTest {
 protected:
  static void fill(const Span& span) { std::memset(Addr(span.base).ptr(), 0x5a, span.bytes()); }
  static int byte_of(const Span& span, std::size_t i) {
    return static_cast<const unsigned char*>(Addr(span.base).ptr())[i];
  }
  // What the figure says beyond metadata.
  [[nodiscard]] Bytes pages_in_use() {
    return heap->limit().in_use() + heap->limit().unused_inside() - heap->stats().metadata;
  }
  // A hard limit that leaves this room from now on.
  void leave_room(Bytes room) {
    heap->limit().set(Bytes(), heap->limit().in_use() + room);
    heap->limit_changed();
  }
  Span* try_large(Bytes bytes) { return heap->new_large_span(bytes, 16_B, false); }
};
INSTANTIATE_TEST_SUITE_P(OsPages, MemoryLimitTest, testing::Values(4_KiB, 16_KiB, 64_KiB),
                         os_page_name);

TEST_P(MemoryLimitTest, TheFigureFollowsPages) {
  Span& first = large(1_MiB);
  EXPECT_EQ(pages_in_use(), 1_MiB);
  Span& second = large(3_MiB);
  EXPECT_EQ(pages_in_use(), 4_MiB);
  heap->free_span(first);
  EXPECT_EQ(pages_in_use(), 4_MiB);  // free, not given back
  heap->purge_all();
  EXPECT_EQ(pages_in_use(), 3_MiB);
  ASSERT_TRUE(heap->resize_in_place(second, 2_MiB));
  heap->purge_all();
  EXPECT_EQ(pages_in_use(), 2_MiB);
  heap->free_span(second);
  heap->purge_all();
  EXPECT_EQ(pages_in_use(), Bytes());
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(MemoryLimitTest, ASpansUntouchedUnitsDoNotCount) {
  const auto c = static_cast<ClassIndex>(kClassCount - 1);
  large(1_MiB);
  const Bytes before = heap->limit().in_use();
  Span* span = heap->new_small_span(c, 0);
  ASSERT_NE(span, nullptr);
  EXPECT_LE(heap->limit().in_use() - before, 8_KiB);
  EXPECT_EQ(heap->limit().unused_inside(), unused_inside(*span));
  heap->free_span(*span);
  EXPECT_EQ(heap->limit().unused_inside(), Bytes());
}

TEST_P(MemoryLimitTest, RefusesWhatDoesNotFitAndChangesNothing) {
  large(1_MiB);
  leave_room(4_MiB);
  const Bytes before = heap->limit().in_use();
  EXPECT_EQ(try_large(4_MiB + 1_B), nullptr);
  EXPECT_EQ(try_large(1_GiB), nullptr);
  EXPECT_EQ(heap->limit().in_use(), before);
  Span* fits = try_large(4_MiB);
  ASSERT_NE(fits, nullptr);
  EXPECT_EQ(try_large(8_KiB), nullptr);
  EXPECT_EQ(heap->new_small_span(1, 0), nullptr);
  heap->free_span(*fits);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(MemoryLimitTest, AHugeRequestDoesNotGrowTheHeap) {
  large(1_MiB);
  leave_room(64_MiB);
  const Bytes grown = heap->stats().grown;
  EXPECT_EQ(try_large(100_GiB), nullptr);
  EXPECT_EQ(heap->stats().grown, grown);
}

TEST_P(MemoryLimitTest, FreeResidentPagesAreUsedAgain) {
  Span& span = large(8_MiB);
  fill(span);
  leave_room(Bytes());
  heap->free_span(span);
  for (unsigned i = 0; i < 10; ++i) {
    Span* again = try_large(8_MiB);
    ASSERT_NE(again, nullptr);
    heap->free_span(*again);
  }
  EXPECT_EQ(heap->stats().purged_bytes, 0u);
}

// Free pages that lie elsewhere must go back before others become resident.
TEST_P(MemoryLimitTest, MakeRoomGivesBackWhatIsMissing) {
  Span* low[8];
  for (Span*& s : low) {
    s = &large(1_MiB);
    large(64_KiB);
  }
  leave_room(Bytes());
  for (Span* s : low) heap->free_span(*s);
  EXPECT_EQ(try_large(4_MiB), nullptr);
  EXPECT_TRUE(heap->make_room(4_MiB));
  EXPECT_NE(try_large(4_MiB), nullptr);
  EXPECT_TRUE(heap->make_room(2_MiB));
  EXPECT_FALSE(heap->make_room(5_MiB));
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(MemoryLimitTest, GrowingInPlaceIsHeldToTheLimit) {
  Span& span = large(1_MiB);
  leave_room(1_MiB);
  EXPECT_FALSE(heap->resize_in_place(span, 3_MiB));
  EXPECT_EQ(span.bytes(), (1_MiB).n);
  EXPECT_TRUE(heap->resize_in_place(span, 2_MiB));
  EXPECT_TRUE(heap->resize_in_place(span, 64_KiB));
}

// Moving takes what the object grows by, and no more.
TEST_P(MemoryLimitTest, MovingPagesNeedsNoSecondCopy) {
  Span& span = large(16_MiB);
  large(64_KiB);  // in the way
  fill(span);
  leave_room(3_MiB);
  EXPECT_EQ(heap->move_pages(span, 20_MiB, {}), nullptr);
  Span* moved = heap->move_pages(span, 18_MiB, {});
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(byte_of(*moved, 100), 0x5a);
  EXPECT_EQ(pages_in_use(), 18_MiB + 64_KiB);  // nothing is left where it was
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(MemoryLimitTest, AboveSoftFreePagesGoBackAtOnce) {
  Span& big = large(32_MiB);
  fill(big);
  large(1_MiB);
  heap->limit().set(heap->limit().in_use() - 8_MiB, Bytes());
  heap->free_span(big);
  const PageHeapStats stats = heap->stats();
  EXPECT_GE(stats.purged_bytes, (8_MiB).n);
  EXPECT_LE(stats.purged_bytes, (20_MiB).n);  // the rest is below soft: it stays
  EXPECT_FALSE(heap->limit().is_above_soft());
}

TEST_P(MemoryLimitTest, ALimitBelowWhatIsInUseTakesNothingAway) {
  Span& a = large(8_MiB);
  Span& b = large(8_MiB);
  fill(b);
  heap->limit().set(1_MiB, 2_MiB);
  heap->limit_changed();
  EXPECT_EQ(try_large(8_KiB), nullptr);
  EXPECT_EQ(byte_of(b, 100), 0x5a);
  heap->free_span(a);
  heap->free_span(b);
  EXPECT_TRUE(heap->make_room(8_KiB) || heap->limit().in_use() > 2_MiB - 8_KiB);
  heap->limit().set({}, {});
  EXPECT_NE(try_large(8_MiB), nullptr);
}

// Emptied units of a span come into use again only as far as the limit admits.
TEST_P(MemoryLimitTest, CentralListsAskBeforeTheyTakeEmptiedUnits) {
  const ClassIndex c = class_of(4096);
  auto list = std::make_unique<CentralList>();
  Taken taken[256];
  const auto objects = static_cast<std::uint32_t>(kSizeClasses[c].objects);
  ASSERT_LE(objects, 256u);
  ASSERT_EQ(list->fetch(*heap, c, 0, taken, objects), objects);
  const Bytes whole = heap->limit().in_use();
  EXPECT_LE(heap->limit().unused_inside(), 8_KiB);
  for (std::uint32_t given = 1; given < objects;) {
    given += list->give(*heap, taken + given, objects - given);
  }
  std::uint32_t spans = 100;
  const Bytes purged = list->purge_sparse(*heap, spans);
  EXPECT_EQ(heap->limit().in_use(), whole - purged);
  leave_room(Bytes());
  if (purged.n >= (objects - 1) * 4096u) {
    EXPECT_EQ(list->fetch(*heap, c, 0, taken + 1, 1), 0u);
  }
  if (GetParam() > 4_KiB) return;  // which objects lie on units that stayed depends on the OS page
  leave_room(12_KiB);
  EXPECT_EQ(list->fetch(*heap, c, 0, taken + 1, objects - 1), 1u);
  heap->limit().set({}, {});
  EXPECT_EQ(list->fetch(*heap, c, 0, taken + 2, objects - 2), objects - 2);
  EXPECT_EQ(heap->limit().in_use(), whole);
}

TEST_P(MemoryLimitTest, RandomUseStaysWithinTheLimit) {
  Random random(11);
  PageHeapModel model(*heap, random);
  model.may_fail = true;
  large(64_KiB);
  leave_room(24_MiB);
  const Bytes most = heap->limit().hard() + 4_MiB;  // metadata of growth
  for (unsigned i = 0; i < 2000; ++i) {
    model.step();
    ASSERT_LE(heap->limit().in_use(), most);
    if (i % 100 == 0) static_cast<void>(heap->make_room(1_MiB));
  }
  EXPECT_GT(model.refused, 0u);
  EXPECT_TRUE(heap->is_valid());
  model.free_all();
}

}  // namespace
}  // namespace ream
