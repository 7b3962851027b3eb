// Large objects: resized where they lie, moved by pages, enumerated.
#include <gtest/gtest.h>

#include <vector>

#include "heap/page_heap_model.h"

namespace ream {
namespace {

class PageHeapLargeTest : public PageHeapTest {};
INSTANTIATE_TEST_SUITE_P(OsPages, PageHeapLargeTest, testing::Values(4_KiB, 16_KiB, 64_KiB),
                         os_page_name);

TEST_P(PageHeapLargeTest, GrowsInPlaceUpToItsNeighbour) {
  Span& a = large(1_MiB);
  Span& gap = large(1_MiB);
  Span& b = large(1_MiB);
  ASSERT_EQ(a.base + (1 << 20), gap.base);
  ASSERT_EQ(gap.base + (1 << 20), b.base);
  Stamps::write(Addr(a.base).ptr(), a.bytes(), 1);
  EXPECT_FALSE(heap->resize_in_place(a, 1_MiB + 1_B));
  EXPECT_EQ(a.bytes(), 1u << 20);
  heap->free_span(gap);
  EXPECT_TRUE(heap->resize_in_place(a, 1_MiB + 1_B));
  EXPECT_EQ(a.bytes(), (1 << 20) + kPageBytes);
  EXPECT_TRUE(heap->resize_in_place(a, 2_MiB));
  EXPECT_EQ(heap->map().span_of(Addr(b.base - 1)), &a);
  EXPECT_FALSE(heap->resize_in_place(a, 2_MiB + 1_B));
  EXPECT_TRUE(Stamps::hold(Addr(a.base).ptr(), 1 << 20, 1));
  EXPECT_EQ(heap->map().span_of(Addr(b.base)), &b);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapLargeTest, ShrinksInPlaceAndTheRestServesOthers) {
  Span& a = large(2_MiB);
  large(8_KiB);
  const std::uint64_t base = a.base;
  EXPECT_TRUE(heap->resize_in_place(a, 100_KiB));
  EXPECT_EQ(a.bytes(), round_up(100 << 10, kPageBytes));
  EXPECT_EQ(heap->map().span_of(Addr(base + a.bytes())), nullptr);
  EXPECT_EQ(large(1_MiB).base, base + a.bytes());
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapLargeTest, AnObjectOfNoBytesHasAPage) {
  Span& a = large(0_B);
  EXPECT_EQ(a.bytes(), kPageBytes);
  EXPECT_TRUE(heap->resize_in_place(a, 0_B));
  EXPECT_EQ(a.bytes(), kPageBytes);
}

TEST_P(PageHeapLargeTest, RequestsBeyondTheAddressSpaceAreRefused) {
  Span& a = large(8_KiB);
  for (const std::uint64_t bytes :
       {PageHeap::kMaxObjectBytes, PageHeap::kMaxObjectBytes + 1, std::uint64_t{1} << 47,
        std::uint64_t{1} << 63, ~std::uint64_t{0} - kPageBytes, ~std::uint64_t{0}}) {
    EXPECT_EQ(heap->new_large_span(Bytes(bytes), 16_B, false), nullptr);
    EXPECT_EQ(heap->new_large_span(Bytes(bytes), 16_B, true), nullptr);
    EXPECT_FALSE(heap->resize_in_place(a, Bytes(bytes)));
  }
  for (const std::uint64_t align : {PageHeap::kMaxAlignment * 2, std::uint64_t{1} << 63})
    EXPECT_EQ(heap->new_large_span(8_KiB, Bytes(align), false), nullptr);
  EXPECT_TRUE(heap->is_valid());
  EXPECT_EQ(heap->stats().large_objects, 1u);
}

TEST_P(PageHeapLargeTest, EveryAlignmentIsServed) {
  for (std::uint64_t align = 1; align <= 1ULL << 32; align *= 2) {
    Span* span = heap->new_large_span(100_KiB, Bytes(align), false);
    ASSERT_NE(span, nullptr) << align;
    EXPECT_EQ(span->base % align, 0u);
  }
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapLargeTest, MovingPagesKeepsContents) {
  Span& a = large(2_MiB);
  large(8_KiB);  // in the way of growth
  Stamps::write(Addr(a.base).ptr(), a.bytes(), 7);
  const std::uint64_t from = a.base;
  Span* b = heap->move_pages(a, 3_MiB, 1_MiB);
  ASSERT_NE(b, nullptr);
  EXPECT_NE(b->base, from);
  EXPECT_EQ(b->bytes(), 3u << 20);
  EXPECT_TRUE(Stamps::hold(Addr(b->base).ptr(), 2 << 20, 7));
  EXPECT_EQ(heap->map().span_of(Addr(from)), nullptr);
  EXPECT_TRUE(heap->resize_in_place(*b, 4_MiB));  // the room behind it
  EXPECT_EQ(heap->stats().large_objects, 2u);
  // What it left is memory like any other.
  Span& again = large(2_MiB, true);
  EXPECT_EQ(again.base, from);
  EXPECT_TRUE(Stamps::all_zero(Addr(from).ptr(), 2 << 20));
  heap->free_span(*b);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapLargeTest, WhatTheOsRefusesToMoveArrivesAllTheSame) {
  for (const std::size_t refusals : {1, 2, 3, 1000}) {
    Span& a = large(5_MiB);
    Stamps::write(Addr(a.base).ptr(), a.bytes(), 7);
    fake_os::fail(fake_os::Call::kMovePages, 1, refusals);
    Span* b = heap->move_pages(a, 6_MiB, 1_MiB);
    fake_os::succeed_again();
    ASSERT_NE(b, nullptr);
    EXPECT_TRUE(Stamps::hold(Addr(b->base).ptr(), 5 << 20, 7));
    EXPECT_EQ(heap->stats().large_objects, 1u);
    heap->free_span(*b);
  }
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapLargeTest, AMoveWithoutAddressSpaceChangesNothing) {
  start_again({.commit_limit = 64_MiB});
  Span& a = large(10_MiB);
  Stamps::write(Addr(a.base).ptr(), a.bytes(), 7);
  const Bytes before = heap->stats().in_use;
  EXPECT_EQ(heap->move_pages(a, 100_MiB, 1_MiB), nullptr);
  EXPECT_EQ(a.bytes(), 10u << 20);
  EXPECT_TRUE(Stamps::hold(Addr(a.base).ptr(), a.bytes(), 7));
  EXPECT_EQ(heap->stats().in_use, before);
  EXPECT_TRUE(heap->is_valid());
}

// Pages of the heap may be smaller than those of the OS, which cannot move a part of one.
TEST_P(PageHeapLargeTest, ObjectsOfAnyLengthMoveOrSayNo) {
  for (std::uint64_t pages = 1; pages <= 40; ++pages) {
    Span& a = large(Bytes(pages * kPageBytes));
    Span& wall = large(8_KiB);
    Stamps::write(Addr(a.base).ptr(), a.bytes(), pages);
    Stamps::write(Addr(wall.base).ptr(), wall.bytes(), 99);
    Span* b = heap->move_pages(a, Bytes((pages + 3) * kPageBytes), 0_B);
    Span& now = b == nullptr ? a : *b;
    ASSERT_TRUE(Stamps::hold(Addr(now.base).ptr(), pages * kPageBytes, pages));
    ASSERT_TRUE(Stamps::hold(Addr(wall.base).ptr(), wall.bytes(), 99));
    heap->free_span(now);
    ASSERT_TRUE(Stamps::hold(Addr(wall.base).ptr(), wall.bytes(), 99));
  }
  EXPECT_TRUE(heap->is_valid());
}

// The owner's budget is charged with what its large spans have, however they change.
TEST_P(PageHeapLargeTest, AnOwnersBudgetIsWhatItsSpansHave) {
  SpanOwner owner;
  owner.budget.set(8_MiB);
  Span* a = heap->new_large_span(1_MiB, 16_B, false, &owner);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(owner_of(*a), &owner);
  EXPECT_EQ(load_state(a->states()[0]), kLiveOwned);
  EXPECT_EQ(owner.large, a);
  EXPECT_EQ(owner.budget.used(), 1_MiB);
  EXPECT_EQ(heap->new_large_span(7_MiB + 1_B, 16_B, false, &owner), nullptr);
  EXPECT_TRUE(heap->resize_in_place(*a, 3_MiB));
  EXPECT_EQ(owner.budget.used(), 3_MiB);
  EXPECT_FALSE(heap->resize_in_place(*a, 8_MiB + 1_B));
  EXPECT_TRUE(heap->resize_in_place(*a, 2_MiB));
  EXPECT_EQ(owner.budget.used(), 2_MiB);
  Span& wall = large(8_KiB);
  EXPECT_FALSE(heap->resize_in_place(*a, 6_MiB));
  EXPECT_EQ(owner.budget.used(), 2_MiB);
  EXPECT_EQ(heap->move_pages(*a, 8_MiB + 1_B, 0_B), nullptr);
  EXPECT_EQ(owner.budget.used(), 2_MiB);
  // Both at once would not fit.
  a = heap->move_pages(*a, 7_MiB, 0_B);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(owner_of(*a), &owner);
  EXPECT_EQ(load_state(a->states()[0]), kLiveOwned);
  EXPECT_EQ(owner.budget.used(), 7_MiB);
  EXPECT_EQ(owner.budget.peak(), 7_MiB);
  EXPECT_EQ(owner.large_bytes, 7_MiB);
  a = heap->move_pages(*a, 1_MiB, 0_B);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(owner.budget.used(), 1_MiB);
  Span* b = heap->new_large_span(2_MiB, 16_B, true, &owner);
  ASSERT_NE(b, nullptr);
  heap->free_span(*a);
  EXPECT_EQ(owner.budget.used(), 2_MiB);
  EXPECT_EQ(owner.large_bytes, 2_MiB);
  static_cast<void>(heap->new_large_span(1_MiB, 16_B, false, &owner));
  unsigned seen = 0;
  heap->for_each_large([&](const Span& span) { seen += &span == &wall ? 1 : 100; });
  EXPECT_EQ(seen, 1u);
  heap->free_large_of(owner);
  EXPECT_EQ(owner.large, nullptr);
  EXPECT_EQ(owner.budget.used(), 0_B);
  EXPECT_EQ(owner.large_bytes, 0_B);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapLargeTest, AnOwnerPaysNothingForWhatTheSystemRefuses) {
  start_again({.commit_limit = 64_MiB});
  SpanOwner owner;
  Span* a = heap->new_large_span(2_MiB, 16_B, false, &owner);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(heap->new_large_span(100_MiB, 16_B, false, &owner), nullptr);
  EXPECT_EQ(heap->move_pages(*a, 100_MiB, 0_B), nullptr);
  EXPECT_EQ(owner.budget.used(), 2_MiB);
  heap->free_large_of(owner);
}

TEST_P(PageHeapLargeTest, LiveObjectsAreEnumerated) {
  std::vector<Span*> live;
  for (unsigned i = 0; i < 10; ++i) live.push_back(&large(Bytes((i + 1) * 300'000)));
  for (unsigned i = 0; i < 3; ++i) {
    heap->free_span(*live[i * 2]);
    live.erase(live.begin() + i * 2);
  }
  std::vector<const Span*> seen;
  heap->for_each_large([&](const Span& span) { seen.push_back(&span); });
  EXPECT_TRUE(std::is_permutation(seen.begin(), seen.end(), live.begin(), live.end()));
}

}  // namespace
}  // namespace ream
