// The cache of large spans: what it keeps, for whom, and its bounds.
#include "heap/large_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "support/effort.h"
#include "support/random.h"

namespace ream {
namespace {

constexpr Pages kMiB{(1 << 20) / kPageBytes};

class LargeCacheTest : public testing::Test {
 protected:
  Span& span(Pages pages) {
    spans.emplace_back();
    Span& s = spans.back();
    s.pages = static_cast<std::uint32_t>(pages.n);
    return s;
  }
  void expect_counts(std::uint64_t count, std::uint64_t bytes) const {
    EXPECT_EQ(cache->stats().spans, count);
    EXPECT_EQ(cache->stats().bytes, Bytes(bytes));
  }

  std::deque<Span> spans;
  std::unique_ptr<LargeCache> cache = std::make_unique<LargeCache>();
};

TEST_F(LargeCacheTest, GivesBackWhatFits) {
  Span& s = span(kMiB);
  EXPECT_EQ(cache->take(0, kMiB).fitting, nullptr);
  EXPECT_EQ(cache->put(0, s), nullptr);
  expect_counts(1, s.bytes());
  const LargeCache::Taken taken = cache->take(0, kMiB);
  EXPECT_EQ(taken.fitting, &s);
  EXPECT_EQ(taken.evicted, nullptr);
  expect_counts(0, 0);
  EXPECT_EQ(cache->stats().hits, 1u);
}

TEST_F(LargeCacheTest, FitsUpToAnEighthMore) {
  for (const std::uint64_t more : {0, 8, 16}) {
    Span& s = span(kMiB + Pages(more));
    ASSERT_EQ(cache->put(0, s), nullptr);
    EXPECT_EQ(cache->take(0, kMiB).fitting, &s) << more;
  }
  Span& larger = span(kMiB + Pages(17));
  ASSERT_EQ(cache->put(0, larger), nullptr);
  const LargeCache::Taken taken = cache->take(0, kMiB);
  EXPECT_EQ(taken.fitting, nullptr);
  EXPECT_EQ(taken.evicted, &larger);  // a miss empties a slot
  expect_counts(0, 0);
  Span& smaller = span(kMiB);
  ASSERT_EQ(cache->put(0, smaller), nullptr);
  EXPECT_EQ(cache->take(0, kMiB + Pages(1)).evicted, &smaller);
}

TEST_F(LargeCacheTest, ShardsAreApart) {
  Span& s = span(kMiB);
  ASSERT_EQ(cache->put(3, s), nullptr);
  EXPECT_EQ(cache->take(4, kMiB).fitting, nullptr);
  expect_counts(1, s.bytes());
  EXPECT_EQ(cache->take(3 + LargeCache::kShards, kMiB).fitting, &s);
}

TEST_F(LargeCacheTest, HitsOpenSlotsAndMissesCloseThem) {
  const auto kept = [&] {
    unsigned n = 0;
    while (n < 10 && cache->put(0, span(kMiB)) == nullptr) ++n;
    while (cache->evict() != nullptr) {
    }
    return n;
  };
  EXPECT_EQ(kept(), 1u);
  for (unsigned i = 0; i < 10; ++i) {
    ASSERT_EQ(cache->put(0, span(kMiB)), nullptr);
    ASSERT_NE(cache->take(0, kMiB).fitting, nullptr);
  }
  EXPECT_EQ(kept(), LargeCache::kSlots);
  ASSERT_EQ(cache->put(0, span(kMiB)), nullptr);
  ASSERT_NE(cache->take(0, Pages(5)).evicted, nullptr);
  EXPECT_EQ(kept(), 1u);
}

TEST_F(LargeCacheTest, BoundsAreKept) {
  Span& too_large = span(Pages(LargeCache::kMaxSpanBytes / kPageBytes + 1));
  EXPECT_EQ(cache->put(0, too_large), &too_large);
  for (unsigned i = 0; i < 10; ++i) {
    ASSERT_EQ(cache->put(0, span(kMiB)), nullptr);
    ASSERT_NE(cache->take(0, kMiB).fitting, nullptr);
  }
  const Pages most(LargeCache::kMaxSpanBytes / kPageBytes);
  unsigned n = 0;
  while (n < 10 && cache->put(0, span(most)) == nullptr) ++n;
  EXPECT_EQ(n, LargeCache::kMaxShardBytes / LargeCache::kMaxSpanBytes);
  expect_counts(n, n * LargeCache::kMaxSpanBytes);
  while (cache->evict() != nullptr) {
  }
  expect_counts(0, 0);
}

TEST_F(LargeCacheTest, AChildCountsAnewWhatItFinds) {
  Span& s = span(kMiB);
  ASSERT_EQ(cache->put(2, s), nullptr);
  s.pages = 5;  // as if a thread had been stopped between the counters and the slot
  cache->after_fork_in_child();
  expect_counts(1, 5 * kPageBytes);
}

// Every span is in one place at a time.
TEST_F(LargeCacheTest, ThreadsShareIt) {
  constexpr unsigned kThreads = 4;
  constexpr unsigned kSpans = 16;
  std::array<std::atomic<int>, kThreads * kSpans> owners{};
  std::vector<Span*> all;
  for (unsigned i = 0; i < kThreads * kSpans; ++i) {
    all.push_back(&span(Pages(100 + i % 7)));
    all.back()->base = i;
  }
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      std::vector<Span*> mine(all.begin() + t * kSpans, all.begin() + (t + 1) * kSpans);
      const auto got = [&](Span* s) {
        if (s == nullptr) return;
        EXPECT_EQ(owners[s->base].fetch_add(1), 0);
        mine.push_back(s);
      };
      for (Span* s : mine) owners[s->base] = 1;
      for (unsigned i = 0; i < 20000 * kEffort; ++i) {
        if (!mine.empty() && random.one_in(2)) {
          Span* s = mine.back();
          mine.pop_back();
          EXPECT_EQ(owners[s->base].fetch_sub(1), 1);
          got(cache->put(0, *s));
        } else {
          const LargeCache::Taken taken = cache->take(0, Pages(100 + random.below(7)));
          got(taken.fitting);
          got(taken.evicted);
        }
      }
      for (Span* s : mine) owners[s->base] = 1;
    });
  }
  for (std::thread& t : threads) t.join();
  std::uint64_t kept = 0;
  while (cache->evict() != nullptr) ++kept;
  for (const auto& owner : owners) kept += static_cast<std::uint64_t>(owner.load());
  EXPECT_EQ(kept, all.size());
  expect_counts(0, 0);
}

TEST_F(LargeCacheTest, WhatNobodyTakesAges) {
  Span& a = span(kMiB);
  Span& b = span(kMiB);
  bool clean = true;
  EXPECT_EQ(cache->evict_aged(100, 10, clean), nullptr);
  EXPECT_TRUE(clean);
  EXPECT_EQ(cache->put(0, a), nullptr);
  EXPECT_EQ(cache->put(1, b), nullptr);
  EXPECT_EQ(cache->evict_aged(200, 10, clean), nullptr);
  EXPECT_FALSE(clean);
  // One that another took the place of is young.
  EXPECT_EQ(cache->take(1, kMiB).fitting, &b);
  Span& c = span(kMiB);
  EXPECT_EQ(cache->put(1, c), nullptr);
  clean = true;
  EXPECT_EQ(cache->evict_aged(205, 10, clean), nullptr);
  EXPECT_FALSE(clean);
  clean = true;
  EXPECT_EQ(cache->evict_aged(210, 10, clean), &a);
  EXPECT_EQ(cache->evict_aged(210, 10, clean), nullptr);
  EXPECT_FALSE(clean);
  clean = true;
  EXPECT_EQ(cache->evict_aged(215, 10, clean), &c);
  EXPECT_EQ(cache->evict_aged(215, 10, clean), nullptr);
  EXPECT_TRUE(clean);
  expect_counts(0, 0);
}

}  // namespace
}  // namespace ream
