// Sequences of all operations against the naive model: random long ones on every geometry, and
// every one up to a depth on a window of four chunks.
#include "page/page_alloc_impl.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

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

// ---- Every sequence --------------------------------------------------------------------------

// Metadata in one block that can be saved and restored as a whole.
class SavedMemory {
 public:
  [[nodiscard]] Environment environment() {
    Environment env;
    env.context = this;
    env.reserve = [](void* self, Bytes bytes) noexcept -> void* {
      auto& m = *static_cast<SavedMemory*>(self);
      const std::size_t at = m.used_;
      m.used_ += round_up(bytes.n, kCommitBytes);
      return m.used_ <= kBytes ? m.bytes_ + at : nullptr;
    };
    env.commit = [](void*, void*, Bytes) noexcept { return true; };
    env.release = [](void*, void*, Bytes) noexcept {};
    return env;
  }
  void save(std::vector<char>& to) const { to.assign(bytes_, bytes_ + used_); }
  void restore(const std::vector<char>& from) { std::memcpy(bytes_, from.data(), from.size()); }

 private:
  static constexpr std::size_t kBytes = 1 << 17;
  alignas(kCommitBytes) char bytes_[kBytes] = {};
  std::size_t used_ = 0;
};

// A walk over all sequences of operations on a window of four chunks, depth first; the state is
// saved before each operation and restored after it.
class EverySequence {
 public:
  using G = Tiny4;

  EverySequence() {
    EXPECT_EQ(heap_.init(memory_.environment()), InitResult::kOk);
    const ScavengeShape shape{2, 64};
    heap_.set_scavenge_shape(shape);
    model_.shape = shape;
  }

  void walk(unsigned depth) {
    if (depth == 0 || ::testing::Test::HasFatalFailure()) return;
    std::vector<char> memory;
    std::vector<char> heap(sizeof heap_);
    memory_.save(memory);
    std::memcpy(heap.data(), static_cast<const void*>(&heap_), sizeof heap_);
    const State before = state_;
    const NaiveModel model = model_;
    for (unsigned op = 0; op < kOps; ++op) {
      if (!apply(op)) continue;
      ++sequences_;
      path_.push_back(op);
      check();
      walk(depth - 1);
      path_.pop_back();
      memory_.restore(memory);
      std::memcpy(static_cast<void*>(&heap_), heap.data(), sizeof heap_);
      state_ = before;
      model_ = model;
    }
  }
  [[nodiscard]] std::uint64_t sequences() const { return sequences_; }

 private:
  struct Block {
    std::uint64_t page = 0;
    std::uint64_t pages = 0;
  };
  struct State {
    std::vector<Block> live;
    PageCache<G> real;
    NaiveModel::Cache naive;
  };
  static constexpr unsigned kOps = 15;

  static Addr addr(std::uint64_t page) { return Addr(page << G::kPageShift); }

  // Does operation `op` on both; false if it makes no sense here.
  bool apply(unsigned op) {
    switch (op) {
      case 0:
        return grow(1, 1);
      case 1:
        return grow(0, 1);
      case 2:
        return grow(2 * kChunkPages, 2 * kChunkPages);
      case 3:
        return alloc(1);
      case 4:
        return alloc(63);
      case 5:
        return alloc(kChunkPages);
      case 6:
        return alloc(kChunkPages + 100);
      case 7:
        return alloc(64, 128);
      case 8:
        return free(0);
      case 9:
        return !state_.live.empty() && free(state_.live.size() - 1);
      case 10:
        return free_middle();
      case 11:
        return extend();
      case 12:
        return cache();
      case 13:
        return cache_alloc();
      default:
        return scavenge();
    }
  }

  bool grow(std::uint64_t page, std::uint64_t pages) {
    const GrowResult got = heap_.grow(addr(page), Bytes(pages << G::kPageShift));
    EXPECT_EQ(got == GrowResult::kOk, model_.grow(page, pages));
    return got == GrowResult::kOk;
  }
  bool alloc(std::uint64_t n, std::uint64_t align = 1) {
    const Allocation got = heap_.alloc(Pages(n), Pages(align));
    const auto want = model_.alloc(n, align);
    EXPECT_EQ(got.ok, want.has_value());
    if (!want) return false;
    EXPECT_EQ(got.base, addr(want->page));
    EXPECT_EQ(got.scavenged.n >> G::kPageShift, want->scavenged);
    state_.live.push_back({want->page, n});
    return true;
  }
  bool free(std::size_t i) {
    if (i >= state_.live.size()) return false;
    const Block b = state_.live[i];
    EXPECT_TRUE(heap_.free(addr(b.page), Pages(b.pages)));
    EXPECT_TRUE(model_.free(b.page, b.pages));
    state_.live.erase(state_.live.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(heap_.free(addr(b.page), Pages(b.pages)));
    return true;
  }
  bool free_middle() {
    if (state_.live.empty() || state_.live[0].pages < 3) return false;
    const Block b = state_.live[0];
    EXPECT_TRUE(heap_.free(addr(b.page + 1), Pages(b.pages - 2)));
    EXPECT_TRUE(model_.free(b.page + 1, b.pages - 2));
    state_.live[0] = {b.page, 1};
    state_.live.push_back({b.page + b.pages - 1, 1});
    return true;
  }
  bool extend() {
    if (state_.live.empty()) return false;
    Block& b = state_.live.back();
    const Allocation got = heap_.try_extend(addr(b.page), Pages(b.pages), Pages(b.pages + 450));
    const auto want = model_.alloc_range(b.page + b.pages, 450);
    EXPECT_EQ(got.ok, want.has_value());
    if (!want) return false;
    EXPECT_EQ(got.scavenged.n >> G::kPageShift, want->scavenged);
    b.pages += 450;
    return true;
  }
  bool cache() {
    if (!state_.real.empty()) {
      heap_.flush(state_.real);
      model_.flush(state_.naive);
      return true;
    }
    state_.real = heap_.alloc_to_cache();
    state_.naive = model_.fill_cache();
    EXPECT_EQ(state_.real.free(), state_.naive.free);
    EXPECT_EQ(state_.real.scavenged(), state_.naive.scavenged);
    return !state_.real.empty();
  }
  bool cache_alloc() {
    const Allocation got = state_.real.alloc(Pages(5));
    const auto want = NaiveModel::alloc_from(state_.naive, 5);
    EXPECT_EQ(got.ok, want.has_value());
    if (!want) return false;
    EXPECT_EQ(got.base, addr(want->page));
    state_.live.push_back({want->page, 5});
    return true;
  }
  bool scavenge() {
    const std::uint64_t got = heap_.scavenge(Bytes(70 << G::kPageShift)).n >> G::kPageShift;
    EXPECT_EQ(got, model_.scavenge(70));
    return got > 0;
  }

  void check() {
    bool same = heap_.is_valid();
    for (const auto& s : model_.segments()) {
      for (std::uint64_t first = s.first; first < s.end(); first += kChunkPages) {
        const Chunk& chunk = heap_.chunk_of(ChunkIndex{first / kChunkPages});
        for (unsigned w = 0; w < kChunkWords; ++w) {
          std::uint64_t used = 0;
          std::uint64_t backed = 0;
          for (unsigned i = 0; i < kWordPages; ++i) {
            const auto state = s.pages[first - s.first + w * kWordPages + i];
            used |= std::uint64_t{state == NaiveModel::kInUse} << i;
            backed |= std::uint64_t{state != NaiveModel::kScavenged} << i;
          }
          same = same && chunk.used[w] == used && chunk.backed[w] == backed;
        }
      }
    }
    ASSERT_TRUE(same && !::testing::Test::HasFailure()) << ::testing::PrintToString(path_);
  }

  SavedMemory memory_;
  PageAlloc<G> heap_;
  NaiveModel model_;
  State state_;
  std::vector<unsigned> path_;
  std::uint64_t sequences_ = 0;
};

void walk_all(unsigned depth, std::uint64_t at_least) {
  EverySequence every;
  every.walk(depth);
  EXPECT_GE(every.sequences(), at_least);
  ::testing::Test::RecordProperty("sequences", std::to_string(every.sequences()));
}

TEST(EverySequenceTest, OfATinyWindow) { walk_all(kDebug ? 6 : 7, 10000); }
TEST(EverySequenceTest, OfATinyWindowForLong) { walk_all(9, 1000000); }

}  // namespace
}  // namespace ream::page
