// A PageAlloc beside its naive model: every operation is done on both and compared. Pages are
// counted from `kOrigin`, the first page of the window that tests use.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "base/config.h"
#include "page/metadata_memory.h"
#include "page/naive_model.h"
#include "page/page_alloc.h"

namespace ream::page::test {

// Random tests do less in debug and sanitizer builds.
inline constexpr unsigned kScale = kDebug ? 1 : 8;

template <class G>
class TwinHeap {
 public:
  using Taken = NaiveModel::Taken;

  explicit TwinHeap(Addr window_base = default_base()) : base_(window_base) {
    EXPECT_EQ(heap->init(memory.environment(), window_base), InitResult::kOk);
  }
  ~TwinHeap() { heap->release(); }
  TwinHeap(const TwinHeap&) = delete;
  TwinHeap& operator=(const TwinHeap&) = delete;

  static Addr default_base() {
    return G::kBase == WindowBase::kZero ? Addr() : Addr(5 * (G::kMaxAlignPages << G::kPageShift));
  }
  [[nodiscard]] Addr addr(std::uint64_t page) const { return base_ + Bytes(page << G::kPageShift); }
  [[nodiscard]] std::uint64_t page(Addr a) const { return (a - base_).n >> G::kPageShift; }
  [[nodiscard]] std::optional<Taken> taken(const Allocation& a) const {
    if (!a) return std::nullopt;
    return Taken{page(a.base), a.scavenged.n >> G::kPageShift};
  }

  void set_shape(ScavengeShape shape) {
    heap->set_scavenge_shape(shape);
    model.shape = shape;
  }
  bool grow(std::uint64_t first, std::uint64_t n) {
    const bool ok = heap->grow(addr(first), Bytes(n << G::kPageShift)) == GrowResult::kOk;
    EXPECT_EQ(ok, model.grow(first, n)) << "grow " << first << " " << n;
    return ok;
  }
  std::optional<Taken> alloc(std::uint64_t n, std::uint64_t align = 1) {
    const auto got = taken(heap->alloc(Pages(n), Pages(align)));
    EXPECT_EQ(got, model.alloc(n, align)) << "alloc " << n << " aligned to " << align;
    return got;
  }
  std::optional<Taken> alloc_range(std::uint64_t first, std::uint64_t n) {
    const auto got = taken(heap->alloc_range(addr(first), Pages(n)));
    EXPECT_EQ(got, model.alloc_range(first, n)) << "alloc_range " << first << " " << n;
    return got;
  }
  bool free(std::uint64_t first, std::uint64_t n, FreeKind kind = FreeKind::kCandidate) {
    const bool ok = heap->free(addr(first), Pages(n), kind);
    EXPECT_EQ(ok, model.free(first, n, kind == FreeKind::kCandidate))
        << "free " << first << " " << n;
    return ok;
  }
  std::uint64_t scavenge(std::uint64_t pages) {
    const std::uint64_t got = heap->scavenge(Bytes(pages << G::kPageShift)).n >> G::kPageShift;
    EXPECT_EQ(got, model.scavenge(pages)) << "scavenge " << pages;
    return got;
  }
  bool try_extend(std::uint64_t first, std::uint64_t have, std::uint64_t want) {
    const Allocation got = heap->try_extend(addr(first), Pages(have), Pages(want));
    const auto more =
        want > have ? model.alloc_range(first + have, want - have) : std::optional<Taken>(Taken{});
    EXPECT_EQ(static_cast<bool>(got), more.has_value()) << "extend " << first;
    if (got && more) {
      EXPECT_EQ(got.base, addr(first));
      EXPECT_EQ(got.scavenged.n >> G::kPageShift, more->scavenged);
    }
    return static_cast<bool>(got);
  }
  bool shrink(std::uint64_t first, std::uint64_t have, std::uint64_t want) {
    const bool ok = heap->shrink(addr(first), Pages(have), Pages(want));
    EXPECT_EQ(ok, model.free(first + want, have - want)) << "shrink " << first;
    return ok;
  }
  void find_highest(std::uint64_t n, std::uint64_t lo, std::uint64_t hi) {
    const Place got = heap->find_highest(Pages(n), addr(lo), addr(hi));
    const auto want = model.find_highest(n, lo, hi);
    ASSERT_EQ(got.ok, want.has_value()) << "highest " << n << " in " << lo << " " << hi;
    if (want) {
      EXPECT_EQ(page(got.base), *want);
    }
  }

  struct CachePair {
    PageCache<G> real;
    NaiveModel::Cache naive;
  };
  void fill(CachePair& cache) {
    cache.real = heap->alloc_to_cache();
    cache.naive = model.fill_cache();
    expect_same(cache);
  }
  std::optional<Taken> alloc_from(CachePair& cache, std::uint64_t n) {
    const auto got = taken(cache.real.alloc(Pages(n)));
    EXPECT_EQ(got, NaiveModel::alloc_from(cache.naive, n));
    expect_same(cache);
    return got;
  }
  void flush(CachePair& cache, FreeKind kind = FreeKind::kQuiet) {
    heap->flush(cache.real, kind);
    // A chunk without pages worth it is not marked; the model finds out later that there are none.
    model.flush(cache.naive, kind == FreeKind::kCandidate);
    EXPECT_TRUE(cache.real.empty());
  }
  void expect_same(const CachePair& cache) const {
    EXPECT_EQ(cache.real.free(), cache.naive.free);
    EXPECT_EQ(cache.real.scavenged(), cache.naive.scavenged);
    if (!cache.real.empty()) {
      EXPECT_EQ(page(cache.real.base()), cache.naive.base);
    }
  }

  // Everything there is to see.
  [[nodiscard]] bool same_state() const {
    for (const NaiveModel::Segment& s : model.segments()) {
      for (std::uint64_t first = s.first; first < s.end(); first += kChunkPages) {
        const Chunk& chunk = heap->chunk_of(heap->window().chunk_index(addr(first)));
        for (unsigned i = 0; i < kChunkPages; ++i) {
          const bool used = test_bit(chunk.used, i);
          const auto state = used                        ? NaiveModel::kInUse
                             : test_bit(chunk.backed, i) ? NaiveModel::kFree
                                                         : NaiveModel::kScavenged;
          if (state != s.pages[first - s.first + i]) return false;
        }
      }
    }
    const std::uint64_t unscavenged = model.count(NaiveModel::kFree);
    return heap->free_pages_total().n == unscavenged + model.count(NaiveModel::kScavenged) &&
           heap->unscavenged_free_pages().n == unscavenged && heap->is_valid();
  }

  MetadataMemory memory;
  std::unique_ptr<PageAlloc<G>> heap = std::make_unique<PageAlloc<G>>();
  NaiveModel model;

 private:
  Addr base_;
};

}  // namespace ream::page::test
