// A walk over every sequence of operations on a window of four chunks, beside the naive model.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/bits.h"
#include "page/naive_model.h"
#include "page/page_alloc.h"

namespace ream::page::test {

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

}  // namespace ream::page::test
