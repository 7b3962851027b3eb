// Central lists against a model of who has which object, on a page heap over the made-up OS.
#include "heap/central_list.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "heap/page_heap_model.h"
#include "support/effort.h"

namespace ream {
namespace {

constexpr std::uint8_t kShards = 3;

class CentralListTest : public PageHeapTest {
 protected:
  using Lists = std::array<CentralList, kShards>;

  explicit CentralListTest(Bytes os_page = GetParam()) : PageHeapTest(os_page) {}

  std::vector<Taken> fetch(ClassIndex c, std::uint8_t shard, std::uint32_t count) {
    std::vector<Taken> out(count);
    out.resize((*lists)[shard].fetch(*heap, c, shard, out.data(), count));
    return out;
  }
  std::uint32_t give(std::uint8_t shard, const std::vector<Taken>& batch) {
    return (*lists)[shard].give(*heap, batch.data(), static_cast<std::uint32_t>(batch.size()));
  }

  std::unique_ptr<Lists> lists = std::make_unique<Lists>();
};
INSTANTIATE_TEST_SUITE_P(OsPages, CentralListTest, testing::Values(4_KiB, 64_KiB), os_page_name);

TEST_P(CentralListTest, AnEmptyListHasNothing) {
  CentralList& list = (*lists)[0];
  EXPECT_TRUE(list.is_valid());
  EXPECT_EQ(list.stats().spans, 0u);
  EXPECT_EQ(list.release_empty(*heap), Bytes());
  std::uint32_t spans = 100;
  EXPECT_EQ(list.purge_sparse(*heap, spans), Bytes());
  EXPECT_EQ(spans, 100u);
  EXPECT_FALSE(list.busy());
}

TEST_P(CentralListTest, ANewSpanIsServedFromItsLowestObject) {
  const ClassIndex c = class_of(64);
  const auto taken = fetch(c, 2, 20);
  ASSERT_EQ(taken.size(), 20u);
  const Span* span = heap->map().span_of(Addr(taken[0].object));
  ASSERT_NE(span, nullptr);
  EXPECT_EQ(span->size_class, c);
  EXPECT_EQ(span->shard, 2);
  for (unsigned i = 0; i < 20; ++i) {
    EXPECT_EQ(Addr(taken[i].object).n, span->object_address(i));
    EXPECT_EQ(taken[i].state, span->states() + i);
    EXPECT_EQ(*taken[i].state, kCachedZero);
  }
}

// Sparse spans can empty only if others are filled first.
TEST_P(CentralListTest, ObjectsComeFromTheFullestSpan) {
  const ClassIndex c = class_of(1024);
  const std::uint32_t n = kSizeClasses[c].objects;
  auto taken = fetch(c, 0, 3 * n);
  ASSERT_EQ((*lists)[0].stats().spans, 3u);
  // Leaves one object in the first span, half in the second, all but two in the third.
  std::vector<Taken> back(taken.begin(), taken.begin() + n - 1);
  back.insert(back.end(), taken.begin() + n, taken.begin() + n + n / 2);
  back.insert(back.end(), taken.begin() + 2 * n, taken.begin() + 2 * n + 2);
  EXPECT_EQ(give(0, back), back.size());
  const auto again = fetch(c, 0, 2 + n / 2);
  EXPECT_EQ(again[0].object, taken[2 * n].object);
  EXPECT_EQ(again[1].object, taken[2 * n + 1].object);
  for (std::uint32_t i = 0; i < n / 2; ++i) EXPECT_EQ(again[2 + i].object, taken[n + i].object);
  EXPECT_TRUE((*lists)[0].is_valid());
}

TEST_P(CentralListTest, EmptySpansGoBackToThePageHeap) {
  for (std::size_t i = 1; i < kClassCount; ++i) {
    const auto c = static_cast<ClassIndex>(i);
    lists = std::make_unique<Lists>();
    const Bytes before = heap->stats().in_use;
    const auto taken = fetch(c, 0, kSizeClasses[c].objects * 3);
    EXPECT_EQ(heap->stats().in_use - before, Bytes(3 * kSizeClasses[c].span_pages * kPageBytes));
    EXPECT_EQ(give(0, taken), taken.size());
    const CentralStats stats = (*lists)[0].stats();
    EXPECT_LE(stats.spans, 1u) << i;  // a small reserve
    EXPECT_EQ(stats.taken, 0u);
    EXPECT_EQ(heap->stats().in_use - before, Bytes(stats.span_pages * kPageBytes));
    EXPECT_TRUE((*lists)[0].is_valid());
    EXPECT_EQ((*lists)[0].release_empty(*heap), Bytes(stats.span_pages * kPageBytes));
    EXPECT_EQ(heap->stats().in_use, before);
    EXPECT_EQ((*lists)[0].stats().spans, 0u);
  }
}

TEST_P(CentralListTest, GiveStopsAtAnObjectOfAnotherShard) {
  const ClassIndex c = class_of(100);
  auto batch = fetch(c, 0, 5);
  const auto other = fetch(c, 1, 4);
  batch.insert(batch.end(), other.begin(), other.end());
  batch.push_back(fetch(c, 0, 1)[0]);
  EXPECT_EQ(give(0, batch), 5u);
  batch.erase(batch.begin(), batch.begin() + 5);
  EXPECT_EQ(give(1, batch), 4u);
  batch.erase(batch.begin(), batch.begin() + 4);
  EXPECT_EQ(give(0, batch), 1u);
  for (CentralList& list : *lists) {
    EXPECT_EQ(list.stats().taken, 0u);
    EXPECT_TRUE(list.is_valid());
  }
}

TEST_P(CentralListTest, GivingTwiceEndsTheProgram) {
  const auto taken = fetch(class_of(100), 0, 3);
  ASSERT_EQ(give(0, {taken[1]}), 1u);
  char text[64];
  std::snprintf(text, sizeof text, "^ream: double free: %p\n$", taken[1].object);
  EXPECT_DEATH(give(0, {taken[0], taken[1]}), text);
}

TEST_P(CentralListTest, FetchesWhatThereIsWhenMemoryEnds) {
  start_again({.commit_limit = 16_MiB});
  lists = std::make_unique<Lists>();
  const auto taken = fetch(class_of(256 << 10), 0, 1000);
  EXPECT_GT(taken.size(), 0u);
  EXPECT_LT(taken.size(), 64u);
  EXPECT_TRUE((*lists)[0].is_valid());
  EXPECT_EQ((*lists)[0].stats().taken, taken.size());
  EXPECT_TRUE(fetch(class_of(256 << 10), 0, 1).empty());
  EXPECT_EQ(give(0, taken), taken.size());
  EXPECT_FALSE(fetch(class_of(256 << 10), 0, 1).empty());
  EXPECT_TRUE(heap->is_valid());
}

// Memory inside a span goes back where no object lies; objects around it keep their contents, and
// what is then called zero is zero.
TEST_P(CentralListTest, SparseSpansGiveBackWhatLiesBetweenObjects) {
  for (const std::size_t bytes : {1024u, 2048u, 5000u, 20000u}) {
    lists = std::make_unique<Lists>();
    const ClassIndex c = class_of(bytes);
    const std::uint32_t n = kSizeClasses[c].objects;
    auto taken = fetch(c, 0, n);
    std::map<void*, std::uint64_t> kept;
    std::vector<Taken> back;
    for (std::uint32_t i = 0; i < n; ++i) {
      store_state(*taken[i].state, kLive);
      std::memset(taken[i].object, 0x77, kSizeClasses[c].object_bytes);
      if (i == n / 2) {
        Stamps::write(taken[i].object, kSizeClasses[c].object_bytes, i);
        kept[taken[i].object] = i;
      } else {
        store_state(*taken[i].state, kCached);
        back.push_back(taken[i]);
      }
    }
    ASSERT_EQ(give(0, back), back.size());
    std::uint32_t spans = 10;
    const Bytes purged = (*lists)[0].purge_sparse(*heap, spans);
    EXPECT_EQ(spans, 9u);
    if (GetParam() == 4_KiB) {
      EXPECT_GT(purged, Bytes());
    }
    EXPECT_TRUE((*lists)[0].is_valid());
    for (const auto& [object, tag] : kept)
      EXPECT_TRUE(Stamps::hold(object, kSizeClasses[c].object_bytes, tag));
    spans = 10;
    EXPECT_EQ((*lists)[0].purge_sparse(*heap, spans), Bytes());  // nothing is left to give
    std::uint32_t zero = 0;
    for (const Taken& t : fetch(c, 0, n - 1)) {
      if (load_state(*t.state) != kCachedZero) continue;
      ++zero;
      EXPECT_TRUE(Stamps::all_zero(t.object, kSizeClasses[c].object_bytes));
    }
    if (GetParam() == 4_KiB) {
      EXPECT_GT(zero, 0u);
    }
  }
}

// Two sweeps: the first finds what was touched, the second what stayed as it was since.
TEST_P(CentralListTest, ASweepGivesBackWhatNobodyTouches) {
  const ClassIndex c = class_of(8192);
  CentralList& list = (*lists)[0];
  const auto taken = fetch(c, 0, kSizeClasses[c].objects * 3);
  for (const Taken& t : taken) std::memset(t.object, 0x77, 8192);
  // The first span keeps one object, the second none, the third all.
  const std::uint32_t n = kSizeClasses[c].objects;
  ASSERT_EQ(give(0, std::vector<Taken>(taken.begin() + 1, taken.begin() + 2 * n)), 2 * n - 1);
  const auto sweep = [&] {
    Bytes purged{};
    list.begin_sweep();
    while (list.sweep_next(*heap, CentralList::Sweep::kUntouched, purged)) {
    }
    return purged;
  };
  EXPECT_TRUE(list.wants_sweep());
  EXPECT_EQ(sweep(), Bytes());
  EXPECT_TRUE(list.wants_sweep());
  const Bytes inside((n - 1) * std::uint64_t{8192});
  const Bytes purged = sweep();
  EXPECT_LE(purged, inside);
  EXPECT_GE(purged, inside - std::min(GetParam(), inside));
  EXPECT_FALSE(list.wants_sweep());
  EXPECT_EQ(list.stats().spans, 2u);  // the empty one went as a whole
  EXPECT_EQ(list.take_retaken(), Bytes());
  const auto again = fetch(c, 0, n - 1);
  EXPECT_EQ(list.take_retaken(), purged);
  EXPECT_TRUE(list.wants_sweep());
  EXPECT_TRUE(list.is_valid());
}

// A sweep that is interrupted by fetches, gives and the ends of spans neither misses nor repeats.
TEST_P(CentralListTest, ASweepGoesOnWhileSpansComeAndGo) {
  const ClassIndex c = class_of(1024);
  CentralList& list = (*lists)[0];
  Random random(3);
  std::vector<Taken> live = fetch(c, 0, kSizeClasses[c].objects * 40);
  Bytes purged{};
  for (unsigned round = 0; round < 200; ++round) {
    list.begin_sweep();
    do {
      if (random.one_in(2) && live.size() > 10) {
        std::swap(random.pick(live), live.back());
        ASSERT_EQ(give(0, {live.back()}), 1u);
        live.pop_back();
      } else if (random.one_in(3)) {
        for (const Taken& t : fetch(c, 0, 2)) live.push_back(t);
      }
    } while (list.sweep_next(
        *heap, random.one_in(8) ? CentralList::Sweep::kAll : CentralList::Sweep::kUntouched,
        purged));
    ASSERT_TRUE(list.is_valid());
  }
  if (GetParam() == 4_KiB) {
    EXPECT_GT(purged, Bytes());
  }
}

TEST_P(CentralListTest, ARefusedPurgeInsideASpanIsNotTakenForZero) {
  const ClassIndex c = class_of(8192);
  const auto taken = fetch(c, 0, 4);
  for (const Taken& t : taken) {
    store_state(*t.state, kLive);
    std::memset(t.object, 0x77, 8192);
    store_state(*t.state, kCached);
  }
  ASSERT_EQ(give(0, {taken[0], taken[1]}), 2u);
  fake_os::fail(fake_os::Call::kPurgeBatch, 1, 1000);
  std::uint32_t spans = 10;
  EXPECT_EQ((*lists)[0].purge_sparse(*heap, spans), Bytes());
  for (const Taken& t : fetch(c, 0, 2)) EXPECT_EQ(load_state(*t.state), kCached);
  EXPECT_TRUE((*lists)[0].is_valid());
}

// A sub-heap's list pays for its spans, and knows those without a free object too.
TEST_P(CentralListTest, AnOwnedListFreesAllItsSpansAtOnce) {
  const ClassIndex c = class_of(1000);
  const std::uint32_t n = kSizeClasses[c].objects;
  const Bytes span(std::uint64_t{kSizeClasses[c].span_pages} * kPageBytes);
  SpanOwner owner;
  CentralList list(owner);
  const Bytes before = heap->stats().in_use;
  std::vector<Taken> taken(4 * n);
  ASSERT_EQ(list.fetch(*heap, c, kOwnedShards | 1, taken.data(), 4 * n), 4 * n);  // all full
  EXPECT_EQ(owner.budget.used(), span * 4);
  EXPECT_TRUE(list.is_valid());
  const Span* first = heap->map().span_of(Addr(taken[0].object));
  EXPECT_EQ(owner_of(*first), &owner);
  EXPECT_EQ(first->shard, kOwnedShards | 1);
  ASSERT_EQ(list.give(*heap, &taken[0], 1), 1u);  // one is not full any more
  EXPECT_TRUE(list.is_valid());
  ASSERT_EQ(list.fetch(*heap, c, kOwnedShards | 1, &taken[0], 1), 1u);
  ASSERT_EQ(list.give(*heap, &taken[n], n), n);  // one is empty, and kept
  EXPECT_TRUE(list.is_valid());
  EXPECT_EQ(list.release_all(*heap), 3 * n);
  EXPECT_EQ(owner.budget.used(), 0_B);
  EXPECT_EQ(heap->stats().in_use, before);
  EXPECT_EQ(heap->map().span_of(Addr(taken[0].object)), nullptr);
  EXPECT_EQ(list.stats().taken, 0u);
  EXPECT_EQ(list.stats().objects, 0u);
  EXPECT_TRUE(list.is_valid());
  EXPECT_TRUE(heap->is_valid());
  ASSERT_EQ(list.fetch(*heap, c, kOwnedShards, taken.data(), 1), 1u);
  EXPECT_EQ(list.release_all(*heap), 1u);
}

TEST_P(CentralListTest, AnOwnedListEndsAtItsBudget) {
  const ClassIndex c = class_of(1000);
  const std::uint32_t n = kSizeClasses[c].objects;
  SpanOwner owner;
  owner.budget.set(Bytes(std::uint64_t{kSizeClasses[c].span_pages} * kPageBytes * 2 + 1));
  CentralList list(owner);
  std::vector<Taken> taken(3 * n);
  EXPECT_EQ(list.fetch(*heap, c, kOwnedShards, taken.data(), 3 * n), 2 * n);
  EXPECT_EQ(list.fetch(*heap, c, kOwnedShards, taken.data(), 1), 0u);
  EXPECT_TRUE(list.is_valid());
  list.release_all(*heap);
}

TEST_P(CentralListTest, RandomFetchesAndGivesEqualTheModel) {
  for (const std::size_t bytes : {16u, 80u, 1000u, 7000u, 100000u}) {
    const std::uint64_t seed = bytes;
    REAM_TRACE_SEED(seed);
    Random random(seed);
    start_again();
    lists = std::make_unique<Lists>();
    const ClassIndex c = class_of(bytes);
    const std::uint32_t object_bytes = kSizeClasses[c].object_bytes;
    const std::uint32_t most = std::min<std::uint32_t>(3000, (16 << 20) / object_bytes);
    struct Held {
      Taken taken;
      std::uint8_t shard;
      std::uint64_t tag;
    };
    std::map<void*, Held> held;
    std::array<std::uint64_t, kShards> count{};
    for (std::uint64_t i = 0; i < 200 * kEffort; ++i) {
      const auto shard = static_cast<std::uint8_t>(random.below(kShards));
      if (held.size() < most && random.one_in(2)) {
        for (const Taken& t : fetch(c, shard, static_cast<std::uint32_t>(random.between(1, 200)))) {
          ASSERT_FALSE(held.contains(t.object));
          const std::uint8_t state = load_state(*t.state);
          ASSERT_TRUE(state == kCached || state == kCachedZero);
          if (state == kCachedZero) {
            ASSERT_TRUE(Stamps::all_zero(t.object, object_bytes));
          }
          const Span* span = heap->map().span_of(Addr(t.object));
          ASSERT_EQ(span->shard, shard);
          ASSERT_EQ(t.state, span->states() + span->index_of(Addr(t.object).n));
          store_state(*t.state, kLive);
          Stamps::write(t.object, object_bytes, i);
          held[t.object] = {t, shard, i};
          ++count[shard];
        }
      } else if (!held.empty()) {
        std::vector<Taken> batch;
        auto it = held.begin();
        std::advance(it, random.below(held.size()));
        const std::uint64_t max = random.between(1, 200);
        while (it != held.end() && batch.size() < max) {
          if (it->second.shard != shard || random.one_in(3)) {
            ++it;
            continue;
          }
          ASSERT_TRUE(Stamps::hold(it->first, object_bytes, it->second.tag));
          store_state(*it->second.taken.state, kCached);
          batch.push_back(it->second.taken);
          it = held.erase(it);
          --count[shard];
        }
        if (!batch.empty()) {
          ASSERT_EQ(give(shard, batch), batch.size());
        }
      }
      if (random.one_in(20)) (*lists)[shard].release_empty(*heap);
      if (random.one_in(10)) {
        auto spans = static_cast<std::uint32_t>(random.below(20));
        (*lists)[shard].purge_sparse(*heap, spans);
      }
      if (i % 10 != 0) continue;
      Bytes in_use{};
      for (std::uint8_t s = 0; s < kShards; ++s) {
        const CentralStats stats = (*lists)[s].stats();
        ASSERT_EQ(stats.taken, count[s]);
        ASSERT_EQ(stats.objects, stats.spans * kSizeClasses[c].objects);
        ASSERT_EQ(stats.span_pages, stats.spans * kSizeClasses[c].span_pages);
        ASSERT_TRUE((*lists)[s].is_valid());
        in_use += Bytes(stats.span_pages * kPageBytes);
      }
      ASSERT_EQ(heap->stats().in_use, in_use);
    }
    ASSERT_TRUE(heap->is_valid());
  }
}

class CentralListThreadTest : public CentralListTest {
 protected:
  CentralListThreadTest() : CentralListTest(4_KiB) {}
};

// No object is ever in two threads' hands.
TEST_F(CentralListThreadTest, ThreadsShareLists) {
  const ClassIndex c = class_of(512);
  std::atomic<unsigned> wrong{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= 4; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      std::vector<Taken> mine;
      for (unsigned i = 0; i < 300 * kEffort; ++i) {
        const auto shard = static_cast<std::uint8_t>(random.below(2));
        if (mine.size() < 300 && random.below(5) < 3) {
          for (const Taken& taken :
               fetch(c, shard, static_cast<std::uint32_t>(1 + random.below(64)))) {
            store_state(*taken.state, kLive);
            Stamps::write(taken.object, 512, t);
            mine.push_back(taken);
          }
        } else if (!mine.empty()) {
          const auto keep = static_cast<std::ptrdiff_t>(random.below(mine.size()));
          std::vector<Taken> batch(mine.begin() + keep, mine.end());
          mine.resize(static_cast<std::size_t>(keep));
          for (const Taken& taken : batch) {
            wrong += !Stamps::hold(taken.object, 512, t);
            store_state(*taken.state, kCached);
          }
          while (!batch.empty()) {
            const Span* span = heap->map().span_for_first_page(Addr(batch[0].object).n);
            batch.erase(batch.begin(), batch.begin() + give(span->shard, batch));
          }
        }
        if (random.one_in(40)) (*lists)[shard].release_empty(*heap);
        std::uint32_t spans = 4;
        if (random.one_in(40)) (*lists)[shard].purge_sparse(*heap, spans);
      }
      for (const Taken& taken : mine) {
        store_state(*taken.state, kCached);
        const Span* span = heap->map().span_for_first_page(Addr(taken.object).n);
        give(span->shard, {taken});
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong.load(), 0u);
  for (CentralList& list : *lists) {
    EXPECT_TRUE(list.is_valid());
    EXPECT_EQ(list.stats().taken, 0u);
    list.release_empty(*heap);
  }
  EXPECT_TRUE(heap->is_valid());
  EXPECT_EQ(heap->stats().in_use, Bytes());
}

}  // namespace
}  // namespace ream
