#include "page/chunk_summary.h"

#include <gtest/gtest.h>

#include <random>

#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using test::summarize_slowly;

TEST(ChunkSummary, RunsOfEveryPlaceAndLength) {
  ChunkBits full{};
  set_range(full, 0, kChunkPages);
  EXPECT_EQ(summarize(full), Summary());
  EXPECT_EQ(summarize(ChunkBits{}), Summary::of_all_free(kLogChunkPages));
  for (unsigned i = 0; i < kChunkPages; i += test::kScale > 1 ? 1 : 5) {
    for (unsigned n = 1; i + n <= kChunkPages; n += test::kScale > 1 ? 3 : 31) {
      ChunkBits hole = full;
      clear_range(hole, i, n);
      ASSERT_EQ(summarize(hole).unpack(), summarize_slowly(hole)) << i << " " << n;
      ChunkBits block{};
      set_range(block, i, n);
      ASSERT_EQ(summarize(block).unpack(), summarize_slowly(block)) << i << " " << n;
    }
  }
}

TEST(ChunkSummary, RandomBits) {
  std::mt19937_64 random(1);
  for (unsigned round = 0; round < 4000 * test::kScale; ++round) {
    ChunkBits used;
    const unsigned density = round % 7;
    for (std::uint64_t& w : used) {
      w = density == 0 ? 0 : random();
      for (unsigned k = 1; k < density; ++k) w = round % 2 != 0 ? w | random() : w & random();
    }
    ASSERT_EQ(summarize(used).unpack(), summarize_slowly(used));
    ASSERT_TRUE(is_possible(summarize(used).unpack(), kLogChunkPages));
  }
}

// A chunk under a random load: what is derived from the summary before equals what is computed.
TEST(ChunkSummary, DerivedFromTheSummaryBefore) {
  std::mt19937_64 random(2);
  for (unsigned round = 0; round < 12; ++round) {
    ChunkBits used{};
    Summary summary = Summary::of_all_free(kLogChunkPages);
    for (unsigned step = 0; step < 2500 * test::kScale; ++step) {
      const auto i = static_cast<unsigned>(random() % kChunkPages);
      const unsigned longest = std::min(kChunkPages - i, 1u << round % 10);
      const auto n = static_cast<unsigned>(1 + random() % longest);
      if (all_clear(used, i, n)) {
        set_range(used, i, n);
        summary = after_alloc(summary, used, i, n, kChunkPages - popcount(used));
      } else if (all_set(used, i, n)) {
        clear_range(used, i, n);
        summary = after_free(summary, used, i, n);
      }
      ASSERT_EQ(summary.unpack(), summarize_slowly(used)) << i << " " << n;
    }
  }
}

TEST(ChunkSummary, DerivedWhileFilledAndDrainedInOrder) {
  for (const unsigned n : {1u, 2u, 8u, 64u, 128u, 512u}) {
    ChunkBits used{};
    Summary summary = Summary::of_all_free(kLogChunkPages);
    for (unsigned i = 0; i < kChunkPages; i += n) {
      set_range(used, i, n);
      summary = after_alloc(summary, used, i, n, kChunkPages - i - n);
      ASSERT_EQ(summary.unpack(), summarize_slowly(used));
    }
    for (unsigned i = kChunkPages; i > 0; i -= n) {
      clear_range(used, i - n, n);
      summary = after_free(summary, used, i - n, n);
      ASSERT_EQ(summary.unpack(), summarize_slowly(used));
    }
  }
}

}  // namespace
}  // namespace ream::page
