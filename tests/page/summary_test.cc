#include "page/summary.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

constexpr std::uint64_t kMost = 1ULL << kLogMaxPackedPages;

TEST(Summary, PackingIsExact) {
  const std::uint64_t edges[] = {0, 1, 2, 63, 64, 511, 512, 4096, kMost / 2, kMost - 2, kMost - 1};
  for (const std::uint64_t start : edges) {
    for (const std::uint64_t max : edges) {
      for (const std::uint64_t end : edges) {
        const Summary s = Summary::pack(start, max, end);
        EXPECT_EQ(s.unpack(), (Runs{start, max, end}));
        EXPECT_EQ(s.unpack_small(), s.unpack());
        EXPECT_EQ(s.max_small(), max);
        EXPECT_EQ(s.bits() >> 63, 0u);
        EXPECT_EQ(Summary::from_bits(s.bits()), s);
      }
    }
  }
}

TEST(Summary, AllFreeOfTheLargestRegionIsTheTopBit) {
  EXPECT_EQ(Summary::pack(kMost, kMost, kMost).bits(), 1ULL << 63);
  EXPECT_EQ(Summary::of_all_free(kLogMaxPackedPages).unpack(), all_free(kLogMaxPackedPages));
  EXPECT_EQ(Summary::pack(7, kMost, 3).unpack(), all_free(kLogMaxPackedPages));
  EXPECT_TRUE(Summary().is_full());
}

// Page by page, for children of few pages.
Runs count_runs(const std::vector<bool>& free) {
  Runs r;
  std::uint64_t run = 0;
  for (std::size_t i = 0; i < free.size(); ++i) {
    run = free[i] ? run + 1 : 0;
    r.max = std::max(r.max, run);
    if (run == i + 1) r.start = run;
  }
  r.end = run;
  return r;
}

TEST(Summary, MergeEqualsCountingPages) {
  std::mt19937_64 random(1);
  for (unsigned round = 0; round < 4000 * test::kScale; ++round) {
    const unsigned log_pages = 1 + round % 5;
    const std::uint64_t pages = 1ULL << log_pages;
    std::vector<bool> all;
    std::array<Summary, 8> children;
    for (Summary& child : children) {
      std::vector<bool> free(pages, random() % 3 != 0);
      if (random() % 2 != 0) {
        for (std::size_t i = 0; i < pages; ++i) free[i] = random() % 3 != 0;
      }
      child = Summary::pack(count_runs(free));
      all.insert(all.end(), free.begin(), free.end());
    }
    ASSERT_EQ(merge_summaries(children.data(), 8, log_pages), count_runs(all));
    ASSERT_EQ(merge_one_by_one(children.data(), 8, log_pages), count_runs(all));
    ASSERT_TRUE(is_possible(count_runs(all), log_pages + 3));
    std::array<CrownEntry, 8> wide;
    for (unsigned i = 0; i < 8; ++i) wide[i].runs = children[i].unpack();
    ASSERT_EQ(merge_summaries(wide.data(), 8, log_pages), count_runs(all));
  }
}

// One entry of a block changes; what is derived from its neighbours equals a merge.
TEST(Summary, AChangedEntryCorrectsItsBlock) {
  std::mt19937_64 random(2);
  unsigned derived = 0;
  const unsigned rounds = 20000 * test::kScale;
  for (unsigned round = 0; round < rounds; ++round) {
    const unsigned log_pages = 1 + round % 5;
    const std::uint64_t pages = 1ULL << log_pages;
    const auto any = [&] {
      std::vector<bool> free(pages, random() % 2 != 0);
      if (random() % 3 == 0) {
        for (std::size_t i = 0; i < pages; ++i) free[i] = random() % 3 != 0;
      }
      return Summary::pack(count_runs(free));
    };
    std::array<Summary, 8> children;
    for (Summary& child : children) child = any();
    Runs block = merge_summaries(children.data(), 8, log_pages);
    const Runs before = block;
    const auto k = static_cast<unsigned>(random() % 8);
    const Summary old = children[k];
    children[k] = any();
    const Runs want = merge_summaries(children.data(), 8, log_pages);
    if (change_entry(block, children.data(), k, 8, log_pages, old.unpack(), children[k].unpack())) {
      ++derived;
      ASSERT_EQ(block, want);
    } else {
      ASSERT_EQ(block, before);
    }
  }
  EXPECT_GT(derived, rounds / 2);
}

TEST(Summary, MergeOfRootEntries) {
  std::array<Summary, 4> roots;
  roots.fill(Summary::of_all_free(kLogMaxPackedPages));
  EXPECT_EQ(merge_summaries(roots.data(), 4, kLogMaxPackedPages), all_free(kLogMaxPackedPages + 2));
  roots[2] = Summary::pack(5, 9, 3);
  EXPECT_EQ(merge_summaries(roots.data(), 4, kLogMaxPackedPages),
            (Runs{2 * kMost + 5, 2 * kMost + 5, kMost + 3}));
}

TEST(Summary, ImpossibleOnesAreTold) {
  EXPECT_TRUE(is_possible({0, 0, 0}, 9));
  EXPECT_TRUE(is_possible({512, 512, 512}, 9));
  EXPECT_TRUE(is_possible({0, 510, 0}, 9));
  EXPECT_TRUE(is_possible({0, 511, 511}, 9));
  EXPECT_FALSE(is_possible({3, 2, 0}, 9));
  EXPECT_FALSE(is_possible({512, 512, 0}, 9));
  EXPECT_FALSE(is_possible({256, 256, 256}, 9));
  EXPECT_FALSE(is_possible({0, 511, 0}, 9));
  EXPECT_FALSE(is_possible({0, 513, 0}, 9));
}

}  // namespace
}  // namespace ream::page
