// Sequences of all operations against the naive model: random long ones on every geometry, and
// every one up to a depth on a window of four chunks.
#include "page/page_alloc_impl.h"

#include <gtest/gtest.h>

#include <random>

#include "page/every_sequence.h"
#include "page/heap_fixture.h"

namespace ream::page {
namespace {

using test::NaiveModel;

// ---- Random sequences ------------------------------------------------------------------------

template <class G>
class RandomSequences {
 public:
  RandomSequences(std::uint64_t seed, unsigned log_size) : random_(seed), log_size_(log_size) {
    heap_.set_shape({1u << random_() % 3, random_() % 2 != 0 ? 256u : 0u});
    // Ranges that touch, that lie apart, and that lie at both ends of the window.
    const std::uint64_t chunks = G::kTotalChunks;
    for (const std::uint64_t c : {std::uint64_t{0}, chunks / 2 - 1, chunks / 2, chunks - 1}) {
      places_.push_back(c);
    }
    for (unsigned i = 0; i < 8; ++i) places_.push_back(random_() % chunks);
  }

  void run(unsigned steps) {
    for (unsigned i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      step();
      if (i % 64 == 0) {
        ASSERT_TRUE(heap_.same_state()) << "step " << i;
      }
    }
    for (auto& cache : caches_) heap_.flush(cache);
    for (const Block& b : live_) heap_.free(b.page, b.pages);
    ASSERT_TRUE(heap_.same_state());
    ASSERT_EQ(heap_.heap->free_pages_total().n, heap_.model.total());
  }

 private:
  struct Block {
    std::uint64_t page = 0;
    std::uint64_t pages = 0;
  };

  std::uint64_t size() { return 1 + random_() % (1u << random_() % (log_size_ + 1)); }

  void step() {
    const auto dice = random_() % 100;
    if (dice < 3) return grow();
    if (dice < 40) return keep(heap_.alloc(size_ = size()));
    if (dice < 44) return keep(heap_.alloc(size_ = size(), 1ULL << random_() % 11));
    if (dice < 48) return keep_range();
    if (dice < 70) return free_block();
    if (dice < 74) return free_part();
    if (dice < 80) return resize();
    if (dice < 90) return use_cache(caches_[random_() % caches_.size()]);
    if (dice < 93) {
      heap_.scavenge(random_() % 400);
      return;
    }
    if (dice < 96) return refuse();
    const std::uint64_t lo = random_() % G::kTotalPages;
    heap_.find_highest(size(), lo, lo + random_() % (G::kTotalPages - lo + 1));
  }

  void grow() {
    const std::uint64_t chunk = places_[random_() % places_.size()];
    const std::uint64_t pages =
        std::min(1 + random_() % (3 * kChunkPages), (G::kTotalChunks - chunk) * kChunkPages);
    heap_.grow(chunk * kChunkPages, pages);
  }
  void keep(const std::optional<NaiveModel::Taken>& taken) {
    if (taken) live_.push_back({taken->page, size_});
  }
  void keep_range() {
    if (heap_.model.segments().empty()) return;
    const auto& s = heap_.model.segments()[random_() % heap_.model.segments().size()];
    size_ = size();
    keep(heap_.alloc_range(s.first + random_() % s.pages.size(), size_));
  }
  Block* any_block() {
    if (live_.empty()) return nullptr;
    std::swap(live_[random_() % live_.size()], live_.back());
    return &live_.back();
  }
  void free_block() {
    if (const Block* b = any_block()) {
      heap_.free(b->page, b->pages, random_() % 6 == 0 ? FreeKind::kQuiet : FreeKind::kCandidate);
      live_.pop_back();
    }
  }
  void free_part() {
    Block* b = any_block();
    if (b == nullptr || b->pages < 3) return;
    const std::uint64_t from = 1 + random_() % (b->pages - 2);
    const std::uint64_t n = 1 + random_() % (b->pages - from - 1);
    const Block rest{b->page + from + n, b->pages - from - n};
    heap_.free(b->page + from, n);
    b->pages = from;
    live_.push_back(rest);
  }
  void resize() {
    Block* b = any_block();
    if (b == nullptr) return;
    const std::uint64_t want = size();
    if (want < b->pages) {
      heap_.shrink(b->page, b->pages, want);
      b->pages = want;
    } else if (heap_.try_extend(b->page, b->pages, want)) {
      b->pages = want;
    }
  }
  void use_cache(typename test::TwinHeap<G>::CachePair& cache) {
    if (cache.real.empty()) {
      heap_.fill(cache);
    } else if (random_() % 5 == 0) {
      heap_.flush(cache);
    } else if (const auto got = heap_.alloc_from(cache, size_ = 1 + random_() % 6)) {
      live_.push_back({got->page, size_});
    }
  }
  // Ranges at random: mostly neither all in use nor all free, and refused.
  void refuse() {
    const std::uint64_t page = random_() % G::kTotalPages;
    if (heap_.model.pages(page, 1) == nullptr) {
      heap_.free(page, size());
    }
    const Block* b = any_block();
    if (b != nullptr && heap_.model.state(b->page + b->pages) != NaiveModel::kInUse) {
      heap_.free(b->page, b->pages + 1);
      heap_.alloc_range(b->page + b->pages - 1, 2);
    }
  }

  std::mt19937_64 random_;
  unsigned log_size_;
  test::TwinHeap<G> heap_;
  std::vector<std::uint64_t> places_;
  std::vector<Block> live_;
  std::array<typename test::TwinHeap<G>::CachePair, 3> caches_{};
  std::uint64_t size_ = 0;
};

template <class G>
class RandomSequencesTest : public ::testing::Test {};
using Geometries = ::testing::Types<Go48, HeapWindow, Pages4K, Pages16K, Pages64K, Wide57, Narrow32,
                                    Window1T, Tiny4, Tiny64>;
TYPED_TEST_SUITE(RandomSequencesTest, Geometries);

// A leaf whose max is not exact for the moment must not outlive a change of several chunks.
TEST(PageAllocImpl, RunsAcrossChunksAfterPagesTakenOneByOne) {
  test::TwinHeap<HeapWindow> heap;
  heap.grow(0, 2 * kChunkPages);
  ASSERT_TRUE(heap.alloc_range(0, kChunkPages));
  ASSERT_TRUE(heap.alloc_range(600, 1));
  ASSERT_TRUE(heap.free(74, 11));
  ASSERT_TRUE(heap.free(130, 9));
  ASSERT_TRUE(heap.free(200, 9));
  ASSERT_TRUE(heap.free(510, 2));
  ASSERT_TRUE(heap.alloc(1));
  ASSERT_TRUE(heap.alloc(1));
  ASSERT_TRUE(heap.alloc_range(510, 4));
  ASSERT_TRUE(heap.alloc(10));
  EXPECT_TRUE(heap.same_state());
}

TYPED_TEST(RandomSequencesTest, EqualTheModel) {
  for (const unsigned log_size : {2u, 6u, 11u}) {
    RandomSequences<TypeParam>(log_size, log_size).run(700 * test::kScale);
    if (this->HasFailure()) return;
  }
}

TYPED_TEST(RandomSequencesTest, EqualTheModelForLong) {
  for (std::uint64_t seed = 10; seed < 30; ++seed) {
    RandomSequences<TypeParam>(seed, 1 + seed % 12).run(20000);
    if (this->HasFailure()) return;
  }
}

// ---- Every sequence ---------------------------------------------------------------------------

void walk_all(unsigned depth, std::uint64_t at_least) {
  test::EverySequence every;
  every.walk(depth);
  EXPECT_GE(every.sequences(), at_least);
  ::testing::Test::RecordProperty("sequences", std::to_string(every.sequences()));
}

TEST(EverySequenceTest, OfATinyWindow) { walk_all(kDebug ? 6 : 7, 10000); }
TEST(EverySequenceTest, OfATinyWindowForLong) { walk_all(9, 1000000); }

}  // namespace
}  // namespace ream::page
